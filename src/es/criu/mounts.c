/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Mounts - judges the mounts and control groups of a checkpoint, which CRIU makes (es/criu/images.h)
 *
 * CRIU makes mounts as root, in the order of their parents. Allowed are those that the engine makes, and views of
 * the kernel that show no more than the engine lets a container see. Paths that the engine closes must be closed
 * here, too. Control groups stay below the container's own.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/judging.h"
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
		return criu_image_denied(in, err, "a mount at ", at);
	if (m->with_plugin || m->deleted || (m->fsname && *m->fsname))
		return criu_image_denied(in, err, "a mount of a foreign kind at ", at);
	if (root && m->ext_key && *m->ext_key)
		return criu_image_denied(in, err, "a mount in place of the root: ", m->ext_key);
	if (root && m->fstype == FS_OVERLAY)
		return 0; /* the engine has made it */
	if (!root && m->ext_key && *m->ext_key) {
		/*
		 * So it has made this one, but here, and what shows control groups cannot be
		 * written to.
		 */
		if ((strcmp(m->ext_key, at) != 0 && strcmp(m->ext_key, "/dev/null") != 0) ||
		    (under(m->ext_key, "/sys/fs/cgroup") && !(m->flags & MS_RDONLY)))
			return criu_image_denied(in, err, "a mount at ", at);
		return 0;
	}
	return !root && kernel_view_good(m, at) ? 0 : criu_image_denied(in, err, "a mount at ", at);
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
				return criu_image_denied(in, err, "two mounts at ", at);
			if (k != i && all[k]->id == all[i]->id)
				return criu_image_denied(in, err, "two mounts with one number at ",
							 at);
			/* CRIU would mount the same again, with flags of its own */
			if (k != i && external(all[k]) && !external(all[i]) &&
			    all[k]->root_dev == all[i]->root_dev)
				return criu_image_denied(in, err,
							 "a mount of what is the host's, at ", at);
			if (under(at, all[k]->mountpoint) &&
			    (!on || under(all[k]->mountpoint, on->mountpoint)))
				on = all[k];
		}
		if (on && on->id != all[i]->parent)
			return criu_image_denied(
				in, err, "a mount that does not lie on the one above it, at ", at);
		proc = proc || !strcmp(at, "/proc");
	}
	if (proc && !closed_by(all, count, CHECKPOINT_CLOSED_READ_ONLY, "/proc/sys"))
		return criu_image_denied(in, err, "a /proc/sys that is open", "");
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
			return criu_image_denied(in, err, "no mount that closes ", path);
		at += len + (at[len] == '\n');
	}
	return 0;
}

int judge_mounts(struct judging *j, struct criu_image *in, struct err *err)
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
		r = criu_image_denied(in, err, "a further mount namespace", "");
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

int judge_groups(struct criu_image *in, struct err *err)
{
	const uint8_t *bytes;
	size_t len;
	int r;

	while ((r = criu_image_next(in, &bytes, &len, err)) > 0) {
		Criu__Cgroup *all = criu__cgroup__unpack(NULL, len, bytes);

		if (!all)
			return criu_image_malformed(in, err);
		r = groups_good(all) ? 0
				     : criu_image_denied(in, err, "a control group elsewhere", "");
		criu__cgroup__free_unpacked(all, NULL);
		if (r < 0)
			return r;
	}
	return r;
}
