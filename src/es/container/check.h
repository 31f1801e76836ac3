/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container check - can this container be moved?
 *
 * It finds things that CRIU cannot dump, or that would mean something else on another host, before
 * the service is touched. Each finding is told with its remedy. The same check serves `baton check`
 * and guards every migration.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

struct docker_engine;
struct err;

#define CONTAINER_PIDS_MAX 4096
#define CONTAINER_OPEN_MAX 131072 /* open files looked at, and lines about what they watch */

/**
 * container_check() - Look at a container: its configuration and its processes
 * @findings:	Set on success only, a new reference to an array, empty if it can be moved
 * @engine:	Asked about its volumes
 * @inspect:	The engine's description of it
 * @shared:	Directories that are the same on all edge servers, NULL-terminated; or NULL
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int container_check(json_t **findings, struct docker_engine *engine, const json_t *inspect,
		    const char *const *shared, struct err *err);

/**
 * container_check_config() - Look at a configuration alone, also one another host sends
 * @findings:	Array to which findings are appended
 * @config:	The engine's Config
 * @host:	and HostConfig
 * @shared:	as for container_check()
 */
void container_check_config(json_t *findings, const json_t *config, const json_t *host,
			    const char *const *shared);

/**
 * container_check_notes() - Note things that do not prevent a move, but that an operator should
 * know
 * @notes:	Array to which they are appended, as findings are
 * @inspect:	The engine's description of it
 * @tmpfs:	Set to the bytes on its tmpfs mounts
 *
 * Return: 0, or -ENOMEM
 */
int container_check_notes(json_t *notes, const json_t *inspect, uint64_t *tmpfs);

/**
 * container_check_image() - Could containers of an image be moved, as far as it tells?
 * @findings:	Array to which obstacles are appended
 * @notes:	and notes that an operator should know
 * @image:	The engine's description of the image
 * @machine:	Architecture of this host, as images call it
 */
void container_check_image(json_t *findings, json_t *notes, const json_t *image,
			   const char *machine);

/**
 * container_check_processes() - Judge the processes of a container, and their open files
 * @findings:	Appended to
 * @pids:	From container_pids()
 * @count:	of them
 *
 * At most CONTAINER_OPEN_MAX open files of all are looked at; more of them are a finding, as the
 * container decides how many there are.
 */
void container_check_processes(json_t *findings, const pid_t *pids, size_t count);

/**
 * container_pids() - All processes in the PID namespace of a container's first process
 * @pids:	Filled in
 * @max:	Room there
 * @init:	First process
 *
 * Return: how many
 */
size_t container_pids(pid_t *pids, size_t max, pid_t init);

/**
 * container_processes() - All processes of a container
 * @init:	Its first process
 * @count:	Set
 *
 * A number that is another process's by now does not lead to all of the host's.
 *
 * Return: to be freed, NULL without memory
 */
pid_t *container_processes(pid_t init, size_t *count);
