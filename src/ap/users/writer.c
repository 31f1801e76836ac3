/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "net/crypto.h"

#define AGAIN_MS 1000  /* until changes that failed are tried again */
#define SAID_MS  60000 /* they are logged so often at most */

/**
 * struct change - A file to be written, or removed if there is no @text
 * @item:	In @waiting
 * @replaces:	File that is removed after that; or empty
 * @failed:	In this round; it is tried again in the next one
 */
struct change {
	struct list item;
	char name[ATOMIC_FILE_NAME_MAX + 1];
	char replaces[ATOMIC_FILE_NAME_MAX + 1];
	char *text;
	bool failed;
};

/**
 * struct user_writer - See users/writer.h
 * @disk:	Held while a file is taken from @waiting and written, so that this is done in order
 * @queue:	Held while @waiting or @removed is looked at; never for long
 * @doing:	The one of @waiting that is being made just now, or NULL. Nobody else may change it
 * @said_at:	When it was logged last that changes have failed; 0: all is well
 * @why:	Why the last one failed
 * @working:	The loop knows @work
 * @closing:	user_writer_close() was called
 * @written, @ctx: See user_writer_tell()
 */
struct user_writer {
	struct uv_loop_s *loop;
	char *dir;
	uv_mutex_t disk;
	uv_mutex_t queue;
	struct list waiting;
	struct change *doing;
	uint64_t said_at;
	struct err why;
	uv_work_t work;
	uv_timer_t again;
	bool working;
	bool closing;
	void (*written)(void *ctx);
	void *ctx;
};

static char *change_set(struct change *c, char *text)
{
	if (c->text) /* secrets are in it */
		crypto_wipe(c->text, strlen(c->text));
	free(c->text);
	return c->text = text;
}

static struct change *change_free(struct change *c)
{
	(void)change_set(c, NULL);
	free(c);
	return NULL;
}

static int remove_file(int dir, const char *name, struct err *err)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", name);
	return 0;
}

/* Each step may be repeated. */
static int change_do(const char *dir, const struct change *c, struct err *err)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_set(err, -errno, "open");
	if (c->text)
		r = atomic_file_write(fd, c->name, c->text, strlen(c->text), 0600, err);
	else
		r = remove_file(fd, c->name, err);
	/* a crash of the host leaves both rather than none: the new one was synced with its directory */
	return r == 0 && c->replaces[0] ? remove_file(fd, c->replaces, err) : r;
}

