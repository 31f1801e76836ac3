/* SPDX-License-Identifier: Apache-2.0 */
#include "es/criu/images.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/image.h"
#include "es/criu/seccomp_filter.h"
#include "es/files/beneath.h"
#include "criu_images.pb-c.h"

#define MOUNTS_MAX 1024

/*
 * File systems that CRIU may mount again: they show the kernel's view of this container, or are
 * empty.
 */
enum {
	FS_PROC = 1,
	FS_SYSFS = 2,
	FS_TMPFS = 5,
	FS_DEVPTS = 6,
	FS_CGROUP = 12,
	FS_MQUEUE = 14,
	FS_OVERLAY = 17,
	FS_CGROUP2 = 23,
};

/** denied() - Refuse a checkpoint */
static int denied(const struct criu_image *in, struct err *err, const char *what, const char *which)
{
	(void)err_set(err, -EPROTO, "the checkpoint's %s has %s%.80s, which is not granted here",
		      in->name, what, which);
	if (err)
		err->code = -EPERM;
	return -EPERM;
}

/* --- credentials ------------------------------------------------------------------------------ */

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
			return denied(in, err, "a capability", "");
	if (grant->no_new_privs && !creds->no_new_privs)
		return denied(in, err, "a thread that may gain new privileges", "");
	if (creds->securebits)
		return denied(in, err, "secure bits", "");
	if (grant->profile &&
	    (!creds->lsm_profile || strcmp(creds->lsm_profile, grant->profile) != 0))
		return denied(in, err, "another AppArmor profile than ", grant->profile);
	return 0;
}

/** place_check() - Judge a thread's scheduling, and its rank for the kernel when memory is short */
static int place_check(const struct criu_image *in, const Criu__Core *core, struct err *err)
{
	const Criu__ThreadCore *thread = core->thread;

	if (thread->policy != SCHED_OTHER && thread->policy != SCHED_BATCH &&
	    thread->policy != SCHED_IDLE)
		return denied(in, err, "a thread with real-time scheduling", "");
	if (thread->nice < 0)
		return denied(in, err, "a thread that goes before others", "");
	if (core->task && core->task->oom_score_adj < 0)
		return denied(in, err, "a task that others are ended for when memory is short", "");
	return 0;
}

/** enum filtering - Whether a filter keeps a container in: alone, or all threads of its process */
enum filtering {
	FILTER_OPEN,
	FILTER_GOOD,
	FILTER_GOOD_FOR_ALL,
};

/**
 * struct judging - A checkpoint being judged; @filter: each of seccomp.img by its index; @roots:
 * mount namespaces
 */
struct judging {
	int images;
	const struct checkpoint_grant *grant;
	enum filtering *filter;
	size_t filters;
	size_t roots;
};

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
		return denied(in, err, "namespaces in the form of an old CRIU", "");
	if (core->task && (core->task->has_old_seccomp_mode || core->task->has_old_seccomp_filter))
		return denied(in, err, "filters in the form of an old CRIU", "");
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
			return denied(in, err, "a thread with a filter besides that of all", "");
	} else if (j->grant->filtered && filtering == FILTER_OPEN)
		return denied(in, err, "a thread without the engine's filter of system calls", "");
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

/* --- namespaces ------------------------------------------------------------------------------- */

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
		r = denied(in, err, "a process in the host's namespaces", "");
	else if (*init && !namespaces_equal(ids, *init))
		r = denied(in, err, "a process in further namespaces", "");
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

/* --- processes -------------------------------------------------------------------------------- */

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

/** processes_check() - Judge all processes that CRIU will restore: those of pstree.img alone */
static int processes_check(const struct judging *j, struct err *err)
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

/* --- filters ---------------------------------------------------------------------------------- */

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

/** filters_read() - Judge each filter of seccomp.img */
static int filters_read(struct judging *j, struct criu_image *in, struct err *err)
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

/* --- mounts and control groups ---------------------------------------------------------------- */

/** leads_out() - Whether a path has a part that goes up */
static bool leads_out(const char *path)
{
	for (const char *at = path ? path : ""; *at; at += strspn(at, "/")) {
		size_t len = strcspn(at, "/");

		if (len == 2 && at[0] == '.' && at[1] == '.')
			return true;
		at += len;
	}
	return false;
}

/** under() - Whether a path lies below another */
static bool under(const char *path, const char *above)
{
	size_t len = strcmp(above, "/") ? strlen(above) : 0;

	return !strncmp(path, above, len) && path[len] == '/' && path[len + 1];
}

