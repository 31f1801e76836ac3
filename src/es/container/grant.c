/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/grant.h"

#include <cap-ng.h>
#include <string.h>
#include <strings.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/config.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"

/* Capabilities that engines give a container: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
 * setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap */
#define CAPABILITIES  0xa80425fbull
#define SHM_DEFAULT   (64u << 20) /* an engine's own default */
#define STRINGS_MAX   4096        /* of a list: environment, command */
#define STRING_MAX    (128u << 10)
#define OOM_SCORE_MAX 1000
#define TEST_MAX      64         /* words of a health check's command */
#define TIME_MIN      1000000000 /* ns of a health check's times */

/** refuse() - Say which setting is not granted, and the remedy */
static int refuse(const char *setting, struct err *err)
{
	(void)err_set(err, -EPROTO,
		      "it was started with a setting that this edge server's entry of the service "
		      "does not grant: %.100s (give both edge servers the same entry)",
		      setting);
	if (err)
		err->code = -EPERM;
	return err_lasting(err, -EPERM);
}

/** empty() - Whether a value asks for nothing */
static bool empty(const json_t *value)
{
	return !value || json_is_null(value) || json_is_false(value) ||
	       (json_is_number(value) && json_number_value(value) == 0) ||
	       (json_is_string(value) && !*json_string_value(value)) ||
	       (json_is_array(value) && !json_array_size(value)) ||
	       (json_is_object(value) && !json_object_size(value));
}

/* --- values that concern the inside of the container ------------------------------------------ */

static bool short_string(const json_t *value)
{
	return json_is_string(value) && json_string_length(value) <= STRING_MAX;
}

/** strings() - Whether it is a list of strings, or one, or nothing */
static bool strings(const json_t *value)
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

static bool string(const json_t *value)
{
	return !value || json_is_null(value) || short_string(value);
}

static bool number(const json_t *value)
{
	return !value || json_is_null(value) || json_is_integer(value);
}

static bool truth(const json_t *value)
{
	return !value || json_is_null(value) || json_is_boolean(value);
}

static bool object(const json_t *value)
{
	return !value || json_is_null(value) || json_is_object(value);
}

bool container_grant_health(const json_t *check)
{
	static const char *const times[] = { "Interval", "Timeout", "StartPeriod",
					     "StartInterval" };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)check, key, value)
	{
		bool good = empty(value);

		if (!strcmp(key, "Test"))
			good = strings(value) && json_array_size(value) <= TEST_MAX;
		else if (!strcmp(key, "Retries"))
			good = number(value);
		for (size_t i = 0; i < ARRAY_SIZE(times) && !good; i++)
			good = !strcmp(key, times[i]) && json_integer_value(value) >= TIME_MIN;
		if (!good)
			return false;
	}
	return object(check);
}

/**
 * struct inside - A setting that means something inside of the container alone
 * @good:	whether a value is granted; "empty": none is, since without it this would be another
 *		container
 *
 * The rest of the engine's Config is not taken: the engine fills it in itself (Image, Labels), or
 * it belongs to a client that is attached, or to the build of an image.
 */
static const struct inside {
	const char *name;
	bool (*good)(const json_t *value);
} insides[] = {
	{ "Env", strings },
	{ "Cmd", strings },
	{ "Entrypoint", strings },
	{ "User", string },
	{ "WorkingDir", string },
	{ "Hostname", string },
	{ "Domainname", string },
	{ "StopSignal", string },
	{ "StopTimeout", number },
	{ "OpenStdin", truth },
	{ "Healthcheck", container_grant_health },
	{ "Tty", empty },
	{ "NetworkDisabled", empty },
	{ "MacAddress", empty },
};

/** inside_take() - Take the settings that concern the inside */
static int inside_take(json_t *config, const json_t *asked, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(insides); i++) {
		json_t *value = json_object_get(asked, insides[i].name);

		if (insides[i].good(value))
			;
		else if (insides[i].good == container_grant_health)
			return refuse("Healthcheck (" CONTAINER_GRANT_HEALTH ")", err);
		else
			return refuse(insides[i].name, err);
		if (value && !json_is_null(value))
			r |= json_object_set(config, insides[i].name, value);
	}
	return r ? err_set(err, -ENOMEM, "configure a container") : 0;
}

/* --- limits ----------------------------------------------------------------------------------- */

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
	if (empty(asked) || memory <= 0)
		return empty(asked) || json_is_integer(asked);
	return json_is_integer(asked) && json_integer_value(asked) > 0 &&
	       json_integer_value(asked) / 2 <= memory;
}

static bool shm_limit(const json_t *asked, const json_t *own, const char *name)
{
	json_int_t ours = json_integer_value(json_object_get(own, name));

	return number(asked) && json_integer_value(asked) >= 0 &&
	       json_integer_value(asked) <= (ours > 0 ? ours : SHM_DEFAULT);
}

/* Below 0 the kernel would end others first. */
static bool oom_score(const json_t *asked, const json_t *own, const char *name)
{
	(void)own;
	(void)name;
	return number(asked) && json_integer_value(asked) >= 0 &&
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
	return !asked || json_is_null(asked) || (json_is_array(asked) && strings(asked));
}

static bool read_only(const json_t *asked, const json_t *own, const char *name)
{
	return truth(asked) && (json_is_true(asked) || !json_is_true(json_object_get(own, name)));
}

