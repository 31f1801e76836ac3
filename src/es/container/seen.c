/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Container seen - reads a restored container's properties from the kernel, see container/kernel.h
 *
 * Its processes are found from the first one down, by their parents, in any control group. One that
 * ends meanwhile is left out.
 */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/err.h"
#include "es/container/kernel.h"
#include "es/system/cgroup.h"

#define STATUS_SIZE 8192 /* bytes of a /proc/PID/status */

/** struct processes - Processes that were found; those before @next have been looked at */
struct processes {
	pid_t pids[CONTAINER_PROCESSES_MAX];
	size_t count;
	size_t next;
};

/** proc_read() - Read the beginning of /proc/PID/NAME as text. Return: whether it is there */
static bool proc_read(char *to, size_t size, pid_t pid, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);
	to[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/** number_after() - The number behind a key at the beginning of a line, 0 if there is none */
static uint64_t number_after(const char *text, const char *key, int base)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, base) : 0;
}

/* --- control groups --------------------------------------------------------------------------- */

/**
 * group_number() - A number of a group's file; CONTAINER_UNLIMITED for "max", a negative one, or no
 * file
 */
static uint64_t group_number(pid_t pid, const char *controller, const char *const files[2])
{
	char text[64];

	if (!cgroup_read(pid, controller, files, text, sizeof(text)) || *text < '0' || *text > '9')
		return CONTAINER_UNLIMITED;
	return strtoull(text, NULL, 10);
}

/** swap_read() - The limit of memory and swap together; 0: none is told */
static uint64_t swap_read(pid_t pid, uint64_t memory)
{
	static const char *const both[2] = { "memory.memsw.limit_in_bytes", NULL };
	static const char *const swap[2] = { NULL, "memory.swap.max" };
	char text[64];

	if (cgroup_read(pid, "memory", both, text, sizeof(text)))
		return strtoull(text, NULL, 10);
	if (!cgroup_read(pid, "memory", swap, text, sizeof(text)))
		return 0;
	if (*text == 'm' || memory == CONTAINER_UNLIMITED)
		return CONTAINER_UNLIMITED;
	return memory + strtoull(text, NULL, 10);
}

/** cpu_read() - "QUOTA PERIOD" in version 2, two files in version 1 */
static void cpu_read(struct container_limits_seen *to, pid_t pid)
{
	static const char *const quota[2] = { "cpu.cfs_quota_us", "cpu.max" };
	static const char *const period[2] = { "cpu.cfs_period_us", NULL };
	char text[64] = "";
	const char *second;

	to->cpu_quota = group_number(pid, "cpu", quota);
	(void)cgroup_read(pid, "cpu", quota, text, sizeof(text));
	second = strchr(text, ' ');
	to->cpu_period = second ? strtoull(second, NULL, 10) : group_number(pid, "cpu", period);
	if (to->cpu_period == CONTAINER_UNLIMITED)
		to->cpu_period = 0;
}

/** devices_open_v2() - Whether no program filters the devices of a group */
static bool devices_open_v2(const char *group)
{
	union bpf_attr attr = { .query = { .attach_type = BPF_CGROUP_DEVICE } };

	auto_close int fd = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	attr.query.target_fd = (uint32_t)fd;
	return fd >= 0 && syscall(SYS_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) == 0 &&
	       attr.query.prog_cnt == 0;
}

/**
 * devices_open() - Whether all devices are open to a process; false also if the kernel does not
 * tell
 */
static bool devices_open(pid_t pid)
{
	static const char *const list[2] = { "devices.list", NULL };
	char group[PATH_MAX];
	char text[64];
	bool v2;

	if (cgroup_find(group, pid, "devices", &v2) < 0)
		return false;
	if (v2)
		return devices_open_v2(group);
	return cgroup_read(pid, "devices", list, text, sizeof(text)) && *text == 'a';
}

static void limits_read(struct container_limits_seen *to, pid_t pid)
{
	static const char *const memory[2] = { "memory.limit_in_bytes", "memory.max" };
	static const char *const pids[2] = { "pids.max", "pids.max" };

	to->memory = group_number(pid, "memory", memory);
	to->swap = swap_read(pid, to->memory);
	cpu_read(to, pid);
	to->pids = group_number(pid, "pids", pids);
	to->devices_open = devices_open(pid);
}

/** groups_own() - Whether each control group that matters is the container's, or in it */
static bool groups_own(pid_t pid, const char *id)
{
	static const char *const controllers[] = { "memory", "cpu", "pids", "devices", "freezer" };
	bool alone = cgroup_unified();
	char group[PATH_MAX];
	bool v2;

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		/*
		 * Beside version 1, version 2 has none of them: this kernel lacks the controller.
		 */
		if (cgroup_find(group, pid, controllers[i], &v2) == 0 && (!v2 || alone) &&
		    !strstr(group, id))
			return false;
	}
	return true;
}

/* --- processes -------------------------------------------------------------------------------- */

/**
 * namespaces_read() - Numbers of the namespaces of a process, 0 where there is none; "self" is us
 */
static void namespaces_read(uint64_t to[CONTAINER_NAMESPACES], const char *process)
{
	char path[64];
	struct stat st;

	for (size_t i = 0; i < CONTAINER_NAMESPACES; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%s/ns/%s", process,
			       container_namespace_names[i]);
		to[i] = stat(path, &st) == 0 ? st.st_ino : 0;
	}
}

/** profile_read() - "PROFILE (enforce)" without its mode */
static void profile_read(char *to, size_t size, pid_t pid)
{
	if (!proc_read(to, size, pid, "attr/apparmor/current") &&
	    !proc_read(to, size, pid, "attr/current"))
		return;
	to[strcspn(to, "\n")] = '\0';
	if (strstr(to, " ("))
		*strstr(to, " (") = '\0';
}

