/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Grant: tasks - rights that the tasks of a container may have, from its configuration and its engine
 *
 * The checkpoint of a replica is judged by them before CRIU sees it (es/criu/images.h).
 */

#include <cap-ng.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/grant.h"
#include "es/container/grant_host.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"

/* Capabilities that engines give a container: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
 * setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap */
#define CAPABILITIES 0xa80425fbull

/** capabilities_of() - A bit for each name in a list, "ALL" for all */
static uint64_t capabilities_of(const json_t *list)
{
	uint64_t bits = 0;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(item);
		int bit;

		if (name && !strncasecmp(name, "CAP_", 4))
			name += 4;
		bit = name ? capng_name_to_capability(name) : -1;
		if (name && !strcasecmp(name, "ALL"))
			bits = ~0ull;
		else if (bit >= 0)
			bits |= 1ull << bit;
	}
	return bits;
}

/**
 * new_privileges_kept() - Whether a security option keeps new privileges where the engine gives
 * them up
 */
static bool new_privileges_kept(const char *option)
{
	return option && (!strcmp(option, "no-new-privileges:false") ||
			  !strcmp(option, "no-new-privileges=false"));
}

void container_grant_engine(struct container_engine_grant *to, const json_t *info)
{
	const json_t *item;
	size_t i;

	*to = (struct container_engine_grant){ 0 };
	json_array_foreach(json_object_get(info, "SecurityOptions"), i, item)
	{
		const char *option = json_string_value(item);

		if (option && !strncmp(option, "name=seccomp", 12))
			to->filters = !strstr(option, "unconfined");
		if (option && !strncmp(option, "name=apparmor", 13))
			to->apparmor = true;
		if (option && !strcmp(option, "name=no-new-privileges"))
			to->no_new_privs = true;
	}
}

void container_grant_tasks(struct checkpoint_grant *to, const json_t *config,
			   const struct container_engine_grant *engine)
{
	const json_t *host = json_object_get(config, "HostConfig");
	const json_t *item;
	size_t i;

	*to = (struct checkpoint_grant){
		.capabilities =
			(CAPABILITIES & ~capabilities_of(json_object_get(host, "CapDrop"))) |
			capabilities_of(json_object_get(host, "CapAdd")),
		.filtered = engine->filters,
		.no_new_privs = engine->no_new_privs,
		.profile = engine->apparmor ? "docker-default" : NULL,
	};
	json_array_foreach(json_object_get(host, "SecurityOpt"), i, item)
	{
		const char *option = json_string_value(item);

		if (option && !strcmp(option, "seccomp=unconfined"))
			to->filtered = false;
		/* only our own entry can say so, see security() */
		if (option && engine->apparmor && !strncmp(option, "apparmor=", 9))
			to->profile = strcmp(option + 9, "unconfined") != 0 ? option + 9 : NULL;
		if (container_grant_gives_up(option))
			to->no_new_privs = true;
		else if (new_privileges_kept(option))
			to->no_new_privs = false;
	}
}

/**
 * of_one_cpu() - Whether a path is that of one CPU; engines mask one for each CPU of their host
 */
static bool of_one_cpu(const char *path)
{
	static const char cpus[] = "/sys/devices/system/cpu/";

	return !strncmp(path, cpus, sizeof(cpus) - 1);
}

/** line_add() - Add a line. Return: 0, or -E2BIG, also for a path that would be two lines */
static int line_add(char *to, size_t size, char how, const char *path)
{
	size_t len = strlen(to);

	if (strchr(path, '\n') || snprintf(to + len, size - len, "%s%c%s", len ? "\n" : "", how,
					   path) >= (int)(size - len))
		return -E2BIG;
	return 0;
}

int container_grant_closed(char *to, size_t size, const json_t *inspect)
{
	static const struct {
		const char *name;
		char how;
	} lists[] = {
		{ "MaskedPaths", CHECKPOINT_CLOSED_MASKED },
		{ "ReadonlyPaths", CHECKPOINT_CLOSED_READ_ONLY },
	};
	const json_t *item;
	size_t i;
	int r = 0;

	*to = '\0';
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		json_array_foreach(json_at(inspect, "HostConfig", lists[k].name, NULL), i, item)
		{
			const char *path = json_string_value(item);

			if (r == 0 && path && !of_one_cpu(path) && access(path, F_OK) == 0)
				r = line_add(to, size, lists[k].how, path);
		}
	}
	json_array_foreach(json_object_get(inspect, "Mounts"), i, item)
	{
		if (r == 0 && json_is_false(json_object_get(item, "RW")))
			r = line_add(to, size, CHECKPOINT_CLOSED_BIND,
				     json_text(item, "Destination", NULL));
	}
	if (r == 0 && json_is_true(json_at(inspect, "HostConfig", "ReadonlyRootfs", NULL)))
		r = line_add(to, size, CHECKPOINT_CLOSED_READ_ONLY, "/");
	return r;
}