/* The change of a file that has not begun; under @queue. Return: NULL if there is none */
static struct change *find(struct user_writer *uw, const char *name)
{
	list_for_each_safe(at, next, &uw->waiting)
	{
		struct change *c = list_entry(at, struct change, item);

		if (c != uw->doing && strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

/* Whether a file is to be replaced by another one, which is not written yet; under @queue */
static bool replaced(struct user_writer *uw, const char *name)
{
	list_for_each_safe(at, next, &uw->waiting)
	{
		if (strcmp(list_entry(at, struct change, item)->replaces, name) == 0)
			return true;
	}
	return false;
}

/* Whether an earlier change replaces the same file: it has the older contents, which must not be lost */
static bool second(struct user_writer *uw, const struct change *c)
{
	list_for_each_safe(at, next, &uw->waiting)
	{
		const struct change *other = list_entry(at, struct change, item);

		if (other == c)
			break;
		if (c->replaces[0] && strcmp(other->replaces, c->replaces) == 0)
			return true;
	}
	return false;
}

/* The next change of this round, which stays in @waiting until it is done; under @queue. Return: NULL if none is left */
static struct change *next_change(struct user_writer *uw)
{
	list_for_each_safe(at, next, &uw->waiting)
	{
		struct change *c = list_entry(at, struct change, item);

		if (!c->failed && !replaced(uw, c->name) && !second(uw, c))
			return c;
	}
	return NULL;
}

/* A change failed: it waits on, unless a newer one has all of it. Under @queue. Return: whether it waits */
static bool keep(struct user_writer *uw, struct change *c)
{
	struct change *newer = find(uw, c->name);

	c->failed = true;
	if (replaced(uw, c->name))
		return false;
	if (!newer)
		return true;
	newer->failed = true;
	if (!newer->replaces[0])
		memcpy(newer->replaces, c->replaces, sizeof(newer->replaces));
	return false;
}

/* One line a minute, not one for each user. Under @queue. */
static void note_failure(struct user_writer *uw, const struct err *why)
{
	uint64_t now = uv_hrtime() / 1000000;

	uw->why = *why;
	if (uw->said_at && now < uw->said_at + SAID_MS)
		return;
	uw->said_at = now;
	log_error("what is known after a restart is not up to date: state_dir %s: %s; it is tried "
		  "again each second",
		  uw->dir, why->text);
}

static void note_success(struct user_writer *uw)
{
	if (!uw->said_at || !list_empty(&uw->waiting))
		return;
	uw->said_at = 0;
	log_info("what is known after a restart is up to date again: state_dir %s", uw->dir);
}

/* Return: false if nothing waits */
static bool write_one(struct user_writer *uw)
{
	struct err err;

	uv_mutex_lock(&uw->disk);
	uv_mutex_lock(&uw->queue);
	struct change *c = uw->doing = next_change(uw);
	uv_mutex_unlock(&uw->queue);
	int r = c ? change_do(uw->dir, c, &err) : 0;
	uv_mutex_lock(&uw->queue);
	bool waits = r < 0 && keep(uw, c);
	uw->doing = NULL;
	if (c && !waits)
		list_remove(&c->item);
	if (r < 0)
		note_failure(uw, &err);
	else if (c)
		note_success(uw);
	uv_mutex_unlock(&uw->queue);
	uv_mutex_unlock(&uw->disk);
	if (c && !waits)
		(void)change_free(c);
	return c;
}

static void write_all(struct user_writer *uw)
{
	bool more = true;

	while (more)
		more = write_one(uw);
}

static void work(uv_work_t *w)
{
	write_all(w->data);
}

static void on_closed(uv_handle_t *handle)
{
	struct user_writer *uw = handle->data;

	list_for_each_safe(at, next, &uw->waiting)
	{
		struct change *c = list_entry(at, struct change, item);

		log_error("%s in state_dir %s is not up to date, and this program ends: %s",
			  c->name, uw->dir, uw->why.text);
		list_remove(&c->item);
		(void)change_free(c);
	}
	uv_mutex_destroy(&uw->disk);
	uv_mutex_destroy(&uw->queue);
	free(uw->dir);
	free(uw);
}

static void release(struct user_writer *uw)
{
	uv_close((uv_handle_t *)&uw->again, on_closed);
}

static void start(struct user_writer *uw);

static void try_again(struct user_writer *uw)
{
	uv_mutex_lock(&uw->queue);
	list_for_each_safe(at, next, &uw->waiting) list_entry(at, struct change, item)->failed =
		false;
	uv_mutex_unlock(&uw->queue);
}

static void on_again(uv_timer_t *timer)
{
	struct user_writer *uw = timer->data;

	try_again(uw);
	start(uw);
}

static void worked(uv_work_t *w, int status)
{
	struct user_writer *uw = w->data;

	(void)status;
	uw->working = false;
	if (uw->closing) {
		release(uw);
		return;
	}
	uv_mutex_lock(&uw->queue);
	bool fresh = next_change(uw);
	bool failed = !list_empty(&uw->waiting);
	uv_mutex_unlock(&uw->queue);
	if (fresh) /* it came when the thread had already looked */
		start(uw);
	else if (failed && !uv_is_active((uv_handle_t *)&uw->again))
		(void)uv_timer_start(&uw->again, on_again, AGAIN_MS, 0);
	if (uw->written)
		uw->written(uw->ctx);
}

static void start(struct user_writer *uw)
{
	if (!uw->working)
		uw->working = uv_queue_work(uw->loop, &uw->work, work, worked) == 0;
}

int user_writer_new(struct user_writer **ret, struct uv_loop_s *loop, const char *dir,
		    struct err *err)
{
	auto_free struct user_writer *made = calloc(1, sizeof(*made));
	auto_free char *copy = strdup(dir);

	if (!made || !copy || uv_mutex_init(&made->disk) < 0)
		return err_set(err, -ENOMEM, "state_dir %s", dir);
	if (uv_mutex_init(&made->queue) < 0) {
		uv_mutex_destroy(&made->disk);
		return err_set(err, -ENOMEM, "state_dir %s", dir);
	}
	struct user_writer *uw = TAKE_PTR(made);
	uw->dir = TAKE_PTR(copy);
	uw->loop = loop;
	uw->work.data = uw;
	list_init(&uw->waiting);
	(void)uv_timer_init(loop, &uw->again); /* cannot fail */
	uw->again.data = uw;
	*ret = uw;
	return 0;
}

/* The change of a file that waits, made if need be; under @queue. Return: NULL without memory */
static struct change *change_of(struct user_writer *uw, const char *name)
{
	struct change *c = find(uw, name);
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	list_append(&uw->waiting, &c->item);
	return c;
}

/* One change; @from is the file that it replaces, or NULL */
/* This file is written anew: no other change may remove it after that; under @queue. */
static void spare(struct user_writer *uw, const struct change *writes, const char *name)
{
	list_for_each_safe(at, next, &uw->waiting)
	{
		struct change *c = list_entry(at, struct change, item);

		if (c != writes && c != uw->doing && strcmp(c->replaces, name) == 0)
			c->replaces[0] = '\0';
	}
}

static int put(struct user_writer *uw, const char *from, const char *name, const char *text,
	       struct err *err)
{
	char *copy = text ? strdup(text) : NULL;
	struct change *old = NULL;

	if (strlen(name) > ATOMIC_FILE_NAME_MAX || (from && strlen(from) > ATOMIC_FILE_NAME_MAX)) {
		free(copy);
		return err_set(err, -ENAMETOOLONG, "write %s", name);
	}
	if (text && !copy)
		return err_set(err, -ENOMEM, "write %s", name);
	uv_mutex_lock(&uw->queue);
	struct change *c = change_of(uw, name);
	if (c) {
		(void)change_set(c, copy);
		c->failed = false;
	}
	if (c && from) {
		/* its last state is in the new file; if it replaced a file, that was this one */
		old = find(uw, from);
		if (old && strcmp(old->replaces, name) == 0)
			spare(uw, c, name);
		if (old)
			list_remove(&old->item);
		(void)snprintf(c->replaces, sizeof(c->replaces), "%s", from);
	}
	uv_mutex_unlock(&uw->queue);
	if (old)
		(void)change_free(old);
	if (!c) {
		free(copy);
		return err_set(err, -ENOMEM, "write %s", name);
	}
	start(uw);
	return 0;
}

void user_writer_tell(struct user_writer *uw, void (*written)(void *ctx), void *ctx)
{
	uw->written = written;
	uw->ctx = ctx;
}

int user_writer_put(struct user_writer *uw, const char *name, const char *text, struct err *err)
{
	return put(uw, NULL, name, text, err);
}

int user_writer_move(struct user_writer *uw, const char *from, const char *to, const char *text,
		     struct err *err)
{
	return put(uw, from, to, text, err);
}

bool user_writer_removes(struct user_writer *uw, const char *name)
{
	uv_mutex_lock(&uw->queue);
	const struct change *doing = uw->doing;
	const struct change *last = find(uw, name);
	bool removes = last ? !last->text
			    : replaced(uw, name) ||
				       (doing && !doing->text && strcmp(doing->name, name) == 0);
	uv_mutex_unlock(&uw->queue);
	return removes;
}

void user_writer_state(struct user_writer *uw, struct user_writer_state *to)
{
	uv_mutex_lock(&uw->queue);
	*to = (struct user_writer_state){ .why = uw->why };
	list_for_each_safe(at, next, &uw->waiting) to->failed +=
		list_entry(at, struct change, item)->failed;
	uv_mutex_unlock(&uw->queue);
}

void user_writer_close(struct user_writer *uw)
{
	if (!uw)
		return;
	/* the lock is free when the file that is being written is there */
	try_again(uw);
	write_all(uw);
	(void)uv_timer_stop(&uw->again);
	uw->closing = true;
	if (!uw->working)
		release(uw);
}
