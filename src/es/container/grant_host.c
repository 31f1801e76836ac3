/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Grant: host - settings of a foreign configuration that mean something to the host
 *
 * Each setting has a row in a table with its rule. A setting without one must ask for nothing: engines get new
 * settings, and what a new one gives is not known here. A rule compares with our own entry of the service:
 * limits may be lower, rights fewer, mounts the same.
 */

#include "es/container/grant_host.h"

#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/engine/docker_engine.h"

#define SHM_DEFAULT   (64u << 20) /* an engine's own default */
#define STRINGS_MAX   4096        /* of a list: environment, command */
#define STRING_MAX    (128u << 10)
#define OOM_SCORE_MAX 1000

int container_grant_refuse(const char *setting, struct err *err)
{
	(void)err_set(err, -EPROTO,
		      "it was started with a setting that this edge server's entry of the service "
		      "does not grant: %.100s (give both edge servers the same entry)",
		      setting);
	if (err)
		err->code = -EPERM;
	return err_lasting(err, -EPERM);
}

bool value_empty(const json_t *value)
{
	return !value || json_is_null(value) || json_is_false(value) ||
	       (json_is_number(value) && json_number_value(value) == 0) ||
	       (json_is_string(value) && !*json_string_value(value)) ||
	       (json_is_array(value) && !json_array_size(value)) ||
	       (json_is_object(value) && !json_object_size(value));
}

static bool short_string(const json_t *value)
{
	return json_is_string(value) && json_string_length(value) <= STRING_MAX;
}

bool value_strings(const json_t *value)
{
	const json_t *item;
	size_t i;

	if (!value || json_is_null(value) || short_string(value))
		return true;
	if (!json_is_array(value) || json_array_size(value) > STRINGS_MAX)
		return false;
	json_array_foreach(value, i, item)
	{
		if (!short_string(item))
			return false;
	}
	return true;
}

bool value_string(const json_t *value)
{
	return !value || json_is_null(value) || short_string(value);
}

bool value_number(const json_t *value)
{
	return !value || json_is_null(value) || json_is_integer(value);
}

bool value_truth(const json_t *value)
{
	return !value || json_is_null(value) || json_is_boolean(value);
}

bool value_object(const json_t *value)
{
	return !value || json_is_null(value) || json_is_object(value);
}

/** within() - Whether a limit is not above ours; 0, -1 and null are none */
static bool within(const json_t *asked, const json_t *ours)
{
	json_int_t limit = json_integer_value(ours);
	json_int_t wanted = json_integer_value(asked);

	if (asked && !json_is_null(asked) && !json_is_integer(asked))
		return false;
	return limit <= 0 || (wanted > 0 && wanted <= limit);
}

static bool limit(const json_t *asked, const json_t *own, const char *name)
{
	return within(asked, json_object_get(own, name));
}

/* Memory and swap together; the engine's default is twice the memory. */
static bool swap_limit(const json_t *asked, const json_t *own, const char *name)
{
	json_int_t memory = json_integer_value(json_object_get(own, "Memory"));

	(void)name;
	if (value_empty(asked) || memory <= 0)
		return value_empty(asked) || json_is_integer(asked);
	return json_is_integer(asked) && json_integer_value(asked) > 0 &&
	       json_integer_value(asked) / 2 <= memory;
}

static bool shm_limit(const json_t *asked, const json_t *own, const char *name)
{
	json_int_t ours = json_integer_value(json_object_get(own, name));

	return value_number(asked) && json_integer_value(asked) >= 0 &&
	       json_integer_value(asked) <= (ours > 0 ? ours : SHM_DEFAULT);
}

/* Below 0 the kernel would end others first. */
static bool oom_score(const json_t *asked, const json_t *own, const char *name)
{
	(void)own;
	(void)name;
	return value_number(asked) && json_integer_value(asked) >= 0 &&
	       json_integer_value(asked) <= OOM_SCORE_MAX;
}

/* Takes away, never gives. */
static bool fewer_rights(const json_t *asked, const json_t *own, const char *name)
{
	const json_t *drop;
	size_t i;
	size_t k;
	const json_t *item;

	json_array_foreach(json_object_get(own, name), i, drop)
	{
		bool there = false;

		json_array_foreach(asked, k, item)
		{
			there = there || json_equal(item, drop);
		}
		if (!there)
			return false;
	}
	return !asked || json_is_null(asked) || (json_is_array(asked) && value_strings(asked));
}