/** of_process() - Whether a path in /proc is that of a process, where links lead anywhere */
static bool of_process(const char *root)
{
	return (root[0] == '/' && root[1] >= '0' && root[1] <= '9') || !strncmp(root, "/self", 5) ||
	       !strncmp(root, "/thread-self", 12);
}

/**
 * hierarchy_options() - Whether mounting control groups would make a hierarchy, or the kernel run a
 * program
 */
static bool hierarchy_options(const char *options)
{
	static const char known[] = "name=systemd";
	const char *at = options ? strstr(options, "name=") : NULL;

	if (options && strstr(options, "release_agent"))
		return true;
	for (; at; at = strstr(at + 1, "name=")) {
		size_t len = strcspn(at, ",");

		if (len != sizeof(known) - 1 || strncmp(at, known, len) != 0)
			return true;
	}
	return false;
}

/**
 * kernel_view_good() - Whether a view of the kernel shows no more than the engine lets a container
 * see
 *
 * Root in a container may write to /proc/sys and to control groups if nothing but the mount forbids
 * it.
 */
static bool kernel_view_good(const Criu__Mount *m, const char *at)
{
	const char *root = m->root ? m->root : "";
	bool closed = m->flags & MS_RDONLY;

	switch (m->fstype) {
	case FS_PROC:
		return (!strcmp(at, "/proc") && !strcmp(root, "/")) ||
		       (closed && under(at, "/proc") && !strcmp(root, at + strlen("/proc")) &&
			!of_process(root));
	case FS_SYSFS:
		return closed && !strcmp(at, "/sys") && !strcmp(root, "/");
	case FS_CGROUP:
		return closed && under(at, "/sys/fs") && !hierarchy_options(m->options);
	case FS_CGROUP2:
		return closed && under(at, "/sys/fs");
	case FS_TMPFS:
	case FS_DEVPTS:
	case FS_MQUEUE:
		return !strcmp(root, "/"); /* CRIU would follow a link in any other */
	default:
		return false;
	}
}

static int mount_check(const struct criu_image *in, const Criu__Mount *m, struct err *err)
{
	const char *at = m->mountpoint ? m->mountpoint : "";
	bool root = !strcmp(at, "/");

	if (at[0] != '/' || leads_out(at) || leads_out(m->root))
		return denied(in, err, "a mount at ", at);
	if (m->with_plugin || m->deleted || (m->fsname && *m->fsname))
		return denied(in, err, "a mount of a foreign kind at ", at);
	if (root && m->ext_key && *m->ext_key)
		return denied(in, err, "a mount in place of the root: ", m->ext_key);
	if (root && m->fstype == FS_OVERLAY)
		return 0; /* the engine has made it */
	if (!root && m->ext_key && *m->ext_key) {
		/*
		 * So it has made this one, but here, and what shows control groups cannot be
		 * written to.
		 */
		if ((strcmp(m->ext_key, at) != 0 && strcmp(m->ext_key, "/dev/null") != 0) ||
		    (under(m->ext_key, "/sys/fs/cgroup") && !(m->flags & MS_RDONLY)))
			return denied(in, err, "a mount at ", at);
		return 0;
	}
	return !root && kernel_view_good(m, at) ? 0 : denied(in, err, "a mount at ", at);
}

/** external() - Whether a mount is made by the engine, with files of the host behind it */
static bool external(const Criu__Mount *m)
{
	return !strcmp(m->mountpoint, "/") ||
	       (m->ext_key && *m->ext_key && strcmp(m->ext_key, "/dev/null") != 0);
}

/** closed_by() - Whether there is a mount at a path that closes it as @how says */
static bool closed_by(Criu__Mount *const *all, size_t count, char how, const char *path)
{
	const Criu__Mount *m = NULL;
	bool nothing;
	bool read_only;

	for (size_t i = 0; !m && i < count; i++)
		m = !strcmp(all[i]->mountpoint, path) ? all[i] : NULL;
	if (!m)
		return false;
	nothing = m->ext_key && !strcmp(m->ext_key, "/dev/null");
	read_only = m->flags & MS_RDONLY;
	switch (how) {
	case CHECKPOINT_CLOSED_MASKED:
		return nothing || (read_only && m->fstype == FS_TMPFS && !external(m));
	case CHECKPOINT_CLOSED_READ_ONLY:
		return nothing || read_only;
	case CHECKPOINT_CLOSED_BIND:
		return read_only && m->ext_key && !strcmp(m->ext_key, path);
	default:
		return false;
	}
}

