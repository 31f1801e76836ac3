/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/mounts.h"

#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/findings.h"
#include "es/container/management.h"
#include "es/engine/docker_engine.h"

#define SHARED_REMEDY                                                                              \
	"keep the files in a volume, or declare the directory as shared on all edge servers"

const json_t *container_mounts_volume(const json_t *inspect, size_t *index)
{
	const json_t *mounts = json_object_get(inspect, "Mounts");

	while (*index < json_array_size(mounts)) {
		const json_t *mount = json_array_get(mounts, (*index)++);

		if (!strcmp(json_text(mount, "Type", NULL), "volume"))
			return mount;
	}
	return NULL;
}

/* --- asking for them -------------------------------------------------------------------------- */

/** volume_first() - Ask for a volume of its own, which gets the image's files at its path */
static json_t *volume_first(const char *entry)
{
	const char *target = strchr(entry, ':');

	return target ? json_pack("{s:s, s:s, s:{s:{s:s%}}}", "Type", "volume", "Target",
				  target + 1, "VolumeOptions", "Labels", "baton.volume", entry,
				  (size_t)(target - entry))
		      : NULL;
}

int container_mounts_for_service(json_t *host, const struct container_service *service)
{
	json_t *mounts = json_array();
	json_t *tmpfs = json_object();
	json_t *binds = json_array();
	int r = 0;

	for (const char *const *at = service->volumes; at && *at; at++)
		r |= json_array_append_new(mounts, volume_first(*at));
	for (const char *const *at = service->binds; at && *at; at++)
		r |= json_array_append_new(binds, json_string(*at));
	for (const char *const *at = service->tmpfs; at && *at; at++) {
		const char *options = strchr(*at, ':');

		auto_free char *path = strndup(*at, strcspn(*at, ":"));
		r |= path ? json_object_set_new(tmpfs, path,
						json_string(options ? options + 1 : ""))
			  : -1;
	}
	r |= json_object_set_new(host, "Mounts", mounts);
	r |= json_object_set_new(host, "Tmpfs", tmpfs);
	r |= json_object_set_new(host, "Binds", binds);
	return r ? -EINVAL : 0;
}

/* --- when they move --------------------------------------------------------------------------- */

/** is_path() - Whether the first part of a bind ("SOURCE:TARGET") is a path, not a volume's name */
static bool is_path(const char *bind)
{
	return bind && *bind == '/';
}

/**
 * mount_at() - The entry of HostConfig's Mounts for a path in the container
 *
 * Return: NULL if none
 */
static json_t *mount_at(const json_t *host, const char *target)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(host, "Mounts"), i, item)
	{
		if (!strcmp(json_text(item, "Target", NULL), target))
			return item;
	}
	return NULL;
}

/** volume_request() - Ask for a volume like one that a container has */
static json_t *volume_request(const json_t *host, const json_t *volume)
{
	const char *target = json_text(volume, "Destination", NULL);
	json_t *labels = json_at(mount_at(host, target), "VolumeOptions", "Labels", NULL);

	/* The image's files must not be copied into it: all its files come from the source. */
	json_t *request = json_pack("{s:s, s:s, s:{s:b}}", "Type", "volume", "Target", target,
				    "VolumeOptions", "NoCopy", 1);
	if (request && json_is_object(labels) &&
	    json_object_set(json_object_get(request, "VolumeOptions"), "Labels", labels) < 0) {
		json_decref(request);
		return NULL;
	}
	return request;
}

/** requests_clone() - HostConfig's Mounts, with all volumes as requests for own ones */
static json_t *requests_clone(const json_t *host, const json_t *inspect)
{
	json_t *mounts = json_array();
	const json_t *volume;
	json_t *item;
	size_t i;
	int r = mounts ? 0 : -1;

	json_array_foreach(json_object_get(host, "Mounts"), i, item)
	{
		if (strcmp(json_text(item, "Type", NULL), "volume") != 0)
			r |= json_array_append(mounts, item);
	}
	for (i = 0; (volume = container_mounts_volume(inspect, &i));)
		r |= json_array_append_new(mounts, volume_request(host, volume));
	if (r == 0)
		return mounts;
	json_decref(mounts);
	return NULL;
}

/** binds_clone() - HostConfig's Binds without those of volumes */
static json_t *binds_clone(const json_t *host)
{
	json_t *binds = json_array();
	json_t *item;
	size_t i;
	int r = binds ? 0 : -1;

	json_array_foreach(json_object_get(host, "Binds"), i, item)
	{
		if (is_path(json_string_value(item)))
			r |= json_array_append(binds, item);
	}
	if (r == 0)
		return binds;
	json_decref(binds);
	return NULL;
}