static bool read_only(const json_t *asked, const json_t *own, const char *name)
{
	return value_truth(asked) &&
	       (json_is_true(asked) || !json_is_true(json_object_get(own, name)));
}

/** in_list() - Whether a list has this very value */
static bool in_list(const json_t *list, const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (json_equal(item, value))
			return true;
	}
	return false;
}

/** subset() - Each value is one of ours */
static bool subset(const json_t *asked, const json_t *own, const char *name)
{
	const json_t *item;
	size_t i;

	if (!asked || json_is_null(asked))
		return true;
	if (!json_is_array(asked))
		return false;
	json_array_foreach(asked, i, item)
	{
		if (!in_list(json_object_get(own, name), item))
			return false;
	}
	return true;
}

/** volume_plain() - Whether it asks for an empty volume of its own, and no more */
static bool volume_plain(const json_t *mount)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)mount, key, value)
	{
		if (strcmp(key, "Type") != 0 && strcmp(key, "Target") != 0 &&
		    strcmp(key, "VolumeOptions") != 0 && !value_empty(value))
			return false;
	}
	json_object_foreach(json_object_get(mount, "VolumeOptions"), key, value)
	{
		if (strcmp(key, "NoCopy") != 0 && strcmp(key, "Labels") != 0 && !value_empty(value))
			return false;
	}
	json_object_foreach(json_at(mount, "VolumeOptions", "Labels", NULL), key, value)
	{
		if (strcmp(key, "baton.volume") != 0)
			return false;
	}
	return true;
}

/*
 * Volumes are the container's own, wherever they are. Our entry must have each other mount.
 */
static bool mounts(const json_t *asked, const json_t *own, const char *name)
{
	const json_t *item;
	size_t i;

	if (asked && !json_is_null(asked) && !json_is_array(asked))
		return false;
	json_array_foreach(asked, i, item)
	{
		bool volume = !strcmp(json_text(item, "Type", NULL), "volume");

		if (volume ? !volume_plain(item) : !in_list(json_object_get(own, name), item))
			return false;
	}
	return true;
}

/** tmpfs_options() - Whether options of a tmpfs give nothing but room */
static bool tmpfs_options(const char *options)
{
	static const char *const known[] = { "size=", "mode=",   "uid=",  "gid=",    "nr_inodes=",
					     "rw",    "ro",      "exec",  "noexec",  "nosuid",
					     "nodev", "noatime", "async", "relatime" };

	while (*options) {
		size_t len = strcspn(options, ",");
		bool good = len == 0;

		for (size_t i = 0; i < ARRAY_SIZE(known) && !good; i++) {
			size_t n = strlen(known[i]);

			good = !strncmp(options, known[i], n) &&
			       (known[i][n - 1] == '=' ? len > n : len == n);
		}
		if (!good)
			return false;
		options += len + (options[len] == ',');
	}
	return true;
}

static bool tmpfs(const json_t *asked, const json_t *own, const char *name)
{
	const char *path;
	json_t *options;

	if (!value_object(asked))
		return false;
	json_object_foreach((json_t *)(uintptr_t)asked, path, options)
	{
		if (!json_equal(options, json_at(own, name, path, NULL)) &&
		    (!json_is_string(options) || !tmpfs_options(json_string_value(options))))
			return false;
	}
	return true;
}

/* Ours is used; theirs says how their engine does it. */
static bool ours(const json_t *asked, const json_t *own, const char *name)
{
	(void)asked;
	(void)own;
	(void)name;
	return true;
}

/* Filled in by the engine. An empty list, unlike none, asks for a container without masks. */
static bool masks(const json_t *asked, const json_t *own, const char *name)
{
	(void)own;
	(void)name;
	return !asked || json_is_null(asked) || json_array_size(asked);
}

/* The default network, by any of its names, or the one of our entry. */
static bool network(const json_t *asked, const json_t *own, const char *name)
{
	const char *mode = json_string_value(asked);

	return value_empty(asked) || json_equal(asked, json_object_get(own, name)) ||
	       (mode && (!strcmp(mode, "default") || !strcmp(mode, "bridge")));
}

static bool isolated(const json_t *asked, const json_t *own, const char *name)
{
	const char *mode = json_string_value(asked);

	return value_empty(asked) || json_equal(asked, json_object_get(own, name)) ||
	       (mode && (!strcmp(mode, "private") || !strcmp(mode, "shareable")));
}

