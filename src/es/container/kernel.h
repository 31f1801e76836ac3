/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container kernel - compares a restored container, as the kernel shows it, with its configuration
 *
 * Between the engine and the running processes there are containerd, runc, systemd and CRIU, of any
 * version. Each of them has already dropped a setting in silence: limits, the filter of devices,
 * the OOM score. So before a replica may get authority, this compares the properties of its
 * processes with the configuration that was asked for (R13).
 *
 * Properties that a process may change by itself are compared in one direction: it has no more
 * rights, and no better rank when memory is short, than it was given.
 *
 * container/kernel.c compares, and reads nothing; container/seen.c reads, and judges nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "es/container/management.h"

struct apart_ports;
struct checkpoint_grant;
struct err;

#define CONTAINER_ULIMITS_MAX 16 /* that are compared; an engine knows as many kinds */
#define CONTAINER_PROCESSES_MAX                                                                    \
	4096 /* that are looked at; others have only been judged in the checkpoint */
#define CONTAINER_UNLIMITED UINT64_MAX

/* The namespaces that are looked at; names are those in /proc/PID/ns */
enum container_namespace {
	CONTAINER_NS_MNT,
	CONTAINER_NS_PID,
	CONTAINER_NS_NET,
	CONTAINER_NS_IPC,
	CONTAINER_NS_UTS,
	CONTAINER_NS_CGROUP,
	CONTAINER_NAMESPACES,
};

extern const char *const container_namespace_names[CONTAINER_NAMESPACES];

/** struct container_ulimit - A hard limit of resources; @name as the engine says it, "nofile" */
struct container_ulimit {
	char name[16];
	uint64_t hard;
};

/**
 * struct container_wanted - Properties that were asked for
 * @id:			of the container
 * @memory, @swap:	bytes; @swap: of both together; 0: nothing was asked for
 * @nano_cpus:		10^-9 CPUs; 0: nothing
 * @pids:		0: nothing
 * @own:		a namespace must not be the host's
 * @apart:		it does not reach other containers of its network
 */
struct container_wanted {
	char id[CONTAINER_ID_SIZE];
	uint64_t memory;
	uint64_t swap;
	uint64_t nano_cpus;
	uint64_t pids;
	int oom_score;
	uint64_t capabilities;
	bool filtered;
	bool no_new_privs;
	char profile[128];
	bool own[CONTAINER_NAMESPACES];
	bool apart;
	struct container_ulimit ulimits[CONTAINER_ULIMITS_MAX];
	size_t ulimits_count;
};

/**
 * struct container_limits_seen - Limits in the control group of the first process
 * @swap:		of both together, as version 1 counts; 0: this kernel does not say
 * @cpu_quota, @cpu_period:	microseconds
 * @devices_open:	it filters no devices
 */
struct container_limits_seen {
	uint64_t memory;
	uint64_t swap;
	uint64_t cpu_quota;
	uint64_t cpu_period;
	uint64_t pids;
	bool devices_open;
};

/**
 * struct container_process_seen - Properties of a process, from the kernel
 * @groups_own:	its control groups are the container's, or in them: their paths have its id
 * @ns:		numbers of its namespaces
 * @ulimits:	those that were asked for, in the same order
 */
struct container_process_seen {
	pid_t pid;
	bool groups_own;
	int oom_score;
	char profile[128];
	uint64_t ns[CONTAINER_NAMESPACES];
	uint64_t ulimits[CONTAINER_ULIMITS_MAX];
};

/**
 * struct container_thread_seen - Properties of a thread, from the kernel; @capabilities: of all
 * five sets together
 */
struct container_thread_seen {
	pid_t tid;
	uint64_t capabilities;
	int seccomp;
	bool no_new_privs;
};

/**
 * container_wanted_from() - Note the properties that were asked for
 * @to:		Filled in
 * @inspect:	The engine's description of the container
 * @ulimits:	"Ulimits" as they were asked for, or NULL; an invalid one is left out
 * @tasks:	Rights that its tasks may have
 */
void container_wanted_from(struct container_wanted *to, const json_t *inspect,
			   const json_t *ulimits, const struct checkpoint_grant *tasks);

/** container_limits_compare() - Return: 0, or -EPERM with the difference in @err */
int container_limits_compare(const struct container_wanted *wanted,
			     const struct container_limits_seen *seen, struct err *err);

/** container_process_compare() - The same for a process. @host: numbers of our own namespaces */
int container_process_compare(const struct container_wanted *wanted,
			      const struct container_process_seen *seen,
			      const uint64_t host[CONTAINER_NAMESPACES], struct err *err);

/** container_ports_compare() - The same for the ports of the first process's network */
int container_ports_compare(const struct container_wanted *wanted, const struct apart_ports *seen,
			    struct err *err);

/** container_thread_compare() - The same for a thread */
int container_thread_compare(const struct container_wanted *wanted,
			     const struct container_thread_seen *seen, struct err *err);

/**
 * container_kernel_check() - Compare a container with the properties that were asked for
 * @wanted: The properties
 * @pid:	Its first process
 * @err:	Filled in on failure, with the first difference
 *
 * Return: 0, -EPERM for a difference, which lasts; -ESRCH if the first process is gone; or another
 * negative error code
 */
int container_kernel_check(const struct container_wanted *wanted, pid_t pid, struct err *err);
