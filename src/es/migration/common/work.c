/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/work.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/checkpoint/checkpoint.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/config.h"
#include "es/migration/common/migration.h"
#include "es/worker/file_worker.h"

#define SPACE_MARGIN (64u << 20)

int migration_work_clean(const struct migration_config *config, const char *path, struct err *err)
{
	static const char *const checkpoints[] = { "checkpoint",
						   "ahead" }; /* see source_checkpoint() */
	char below[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checkpoints) && r != -ETIMEDOUT; i++) {
		if (snprintf(below, sizeof(below), "%s/%s", path, checkpoints[i]) >= PATH_MAX)
			return err_set(err, -ENAMETOOLONG, "%s", path);
		if (access(below, F_OK) == 0)
			r = checkpoint_clean(below, config->guard, err);
	}
	return r == -ETIMEDOUT ? r : file_worker_remove(config->workers, path, err);
}

int migration_space(const char *path, uint64_t bytes, const char *what, struct err *err)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return err_set(err, -errno, "measure the space of %s", path);
	if ((uint64_t)fs.f_bavail * fs.f_frsize < bytes + bytes / 5 + SPACE_MARGIN)
		return err_set(err, -ENOSPC, "%" PRIu64 " MB of %s into %s", bytes >> 20, what,
			       path);
	return 0;
}

int migration_engine(struct docker_engine **ret, const struct migration_controller *mc,
		     int cancel_fd, struct err *err)
{
	int r = docker_engine_new(ret, mc->config.docker_socket, cancel_fd, err);

	if (r == 0)
		docker_engine_set_patience(*ret, mc->config.patience);
	return r;
}
