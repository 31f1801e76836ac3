/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Migration plan - what a destination must know and have before the cut; JSON in TRANSFER OFFER
 *
 *     {
 *       "version": 4,
 *       "config": { body of Docker's "create container" },
 *       "image": { "id": "sha256:...", "name": "service:1", "architecture": "amd64",
 *                  "layers": ["sha256:...", ...], "tags": ["service:1", ...], "size": 70000000,
 *                  "digests": ["registry:5000/service@sha256:...", ...] },
 *       "method": "auto", "profile": "baton",                     absent: these.
 *       "host": { "architecture": "x86_64", "kernel": "6.1.0", "criu": "4.2.1",
 *                 "runc": "1.1.5", "cpu": "fpu vme ...",
 *                 "cgroup": "hybrid", "hierarchies": "cpu,cpuacct memory ..." },
 *       "port": 7000,
 *       "volumes": ["/data", ...],               their paths in the container
 *       "bytes": { "memory": 33554432, "layer": 20971520 }     measured before the cut, layer
 *                                                              with volumes
 *     }
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct err;

#define MIGRATION_PLAN_MAX (512u << 10) /* bytes of the JSON text */
#define MIGRATION_SIZE_MAX                                                                         \
	(1ll << 50) /* of memory, layer, image: sums with other sizes do not overflow */

/**
 * migration_host_read() - Describe this host: the plan's "host"
 * @ret:	Set on success only, a new reference
 * @prefix:	Where the private criu is
 * @cancel_fd:	Ends it when readable, or -1
 * @err:	Filled in on failure, e.g. if runc or criu cannot be run
 *
 * Return: 0, or negative error code
 */
int migration_host_read(json_t **ret, const char *prefix, int cancel_fd, struct err *err);

/**
 * migration_runc_remaps() - Must runc be told to carry files that are open and have no name any
 * more?
 * @prefix:	As for migration_host_read()
 *
 * From 1.3 on runc says by RPC whether CRIU is to (link-remap), which wins over what we tell CRIU,
 * and has an option for it. Before that it says nothing, and has none.
 *
 * Return: whether "runc checkpoint" knows the option
 */
bool migration_runc_remaps(const char *prefix);

/**
 * migration_plan_make() - Write the plan for a container
 * @ret:	Set on success only, a new reference
 * @inspect:	The engine's description of the container
 * @image:	and about its image
 * @host:	From migration_host_read(), borrowed
 * @port:	of the service
 * @memory, @layer:	bytes as measured now
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_plan_make(json_t **ret, const json_t *inspect, const json_t *image, json_t *host,
			uint16_t port, uint64_t memory, uint64_t layer, struct err *err);

/**
 * migration_plan_parse() - Read a plan that another edge server sends
 * @ret:	Set on success only, a new reference
 * @text:	JSON
 * @len:	Its length
 * @shared:	Directories that are the same on all edge servers, NULL-terminated; or NULL
 * @err:	Filled in on failure
 *
 * Every member has the right type then, no size is above MIGRATION_SIZE_MAX, and the configuration
 * is one we would take.
 *
 * Return: 0, -EPROTO, or -EPERM
 */
int migration_plan_parse(json_t **ret, const void *text, size_t len, const char *const *shared,
			 struct err *err);

/** migration_plan_fits_host() - Could this host restore it? Return: 0, or -EPERM with the reason */
int migration_plan_fits_host(const json_t *plan, const json_t *host, struct err *err);

/** migration_image_architecture() - How images call the architecture of a machine, "x86_64" ... */
const char *migration_image_architecture(const char *machine);

/**
 * migration_plan_fits_image() - Has an image the same layers?
 *
 * Return: 0, or -EPERM with the reason
 */
int migration_plan_fits_image(const json_t *plan, const json_t *image, struct err *err);

/** migration_plan_layers() - Number of the image's layers */
size_t migration_plan_layers(const json_t *plan);

/**
 * migration_plan_layers_here() - How many of the plan's layers an image shares, from the lowest on
 *
 * Return: their number, 0 if none
 */
size_t migration_plan_layers_here(const json_t *plan, const json_t *image);

/** migration_plan_udp() - Whether the service's port is an UDP port */
bool migration_plan_udp(const json_t *plan);
