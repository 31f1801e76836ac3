/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/checkpoint_images.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "criu_images.pb-c.h"
#include "es/files/beneath.h"
#include "es/files/seccomp_filter.h"

#define MAGIC_COMMON 0x54564319u
#define MAGIC_SIZE   8 /* that, and one of the kind of image */

/* File systems that CRIU may mount anew: they show the kernel's view of this container, or are empty. */
enum {
	FS_PROC = 1,
	FS_SYSFS = 2,
	FS_TMPFS = 5,
	FS_DEVPTS = 6,
	FS_CGROUP = 12,
	FS_MQUEUE = 14,
	FS_CGROUP2 = 23,
};

/** struct image - An image that is being read */
struct image {
	const char *name;
	uint8_t *bytes;
	size_t len;
	size_t at;
	size_t entries;
};

/** denied() - Refuse a checkpoint */
static int denied(const struct image *in, struct err *err, const char *what, const char *which)
{
	(void)err_set(err, -EPROTO, "the checkpoint's %s has %s%.80s, which is not granted here",
		      in->name, what, which);
	if (err)
		err->code = -EPERM;
	return -EPERM;
}

static int malformed(const struct image *in, struct err *err)
{
	return err_set(err, -EPROTO, "the checkpoint's %s is no image of CRIU's", in->name);
}

/** image_open() - Read an image. @in: its bytes are to be freed by the caller, also after a failure */
static int image_open(struct image *in, int images, const char *name, struct err *err)
{
	struct stat st;
	uint32_t magic;
	ssize_t n;

	*in = (struct image){ .name = name, .at = MAGIC_SIZE };
	auto_close int fd = beneath_regular(images, name, O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, fd < 0 ? fd : -errno, "open %s", name);
	if (st.st_size < MAGIC_SIZE || (uint64_t)st.st_size > CHECKPOINT_IMAGE_MAX)
		return err_set(err, -EPROTO, "the checkpoint's %s has %lld bytes", name,
			       (long long)st.st_size);
	in->len = (size_t)st.st_size;
	in->bytes = malloc(in->len);
	if (!in->bytes)
		return err_set(err, -ENOMEM, "read %s", name);
	n = read(fd, in->bytes, in->len);
	if (n != (ssize_t)in->len)
		return err_set(err, n < 0 ? -errno : -EIO, "read %s", name);
	memcpy(&magic, in->bytes, sizeof(magic));
	return magic == MAGIC_COMMON ? 0 : malformed(in, err);
}

/**
 * image_next() - The next entry of an image
 * @in:		Image
 * @bytes, @len: Set to it
 * @err:	Filled in on failure
 *
 * Return: 1, 0 at the end, or -EPROTO
 */
static int image_next(struct image *in, const uint8_t **bytes, size_t *len, struct err *err)
{
	uint32_t size;

	if (in->at == in->len)
		return 0;
	if (in->len - in->at < sizeof(size) || ++in->entries > CHECKPOINT_ENTRIES_MAX)
		return malformed(in, err);
	memcpy(&size, in->bytes + in->at, sizeof(size));
	in->at += sizeof(size);
	if (size > in->len - in->at)
		return malformed(in, err);
	*bytes = in->bytes + in->at;
	*len = size;
	in->at += size;
	return 1;
}

/* --- credentials --------------------------------------------------------------------------------- */

/** beyond() - Whether a set of capabilities has one that is not granted */
static bool beyond(const uint32_t *words, size_t count, uint64_t granted)
{
	for (size_t i = 0; i < count; i++)
		if (words[i] & ~(i < 2 ? (uint32_t)(granted >> (32 * i)) : 0))
			return true;
	return false;
}

static int creds_check(const struct image *in, const Criu__Credentials *creds,
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
	return 0;
}

/** enum filtering - Whether a filter keeps a container in: alone, or all threads of its process */
enum filtering {
	FILTER_OPEN,
	FILTER_GOOD,
	FILTER_GOOD_FOR_ALL,
};

