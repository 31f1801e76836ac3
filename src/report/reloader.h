/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reloader - reads a program's configuration again at SIGHUP
 *
 * A thread reads, because names of hosts are looked up, which may take seconds; the program serves meanwhile.
 * The event loop then takes what was read. Signals that come meanwhile make one more reading. systemd hears
 * that the reload is over when the last one is (net/supervisor.h).
 */

struct err;
struct reloader; /* opaque */
struct supervisor;
struct uv_loop_s;

/**
 * struct reloader_ops - Calls of the reloader
 * @read:	In a thread: read all, change nothing; @ret is handed to @take. Return: 0, or negative error code
 * @take:	On the event loop: use @read, which is owned from now on
 * @kept:	On the event loop: it could not be read, @reason says why, so everything stays as it was
 */
struct reloader_ops {
	int (*read)(void *ctx, void **ret, struct err *err);
	void (*take)(void *ctx, void *read);
	void (*kept)(void *ctx, const char *reason);
};

/**
 * reloader_new() - Watch for SIGHUP
 * @ret:	Set on success only; the caller owns it, see reloader_close()
 * @loop:	Event loop
 * @supervisor:	Told when a reload is over; it must outlive the reloader
 * @ops:	Borrowed until reloader_close()
 * @ctx:	First argument of each call
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int reloader_new(struct reloader **ret, struct uv_loop_s *loop, struct supervisor *supervisor,
		 const struct reloader_ops *ops, void *ctx, struct err *err);

/**
 * reloader_close() - End
 * @r:		Reloader, may be NULL
 * @drop:	Releases what a thread is reading now, and that nobody will take; not called on the loop's
 *		behalf if nothing is being read. May come after reloader_close() has returned
 *
 * Its memory goes when the event loop has closed its handle and the thread has ended.
 */
void reloader_close(struct reloader *r, void (*drop)(void *read));
