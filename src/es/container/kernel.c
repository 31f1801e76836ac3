/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/kernel.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/err.h"
#include "es/container/config.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"

const char *const container_namespace_names[CONTAINER_NAMESPACES] = {
	[CONTAINER_NS_MNT] = "mnt", [CONTAINER_NS_PID] = "pid", [CONTAINER_NS_NET] = "net",
	[CONTAINER_NS_IPC] = "ipc", [CONTAINER_NS_UTS] = "uts", [CONTAINER_NS_CGROUP] = "cgroup",
};

/* --- wanted properties ------------------------------------------------------------------------ */

/** limit_of() - A limit of a configuration; 0 for none */
static uint64_t limit_of(const json_t *host, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(host, name));

	return value > 0 ? (uint64_t)value : 0;
}

/** namespaces_of() - Which namespaces a container was to have of its own */
static void namespaces_of(bool own[CONTAINER_NAMESPACES], const json_t *host)
{
	static const struct {
		enum container_namespace which;
		const char *mode;
	} modes[] = {
		{ CONTAINER_NS_PID, "PidMode" },
		{ CONTAINER_NS_NET, "NetworkMode" },
		{ CONTAINER_NS_IPC, "IpcMode" },
		{ CONTAINER_NS_UTS, "UTSMode" },
	};

	own[CONTAINER_NS_MNT] = true;
	own[CONTAINER_NS_CGROUP] = !strcmp(json_text(host, "CgroupnsMode", NULL), "private");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		own[modes[i].which] = strcmp(json_text(host, modes[i].mode, NULL), "host") != 0;
}

/**
 * ulimits_of() - Note hard limits of resources; the source's values may not be limits at all
 */
static void ulimits_of(struct container_wanted *to, const json_t *ulimits)
{
	const json_t *item;
	size_t i;

	json_array_foreach(ulimits, i, item)
	{
		const char *name = json_text(item, "Name", NULL);
		const json_t *hard = json_object_get(item, "Hard");
		struct container_ulimit *one = &to->ulimits[to->ulimits_count];

		if (to->ulimits_count == CONTAINER_ULIMITS_MAX || !json_is_integer(hard) ||
		    strlen(name) >= sizeof(one->name))
			continue;
		(void)snprintf(one->name, sizeof(one->name), "%s", name);
		one->hard = (uint64_t)json_integer_value(hard); /* -1 is none */
		to->ulimits_count++;
	}
}

void container_wanted_from(struct container_wanted *to, const json_t *inspect,
			   const json_t *ulimits, const struct checkpoint_grant *tasks)
{
	const json_t *host = json_object_get(inspect, "HostConfig");

	*to = (struct container_wanted){
		.memory = limit_of(host, "Memory"),
		.swap = limit_of(host, "MemorySwap"),
		.nano_cpus = limit_of(host, "NanoCpus"),
		.pids = limit_of(host, "PidsLimit"),
		.oom_score = (int)json_integer_value(json_object_get(host, "OomScoreAdj")),
		.capabilities = tasks->capabilities,
		.filtered = tasks->filtered,
		.no_new_privs = tasks->no_new_privs,
	};
	(void)snprintf(to->id, sizeof(to->id), "%s", json_text(inspect, "Id", NULL));
	(void)snprintf(to->profile, sizeof(to->profile), "%s",
		       tasks->profile ? tasks->profile : "");
	to->apart = container_config_apart(inspect);
	namespaces_of(to->own, host);
	ulimits_of(to, ulimits);
}

/* --- comparing -------------------------------------------------------------------------------- */

/** differs() - Say a difference. Return: -EPERM */
static int __attribute__((format(printf, 2, 3))) differs(struct err *err, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)err_set(err, -EPROTO, "the restored container is not what was asked for: %s", what);
	if (err)
		err->code = -EPERM;
	return err_lasting(err, -EPERM);
}

