/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container grant - what of a foreign configuration this edge server grants a container that arrives
 *
 * The configuration of CT-y is made here, from this edge server's own entry of the service. What the
 * source says about CT-x adds only what is on a list (container_grant.c): what concerns the inside of
 * the container alone (environment, command, user, host name), and limits not above our own. Anything
 * else must be what our entry says, or nothing; otherwise the container is refused, with the name of the
 * setting, for a copy that lacks what was asked for would not be the container that was (R13). So a
 * peer with a valid certificate cannot have a container with rights that nobody here has given (R16).
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct checkpoint_grant;
struct container_service;
struct err;

/**
 * container_grant_new() - What this edge server grants containers of a service
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
 * Return: 0, -EPERM for what is not granted, or -ENOMEM
 */
int container_grant_config(json_t **ret, const json_t *grant, const json_t *asked, uint16_t port,
			   struct err *err);

/**
 * container_grant_tasks() - What the tasks of a container may have
 * @to:		Filled in: what the engine gives a container of this configuration
 * @config:	From container_grant_config()
 * @filters:	The engine filters system calls unless it is told not to
 * @apparmor:	It gives containers a profile of AppArmor
 */
void container_grant_tasks(struct checkpoint_grant *to, const json_t *config, bool filters,
			   bool apparmor);

/**
 * container_grant_closed() - Paths that a container may at most read
 * @to:		Set to them, one a line
 * @size:	Room
 * @inspect:	What the engine says about the container that was created
 *
 * Masks and read-only paths of the engine, as far as this host has them, and mounts that are not writable.
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
 * Return: true if the service's entry trusts the id, or the repository, in trusted_images
 */
bool container_grant_name(const json_t *grant, const char *id, const char *name);
