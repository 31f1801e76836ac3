/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A restored container is compared with what was asked for: each difference is said, and only differences (R13)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/err.h"
#include "es/container/kernel.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"
#include "es/system/cgroup.h"

static const uint64_t host_ns[CONTAINER_NAMESPACES] = { 1, 2, 3, 4, 5, 6 };

/* What an engine says about a container, and what was asked for of ulimits */
static const char inspect_text[] =
	"{\"Id\":\"c0ffee\",\"HostConfig\":{\"Memory\":314572801,\"MemorySwap\":629145602,"
	"\"NanoCpus\":700000000,\"PidsLimit\":77,\"OomScoreAdj\":300,\"CgroupnsMode\":\"private\","
	"\"NetworkMode\":\"default\",\"PidMode\":\"\",\"IpcMode\":\"private\",\"UTSMode\":\"host\"}"
	"}";
static const char ulimits_text[] = "[{\"Name\":\"nofile\",\"Hard\":3000,\"Soft\":2000},"
				   "{\"Name\":\"core\",\"Hard\":-1,\"Soft\":-1}]";

static void wanted_make(struct container_wanted *to, const char *inspect_json,
			const char *ulimits_json)
{
	const struct checkpoint_grant tasks = { .capabilities = 0xff,
						.filtered = true,
						.no_new_privs = true,
						.profile = "docker-default" };
	json_t *inspect = json_loads(inspect_json, 0, NULL);
	json_t *ulimits = json_loads(ulimits_json, JSON_DECODE_ANY, NULL);

	assert_non_null(inspect);
	container_wanted_from(to, inspect, ulimits, &tasks);
	json_decref(inspect);
	json_decref(ulimits);
}

static void test_wanted(void **state)
{
	static const bool own[CONTAINER_NAMESPACES] = { true, true, true, true, false, true };
	struct container_wanted w;

	(void)state;
	wanted_make(&w, inspect_text, ulimits_text);
	assert_string_equal(w.id, "c0ffee");
	assert_int_equal(w.memory, 314572801);
	assert_int_equal(w.swap, 629145602);
	assert_int_equal(w.nano_cpus, 700000000);
	assert_int_equal(w.pids, 77);
	assert_int_equal(w.oom_score, 300);
	assert_int_equal(w.capabilities, 0xff);
	assert_string_equal(w.profile, "docker-default");
	assert_memory_equal(w.own, own, sizeof(own));
	assert_int_equal(w.ulimits_count, 2);
	assert_string_equal(w.ulimits[0].name, "nofile");
	assert_int_equal(w.ulimits[0].hard, 3000);
	assert_true(w.ulimits[1].hard == CONTAINER_UNLIMITED);
}

/* Nothing asked for, in any way of saying so; and nonsense of a peer */
static void test_wanted_nothing(void **state)
{
	char many[4096] = "[";
	struct container_wanted w;

	(void)state;
	wanted_make(&w,
		    "{\"HostConfig\":{\"Memory\":0,\"MemorySwap\":-1,\"PidsLimit\":null,"
		    "\"NetworkMode\":\"host\",\"CgroupnsMode\":\"host\"}}",
		    "null");
	assert_int_equal(w.memory + w.swap + w.nano_cpus + w.pids, 0);
	assert_int_equal(w.ulimits_count, 0);
	assert_false(w.own[CONTAINER_NS_NET]);
	assert_false(w.own[CONTAINER_NS_CGROUP]);
	assert_true(w.own[CONTAINER_NS_MNT]);
	wanted_make(&w, "{}",
		    "[7,{},{\"Name\":7,\"Hard\":7},{\"Name\":\"nofile\",\"Hard\":\"7\"},"
		    "{\"Name\":\"a name that is too long\",\"Hard\":7}]");
	assert_int_equal(w.ulimits_count, 1);
	for (size_t i = 0; i < 100; i++)
		strcat(many, "{\"Name\":\"nofile\",\"Hard\":7},");
	strcat(many, "7]");
	wanted_make(&w, "{}", many);
	assert_int_equal(w.ulimits_count, CONTAINER_ULIMITS_MAX);
}

static const struct container_limits_seen good_limits = {
	.memory = 314572800, .swap = 629145600, .cpu_quota = 70000, .cpu_period = 100000, .pids = 77
};

