/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Container kernel - is a restored container what was asked for, by the kernel's own word?
 *
 * Between what the engine was asked for and what runs there are containerd, runc, systemd and CRIU,
 * of any version. Each of them has already left out something in silence: limits, the filter of
 * devices, the OOM score. So before a copy may get authority, this compares what its processes have
 * with what was asked for (R13).
 *
 * What a process may change by itself is compared in one direction: it has no more rights, and no
 * better place when memory is short, than it was given.
 *
 * Comparing is container/kernel.c, which reads nothing; reading is container/seen.c, which judges
 * nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "es/container/management.h"

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
 * struct container_wanted - What was asked for
 * @id:			of the container
 * @memory, @swap:	bytes; @swap: of both together; 0: nothing was asked for
 * @nano_cpus:		10^-9 CPUs; 0: nothing
 * @pids:		0: nothing
 * @own:		a namespace must not be the host's
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
	struct container_ulimit ulimits[CONTAINER_ULIMITS_MAX];
	size_t ulimits_count;
};

/**
 * struct container_limits_seen - What the control group of the first process says
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
 * struct container_process_seen - What the kernel says about a process
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
 * struct container_thread_seen - What the kernel says about a thread; @capabilities: of all five
 * sets together
 */
struct container_thread_seen {
	pid_t tid;
	uint64_t capabilities;
	int seccomp;
	bool no_new_privs;
};

/**
 * container_wanted_from() - Note what was asked for
 * @to:		Filled in
 * @inspect:	What the engine says about the container
 * @ulimits:	"Ulimits" as they were asked for, or NULL; what cannot be one is left out
 * @tasks:	What its tasks may have
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

/** container_thread_compare() - The same for a thread */
int container_thread_compare(const struct container_wanted *wanted,
			     const struct container_thread_seen *seen, struct err *err);

/**
 * container_kernel_check() - Compare all of a container with what was asked for
 * @wanted:	That
 * @pid:	Its first process
 * @err:	Filled in on failure, with the first difference
 *
 * Return: 0, -EPERM for a difference, which lasts; -ESRCH if the first process is gone; or another
 * negative error code
 */
int container_kernel_check(const struct container_wanted *wanted, pid_t pid, struct err *err);