/** struct judging - A checkpoint being judged; @filter: each of seccomp.img by its index; @roots: mounts at / */
struct judging {
	int images;
	const struct checkpoint_grant *grant;
	enum filtering *filter;
	size_t filters;
	size_t roots;
};

/** filtering_of() - What the image of a thread says about its filter */
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
 * @core:	What is in it
 * @first:	of its process: its own filtering if it is the first; changed then
 * @is_first:	It is
 * @err:	Filled in on failure
 */
static int core_check(const struct judging *j, const struct image *in, const Criu__Core *core,
		      enum filtering *first, bool is_first, struct err *err)
{
	enum filtering filtering;

	if (dead(core))
		return 0; /* nobody runs */
	if (!core->thread || !core->thread->creds)
		return malformed(in, err);
	if (core->task && (core->task->has_old_seccomp_mode || core->task->has_old_seccomp_filter))
		return denied(in, err, "filters in the form of an old CRIU", "");
	filtering = filtering_of(j, core->thread);
	if (is_first)
		*first = filtering;
	if (j->grant->filtered && filtering == FILTER_OPEN &&
	    (is_first || *first != FILTER_GOOD_FOR_ALL))
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
	struct image in;
	int r;

	(void)snprintf(name, sizeof(name), "core-%u.img", tid);
	r = image_open(&in, j->images, name, err);
	if (r == 0)
		r = image_next(&in, &bytes, &len, err);
	if (r > 0) {
		Criu__Core *core = criu__core__unpack(NULL, len, bytes);

		r = core ? core_check(j, &in, core, first, is_first, err) : malformed(&in, err);
		criu__core__free_unpacked(core, NULL);
	} else if (r == 0) {
		r = malformed(&in, err);
	}
	free(in.bytes);
	return r;
}

/** process_check() - Judge a process, its first thread before the others */
static int process_check(const struct judging *j, const struct image *in,
			 const Criu__Process *process, struct err *err)
{
	enum filtering first = FILTER_OPEN;
	int r = process->has_pid ? thread_check(j, process->pid, &first, true, err)
				 : malformed(in, err);

	if (r == 0 && process->n_threads > CHECKPOINT_ENTRIES_MAX)
		r = malformed(in, err);
	for (size_t i = 0; r == 0 && i < process->n_threads; i++)
		if (process->threads[i] != process->pid)
			r = thread_check(j, process->threads[i], &first, false, err);
	return r;
}

/** processes_check() - Judge all that CRIU will restore: it goes by pstree.img alone */
static int processes_check(const struct judging *j, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	struct image in;
	int r = image_open(&in, j->images, "pstree.img", err);

	while (r == 0 && (r = image_next(&in, &bytes, &len, err)) > 0) {
		Criu__Process *process = criu__process__unpack(NULL, len, bytes);

		r = process ? process_check(j, &in, process, err) : malformed(&in, err);
		criu__process__free_unpacked(process, NULL);
	}
	if (r == 0 && !in.entries)
		r = malformed(&in, err);
	free(in.bytes);
	return r;
}

/* --- filters ------------------------------------------------------------------------------------- */

/** filter_good() - Whether a filter, or one that was there before it, keeps a container in */
static bool filter_good(const Criu__SeccompFilter *f)
{
	const size_t size = sizeof(struct sock_filter);

	if (!f->has_filter || f->filter.len % size || f->filter.len / size > BPF_MAXINSNS)
		return false;
	auto_free struct sock_filter *program = malloc(f->filter.len + 1);
	if (!program)
		return false;
	memcpy(program, f->filter.data, f->filter.len);
	return seccomp_filter_passes(program, f->filter.len / size) == NULL;
}

/** filtering_from() - Judge a filter together with those that were there before it: one good one is enough */
static enum filtering filtering_from(const struct judging *j, const Criu__SeccompFilter *f,
				     size_t index)
{
	/* CRIU writes the earlier one first. */
	enum filtering before = f->has_prev && f->prev < index ? j->filter[f->prev] : FILTER_OPEN;
	enum filtering this = !filter_good(f)  ? FILTER_OPEN
			      : (f->flags & 1) ? FILTER_GOOD_FOR_ALL
					       : FILTER_GOOD;

	return this > before ? this : before;
}