/** limits() - Compare; @text: what must be said, NULL if nothing */
static void limits(struct container_limits_seen seen, const char *text)
{
	struct container_wanted w;
	struct err err = { 0 };

	wanted_make(&w, inspect_text, ulimits_text);
	assert_int_equal(container_limits_compare(&w, &seen, &err), text ? -EPERM : 0);
	assert_int_equal(err.lasting, text != NULL);
	if (text && !strstr(err.text, text))
		fail_msg("%s", err.text);
}

static void test_limits(void **state)
{
	struct container_limits_seen seen = good_limits;

	(void)state;
	limits(seen, NULL);
	seen.memory = CONTAINER_UNLIMITED;
	limits(seen, "it has no limit of memory, not 314572800");
	seen.memory = 4096;
	limits(seen, "its limit of memory is 4096, not 314572800");
	seen = good_limits;
	seen.swap = 0; /* this kernel does not say */
	limits(seen, NULL);
	seen.swap = CONTAINER_UNLIMITED;
	limits(seen, "memory and swap");
	seen = good_limits;
	seen.cpu_quota = 71000; /* rounded by systemd */
	limits(seen, NULL);
	seen.cpu_quota = 71001;
	limits(seen, "its limit of CPU time is 71001, not 70000");
	seen.cpu_quota = 69999;
	limits(seen, "CPU time");
	seen.cpu_quota = CONTAINER_UNLIMITED;
	limits(seen, "it has no limit of CPU time");
	seen = good_limits;
	seen.cpu_quota = 35000;
	seen.cpu_period = 50000;
	limits(seen, NULL);
	seen.cpu_period = 0;
	limits(seen, "CPU time");
	seen = good_limits;
	seen.pids = CONTAINER_UNLIMITED;
	limits(seen, "it has no limit of processes, not 77");
	seen = good_limits;
	seen.devices_open = true;
	limits(seen, "devices of the host are open to it");
}

/* Who asked for no limits may have some, of the engine's or of systemd's. */
static void test_no_limits(void **state)
{
	const struct container_limits_seen none = { .memory = CONTAINER_UNLIMITED,
						    .cpu_quota = CONTAINER_UNLIMITED,
						    .pids = CONTAINER_UNLIMITED };
	struct container_wanted w;
	struct err err;

	(void)state;
	wanted_make(&w, "{\"Id\":\"c0ffee\",\"HostConfig\":{}}", "null");
	assert_int_equal(container_limits_compare(&w, &good_limits, &err), 0);
	assert_int_equal(container_limits_compare(&w, &none, &err), 0);
}

static const struct container_process_seen good_process = { .pid = 42,
							    .groups_own = true,
							    .oom_score = 300,
							    .profile = "docker-default",
							    .ns = { 11, 12, 13, 14, 5, 16 },
							    .ulimits = { 3000,
									 CONTAINER_UNLIMITED } };

static void process(struct container_process_seen seen, const char *text)
{
	struct container_wanted w;
	struct err err = { 0 };

	wanted_make(&w, inspect_text, ulimits_text);
	assert_int_equal(container_process_compare(&w, &seen, host_ns, &err), text ? -EPERM : 0);
	if (text && !strstr(err.text, text))
		fail_msg("%s", err.text);
}

static void test_process(void **state)
{
	struct container_process_seen seen = good_process;

	(void)state;
	process(seen, NULL);
	seen.groups_own = false;
	process(seen, "process 42 is not in the container's control group");
	seen = good_process;
	seen.oom_score = -998;
	process(seen, "process 42 has the OOM score -998, not 300");
	seen.oom_score = 1000; /* a process may put itself forward */
	process(seen, NULL);
	seen = good_process;
	memcpy(seen.profile, "unconfined", sizeof("unconfined"));
	process(seen, "another AppArmor profile than docker-default");
	seen = good_process;
	seen.ns[CONTAINER_NS_NET] = host_ns[CONTAINER_NS_NET];
	process(seen, "is in the host's net namespace");
	seen = good_process;
	seen.ns[CONTAINER_NS_CGROUP] = host_ns[CONTAINER_NS_CGROUP];
	process(seen, "is in the host's cgroup namespace");
	seen = good_process;
	seen.ulimits[0] = 3001;
	process(seen, "has a higher ulimit nofile");
	seen.ulimits[0] = 100; /* it may lower them */
	process(seen, NULL);
}