int container_mounts_clone(json_t *config, const json_t *inspect)
{
	json_t *host = json_object_get(config, "HostConfig");
	size_t none = 0;

	if (!container_mounts_volume(inspect, &none))
		return 0;
	json_t *mounts = requests_clone(host, inspect);
	json_t *binds = binds_clone(host);
	/* json_object_set_new() takes them, also when it fails, and fails for NULL. */
	int r = json_object_set_new(host, "Mounts", mounts);
	r |= json_object_set_new(host, "Binds", binds);
	return r ? -ENOMEM : 0;
}

/* --- judging a configuration ------------------------------------------------------------------ */

bool container_mounts_shared(const char *const *shared, const char *path)
{
	size_t end = strlen(path);

	/* A path that leads out of it again begins like it, too. */
	if (strstr(path, "/../") || (end >= 3 && !strcmp(path + end - 3, "/..")))
		return false;
	for (size_t i = 0; shared && shared[i]; i++) {
		size_t len = strlen(shared[i]);

		if (!strncmp(path, shared[i], len) && (path[len] == '/' || path[len] == '\0'))
			return true;
	}
	return false;
}

/** check_bind() - Judge a bind mount, of which @source is the host's side */
static void check_bind(json_t *findings, const char *source, const char *target, const char *mode,
		       const char *const *shared)
{
	char real[PATH_MAX];

	if (!*source || !*target)
		finding_add(findings, "name what it mounts", "it mounts what cannot be told");
	else if (strstr(source, "docker.sock"))
		finding_add(findings, "do not give the engine's socket to a service that moves",
			    "it holds the Docker socket of its host (%s)", source);
	else if (!container_mounts_shared(shared, source))
		finding_add(findings, SHARED_REMEDY,
			    "it mounts %s at %s, which does not move with it", source, target);
	else if (strstr(mode, "shared") || strstr(mode, "slave"))
		finding_add(findings, "mount it without propagation",
			    "mounts made below %s would appear in it (%s)", source, mode);
	/* A symbolic link below it, which a container may have made, would lead elsewhere. */
	else if (!realpath(source, real) || strcmp(real, source) != 0)
		finding_add(findings, "make it there, not as a symbolic link",
			    "the shared directory %s, which it mounts at %s, is missing on an "
			    "edge server",
			    source, target);
}

/** check_binds() - Judge HostConfig's Binds */
static void check_binds(json_t *findings, const json_t *host, const char *const *shared)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(host, "Binds"), i, item)
	{
		const char *bind = json_string_value(item);
		char source[512] = "";
		char target[512] = "";
		char mode[64] = "";

		if (bind)
			(void)sscanf(bind, "%511[^:]:%511[^:]:%63s", source, target, mode);
		check_bind(findings, source, target, mode, shared);
	}
}

/** check_request() - Judge an entry of HostConfig's Mounts */
static void check_request(json_t *findings, const json_t *item, const char *const *shared)
{
	const char *type = json_text(item, "Type", NULL);
	const char *target = json_text(item, "Target", NULL);

	if (!strcmp(type, "tmpfs"))
		return;
	if (!strcmp(type, "bind"))
		check_bind(findings, json_text(item, "Source", NULL), target,
			   json_text(item, "BindOptions", "Propagation", NULL), shared);
	else if (strcmp(type, "volume") != 0)
		finding_add(findings, "use a volume", "it has a %s at %s", type, target);
	/* A configuration from another host must not reach another container's volume. */
	else if (*json_text(item, "Source", NULL) ||
		 json_at(item, "VolumeOptions", "DriverConfig", NULL))
		finding_add(findings, "give it a volume of its own",
			    "its volume at %s is asked for by name or by driver", target);
}

