/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Diagnostics of a program - one line each on stderr
 *
 * Programs log an error once, where it is final. Libraries only use log_debug(), which costs one
 * comparison unless BATON_DEBUG was in the environment at the first line. Events of the session
 * protocol are no diagnostics: they go to the event log repository (report/).
 *
 * If systemd's journal reads stderr (JOURNAL_STREAM), a line has its priority in front, "<3>" for an error, in
 * place of time and level.
 */

/** log_error() - Something failed; the line says what and why */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** log_info() - Something an operator wants to see once: start, stop, a migration's outcome */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** log_debug() - Shown only if BATON_DEBUG is set */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** log_name() - Name put in front of each line, e.g. "baton-es EdgeServer-1"; copied, 63 bytes */
void log_name(const char *name);