/** filters_read() - Judge each filter of seccomp.img */
static int filters_read(struct judging *j, struct image *in, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	int r = image_next(in, &bytes, &len, err);

	if (r <= 0)
		return r < 0 ? r : malformed(in, err);
	Criu__Seccomp *all = criu__seccomp__unpack(NULL, len, bytes);
	if (!all)
		return malformed(in, err);
	j->filter = calloc(all->n_filters + 1, sizeof(*j->filter));
	j->filters = j->filter ? all->n_filters : 0;
	for (size_t i = 0; i < j->filters; i++)
		j->filter[i] = filtering_from(j, all->filters[i], i);
	criu__seccomp__free_unpacked(all, NULL);
	return j->filter ? 0 : err_set(err, -ENOMEM, "read %s", in->name);
}

/* --- mounts and control groups ------------------------------------------------------------------- */

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

static int mount_check(struct judging *j, const struct image *in, const Criu__Mount *m,
		       struct err *err)
{
	const char *at = m->mountpoint ? m->mountpoint : "";
	bool root = !strcmp(at, "/") || !strcmp(at, "./");

	if (!*at || leads_out(at) || leads_out(m->root))
		return denied(in, err, "a mount at ", at);
	if (m->with_plugin || (m->fsname && *m->fsname))
		return denied(in, err, "a mount of a foreign kind at ", at);
	/* The engine makes one. CRIU makes the others, those of further mount namespaces among them. */
	if (root && ++j->roots > 1)
		return denied(in, err, "a further mount at ", at);
	if (root || (m->ext_key && *m->ext_key))
		return 0; /* the engine has made it */
	switch (m->fstype) {
	case FS_PROC:
	case FS_SYSFS:
	case FS_TMPFS:
	case FS_DEVPTS:
	case FS_CGROUP:
	case FS_MQUEUE:
	case FS_CGROUP2:
		return 0;
	default:
		return denied(in, err, "a mount at ", at);
	}
}

static int mounts_check(struct judging *j, struct image *in, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	int r;

	while ((r = image_next(in, &bytes, &len, err)) > 0) {
		Criu__Mount *m = criu__mount__unpack(NULL, len, bytes);

		r = m ? mount_check(j, in, m, err) : malformed(in, err);
		criu__mount__free_unpacked(m, NULL);
		if (r < 0)
			return r;
	}
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

static int groups_check(struct image *in, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	int r;

	while ((r = image_next(in, &bytes, &len, err)) > 0) {
		Criu__Cgroup *all = criu__cgroup__unpack(NULL, len, bytes);

		if (!all)
			return malformed(in, err);
		r = groups_good(all) ? 0 : denied(in, err, "a control group elsewhere", "");
		criu__cgroup__free_unpacked(all, NULL);
		if (r < 0)
			return r;
	}
	return r;
}

/* --- all of it ----------------------------------------------------------------------------------- */

static bool named(const char *name, const char *begin)
{
	size_t len = strlen(name);

	return !strncmp(name, begin, strlen(begin)) && len > 4 && !strcmp(name + len - 4, ".img");
}

/** one_check() - Judge one image, if its kind is one that gives rights */
static int one_check(struct judging *j, const char *name, struct err *err)
{
	struct image in = { .name = name };
	bool mounts = named(name, "mountpoints-");
	bool groups = named(name, "cgroup");
	int r;

	/* Credentials of their own, in the way of an old CRIU: nobody would look at them. */
	if (named(name, "creds-"))
		return denied(&in, err, "credentials in the form of CRIU 2", "");
	if (!mounts && !groups)
		return 0;
	r = image_open(&in, j->images, name, err);
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
	return r;
}

int checkpoint_images_check(int images, const struct checkpoint_grant *grant, struct err *err)
{
	struct judging j = { .images = images, .grant = grant };
	struct stat st;
	int r = 0;

	if (grant->filtered && beneath_stat(images, "seccomp.img", &st) == 0) {
		struct image in;

		r = image_open(&in, images, "seccomp.img", err);
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