/** tree_check() - Check that each mount lies on its apparent parent, and not on another mount */
static int tree_check(const struct criu_image *in, Criu__Mount *const *all, size_t count,
		      struct err *err)
{
	bool proc = false;

	for (size_t i = 0; i < count; i++) {
		const char *at = all[i]->mountpoint;
		const Criu__Mount *on = NULL;

		for (size_t k = 0; k < count; k++) {
			if (k != i && !strcmp(all[k]->mountpoint, at))
				return denied(in, err, "two mounts at ", at);
			if (k != i && all[k]->id == all[i]->id)
				return denied(in, err, "two mounts with one number at ", at);
			/* CRIU would mount the same again, with flags of its own */
			if (k != i && external(all[k]) && !external(all[i]) &&
			    all[k]->root_dev == all[i]->root_dev)
				return denied(in, err, "a mount of what is the host's, at ", at);
			if (under(at, all[k]->mountpoint) &&
			    (!on || under(all[k]->mountpoint, on->mountpoint)))
				on = all[k];
		}
		if (on && on->id != all[i]->parent)
			return denied(in, err, "a mount that does not lie on the one above it, at ",
				      at);
		proc = proc || !strcmp(at, "/proc");
	}
	if (proc && !closed_by(all, count, CHECKPOINT_CLOSED_READ_ONLY, "/proc/sys"))
		return denied(in, err, "a /proc/sys that is open", "");
	return 0;
}

/** closed_check() - Is each path closed that the engine closes for this configuration? */
static int closed_check(const struct judging *j, const struct criu_image *in,
			Criu__Mount *const *all, size_t count, struct err *err)
{
	const char *at = j->grant->closed ? j->grant->closed : "";

	while (*at) {
		size_t len = strcspn(at, "\n");

		auto_free char *path = strndup(at + 1, len - 1);
		if (!path)
			return err_set(err, -ENOMEM, "judge the checkpoint's mounts");
		if (!closed_by(all, count, *at, path))
			return denied(in, err, "no mount that closes ", path);
		at += len + (at[len] == '\n');
	}
	return 0;
}

static int mounts_check(struct judging *j, struct criu_image *in, struct err *err)
{
	Criu__Mount *all[MOUNTS_MAX];
	const uint8_t *bytes;
	size_t count = 0;
	size_t len;
	int r;

	while ((r = criu_image_next(in, &bytes, &len, err)) > 0) {
		Criu__Mount *m = criu__mount__unpack(NULL, len, bytes);

		if (!m || count == MOUNTS_MAX) {
			criu__mount__free_unpacked(m, NULL);
			r = criu_image_malformed(in, err);
			break;
		}
		all[count++] = m;
		r = mount_check(in, m, err);
		if (r < 0)
			break;
	}
	/* In a further namespace CRIU would mount its root again. */
	if (r == 0 && ++j->roots > 1)
		r = denied(in, err, "a further mount namespace", "");
	if (r == 0)
		r = tree_check(in, all, count, err);
	if (r == 0)
		r = closed_check(j, in, all, count, err);
	for (size_t i = 0; i < count; i++)
		criu__mount__free_unpacked(all[i], NULL);
	return r;
}

/** directory_good() - Whether a control group stays below where it is, and its settings in it */
static bool directory_good(const Criu__CgroupDirectory *d)
{
	bool good = !leads_out(d->name);

	for (size_t i = 0; good && i < d->n_properties; i++)
		good = d->properties[i]->name && !strchr(d->properties[i]->name, '/');
	for (size_t i = 0; good && i < d->n_children; i++)
		good = directory_good(d->children[i]);
	return good;
}

static bool groups_good(const Criu__Cgroup *all)
{
	for (size_t i = 0; i < all->n_sets; i++)
		for (size_t k = 0; k < all->sets[i]->n_members; k++)
			if (leads_out(all->sets[i]->members[k]->path))
				return false;
	for (size_t i = 0; i < all->n_controllers; i++)
		for (size_t k = 0; k < all->controllers[i]->n_directories; k++)
			if (!directory_good(all->controllers[i]->directories[k]))
				return false;
	return true;
}

