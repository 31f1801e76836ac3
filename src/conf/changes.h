/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Changes - settings that a running program cannot change
 *
 * At SIGHUP a program reads its configuration again. It takes peers, services, listeners, the event log
 * repository's address and most limits from there. The other settings take effect at its next start.
 */

struct conf;

/**
 * conf_changes_fixed() - Find the settings that differ and that a running program cannot change
 * @running:	Configuration that the program was started with
 * @next:	Configuration that was read now, for the same role
 * @fn:		Called for each, with its name as in the file: "listen", "pki.ca", "limits.stall_ms"
 * @ctx:	First argument of @fn
 */
void conf_changes_fixed(const struct conf *running, const struct conf *next,
			void (*fn)(void *ctx, const char *setting), void *ctx);

/** conf_changes_say_fixed() - One line in the log for conf_changes_fixed(); @ctx is not used */
void conf_changes_say_fixed(void *ctx, const char *setting);

/** conf_changes_kept() - One line in the log: nothing was changed, for @reason; @ctx is not used */
void conf_changes_kept(void *ctx, const char *reason);