/** limit_compare() - Compare a limit, if one was asked for */
static int limit_compare(const char *what, uint64_t wanted, uint64_t seen, struct err *err)
{
	if (!wanted || wanted == seen)
		return 0;
	if (seen == CONTAINER_UNLIMITED)
		return differs(err, "it has no limit of %s, not %" PRIu64, what, wanted);
	return differs(err, "its limit of %s is %" PRIu64 ", not %" PRIu64, what, seen, wanted);
}

/** pages() - A limit of memory in whole pages, as the kernel keeps it; no limit stays no limit */
static uint64_t pages(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return bytes == CONTAINER_UNLIMITED ? bytes : bytes / page * page;
}

/** cpu_compare() - systemd rounds a quota up to a hundredth of its period */
static int cpu_compare(const struct container_wanted *wanted,
		       const struct container_limits_seen *seen, struct err *err)
{
	uint64_t least = wanted->nano_cpus / 1000 * seen->cpu_period / 1000000;

	if (wanted->nano_cpus && !seen->cpu_period)
		return differs(err, "it has no limit of CPU time");
	if (!wanted->nano_cpus ||
	    (seen->cpu_quota >= least && seen->cpu_quota <= least + seen->cpu_period / 100))
		return 0;
	return limit_compare("CPU time", least, seen->cpu_quota, err);
}

int container_limits_compare(const struct container_wanted *wanted,
			     const struct container_limits_seen *seen, struct err *err)
{
	int r = limit_compare("memory", pages(wanted->memory), pages(seen->memory), err);

	if (r == 0 && seen->swap)
		r = limit_compare("memory and swap", pages(wanted->swap), pages(seen->swap), err);
	if (r == 0)
		r = cpu_compare(wanted, seen, err);
	if (r == 0)
		r = limit_compare("processes", wanted->pids, seen->pids, err);
	if (r == 0 && seen->devices_open)
		r = differs(err, "devices of the host are open to it");
	return r;
}

/** ulimits_compare() - Compare hard limits of resources: a process may lower them */
static int ulimits_compare(const struct container_wanted *wanted,
			   const struct container_process_seen *seen, struct err *err)
{
	for (size_t i = 0; i < wanted->ulimits_count; i++)
		if (seen->ulimits[i] > wanted->ulimits[i].hard)
			return differs(err, "process %d has a higher ulimit %s", (int)seen->pid,
				       wanted->ulimits[i].name);
	return 0;
}

int container_process_compare(const struct container_wanted *wanted,
			      const struct container_process_seen *seen,
			      const uint64_t host[CONTAINER_NAMESPACES], struct err *err)
{
	int pid = (int)seen->pid;

	if (!seen->groups_own)
		return differs(err, "process %d is not in the container's control group", pid);
	if (seen->oom_score < wanted->oom_score)
		return differs(err, "process %d has the OOM score %d, not %d", pid, seen->oom_score,
			       wanted->oom_score);
	if (*wanted->profile && strcmp(seen->profile, wanted->profile) != 0)
		return differs(err, "process %d has another AppArmor profile than %s", pid,
			       wanted->profile);
	for (size_t i = 0; i < CONTAINER_NAMESPACES; i++)
		if (wanted->own[i] && seen->ns[i] == host[i])
			return differs(err, "process %d is in the host's %s namespace", pid,
				       container_namespace_names[i]);
	return ulimits_compare(wanted, seen, err);
}

int container_ports_compare(const struct container_wanted *wanted, const struct apart_ports *seen,
			    struct err *err)
{
	if (wanted->apart && !seen->all)
		return differs(err, "it is on no bridge of this host");
	if (wanted->apart && seen->open)
		return differs(err, "it can reach other containers of its network");
	return 0;
}

int container_thread_compare(const struct container_wanted *wanted,
			     const struct container_thread_seen *seen, struct err *err)
{
	uint64_t more = seen->capabilities & ~wanted->capabilities;
	int tid = (int)seen->tid;

	if (more)
		return differs(err, "task %d has more capabilities: %#" PRIx64, tid, more);
	if (wanted->filtered && seen->seccomp != 2)
		return differs(err, "task %d has no filter of system calls", tid);
	if (wanted->no_new_privs && !seen->no_new_privs)
		return differs(err, "task %d may get new privileges", tid);
	return 0;
}
