/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checkpoint images - which images there are, and who judges each
 */

#include "es/criu/images.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/judging.h"
#include "es/files/beneath.h"

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
		r = mounts ? judge_mounts(j, &in, err) : judge_groups(&in, err);
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
			r = judge_filters(&j, &in, err);
		free(in.bytes);
	}
	if (r == 0)
		r = judge_tasks(&j, err);
	if (r == 0)
		r = others_check(&j, err);
	free(j.filter);
	return r;
}