void container_mounts_check(json_t *findings, const json_t *config, const json_t *host,
			    const char *const *shared)
{
	size_t volumes = 0;
	const char *key;
	json_t *item;
	size_t i;

	check_binds(findings, host, shared);
	json_array_foreach(json_object_get(host, "Mounts"), i, item)
	{
		check_request(findings, item, shared);
		volumes += !strcmp(json_text(item, "Type", NULL), "volume");
	}
	json_object_foreach(json_object_get(config, "Volumes"), key, item)
	{
		/* The image's, or a user's without a name: the engine would make an empty one. */
		if (!mount_at(host, key) && !json_at(host, "Tmpfs", key, NULL))
			finding_add(findings, "start it anew", "its volume at %s is not mounted",
				    key);
	}
	if (json_array_size(json_object_get(host, "VolumesFrom")))
		finding_add(findings, "give it volumes of its own",
			    "it uses volumes of another container");
	if (volumes > CONTAINER_VOLUMES_MAX)
		finding_add(findings, "put several into one",
			    "it has %zu volumes, and at most %d can move", volumes,
			    CONTAINER_VOLUMES_MAX);
}

/* --- judging mounts --------------------------------------------------------------------------- */

/** check_users() - Is the volume this container's alone? */
static int check_users(json_t *findings, struct docker_engine *engine, const char *name,
		       const json_t *inspect, struct err *err)
{
	const char *id = json_text(inspect, "Id", NULL);
	json_t *users = NULL;
	json_t *user;
	size_t i;
	int r = docker_engine_volume_users(engine, name, &users, err);

	json_array_foreach(users, i, user)
	{
		const char *other =
			json_string_value(json_array_get(json_object_get(user, "Names"), 0));

		if (strcmp(json_text(user, "Id", NULL), id) != 0)
			finding_add(findings, "give each container a volume of its own",
				    "its volume %s is also that of container %s", name,
				    other ? other + (*other == '/') : "?");
	}
	json_decref(users);
	return r;
}

/** check_volume() - Judge one volume */
static int check_volume(json_t *findings, struct docker_engine *engine, const char *name,
			const char *target, struct err *err)
{
	json_t *volume = NULL;
	int r = docker_engine_volume(engine, name, &volume, err);

	if (r != 0)
		return r < 0 ? r : err_set(err, -ENOENT, "volume %s", name);
	const char *driver = json_text(volume, "Driver", NULL);
	if (strcmp(driver, "local") != 0)
		finding_add(findings, "use a volume of driver local",
			    "its volume at %s has the driver %s", target, driver);
	else if (json_object_size(json_object_get(volume, "Options")))
		finding_add(findings, "use a volume without options, or a shared directory",
			    "its volume %s at %s is a mount with options of its own", name, target);
	json_decref(volume);
	return 0;
}

int container_mounts_check_volumes(json_t *findings, struct docker_engine *engine,
				   const json_t *inspect, struct err *err)
{
	const json_t *volume;
	int r = 0;

	for (size_t i = 0; r == 0 && (volume = container_mounts_volume(inspect, &i));) {
		const char *name = json_text(volume, "Name", NULL);
		const char *target = json_text(volume, "Destination", NULL);

		r = check_volume(findings, engine, name, target, err);
		if (r == 0)
			r = check_users(findings, engine, name, inspect, err);
		/* The engine makes no such volume without a name. */
		if (!json_is_true(json_object_get(volume, "RW")))
			finding_add(findings, "mount it writable, or use a shared directory",
				    "its volume %s at %s is read-only", name, target);
		if (strlen(target) >= CONTAINER_PATH_MAX)
			finding_add(findings, "mount it at a shorter path",
				    "the path of a volume has more than %d characters",
				    CONTAINER_PATH_MAX - 1);
	}
	return r;
}

/** mounted_at() - Whether a process sees a mount at a path; also if its mounts cannot be read */
static bool mounted_at(pid_t pid, const char *path)
{
	char line[2 * PATH_MAX];
	char name[64];
	struct mntent entry;
	bool found = false;

	(void)snprintf(name, sizeof(name), "/proc/%d/mounts", (int)pid);
	FILE *mounts = setmntent(name, "re");
	if (!mounts)
		return true;
	while (!found && getmntent_r(mounts, &entry, line, sizeof(line)))
		found = !strcmp(entry.mnt_dir, path);
	(void)endmntent(mounts);
	return found;
}

void container_mounts_check_closed(json_t *findings, const json_t *inspect)
{
	pid_t pid = (pid_t)json_integer_value(json_at(inspect, "State", "Pid", NULL));
	const json_t *item;
	size_t i;

	if (pid <= 0)
		return;
	json_array_foreach(json_object_get(inspect, "Mounts"), i, item)
	{
		const char *at = json_text(item, "Destination", NULL);

		if (json_is_false(json_object_get(item, "RW")) && !mounted_at(pid, at))
			finding_add(findings, "mount it at the path that the link leads to",
				    "its read-only mount at %s lies behind a link of the image",
				    at);
	}
}
