/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Supervisor - tell systemd how a program is doing (sd_notify(3), Type=notify)
 *
 * The messages are datagrams of a few words to a socket that NOTIFY_SOCKET names. They come from the event loop,
 * so that systemd notices a loop that hangs (WatchdogSec). At SIGHUP it is told that the program reads its
 * files again: all handlers of the signal have run, and all holds are released, when it is told that this is
 * over. Without NOTIFY_SOCKET nothing is sent. A message that cannot be sent is dropped: systemd's timeouts notice.
 */

struct err;
struct supervisor; /* opaque */
struct uv_loop_s;

/**
 * supervisor_new() - Begin: take the variables of systemd out of the environment
 * @ret:	Set on success only; the caller owns it, see supervisor_close()
 * @loop:	Event loop
 * @err:	Filled in on failure
 *
 * Call it before there are threads. Programs that are started later do not see the variables: systemd listens to the main
 * program only, and runc would take them for its container's.
 *
 * Return: 0, -EINVAL for a socket that is none, or another negative error code
 */
int supervisor_new(struct supervisor **ret, struct uv_loop_s *loop, struct err *err);

/** supervisor_ready() - The program serves, and lives from now on by its event loop */
void supervisor_ready(struct supervisor *s);

/**
 * supervisor_hold() - The reload of a SIGHUP is not over: systemd waits until supervisor_release()
 *
 * The handlers of the signal may call it in any order. A thread reads the files, for example.
 */
void supervisor_hold(struct supervisor *s);

/** supervisor_release() - It is over; as often as supervisor_hold() */
void supervisor_release(struct supervisor *s);

/** supervisor_stopping() - It has been asked to stop, or has failed */
void supervisor_stopping(struct supervisor *s);

/** supervisor_close() - End; @s may be NULL. Its memory goes when the event loop has closed its handles */
void supervisor_close(struct supervisor *s);