static int groups_check(struct criu_image *in, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	int r;

	while ((r = criu_image_next(in, &bytes, &len, err)) > 0) {
		Criu__Cgroup *all = criu__cgroup__unpack(NULL, len, bytes);

		if (!all)
			return criu_image_malformed(in, err);
		r = groups_good(all) ? 0 : denied(in, err, "a control group elsewhere", "");
		criu__cgroup__free_unpacked(all, NULL);
		if (r < 0)
			return r;
	}
	return r;
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool named(const char *name, const char *begin)
{
	size_t len = strlen(name);

	return !strncmp(name, begin, strlen(begin)) && len > 4 && !strcmp(name + len - 4, ".img");
}

/*
 * kinds - Images that a container of ours may have; a name may end in a number
 *
 * Not in the list: images that make CRIU load AppArmor profiles, BPF maps or TUN devices, register
 * binary formats, or configure a network (the engine does); and images that only an old CRIU read.
 * A kind that a later CRIU adds is refused until it has been reviewed.
 */
static const char *const kinds[] = {
	"cgroup",     "core-",        "fdinfo-",     "fifo-data",      "filelocks",
	"files",      "fs-",          "ghost-file-", "ids-",           "inventory",
	"ipcns-msg-", "ipcns-sem-",   "ipcns-shm-",  "ipcns-var-",     "memfd",
	"mm-",        "mountpoints-", "pagemap-",    "pagemap-shmem-", "pages-",
	"pidns-",     "pipes-data",   "pstree",      "remap-fpath",    "seccomp",
	"sk-queues",  "tcp-stream-",  "timens-",     "tmpfs-",         "tmpfs-dev-",
	"tty",        "tty-info",     "utsns-",
};

/** known() - Whether an image is of a kind that a container may have */
static bool known(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i]);
		const char *rest = name + len;

		if (strncmp(name, kinds[i], len) != 0)
			continue;
		if (kinds[i][len - 1] == '-')
			rest += strspn(rest, "0123456789abcdef");
		if (!strcmp(rest, ".img") || !strcmp(rest, ".tar.gz.img"))
			return true;
	}
	/*
	 * runc's own, CRIU's notes on its work, and ours on forgotten properties
	 * (es/checkpoint/forgotten.h)
	 */
	return !strcmp(name, "descriptors.json") || !strcmp(name, "stats-dump") ||
	       !strcmp(name, "forgotten");
}

/** one_check() - Judge one image that is not of a task */
static int one_check(struct judging *j, const char *name, struct err *err)
{
	struct criu_image in = { .name = name };
	bool mounts = named(name, "mountpoints-");
	bool groups = named(name, "cgroup");
	int r;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (!known(name))
		return err_set(err, -EPERM,
			       "the checkpoint has an image %.80s, of a kind that is not granted "
			       "here",
			       name);
	if (!mounts && !groups)
		return 0;
	r = criu_image_open(&in, j->images, name, err);
	if (r == 0)
		r = mounts ? mounts_check(j, &in, err) : groups_check(&in, err);
	free(in.bytes);
	return r;
}

/** others_check() - Judge the images that are not of tasks */
static int others_check(struct judging *j, struct err *err)
{
	DIR *list = beneath_list(j->images);
	const struct dirent *entry;
	size_t count = 0;
	int r = list ? 0 : err_set(err, -errno, "list the checkpoint");

	while (r == 0 && (entry = readdir(list)))
		r = ++count > CHECKPOINT_ENTRIES_MAX
			    ? err_set(err, -EFBIG, "the checkpoint has more than %u images",
				      CHECKPOINT_ENTRIES_MAX)
			    : one_check(j, entry->d_name, err);
	if (list)
		(void)closedir(list);
	if (r == 0 && !j->roots && j->grant->closed && *j->grant->closed)
		r = err_set(err, -EPROTO, "the checkpoint has no mounts");
	return r;
}

int checkpoint_images_check(int images, const struct checkpoint_grant *grant, struct err *err)
{
	struct judging j = { .images = images, .grant = grant };
	struct stat st;
	int r = 0;

	if (grant->filtered && beneath_stat(images, "seccomp.img", &st) == 0) {
		struct criu_image in;

		r = criu_image_open(&in, images, "seccomp.img", err);
		if (r == 0)
			r = filters_read(&j, &in, err);
		free(in.bytes);
	}
	if (r == 0)
		r = processes_check(&j, err);
	if (r == 0)
		r = others_check(&j, err);
	free(j.filter);
	return r;
}