/* --- mounts ----------------------------------------------------------------------------------- */

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
		    strcmp(key, "VolumeOptions") != 0 && !empty(value))
			return false;
	}
	json_object_foreach(json_object_get(mount, "VolumeOptions"), key, value)
	{
		if (strcmp(key, "NoCopy") != 0 && strcmp(key, "Labels") != 0 && !empty(value))
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

	if (!object(asked))
		return false;
	json_object_foreach((json_t *)(uintptr_t)asked, path, options)
	{
		if (!json_equal(options, json_at(own, name, path, NULL)) &&
		    (!json_is_string(options) || !tmpfs_options(json_string_value(options))))
			return false;
	}
	return true;
}

/* --- the rest --------------------------------------------------------------------------------- */

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

	return empty(asked) || json_equal(asked, json_object_get(own, name)) ||
	       (mode && (!strcmp(mode, "default") || !strcmp(mode, "bridge")));
}

static bool isolated(const json_t *asked, const json_t *own, const char *name)
{
	const char *mode = json_string_value(asked);

	return empty(asked) || json_equal(asked, json_object_get(own, name)) ||
	       (mode && (!strcmp(mode, "private") || !strcmp(mode, "shareable")));
}

/**
 * new_privileges_given_up() - Whether a security option gives up new privileges, which only takes
 * away
 */
static bool new_privileges_given_up(const char *option)
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
		if (in_list(json_object_get(own, name), item) || new_privileges_given_up(option))
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
		if (!new_privileges_given_up(json_string_value(item)))
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

/** outside_take() - Take limits, and see that nothing else is asked for */
static int outside_take(json_t *host, const json_t *own, const json_t *asked, struct err *err)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)asked, name, value)
	{
		const struct outside *known = outside_find(name);

		if (known ? !known->good(value, own, name)
			  : !empty(value) && !json_equal(value, json_object_get(own, name)))
			return refuse(name, err);
	}
	/* A resource that our entry limits must be limited, even if no limit was asked for. */
	for (size_t i = 0; i < ARRAY_SIZE(outsides); i++) {
		const struct outside *known = &outsides[i];

		value = json_object_get(asked, known->name);
		if (!known->good(value, own, known->name))
			return refuse(known->name, err);
		if (known->take && !empty(value))
			r |= json_object_set(host, known->name, value);
		else if (known->take)
			(void)json_object_del(host, known->name);
	}
	r |= new_privileges_take(host, asked);
	return r ? err_set(err, -ENOMEM, "configure a container") : 0;
}

/**
 * networks_check() - A container that arrives is on the default network, or on those of our entry
 */
static int networks_check(const json_t *own, const json_t *asked, struct err *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_at(asked, "NetworkingConfig", "EndpointsConfig", NULL), name,
			    value)
	{
		if (strcmp(name, "bridge") != 0 &&
		    !json_at(own, "NetworkingConfig", "EndpointsConfig", name, NULL))
			return refuse("NetworkingConfig", err);
	}
	return 0;
}

int container_grant_new(json_t **ret, const struct container_service *service, const char *runtime,
			struct err *err)
{
	json_t *config = NULL;
	json_t *images = json_array();
	int r = images ? container_config_for_service(&config, service, runtime, err)
		       : err_set(err, -ENOMEM, "grant a configuration");

	for (size_t i = 0; r == 0 && service->trusted_images && service->trusted_images[i]; i++)
		if (json_array_append_new(images, json_string(service->trusted_images[i])) < 0)
			r = err_set(err, -ENOMEM, "grant a configuration");
	if (r < 0) {
		json_decref(config);
		json_decref(images);
		return r;
	}
	*ret = json_pack("{s:o, s:i, s:o}", "config", config, "port", (int)service->port, "images",
			 images);
	return *ret ? 0 : err_set(err, -ENOMEM, "grant a configuration");
}

int container_grant_config(json_t **ret, const json_t *grant, const json_t *asked, uint16_t port,
			   struct err *err)
{
	const json_t *own = json_object_get(grant, "config");
	json_t *config;
	int r;

	if (port != json_integer_value(json_object_get(grant, "port")))
		return refuse("its port", err);
	config = json_deep_copy(own);
	if (!config)
		return err_set(err, -ENOMEM, "configure a container");
	r = inside_take(config, asked, err);
	if (r == 0)
		r = outside_take(json_object_get(config, "HostConfig"),
				 json_object_get(own, "HostConfig"),
				 json_object_get(asked, "HostConfig"), err);
	if (r == 0)
		r = networks_check(own, asked, err);
	if (r == 0)
		*ret = config;
	else
		json_decref(config);
	return r;
}

int container_grant_image(const json_t *image, struct err *err)
{
	if (container_grant_health(json_at(image, "Config", "Healthcheck", NULL)))
		return 0;
	return refuse("Healthcheck of its image (" CONTAINER_GRANT_HEALTH ")", err);
}

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
		if (new_privileges_given_up(option))
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

/** service_image() - Whether it is the name that containers of the service are made of here */
static bool service_image(const json_t *grant, const char *name)
{
	const char *ours = json_text(grant, "config", "Image", NULL);
	const char *slash = strrchr(ours, '/');
	size_t len = strlen(ours);

	if (strncmp(ours, name, len) != 0)
		return false;
	return !name[len] || (!strchr(slash ? slash : ours, ':') && !strcmp(name + len, ":latest"));
}

bool container_grant_name(const json_t *grant, const char *id, const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *colon = strrchr(slash ? slash : name, ':');
	size_t repository = colon ? (size_t)(colon - name) : strlen(name);
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(grant, "images"), i, item)
	{
		const char *trusted = json_string_value(item);

		if (!trusted)
			continue;
		if (!strcmp(trusted, id) && service_image(grant, name))
			return true;
		if (strlen(trusted) == repository && !strncmp(trusted, name, repository))
			return true;
	}
	return false;
}
