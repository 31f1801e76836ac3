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

/**
 * struct change - A file to be written, or removed if there is no @text
 * @item:	In @waiting
 */
struct change {
	struct list item;
	char name[ATOMIC_FILE_NAME_MAX + 1];
	char *text;
};

/**
 * struct user_writer - See users/writer.h
 * @disk:	Held while a file is taken from @waiting and written, so that this is done in order
 * @queue:	Held while @waiting or @removed is looked at; never for long
 * @removed:	File that is being removed just now, or empty
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
	char removed[ATOMIC_FILE_NAME_MAX + 1];
	uv_work_t work;
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

static int change_do(const char *dir, const struct change *c, struct err *err)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "open");
	if (c->text)
		return atomic_file_write(fd, c->name, c->text, strlen(c->text), 0600, err);
	if (unlinkat(fd, c->name, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", c->name);
	return 0;
}

/* Return: false if nothing waits */
static bool write_one(struct user_writer *uw)
{
	struct err err;

	uv_mutex_lock(&uw->disk);
	uv_mutex_lock(&uw->queue);
	struct change *c = list_first(&uw->waiting, struct change, item);
	if (c)
		list_remove(&c->item);
	(void)snprintf(uw->removed, sizeof(uw->removed), "%s", c && !c->text ? c->name : "");
	uv_mutex_unlock(&uw->queue);
	if (c && change_do(uw->dir, c, &err) < 0)
		log_error("what is known after a restart is not up to date: state_dir %s: %s",
			  uw->dir, err.text);
	uv_mutex_lock(&uw->queue);
	uw->removed[0] = '\0';
	uv_mutex_unlock(&uw->queue);
	uv_mutex_unlock(&uw->disk);
	if (!c)
		return false;
	(void)change_set(c, NULL);
	free(c);
	return true;
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

static void release(struct user_writer *uw)
{
	uv_mutex_destroy(&uw->disk);
	uv_mutex_destroy(&uw->queue);
	free(uw->dir);
	free(uw);
}

static void start(struct user_writer *uw);

static void worked(uv_work_t *w, int status)
{
	struct user_writer *uw = w->data;

	(void)status;
	uw->working = false;
	if (uw->closing) {
		release(uw);
		return;
	}
	if (!list_empty(&uw->waiting)) /* it came when the thread had already looked */
		start(uw);
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
	*ret = uw;
	return 0;
}

/* The change of a file that waits, made if need be; under @queue. Return: NULL without memory */
static struct change *change_of(struct user_writer *uw, const char *name)
{
	list_for_each_safe(at, next, &uw->waiting)
	{
		struct change *c = list_entry(at, struct change, item);

		if (strcmp(c->name, name) == 0)
			return c;
	}
	struct change *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	list_append(&uw->waiting, &c->item);
	return c;
}

int user_writer_put(struct user_writer *uw, const char *name, const char *text, struct err *err)
{
	char *copy = text ? strdup(text) : NULL;

	if (strlen(name) > ATOMIC_FILE_NAME_MAX) {
		free(copy);
		return err_set(err, -ENAMETOOLONG, "write %s", name);
	}
	if (text && !copy)
		return err_set(err, -ENOMEM, "write %s", name);
	uv_mutex_lock(&uw->queue);
	struct change *c = change_of(uw, name);
	if (c)
		(void)change_set(c, copy);
	uv_mutex_unlock(&uw->queue);
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

bool user_writer_removes(struct user_writer *uw, const char *name)
{
	uv_mutex_lock(&uw->queue);
	bool removes = strcmp(uw->removed, name) == 0;
	list_for_each_safe(at, next, &uw->waiting)
	{
		const struct change *c = list_entry(at, struct change, item);

		if (strcmp(c->name, name) == 0) {
			removes = !c->text; /* this one comes last */
			break;
		}
	}
	uv_mutex_unlock(&uw->queue);
	return removes;
}

void user_writer_close(struct user_writer *uw)
{
	if (!uw)
		return;
	/* the lock is free when the file that is being written is there */
	write_all(uw);
	uw->closing = true;
	if (!uw->working)
		release(uw);
}
