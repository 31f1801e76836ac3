/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pre-copy of memory, the destination's side, see source/memory.c
 */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/transfer.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"
#include "es/worker/file_worker.h"

static bool holds(const struct migration *m)
{
	return json_is_true(json_object_get(m->plan, "hold"));
}

/** ahead_path() - Directory of the pre-copied memory */
static void ahead_path(const struct migration *m, char path[MIGRATION_DIR_MAX + 16])
{
	(void)snprintf(path, MIGRATION_DIR_MAX + 16, "%s/ahead", m->work);
}

int destination_memory(struct migration *m, struct err *err)
{
	struct file_tree tree = {
		.name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 }, .plain = true
	};
	char path[MIGRATION_DIR_MAX + 16];

	if (!holds(m))
		return 0;
	ahead_path(m, path);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	tree.place.dir = file_worker_directory(m->files, path, true, err);
	if (tree.place.dir < 0)
		return tree.place.dir;
	incoming_enter(m->stream, INCOMING_MEMORY, m->mc->config.max_bytes);
	return transfer_receive(m->stream, TRANSFER_STREAM, &m->header, m->files, &tree, 1,
				m->mc->config.max_bytes, err);
}

int destination_memory_whole(struct migration *m, struct file_place images, struct err *err)
{
	struct file_place base = { .path = "" };
	char path[MIGRATION_DIR_MAX + 16];
	int r;

	if (!holds(m))
		return 0;
	ahead_path(m, path);
	base.dir = file_worker_directory(m->files, path, false, err);
	if (base.dir < 0)
		return base.dir;
	r = file_worker_delta(m->files, images, base, m->mc->config.max_bytes, err);
	return r < 0 ? err_wrap(err, r, "put the memory together") : 0;
}
