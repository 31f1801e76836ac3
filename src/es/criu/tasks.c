/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tasks - judges the processes and threads of a checkpoint (es/criu/images.h)
 *
 * Each thread is judged by its credentials, its filter of system calls, its scheduling; each process by its
 * namespaces. They must be the container's own, and the same for all.
 */

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/judging.h"
#include "es/criu/seccomp_filter.h"
#include "criu_images.pb-c.h"

/** beyond() - Whether a set of capabilities has one that is not granted */
static bool beyond(const uint32_t *words, size_t count, uint64_t granted)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] & ~(i < 2 ? (uint32_t)(granted >> (32 * i)) : 0))
			return true;
	return false;
}

static int creds_check(const struct criu_image *in, const Criu__Credentials *creds,
		       const struct checkpoint_grant *grant, struct err *err)
{
	const struct {
		const uint32_t *words;
		size_t count;
	} sets[] = {
		{ creds->inheritable, creds->n_inheritable },
		{ creds->permitted, creds->n_permitted },
		{ creds->effective, creds->n_effective },
		{ creds->bounding, creds->n_bounding },
		{ creds->ambient, creds->n_ambient },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (beyond(sets[i].words, sets[i].count, grant->capabilities))
			return criu_image_denied(in, err, "a capability", "");
	if (grant->no_new_privs && !creds->no_new_privs)
		return criu_image_denied(in, err, "a thread that may gain new privileges", "");
	if (creds->securebits)
		return criu_image_denied(in, err, "secure bits", "");
	if (grant->profile &&
	    (!creds->lsm_profile || strcmp(creds->lsm_profile, grant->profile) != 0))
		return criu_image_denied(in, err, "another AppArmor profile than ", grant->profile);
	return 0;
}

/** place_check() - Judge a thread's scheduling, and its rank for the kernel when memory is short */
static int place_check(const struct criu_image *in, const Criu__Core *core, struct err *err)
{
	const Criu__ThreadCore *thread = core->thread;

	if (thread->policy != SCHED_OTHER && thread->policy != SCHED_BATCH &&
	    thread->policy != SCHED_IDLE)
		return criu_image_denied(in, err, "a thread with real-time scheduling", "");
	if (thread->nice < 0)
		return criu_image_denied(in, err, "a thread that goes before others", "");
	if (core->task && core->task->oom_score_adj < 0)
		return criu_image_denied(
			in, err, "a task that others are ended for when memory is short", "");
	return 0;
}

/** filtering_of() - Kind of a thread's filter, from its image */
static enum filtering filtering_of(const struct judging *j, const Criu__ThreadCore *thread)
{
	if (thread->seccomp_mode == 1) /* four calls are left to it */
		return FILTER_GOOD;
	if (thread->seccomp_mode != 2 || thread->seccomp_filter >= j->filters)
		return FILTER_OPEN;
	return j->filter[thread->seccomp_filter];
}

static bool dead(const Criu__Core *core)
{
	return !core->thread && core->task && (core->task->state == 2 || core->task->state == 6);
}

/**
 * core_check() - Judge a thread
 * @j:		Checkpoint
 * @in:		Its image
 * @core: Its contents
 * @first:	of its process: its own filtering if it is the first; changed then
 * @is_first:	It is
 * @err:	Filled in on failure
 */
static int core_check(const struct judging *j, const struct criu_image *in, const Criu__Core *core,
		      enum filtering *first, bool is_first, struct err *err)
{
	enum filtering filtering;
	int r;

	if (dead(core))
		return 0; /* nobody runs */
	if (!core->thread || !core->thread->creds)
		return criu_image_malformed(in, err);
	if (core->ids)
		return criu_image_denied(in, err, "namespaces in the form of an old CRIU", "");
	if (core->task && (core->task->has_old_seccomp_mode || core->task->has_old_seccomp_filter))
		return criu_image_denied(in, err, "filters in the form of an old CRIU", "");
	filtering = filtering_of(j, core->thread);
	if (is_first)
		*first = filtering;
	r = place_check(in, core, err);
	if (r < 0)
		return r;
	/*
	 * the kernel leaves all as it is if a thread has another filter, and CRIU takes that for
	 * done
	 */
	if (j->grant->filtered && !is_first && *first == FILTER_GOOD_FOR_ALL) {
		if (core->thread->seccomp_mode)
			return criu_image_denied(in, err,
						 "a thread with a filter besides that of all", "");
	} else if (j->grant->filtered && filtering == FILTER_OPEN)
		return criu_image_denied(
			in, err, "a thread without the engine's filter of system calls", "");
	return creds_check(in, core->thread->creds, j->grant, err);
}

/** thread_check() - Judge the thread with number @tid */
static int thread_check(const struct judging *j, uint32_t tid, enum filtering *first, bool is_first,
			struct err *err)
{
	char name[32];
	const uint8_t *bytes;
	size_t len;
	struct criu_image in;
	int r;

	(void)snprintf(name, sizeof(name), "core-%u.img", tid);
	r = criu_image_open(&in, j->images, name, err);
	if (r == 0)
		r = criu_image_next(&in, &bytes, &len, err);
	if (r > 0) {
		Criu__Core *core = criu__core__unpack(NULL, len, bytes);

		r = core ? core_check(j, &in, core, first, is_first, err)
			 : criu_image_malformed(&in, err);
		criu__core__free_unpacked(core, NULL);
	} else if (r == 0) {
		r = criu_image_malformed(&in, err);
	}
	free(in.bytes);
	return r;
}

/**
 * namespaces_read() - Which namespaces a process has, from its image
 *
 * Return: NULL with the error set
 */
static Criu__Namespaces *namespaces_read(const struct judging *j, uint32_t pid, struct err *err)
{
	Criu__Namespaces *ids = NULL;
	char name[32];
	const uint8_t *bytes;
	size_t len;
	struct criu_image in;

	(void)snprintf(name, sizeof(name), "ids-%u.img", pid);
	if (criu_image_open(&in, j->images, name, err) == 0 &&
	    criu_image_next(&in, &bytes, &len, err) > 0) {
		ids = criu__namespaces__unpack(NULL, len, bytes);
		if (!ids)
			(void)criu_image_malformed(&in, err);
	}
	free(in.bytes);
	return ids;
}

/**
 * namespaces_own() - Whether no namespace that isolates a container is the host's
 *
 * CRIU makes a new one where the numbers of the first process and of the host differ, and leaves it
 * where they are equal: then the process would stand in the host's.
 */
static bool namespaces_own(const Criu__Namespaces *ids, const Criu__Namespaces *host)
{
	return ids->pid && ids->net && ids->ipc && ids->uts && ids->mnt && host->pid && host->net &&
	       host->ipc && host->uts && host->mnt && ids->pid != host->pid &&
	       ids->net != host->net && ids->ipc != host->ipc && ids->uts != host->uts &&
	       ids->mnt != host->mnt && ids->user == host->user;
}

static bool namespaces_equal(const Criu__Namespaces *a, const Criu__Namespaces *b)
{
	return a->pid == b->pid && a->net == b->net && a->ipc == b->ipc && a->uts == b->uts &&
	       a->mnt == b->mnt && a->user == b->user && a->cgroup == b->cgroup &&
	       a->time == b->time;
}

/** namespaces_check() - Judge the namespaces of a process; the first one's are kept in @init */
static int namespaces_check(const struct judging *j, const struct criu_image *in, uint32_t pid,
			    const Criu__Namespaces *host, Criu__Namespaces **init, struct err *err)
{
	Criu__Namespaces *ids = namespaces_read(j, pid, err);
	int r = 0;

	if (!ids)
		return err->code;
	if (!*init && !namespaces_own(ids, host))
		r = criu_image_denied(in, err, "a process in the host's namespaces", "");
	else if (*init && !namespaces_equal(ids, *init))
		r = criu_image_denied(in, err, "a process in further namespaces", "");
	if (*init)
		criu__namespaces__free_unpacked(ids, NULL);
	else
		*init = ids;
	return r;
}

/**
 * inventory_read() - Read CRIU's own properties at the host of the checkpoint
 *
 * Return: NULL with the error set
 */
static Criu__Inventory *inventory_read(const struct judging *j, struct err *err)
{
	Criu__Inventory *inventory = NULL;
	const uint8_t *bytes;
	size_t len;
	struct criu_image in;

	if (criu_image_open(&in, j->images, "inventory.img", err) == 0) {
		if (criu_image_next(&in, &bytes, &len, err) > 0)
			inventory = criu__inventory__unpack(NULL, len, bytes);
		if (!inventory || !inventory->host) {
			(void)criu_image_malformed(&in, err);
			criu__inventory__free_unpacked(inventory, NULL);
			inventory = NULL;
		}
	}
	free(in.bytes);
	return inventory;
}

/** ended() - Whether a process has no running thread any more */
static bool ended(const struct judging *j, uint32_t pid)
{
	char name[32];
	const uint8_t *bytes;
	size_t len;
	struct criu_image in;
	bool is_dead = false;

	(void)snprintf(name, sizeof(name), "core-%u.img", pid);
	if (criu_image_open(&in, j->images, name, NULL) == 0 &&
	    criu_image_next(&in, &bytes, &len, NULL) > 0) {
		Criu__Core *core = criu__core__unpack(NULL, len, bytes);

		is_dead = core && dead(core);
		criu__core__free_unpacked(core, NULL);
	}
	free(in.bytes);
	return is_dead;
}

/** process_check() - Judge a process, its first thread before the others */
static int process_check(const struct judging *j, const struct criu_image *in,
			 const Criu__Process *process, const Criu__Namespaces *host,
			 Criu__Namespaces **init, struct err *err)
{
	enum filtering first = FILTER_OPEN;
	int r = process->has_pid ? thread_check(j, process->pid, &first, true, err)
				 : criu_image_malformed(in, err);

	/* CRIU writes anything as the threads of one that has ended, and reads none of it. */
	if (r == 0 && ended(j, process->pid))
		return 0;
	if (r == 0 && process->n_threads > CHECKPOINT_ENTRIES_MAX)
		r = criu_image_malformed(in, err);
	for (size_t i = 0; r == 0 && i < process->n_threads; i++)
		if (process->threads[i] != process->pid)
			r = thread_check(j, process->threads[i], &first, false, err);
	if (r == 0)
		r = namespaces_check(j, in, process->pid, host, init, err);
	return r;
}

int judge_tasks(const struct judging *j, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	struct criu_image in;
	Criu__Namespaces *init = NULL;
	Criu__Inventory *inventory = inventory_read(j, err);
	int r;

	if (!inventory)
		return err->code;
	r = criu_image_open(&in, j->images, "pstree.img", err);
	while (r == 0 && (r = criu_image_next(&in, &bytes, &len, err)) > 0) {
		Criu__Process *process = criu__process__unpack(NULL, len, bytes);

		r = process ? process_check(j, &in, process, inventory->host, &init, err)
			    : criu_image_malformed(&in, err);
		criu__process__free_unpacked(process, NULL);
	}
	if (r == 0 && !init)
		r = criu_image_malformed(&in, err);
	criu__namespaces__free_unpacked(init, NULL);
	criu__inventory__free_unpacked(inventory, NULL);
	free(in.bytes);
	return r;
}

/** filter_good() - Whether a filter keeps a container in */
static bool filter_good(const Criu__SeccompFilter *f)
{
	const size_t size = sizeof(struct sock_filter);

	if (!f->filter.len || f->filter.len % size || f->filter.len / size > BPF_MAXINSNS)
		return false;
	auto_free struct sock_filter *program = malloc(f->filter.len);
	if (!program)
		return false;
	memcpy(program, f->filter.data, f->filter.len);
	return seccomp_filter_passes(program, f->filter.len / size) == NULL;
}

/**
 * filtering_from() - Judge a filter of a number by itself
 *
 * CRIU installs the filter that a thread names first, then those behind it ("prev"). Only the first
 * one is certain to be installed: a filter before the engine's could deny seccomp(2), and so keep
 * the engine's out. In an honest checkpoint the first one is the oldest, which is the engine's.
 */
static enum filtering filtering_from(const Criu__SeccompFilter *f, size_t index)
{
	/* CRIU follows them without counting */
	if ((f->has_prev && f->prev >= index) || !filter_good(f))
		return FILTER_OPEN;
	return f->flags & 1 ? FILTER_GOOD_FOR_ALL : FILTER_GOOD;
}

int judge_filters(struct judging *j, struct criu_image *in, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	int r = criu_image_next(in, &bytes, &len, err);

	if (r <= 0)
		return r < 0 ? r : criu_image_malformed(in, err);
	Criu__Seccomp *all = criu__seccomp__unpack(NULL, len, bytes);
	if (!all)
		return criu_image_malformed(in, err);
	j->filter = calloc(all->n_filters + 1, sizeof(*j->filter));
	j->filters = j->filter ? all->n_filters : 0;
	for (size_t i = 0; i < j->filters; i++)
		j->filter[i] = filtering_from(all->filters[i], i);
	criu__seccomp__free_unpacked(all, NULL);
	return j->filter ? 0 : err_set(err, -ENOMEM, "read %s", in->name);
}
