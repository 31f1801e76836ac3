/* SPDX-License-Identifier: Apache-2.0 */
#include "report/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <uv.h>

#include "base/err.h"
#include "base/log.h"

#define SAID_MS      60000
#define TROUBLE_SIZE 256
#define MB           1000000.0

/**
 * struct room - Outcome of a look
 * @there:	The directory is there
 * @dev:	Number of its file system
 * @files:	Free ones; UINT64_MAX: the file system does not count them
 */
struct room {
	bool there;
	dev_t dev;
	uint64_t bytes;
	uint64_t free;
	uint64_t files;
};

/**
 * struct place - One of them
 * @path:	Of @is, owned
 * @next:	Outcome of the look that runs; belongs to its thread
 * @said_at:	When it was logged that it is bad; 0: it is good
 */
struct place {
	struct disks_place is;
	char *path;
	struct room room;
	struct room next;
	char trouble[TROUBLE_SIZE];
	uint64_t said_at;
};

struct disks {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_work_t work;
	bool working;
	bool closing;
	void (*looked)(void *ctx);
	void *ctx;
	size_t count;
	struct place place[DISKS_MAX];
};

/* ---- looking ---- */

static void look_at(struct place *p)
{
	struct statvfs fs;
	struct stat st;

	p->next = (struct room){ .files = UINT64_MAX };
	if (!p->is.path || stat(p->is.path, &st) < 0 || statvfs(p->is.path, &fs) < 0)
		return;
	p->next.there = true;
	p->next.dev = st.st_dev;
	p->next.bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	p->next.free = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (fs.f_files)
		p->next.files = fs.f_favail;
}

/* In a thread. */
static void work(uv_work_t *w)
{
	struct disks *d = w->data;

	for (size_t i = 0; i < d->count; i++)
		look_at(&d->place[i]);
}

static bool low(const struct place *p)
{
	uint64_t mark = p->room.bytes / DISKS_LOW_PART;

	if (!p->room.there)
		return false;
	return !p->room.files || p->room.free < (mark < DISKS_LOW ? mark : DISKS_LOW);
}

static bool bad(const struct place *p)
{
	return p->trouble[0] || low(p);
}

/* ---- saying ---- */

/* Whether a place before it on the same file system says it all */
static bool said_before(const struct disks *d, const struct place *p)
{
	for (size_t i = 0; &d->place[i] != p; i++) {
		const struct place *other = &d->place[i];

		if (other->room.there && other->room.dev == p->room.dev && bad(other))
			return !p->trouble[0];
	}
	return false;
}

static void say(struct disks *d, struct place *p)
{
	uint64_t now = uv_now(d->loop);

	if (!bad(p)) {
		if (p->said_at)
			log_info("%s %s: there is room again, %.1f MB of %.1f MB are free",
				 p->is.what, p->is.path, (double)p->room.free / MB,
				 (double)p->room.bytes / MB);
		p->said_at = 0;
		return;
	}
	if ((p->said_at && now < p->said_at + SAID_MS) || said_before(d, p))
		return;
	p->said_at = now;
	if (!low(p)) {
		log_error("%s %s cannot be written: %s; %s", p->is.what, p->is.path, p->trouble,
			  p->is.effect);
		return;
	}
	log_error("%s %s is full: %.1f MB of %.1f MB are free%s%s%s; %s", p->is.what, p->is.path,
		  (double)p->room.free / MB, (double)p->room.bytes / MB,
		  p->room.files ? "" : ", and no more files", p->trouble[0] ? "; " : "", p->trouble,
		  p->is.effect);
}

static void release(uv_handle_t *handle)
{
	struct disks *d = handle->data;

	for (size_t i = 0; i < d->count; i++)
		free(d->place[i].path);
	free(d);
}

static void on_looked(uv_work_t *w, int status)
{
	struct disks *d = w->data;

	d->working = false;
	if (d->closing) {
		uv_close((uv_handle_t *)&d->timer, release);
		return;
	}
	for (size_t i = 0; status == 0 && i < d->count; i++)
		d->place[i].room = d->place[i].next;
	if (d->looked)
		d->looked(d->ctx);
	for (size_t i = 0; i < d->count; i++)
		say(d, &d->place[i]);
}

/* A look that hangs is not followed by another one. */
static void on_timer(uv_timer_t *timer)
{
	struct disks *d = timer->data;

	if (!d->working)
		d->working = uv_queue_work(d->loop, &d->work, work, on_looked) == 0;
}

/* ---- life ---- */

int disks_new(struct disks **ret, struct uv_loop_s *loop, const struct disks_place *place,
	      size_t count, void (*looked)(void *ctx), void *ctx, struct err *err)
{
	struct disks *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(err, -ENOMEM, "watch disks");
	d->loop = loop;
	d->looked = looked;
	d->ctx = ctx;
	for (; d->count < count && d->count < DISKS_MAX; d->count++) {
		struct place *p = &d->place[d->count];

		p->is = place[d->count];
		p->path = place[d->count].path ? strdup(place[d->count].path) : NULL;
		p->is.path = p->path; /* its thread may be at it when its owner has gone */
	}
	(void)uv_timer_init(loop, &d->timer); /* this and its start cannot fail */
	d->timer.data = d;
	d->work.data = d;
	(void)uv_timer_start(&d->timer, on_timer, 0, DISKS_MS);
	*ret = d;
	return 0;
}

void disks_close(struct disks *d)
{
	if (!d)
		return;
	d->closing = true;
	(void)uv_timer_stop(&d->timer);
	if (!d->working)
		uv_close((uv_handle_t *)&d->timer, release);
}

void disks_trouble(struct disks *d, size_t i, const char *why)
{
	(void)snprintf(d->place[i].trouble, sizeof(d->place[i].trouble), "%s", why ? why : "");
}

struct disks_view disks_view(const struct disks *d, size_t i)
{
	const struct place *p = &d->place[i];

	return (struct disks_view){
		.what = p->is.what,
		.path = p->is.path,
		.bytes = p->room.bytes,
		.free = p->room.free,
		.low = low(p),
		.trouble = p->trouble,
	};
}

void disks_each_bad(const struct disks *d, void (*fn)(void *ctx, const struct disks_view *view),
		    void *ctx)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct disks_view view = disks_view(d, i);

		if (bad(&d->place[i]))
			fn(ctx, &view);
	}
}
