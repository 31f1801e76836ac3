/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/measure.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "es/container/mounts.h"
#include "es/engine/docker_engine.h"
#include "es/engine/upper_dir.h"
#include "es/files/layer.h"

#define UNNAMED 64 /* hexadecimal digits of a volume to which nobody has given a name */

static bool goes_along(const json_t *volume)
{
	const char *name = json_string_value(json_object_get(volume, "Name"));

	return name && strlen(name) == UNNAMED && strspn(name, "0123456789abcdef") == UNNAMED;
}

static int add(struct container_size *to, const json_t *inspect, const char *exec_root,
	       struct err *err)
{
	size_t entries = CONTAINER_MEASURE_MAX;
	char upper[PATH_MAX];
	const json_t *volume;
	int r = upper_dir_find(upper, inspect, exec_root, err);

	if (r < 0)
		return r;
	to->bytes = layer_measure(upper, &entries);
	for (size_t i = 0; (volume = container_mounts_volume(inspect, &i));) {
		const char *source = json_string_value(json_object_get(volume, "Source"));

		if (source && goes_along(volume))
			to->bytes += layer_measure(source, &entries);
	}
	to->whole = entries;
	return 0;
}

int container_measure(struct container_size *to, struct docker_engine *de, const char *id,
		      const char *exec_root, struct err *err)
{
	struct container_size size = { 0 };
	json_t *inspect = NULL;
	int r = docker_engine_inspect(de, id, &inspect, err);

	if (r > 0)
		return err_set(err, -ENOENT, "container %s", id);
	if (r == 0)
		r = add(&size, inspect, exec_root, err);
	json_decref(inspect);
	if (r == 0)
		*to = size;
	return r;
}