static void thread(struct container_thread_seen seen, const char *text)
{
	struct container_wanted w;
	struct err err = { 0 };

	wanted_make(&w, inspect_text, ulimits_text);
	assert_int_equal(container_thread_compare(&w, &seen, &err), text ? -EPERM : 0);
	if (text && !strstr(err.text, text))
		fail_msg("%s", err.text);
}

static void test_thread(void **state)
{
	const struct container_thread_seen good = {
		.tid = 43, .capabilities = 0x0f, .seccomp = 2, .no_new_privs = true
	};
	struct container_thread_seen seen = good;

	(void)state;
	thread(seen, NULL);
	seen.capabilities = 0x1ff;
	thread(seen, "task 43 has more capabilities: 0x100");
	seen = good;
	seen.seccomp = 0;
	thread(seen, "task 43 has no filter of system calls");
	seen = good;
	seen.no_new_privs = false;
	thread(seen, "task 43 may get new privileges");
}

/** refused() - What is said of a process of this machine. Return: whether it is refused */
static bool refused(const struct container_wanted *w, pid_t pid, const char *text)
{
	struct err err = { 0 };
	int r = container_kernel_check(w, pid, &err);

	assert_true(r == 0 || (r == -EPERM && strstr(err.text, text)));
	return r < 0;
}

/** family() - Be a process that gives up new privileges, and has a child that does not; never returns */
static _Noreturn void family(int ready)
{
	pid_t parent = getpid();

	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent && write(ready, "+", 1) == 1)
			(void)pause();
		_exit(0);
	}
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)!write(ready, "+", 1);
	for (;;)
		(void)pause();
}

/* A child of ours has what we have, nothing of a container. What is true of it is found, also a level below. */
static void test_reader(void **state)
{
	struct container_wanted w = { .capabilities = ~0ull, .oom_score = -1000 };
	char group[PATH_MAX];
	struct err err = { 0 };
	int ready[2];
	char both[2];
	bool v2;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0)
		family(ready[1]);
	assert_int_equal(read(ready[0], both, 1) + read(ready[0], both, 1), 2);
	/* Every path has an empty id in it. Devices are open to us here and there. */
	(void)refused(&w, child, "devices");
	w.no_new_privs = true;
	assert_true(refused(&w, child, "may get new privileges"));
	w.no_new_privs = false;
	w.oom_score = 1000;
	assert_true(refused(&w, child, "OOM score"));
	w.oom_score = -1000;
	w.own[CONTAINER_NS_UTS] = true;
	assert_true(refused(&w, child, "uts namespace"));
	w.own[CONTAINER_NS_UTS] = false;
	w.ulimits[0] = (struct container_ulimit){ "nofile", 1 };
	w.ulimits_count = 1;
	assert_true(refused(&w, child, "ulimit nofile"));
	memcpy(w.id, "c0ffee", 7);
	if (cgroup_find(group, child, "memory", &v2) == 0 && (!v2 || cgroup_unified()))
		assert_true(refused(&w, child, "control group"));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(container_kernel_check(&w, child, &err), -ESRCH);
	assert_int_equal(container_kernel_check(&w, 0, &err), -ESRCH);
	close(ready[0]);
	close(ready[1]);
}

/* A container that is to be kept apart must be so, at each port; another one is none of ours to judge. */
static void test_ports(void **state)
{
	struct apart_ports seen = { .all = 1 };
	struct container_wanted w;
	struct err err = { 0 };

	(void)state;
	wanted_make(&w, inspect_text, ulimits_text);
	assert_false(w.apart);
	seen.open = 1;
	assert_int_equal(container_ports_compare(&w, &seen, &err), 0);
	wanted_make(&w, "{\"Config\":{\"Env\":[\"A=b\",\"BATON_APART=yes\"]},\"HostConfig\":{}}",
		    "null");
	assert_true(w.apart);
	assert_int_equal(container_ports_compare(&w, &seen, &err), -EPERM);
	assert_non_null(strstr(err.text, "it can reach other containers"));
	assert_true(err.lasting);
	seen.open = 0;
	assert_int_equal(container_ports_compare(&w, &seen, &err), 0);
	seen.all = 0;
	assert_int_equal(container_ports_compare(&w, &seen, &err), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wanted),  cmocka_unit_test(test_wanted_nothing),
		cmocka_unit_test(test_limits),  cmocka_unit_test(test_no_limits),
		cmocka_unit_test(test_process), cmocka_unit_test(test_thread),
		cmocka_unit_test(test_reader),  cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
