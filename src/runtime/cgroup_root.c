/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cgroup_root.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"

#define SLICE ".slice"
#define SCOPE ".scope"

/** add() - Append text. Return: 0, or -ENAMETOOLONG */
static int __attribute__((format(printf, 2, 3))) add(char to[CGROUP_ROOT_MAX], const char *fmt, ...)
{
	size_t len = strlen(to);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(to + len, CGROUP_ROOT_MAX - len, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= CGROUP_ROOT_MAX - len ? -ENAMETOOLONG : 0;
}

/** ends_in() - Whether a name of some length has this end, and more before it */
static bool ends_in(const char *name, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && !strncmp(name + len - n, end, n);
}

/** slice_add() - Append the path of a slice: a-b.slice is /a.slice/a-b.slice */
static int slice_add(char to[CGROUP_ROOT_MAX], const char *slice, size_t len)
{
	size_t name = len - strlen(SLICE);
	int r = 0;

	if (!ends_in(slice, len, SLICE) || memchr(slice, '/', len))
		return -EINVAL;
	if (name == 1 && *slice == '-')
		return 0;
	for (size_t i = 0; r == 0 && i <= name; i++) {
		if (i < name && slice[i] != '-')
			continue;
		/* neither "-a", nor "a--b", nor "a-" */
		if (i == 0 || slice[i - 1] == '-')
			return -EINVAL;
		r = add(to, "/%.*s" SLICE, (int)i, slice);
	}
	return r;
}

/** unit_add() - Append the name of a unit: a scope, unless it is a slice itself */
static int unit_add(char to[CGROUP_ROOT_MAX], const char *prefix, size_t prefix_len,
		    const char *name)
{
	size_t len = strlen(name);

	if (!len || strpbrk(name, ":/") || memchr(prefix, '/', prefix_len))
		return -EINVAL;
	if (ends_in(name, len, SLICE))
		return add(to, "/%s", name);
	return add(to, "/%.*s-%s" SCOPE, (int)prefix_len, prefix, name);
}

/** unit_path() - The path of "SLICE:PREFIX:NAME" */
static int unit_path(char to[CGROUP_ROOT_MAX], const char *wanted)
{
	static const char usual[] = "system" SLICE;
	const char *prefix = strchr(wanted, ':');
	const char *name = prefix ? strchr(prefix + 1, ':') : NULL;
	int r;

	if (!name)
		return -EINVAL;
	r = prefix == wanted ? slice_add(to, usual, strlen(usual))
			     : slice_add(to, wanted, (size_t)(prefix - wanted));
	return r < 0 ? r : unit_add(to, prefix + 1, (size_t)(name - prefix - 1), name + 1);
}

/** word() - Whether a path can be written into CRIU's configuration, and leads nowhere else */
static bool word(const char *path)
{
	for (const char *c = path; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("#\"'\\", *c))
			return false;
	for (const char *at = path; (at = strstr(at, "/..")); at += 3)
		if (at[3] == '/' || !at[3])
			return false;
	return true;
}

int cgroup_root_of(char to[CGROUP_ROOT_MAX], const char *wanted, bool systemd)
{
	char path[CGROUP_ROOT_MAX] = "";
	int r;

	if (systemd)
		r = unit_path(path, wanted);
	else
		r = *wanted == '/' ? add(path, "%s", wanted) : -EINVAL;
	if (r == 0 && !word(path))
		r = -EINVAL;
	if (r == 0)
		memcpy(to, path, sizeof(path));
	return r;
}
