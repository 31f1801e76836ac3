/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container grant - judges a foreign configuration, and makes that of a container that arrives
 *
 * The configuration of CT-y is made here, from this edge server's own entry of the service. The
 * source's configuration of CT-x adds only settings that are on a list (container/grant.c, grant_host.c). These
 * concern the inside of the container alone (environment, command, user, host name), or are limits
 * not above our own. Any other setting must be absent or the same as in our entry. Otherwise the
 * container is refused, with the name of the setting, for a replica without the setting would be
 * another container (R13). So a peer with a valid certificate cannot have a container with rights
 * that nobody here has given (R16).
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct checkpoint_grant;
struct container_service;
struct err;

/*
 * Said where a health check is refused: the engine runs it outside of the container's limits of CPU
 */
#define CONTAINER_GRANT_HEALTH "times of at least 1 s, a command of at most 64 words"

/**
 * struct container_engine_grant - The engine's defaults for every container that asks for nothing
 * else
 * @filters:		It filters system calls
 * @apparmor:		It gives a profile of AppArmor
 * @no_new_privs:	It gives up new privileges
 */
struct container_engine_grant {
	bool filters;
	bool apparmor;
	bool no_new_privs;
};

/**
 * container_grant_new() - Make the grant of this edge server for containers of a service
 * @ret:	Set on success only, a new reference: an object with "config", "port", "images"
 * @service:	Our entry
 * @runtime:	Name of baton-runtime at our engine
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int container_grant_new(json_t **ret, const struct container_service *service, const char *runtime,
			struct err *err);

/**
 * container_grant_config() - Make the configuration of a container that arrives
 * @ret:	Set on success only, a new reference
 * @grant:	From container_grant_new()
 * @asked:	Configuration of CT-x as its edge server tells it, not trusted
 * @port:	of the service, as that one tells it
 * @err:	Filled in on failure: names the setting
 *
 * Return: 0, -EPERM for a setting that is not granted, or -ENOMEM
 */
int container_grant_config(json_t **ret, const json_t *grant, const json_t *asked, uint16_t port,
			   struct err *err);

/**
 * container_grant_health() - May a container, or an image that a peer brought, have this health
 * check?
 * @check:	"Healthcheck" of the engine's description; NULL: none
 *
 * Return: false if a time (Interval, Timeout, StartPeriod, StartInterval) is below 1 s and not 0,
 * which is the engine's default, its command has more than 64 words, or it has a setting not known
 * here
 */
bool container_grant_health(const json_t *check);

/**
 * container_grant_image() - May a container that arrives be made of this image?
 * @image:	From docker_engine_image(); the engine takes settings from it that the configuration
 *		leaves open
 * @err:	Filled in on failure
 *
 * Return: 0, or -EPERM for a health check that container_grant_health() does not grant
 */
int container_grant_image(const json_t *image, struct err *err);

/**
 * container_grant_engine() - Find the engine's defaults for every container
 * @to:		Filled in; nothing if the engine does not tell
 * @info:	From docker_engine_info(); may be NULL
 */
void container_grant_engine(struct container_engine_grant *to, const json_t *info);

/**
 * container_grant_tasks() - Find the rights that the tasks of a container may have
 * @to:		Filled in: rights that the engine gives a container of this configuration
 * @config:	From container_grant_config()
 * @engine:	From container_grant_engine(); the configuration may say otherwise
 */
void container_grant_tasks(struct checkpoint_grant *to, const json_t *config,
			   const struct container_engine_grant *engine);

/**
 * container_grant_closed() - Paths that are closed to a container
 * @to:		Set to them, one a line as in struct checkpoint_grant
 * @size:	Room
 * @inspect:	The engine's description of the container that was created
 *
 * Masks and read-only paths of the engine, as far as this host has them, and mounts that are not
 * writable. Masks below /sys/devices/system/cpu are left out: hosts differ in their CPUs, and the
 * temperature there is no secret that is worth a refusal.
 *
 * Return: 0, or -E2BIG
 */
int container_grant_closed(char *to, size_t size, const json_t *inspect);

/**
 * container_grant_name() - May an image that a peer brought have this name here?
 * @grant:	From container_grant_new()
 * @id:		Id of the image
 * @name:	"REPOSITORY:TAG"
 *
 * Return: true if the service's entry trusts the repository in trusted_images; or trusts the id,
 * and the name is that of the entry's own image. An id alone says nothing about the names of other
 * services.
 */
bool container_grant_name(const json_t *grant, const char *id, const char *name);
