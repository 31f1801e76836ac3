/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/thaw_guard.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/list.h"
#include "es/system/cgroup.h"

/*
 * Two looks must find it frozen: the engine freezes for an instant when it changes limits. So a
 * look may come late by as much as it lasts between two of them, and THAW_GUARD_MS still holds.
 */
#define LOOK_MS (THAW_GUARD_MS / 3)
#define ID_SIZE 72

/**
 * struct guarded - A container
 * @id:		"" if only its group is known, see thaw_guard_left()
 * @may_freeze:	it is being cut, or held after its cut
 * @dangers:	cuts of which a process may still live and freeze it
 * @seen:	it was frozen at the last look
 * @told:	its thaw has been reported
 * @told_failure: a failure to thaw it has been reported
 */
struct guarded {
	struct list link;
	char id[ID_SIZE];
	struct cgroup_freezer freezer;
	bool may_freeze;
	unsigned int dangers;
	bool seen;
	bool told;
	bool told_failure;
};

struct thaw_guard {
	struct list guarded;
	size_t count;
	void (*thawed)(void *ctx, const char *id, const char *reason);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ending;
	bool end;
};

static struct guarded *find(struct thaw_guard *g, const char *id)
{
	list_for_each_safe(at, next, &g->guarded)
	{
		struct guarded *one = list_entry(at, struct guarded, link);

		if (!strcmp(one->id, id))
			return one;
	}
	return NULL;
}

/**
 * find_group() - By the group, whether its container is known or not
 *
 * Return: NULL if there is none
 */
static struct guarded *find_group(struct thaw_guard *g, const struct cgroup_freezer *freezer)
{
	list_for_each_safe(at, next, &g->guarded)
	{
		struct guarded *one = list_entry(at, struct guarded, link);

		if (!strcmp(one->freezer.file, freezer->file))
			return one;
	}
	return NULL;
}

/** name_of() - Whom to speak of */
static const char *name_of(const struct guarded *one)
{
	return *one->id ? one->id : one->freezer.file;
}

/** look() - Thaw a container if it is frozen and should not be */
static void look(struct thaw_guard *g, struct guarded *one)
{
	struct err err = { 0 };
	bool failed;

	if (!one->dangers || one->may_freeze || !cgroup_freezing(&one->freezer)) {
		one->seen = false;
		one->told = false;
		one->told_failure = false;
		return;
	}
	if (!one->seen) {
		one->seen = true;
		return;
	}
	failed = cgroup_thaw(&one->freezer, &err) < 0;
	if (g->thawed && !(failed ? one->told_failure : one->told))
		g->thawed(g->ctx, name_of(one), failed ? err.text : NULL);
	*(failed ? &one->told_failure : &one->told) = true;
}

static void *guard(void *arg)
{
	struct thaw_guard *g = arg;
	struct timespec next;

	(void)pthread_mutex_lock(&g->lock);
	while (!g->end) {
		list_for_each_safe(at, tmp, &g->guarded)
			look(g, list_entry(at, struct guarded, link));
		(void)clock_gettime(CLOCK_MONOTONIC, &next);
		next.tv_nsec += LOOK_MS * 1000000L;
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		while (!g->end && pthread_cond_timedwait(&g->ending, &g->lock, &next) == 0)
			;
	}
	(void)pthread_mutex_unlock(&g->lock);
	return NULL;
}

int thaw_guard_new(struct thaw_guard **ret,
		   void (*thawed)(void *ctx, const char *id, const char *reason), void *ctx,
		   struct err *err)
{
	struct thaw_guard *g = calloc(1, sizeof(*g));
	pthread_condattr_t attributes;
	int r;