/** ulimit_line() - How /proc/PID/limits calls a limit of the engine's; NULL if it is none */
static const char *ulimit_line(const char *name)
{
	static const char *const names[][2] = {
		{ "core", "Max core file size" },     { "cpu", "Max cpu time" },
		{ "data", "Max data size" },          { "fsize", "Max file size" },
		{ "locks", "Max file locks" },        { "memlock", "Max locked memory" },
		{ "msgqueue", "Max msgqueue size" },  { "nice", "Max nice priority" },
		{ "nofile", "Max open files" },       { "nproc", "Max processes" },
		{ "rss", "Max resident set" },        { "rtprio", "Max realtime priority" },
		{ "rttime", "Max realtime timeout" }, { "sigpending", "Max pending signals" },
		{ "stack", "Max stack size" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i][0], name))
			return names[i][1];
	return NULL;
}

/** ulimit_read() - The hard limit in a text of /proc/PID/limits; 0 if the kernel does not tell */
static uint64_t ulimit_read(const char *text, const char *name)
{
	const char *key = ulimit_line(name);
	const char *line = key ? strstr(text, key) : NULL;
	char hard[32];

	if (!line || sscanf(line + strlen(key), "%*s %31s", hard) != 1)
		return 0;
	return *hard == 'u' ? CONTAINER_UNLIMITED : strtoull(hard, NULL, 10);
}

/** process_read() - Look at a process. Return: whether it is there */
static bool process_read(struct container_process_seen *to, pid_t pid,
			 const struct container_wanted *wanted)
{
	char text[STATUS_SIZE];
	char number[16];

	*to = (struct container_process_seen){ .pid = pid,
					       .groups_own = groups_own(pid, wanted->id) };
	if (!proc_read(text, sizeof(text), pid, "oom_score_adj"))
		return false;
	to->oom_score = atoi(text);
	profile_read(to->profile, sizeof(to->profile), pid);
	(void)snprintf(number, sizeof(number), "%d", (int)pid);
	namespaces_read(to->ns, number);
	if (!proc_read(text, sizeof(text), pid, "limits"))
		return false;
	for (size_t i = 0; i < wanted->ulimits_count; i++)
		to->ulimits[i] = ulimit_read(text, wanted->ulimits[i].name);
	/* One that has ended meanwhile has no namespaces. */
	return to->ns[CONTAINER_NS_MNT] != 0;
}

/** thread_read() - Look at a thread. Return: whether it is there */
static bool thread_read(struct container_thread_seen *to, pid_t pid, pid_t tid)
{
	static const char *const sets[] = { "\nCapInh:\t", "\nCapPrm:\t", "\nCapEff:\t",
					    "\nCapBnd:\t", "\nCapAmb:\t" };
	char name[48];
	char text[STATUS_SIZE];

	(void)snprintf(name, sizeof(name), "task/%d/status", (int)tid);
	if (!proc_read(text, sizeof(text), pid, name))
		return false;
	*to = (struct container_thread_seen){
		.tid = tid,
		.seccomp = (int)number_after(text, "\nSeccomp:\t", 10),
		.no_new_privs = number_after(text, "\nNoNewPrivs:\t", 10) != 0,
	};
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		to->capabilities |= number_after(text, sets[i], 16);
	return true;
}

/** children_add() - Note the processes that a thread has started */
static void children_add(struct processes *all, pid_t pid, pid_t tid)
{
	char path[64];
	int child;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)tid);
	auto_fclose FILE *list = fopen(path, "re");
	while (list && all->count < CONTAINER_PROCESSES_MAX && fscanf(list, "%d", &child) == 1)
		all->pids[all->count++] = child;
}

/** threads_check() - Compare all threads of a process, and note what they have started */
static int threads_check(const struct container_wanted *wanted, struct processes *all, pid_t pid,
			 struct err *err)
{
	char path[64];
	const struct dirent *entry;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	while (r == 0 && tasks && (entry = readdir(tasks))) {
		pid_t tid = atoi(entry->d_name);
		struct container_thread_seen thread;

		if (tid <= 0 || !thread_read(&thread, pid, tid))
			continue;
		r = container_thread_compare(wanted, &thread, err);
		children_add(all, pid, tid);
	}
	if (tasks)
		(void)closedir(tasks);
	return r;
}

int container_kernel_check(const struct container_wanted *wanted, pid_t pid, struct err *err)
{
	struct container_limits_seen limits;
	struct container_process_seen process;
	struct apart_ports ports;
	uint64_t host[CONTAINER_NAMESPACES];
	auto_free struct processes *all = calloc(1, sizeof(*all));
	int r = 0;

	if (!all)
		return err_set(err, -ENOMEM, "look at the restored container");
	if (pid <= 0 || !process_read(&process, pid, wanted))
		return err_set(err, -ESRCH, "look at the restored container");
	namespaces_read(host, "self");
	all->pids[all->count++] = pid;
	while (r == 0 && all->next < all->count) {
		pid_t one = all->pids[all->next++];

		if (!process_read(&process, one, wanted))
			continue;
		r = container_process_compare(wanted, &process, host, err);
		if (r == 0)
			r = threads_check(wanted, all, one, err);
	}
	if (r < 0)
		return r;
	limits_read(&limits, pid);
	r = container_limits_compare(wanted, &limits, err);
	if (r == 0 && wanted->apart)
		r = apart_look(pid, &ports, err);
	return r < 0 || !wanted->apart ? r : container_ports_compare(wanted, &ports, err);
}
