/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Disks - the file systems that a program writes to: is there room?
 *
 * They are looked at every DISKS_MS, in a thread, for a disk may hang. One with less than the mark free is
 * low; the mark is DISKS_LOW bytes, or DISKS_LOW_PART of a small file system. As long as one is low, or the
 * program says that it cannot write there, one line a minute names the disk, the room, the effect and the
 * remedy. When there is room again, a last line says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disks; /* opaque */
struct err;
struct uv_loop_s;

#define DISKS_MS       2000
#define DISKS_LOW      (64ull << 20) /* bytes */
#define DISKS_LOW_PART 20            /* one in so many bytes */
#define DISKS_MAX      8             /* places of a program; further ones are not looked at */

/**
 * struct disks_place - A directory that is written to; strings are borrowed until disks_close()
 * @what:	Its name for people: "state_dir"
 * @path:	Directory; one that is missing is passed over. NULL: likewise
 * @effect:	Effect of its being full, and the remedy, for people
 */
struct disks_place {
	const char *what;
	const char *path;
	const char *effect;
};

/**
 * struct disks_view - A place, as it is now; strings are borrowed
 * @bytes, @free: Of its file system, for others than root
 * @low:	Less is free than the mark, in bytes or in files
 * @trouble:	Text given to disks_trouble(); or empty
 */
struct disks_view {
	const char *what;
	const char *path;
	uint64_t bytes;
	uint64_t free;
	bool low;
	const char *trouble;
};

/**
 * disks_new() - Begin to look
 * @ret:	Set on success only; the caller owns it, see disks_close()
 * @loop:	Event loop
 * @place:	Places, copied
 * @count:	How many, at most DISKS_MAX
 * @looked:	Called after each look, on the loop; it may call disks_trouble(). NULL: not
 * @ctx:	Handed to it
 * @err:	Filled in on failure
 *
 * Return: 0, or -ENOMEM
 */
int disks_new(struct disks **ret, struct uv_loop_s *loop, const struct disks_place *place,
	      size_t count, void (*looked)(void *ctx), void *ctx, struct err *err);

/** disks_trouble() - The program cannot write to place @i, and why; NULL: it can again */
void disks_trouble(struct disks *d, size_t i, const char *why);

/** disks_view() - How place @i is */
struct disks_view disks_view(const struct disks *d, size_t i);

/** disks_each_bad() - Call @fn for each place that is low or in trouble */
void disks_each_bad(const struct disks *d, void (*fn)(void *ctx, const struct disks_view *view),
		    void *ctx);

/** disks_close() - End; the memory goes when the event loop has closed its handles. @d may be NULL */
void disks_close(struct disks *d);