bool container_grant_gives_up(const char *option)
{
	return option &&
	       (!strcmp(option, "no-new-privileges") || !strcmp(option, "no-new-privileges:true") ||
		!strcmp(option, "no-new-privileges=true"));
}

/*
 * A filter is ours in any case; without one, or with another profile, it would be another
 * container.
 */
static bool security(const json_t *asked, const json_t *own, const char *name)
{
	const json_t *item;
	size_t i;

	if (asked && !json_is_null(asked) && !json_is_array(asked))
		return false;
	json_array_foreach(asked, i, item)
	{
		const char *option = json_string_value(item);

		if (!option)
			return false;
		if (in_list(json_object_get(own, name), item) || container_grant_gives_up(option))
			continue;
		if (strncmp(option, "seccomp=", 8) != 0 || !strcmp(option + 8, "unconfined"))
			return false;
	}
	return true;
}

/**
 * struct outside - A setting that means something to the host; one not named here must ask for
 * nothing
 */
static const struct outside {
	const char *name;
	bool (*good)(const json_t *asked, const json_t *own, const char *name);
	bool take; /* theirs is used */
} outsides[] = {
	{ "Memory", limit, true },
	{ "MemorySwap", swap_limit, true },
	{ "MemoryReservation", limit, true },
	{ "NanoCpus", limit, true },
	{ "PidsLimit", limit, true },
	{ "ShmSize", shm_limit, true },
	{ "OomScoreAdj", oom_score, true },
	{ "CapDrop", fewer_rights, true },
	{ "ReadonlyRootfs", read_only, true },
	{ "Mounts", mounts, true },
	{ "Binds", subset, true },
	{ "Tmpfs", tmpfs, true },
	{ "CapAdd", subset, true },
	{ "SecurityOpt", security, false },
	{ "MaskedPaths", masks, false },
	{ "ReadonlyPaths", masks, false },
	{ "NetworkMode", network, false },
	{ "IpcMode", isolated, false },
	{ "PidMode", isolated, false },
	{ "UTSMode", isolated, false },
	{ "CgroupnsMode", ours, false },
	{ "LogConfig", ours, false },
	{ "PortBindings", ours, false },
	{ "RestartPolicy", ours, false },
	{ "Runtime", ours, false },
	/*
	 * An engine notes its own defaults here; processes keep theirs, which are in the
	 * checkpoint.
	 */
	{ "Ulimits", ours, false },
	{ "Isolation", isolated, false },
};

static const struct outside *outside_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(outsides); i++)
		if (!strcmp(outsides[i].name, name))
			return &outsides[i];
	return NULL;
}

/** new_privileges_take() - Take the one security option that only takes away */
static int new_privileges_take(json_t *host, const json_t *asked)
{
	json_t *options = json_object_get(host, "SecurityOpt");
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(asked, "SecurityOpt"), i, item)
	{
		if (!container_grant_gives_up(json_string_value(item)))
			continue;
		if (!json_is_array(options)) {
			options = json_array();
			if (json_object_set_new(host, "SecurityOpt", options) < 0)
				return -ENOMEM;
		}
		if (!in_list(options, item) &&
		    json_array_append(options, (json_t *)(uintptr_t)item) < 0)
			return -ENOMEM;
	}
	return 0;
}

int container_grant_host(json_t *host, const json_t *own, const json_t *asked, struct err *err)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)asked, name, value)
	{
		const struct outside *known = outside_find(name);

		if (known ? !known->good(value, own, name)
			  : !value_empty(value) && !json_equal(value, json_object_get(own, name)))
			return container_grant_refuse(name, err);
	}
	/* A resource that our entry limits must be limited, even if no limit was asked for. */
	for (size_t i = 0; i < ARRAY_SIZE(outsides); i++) {
		const struct outside *known = &outsides[i];

		value = json_object_get(asked, known->name);
		if (!known->good(value, own, known->name))
			return container_grant_refuse(known->name, err);
		if (known->take && !value_empty(value))
			r |= json_object_set(host, known->name, value);
		else if (known->take)
			(void)json_object_del(host, known->name);
	}
	r |= new_privileges_take(host, asked);
	return r ? err_set(err, -ENOMEM, "configure a container") : 0;
}
