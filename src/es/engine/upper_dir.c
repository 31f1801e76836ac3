/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/upper_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/engine/containerd.h"
#include "es/engine/docker_engine.h"

/**
 * mounted_upper() - UpperDir of a container that runs, by the mount of its root
 *
 * Return: whether it has one
 */
static bool mounted_upper(char to[PATH_MAX], int pid)
{
	char path[64];
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	auto_fclose FILE *mounts = pid > 0 ? fopen(path, "re") : NULL;
	auto_free char *line = NULL;
	while (mounts && getline(&line, &size, mounts) > 0) {
		const char *option = strstr(line, "upperdir=");
		char at[3];

		/*
		 * ID, parent, device, root in it, mount point: other overlays may be mounted
		 * elsewhere in it
		 */
		if (option && sscanf(line, "%*s %*s %*s %*s %2s", at) == 1 && !strcmp(at, "/")) {
			(void)snprintf(to, PATH_MAX, "%.*s", (int)strcspn(option + 9, ",\n"),
				       option + 9);
			return true;
		}
	}
	return false;
}

int upper_dir_find(char to[PATH_MAX], const json_t *inspect, const char *exec_root, struct err *err)
{
	const char *upper = json_text(inspect, "GraphDriver", "Data", "UpperDir", NULL);
	int pid = (int)json_integer_value(json_at(inspect, "State", "Pid", NULL));

	if (*upper) {
		(void)snprintf(to, PATH_MAX, "%s", upper);
		return 0;
	}
	/* With containerd's image store the engine does not tell. */
	if (mounted_upper(to, pid))
		return 0;
	int r = containerd_upper(to, exec_root, json_text(inspect, "Id", NULL), err);
	if (r < 0)
		r = err_wrap(err, r, "find the container's layer, which must be an overlay");
	/* One that ran may just have ended. */
	return r == -ENOTSUP && pid > 0 ? err_lasting(err, r) : r;
}
