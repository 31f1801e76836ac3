/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Grant - the configuration of a container that arrives: our own entry, with the granted settings of the source
 *
 * Settings of the inside are in a table here; those of the host have rules of their own (grant_host.c).
 */

#include "es/container/grant.h"

#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/config.h"
#include "es/container/grant_host.h"
#include "es/engine/docker_engine.h"

#define TEST_MAX 64         /* words of a health check's command */
#define TIME_MIN 1000000000 /* ns of a health check's times */

bool container_grant_health(const json_t *check)
{
	static const char *const times[] = { "Interval", "Timeout", "StartPeriod",
					     "StartInterval" };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)check, key, value)
	{
		bool good = value_empty(value);

		if (!strcmp(key, "Test"))
			good = value_strings(value) && json_array_size(value) <= TEST_MAX;
		else if (!strcmp(key, "Retries"))
			good = value_number(value);
		for (size_t i = 0; i < ARRAY_SIZE(times) && !good; i++)
			good = !strcmp(key, times[i]) && json_integer_value(value) >= TIME_MIN;
		if (!good)
			return false;
	}
	return value_object(check);
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
	{ "Env", value_strings },
	{ "Cmd", value_strings },
	{ "Entrypoint", value_strings },
	{ "User", value_string },
	{ "WorkingDir", value_string },
	{ "Hostname", value_string },
	{ "Domainname", value_string },
	{ "StopSignal", value_string },
	{ "StopTimeout", value_number },
	{ "OpenStdin", value_truth },
	{ "Healthcheck", container_grant_health },
	{ "Tty", value_empty },
	{ "NetworkDisabled", value_empty },
	{ "MacAddress", value_empty },
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
			return container_grant_refuse("Healthcheck (" CONTAINER_GRANT_HEALTH ")",
						      err);
		else
			return container_grant_refuse(insides[i].name, err);
		if (value && !json_is_null(value))
			r |= json_object_set(config, insides[i].name, value);
	}
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
			return container_grant_refuse("NetworkingConfig", err);
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
		return container_grant_refuse("its port", err);
	config = json_deep_copy(own);
	if (!config)
		return err_set(err, -ENOMEM, "configure a container");
	r = inside_take(config, asked, err);
	if (r == 0)
		r = container_grant_host(json_object_get(config, "HostConfig"),
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
	return container_grant_refuse("Healthcheck of its image (" CONTAINER_GRANT_HEALTH ")", err);
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