	if (!g)
		return err_set(err, -ENOMEM, "thaw guard");
	g->thawed = thawed;
	g->ctx = ctx;
	list_init(&g->guarded);
	(void)pthread_mutex_init(&g->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&g->ending, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	r = pthread_create(&g->thread, NULL, guard, g);
	if (r) {
		(void)pthread_cond_destroy(&g->ending);
		(void)pthread_mutex_destroy(&g->lock);
		free(g);
		return err_set(err, -r, "start the thaw guard");
	}
	*ret = g;
	return 0;
}

struct thaw_guard *thaw_guard_free(struct thaw_guard *g)
{
	if (!g)
		return NULL;
	(void)pthread_mutex_lock(&g->lock);
	g->end = true;
	(void)pthread_cond_signal(&g->ending);
	(void)pthread_mutex_unlock(&g->lock);
	(void)pthread_join(g->thread, NULL);
	list_for_each_safe(at, next, &g->guarded) free(list_entry(at, struct guarded, link));
	(void)pthread_cond_destroy(&g->ending);
	(void)pthread_mutex_destroy(&g->lock);
	free(g);
	return NULL;
}

/** add() - Take *@one into the list, under the lock. Return: 0 and *@one is NULL, or -ENOSPC */
static int add(struct thaw_guard *g, struct guarded **one)
{
	if (g->count >= THAW_GUARD_MAX)
		return -ENOSPC;
	list_append(&g->guarded, &(*one)->link);
	g->count++;
	*one = NULL;
	return 0;
}

int thaw_guard_watch(struct thaw_guard *g, const char *id, pid_t pid, struct err *err)
{
	struct guarded *one = calloc(1, sizeof(*one));
	int r;

	if (!one)
		return err_set(err, -ENOMEM, "watch a container");
	(void)snprintf(one->id, sizeof(one->id), "%s", id);
	r = cgroup_freezer_find(&one->freezer, pid, err);
	/*
	 * The process id may belong to another process by now, and a foreign group must not be
	 * thawed.
	 */
	if (r == 0 && (!*id || !strstr(one->freezer.file, id)))
		r = err_set(err, -ENOENT, "process %d is not of container %s", (int)pid, id);
	if (r < 0) {
		free(one);
		return r;
	}
	(void)cgroup_thaw(&one->freezer, NULL);
	(void)pthread_mutex_lock(&g->lock);
	struct guarded *known = find(g, id);
	if (!known)
		known = find_group(g, &one->freezer);
	if (known) {
		memcpy(known->id, one->id, sizeof(known->id));
		known->may_freeze = false;
	} else {
		r = add(g, &one);
	}
	(void)pthread_mutex_unlock(&g->lock);
	free(one);
	return r < 0 ? err_set(err, r, "watch more than %d containers", THAW_GUARD_MAX) : 0;
}

int thaw_guard_left(struct thaw_guard *g, const struct cgroup_freezer *freezer)
{
	struct guarded *one = g ? calloc(1, sizeof(*one)) : NULL;
	int r = 0;

	if (!one)
		return g ? -ENOMEM : 0;
	one->freezer = *freezer;
	one->dangers = 1;
	(void)pthread_mutex_lock(&g->lock);
	struct guarded *known = find_group(g, freezer);
	if (!known)
		r = add(g, &one);
	else if (!known->dangers)
		known->dangers = 1;
	(void)pthread_mutex_unlock(&g->lock);
	free(one);
	return r;
}

void thaw_guard_forget(struct thaw_guard *g, const char *id)
{
	(void)pthread_mutex_lock(&g->lock);
	struct guarded *one = find(g, id);
	if (one) {
		list_remove(&one->link);
		g->count--;
	}
	(void)pthread_mutex_unlock(&g->lock);
	free(one);
}

void thaw_guard_may_freeze(struct thaw_guard *g, const char *id)
{
	if (!g)
		return;
	(void)pthread_mutex_lock(&g->lock);
	struct guarded *one = find(g, id);
	if (one) {
		one->may_freeze = true;
		one->dangers++;
	}
	(void)pthread_mutex_unlock(&g->lock);
}

void thaw_guard_rest(struct thaw_guard *g, const char *id)
{
	if (!g)
		return;
	(void)pthread_mutex_lock(&g->lock);
	struct guarded *one = find(g, id);
	if (one && one->dangers)
		one->dangers--;
	(void)pthread_mutex_unlock(&g->lock);
}

int thaw_guard_must_run(struct thaw_guard *g, const char *id)
{
	int r = -ENOENT;

	if (!g)
		return r;
	(void)pthread_mutex_lock(&g->lock);
	struct guarded *one = find(g, id);
	if (one) {
		one->may_freeze = false;
		r = cgroup_thaw(&one->freezer, NULL);
	}
	(void)pthread_mutex_unlock(&g->lock);
	return r;
}
