/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container configuration - makes the configuration of a new container for Docker
 *
 * A replica gets the whole configuration of the container that it continues. It is taken from the
 * description of the source's engine, not from a list of settings that we happen to know. This file
 * names the settings that are left out on purpose; all others are carried over.
 */

#include <stdint.h>

#include <jansson.h>

#include "es/container/management.h"

struct err;

/**
 * container_config_for_service() - Configuration of a session's first container
 * @ret:	Set on success only, a new reference
 * @service:	How it is made
 * @runtime:	Name of baton-runtime at the engine
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int container_config_for_service(json_t **ret, const struct container_service *service,
				 const char *runtime, struct err *err);

/**
 * container_config_clone() - Configuration that makes a container like an existing one
 * @ret:	Set on success only, a new reference
 * @inspect:	The engine's description of the existing one
 * @err:	Filled in on failure
 *
 * Left out are settings of the one engine (ContainerIDFile, addresses, MAC, network ids) and those
 * of the attached client (Attach*, StdinOnce). Networks are carried by name. Volumes become volumes
 * of its own (container/mounts.h).
 *
 * Return: 0, or negative error code
 */
int container_config_clone(json_t **ret, const json_t *inspect, struct err *err);

/**
 * container_config_apart() - Whether a container is to be kept apart from others (base/apart.h)
 * @inspect:	The engine's description of it
 */
bool container_config_apart(const json_t *inspect);

/**
 * container_config_adapt() - Fit a configuration to the engine and the session it is for
 * @config:	Changed in place
 * @image:	Image to use; NULL: leave it
 * @runtime:	Name of baton-runtime at this engine
 * @session, @epoch, @service, @port:	for the labels
 *
 * The container will be kept apart from others, whatever was asked for.
 *
 * Return: 0, or -ENOMEM
 */
int container_config_adapt(json_t *config, const char *image, const char *runtime, uint64_t session,
			   uint32_t epoch, const char *service, uint16_t port);

/**
 * container_found_from() - Read our labels from a container's configuration
 * @to:		Filled in (but for the address)
 * @labels:	Object of labels
 *
 * Return: 0, or -EINVAL if it is none of ours
 */
int container_found_from(struct container_found *to, const json_t *labels);

/**
 * container_address_from() - Where a running container is reached
 * @to:		Filled in; ip stays empty if it has no address
 * @inspect:	The engine's description of it
 * @port:	Port of the service
 */
void container_address_from(struct container_address *to, const json_t *inspect, uint16_t port);

/**
 * container_udp_bound() - Whether a socket in a process's network namespace is bound to an UDP port
 *
 * Return: false also if it is unknown
 */
bool container_udp_bound(pid_t pid, uint16_t port);

/**
 * container_port_wait() - Wait until the service accepts a connection
 * @where:	Container
 * @timeout_ms:	Longest wait
 * @cancel_fd:	Ends the wait when readable, or -1
 * @err:	Filled in on failure
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, or another negative error code
 */
int container_port_wait(const struct container_address *where, uint32_t timeout_ms, int cancel_fd,
			struct err *err);
