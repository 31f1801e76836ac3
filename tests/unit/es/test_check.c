/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "es/container/check.h"
#include "es/container/findings.h"
#include "es/container/mounts.h"
#include "es/container/open_files.h"
#include "es/engine/docker_engine.h"
#include "es/files/layer.h"
#include "es/migration/predict.h"
#include "es/system/cgroup.h"

/* As measured: the container of `make demo` in 4.8 s, and 929 MB of image beside it in 37 s. */
static void test_predict(void **state)
{
	struct migration_sizes s = { .memory = 29400000,
				     .files = 21000000,
				     .image = 929000000,
				     .rate = 10000000,
				     .rtt_us = 200000 };
	uint64_t total = migration_predict_total(&s, false);
	uint64_t whole = migration_predict_total(&s, true);

	(void)state;
	assert_true(total > 3800000 && total < 5800000);
	assert_true(whole > 29000000 && whole < 45000000);
	assert_true(migration_predict_freeze(&s) < 300000);
	/* More takes longer; a faster link does not make the freeze shorter. */
	s.rate *= 10;
	assert_true(migration_predict_total(&s, false) < total);
	uint64_t freeze = migration_predict_freeze(&s);
	s.tmpfs = 32u << 20;
	assert_true(migration_predict_freeze(&s) > freeze + 100000);
	s.rate = 1;
	assert_true(migration_predict_total(&s, true) > whole);
}

/** image() - Check an image: how many findings and notes it must have, and a word of the first finding */
static void image(const char *text, size_t findings, size_t notes, const char *word)
{
	json_t *json = json_loads(text, 0, NULL);
	json_t *found = json_array();
	json_t *noted = json_array();

	assert_non_null(json);
	container_check_image(found, noted, json, "amd64");
	assert_int_equal(json_array_size(found), findings);
	assert_int_equal(json_array_size(noted), notes);
	if (findings)
		assert_non_null(strstr(json_text(json_array_get(found, 0), "what", NULL), word));
	json_decref(json);
	json_decref(found);
	json_decref(noted);
}

static void test_image(void **state)
{
	(void)state;
	image("{\"Architecture\":\"amd64\",\"Config\":{\"ExposedPorts\":{\"80/tcp\":{}},"
	      "\"User\":\"\",\"Volumes\":null,\"Healthcheck\":null}}",
	      0, 0, "");
	image("{\"Architecture\":\"\",\"Config\":{\"ExposedPorts\":{\"80/"
	      "tcp\":{}},\"User\":\"0:5\"}}",
	      0, 0, "");
	image("{\"Architecture\":\"arm64\",\"Config\":{\"User\":\"root\"}}", 1, 1,
	      "it is for arm64");
	image("{\"Architecture\":\"amd64\",\"Config\":{\"Volumes\":{\"/a\":{},\"/b\":{}},"
	      "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"]}}}",
	      0, 4, "");
	image("{\"Config\":{\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/0\":{},\"/1\":{},"
	      "\"/2\":{},\"/3\":{},\"/4\":{},\"/5\":{},\"/6\":{},\"/7\":{},\"/8\":{},\"/9\":{},"
	      "\"/a\":{},\"/b\":{},\"/c\":{},\"/d\":{},\"/e\":{},\"/f\":{},\"/g\":{}}}}",
	      1, 17, "declares 17 volumes");
}

/* Regular files count, with what they take of the disk; links do not lead elsewhere. */
static void test_measure(void **state)
{
	char dir[] = "/tmp/baton-measure-XXXXXX";
	char command[400];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(command, sizeof(command),
		       "cd %s && mkdir -p a/b && head -c 8192 /dev/zero >a/b/x && ln -s /usr a/l &&"
		       "truncate -s 1M a/hole && head -c 100 /dev/zero >small && mkfifo p",
		       dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(layer_measure(dir, NULL), 8292);
	size_t entries = 100;
	assert_int_equal(layer_measure(dir, &entries), 8292);
	assert_in_range(entries, 90, 99);
	entries = 1; /* R9: it says that it has not seen all */
	assert_in_range(layer_measure(dir, &entries), 0, 8291);
	assert_int_equal(entries, 0);
	assert_int_equal(layer_measure("/nowhere", NULL), 0);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* A container with very many open files is refused in good time: here one process counts as many. */
static void test_many_files(void **state)
{
	enum { FILES = 512, PROCESSES = CONTAINER_OPEN_MAX / FILES };
	pid_t pids[PROCESSES];
	int open_here[FILES];
	json_t *found = json_array();

	(void)state;
	for (size_t i = 0; i < PROCESSES; i++)
		pids[i] = getpid();
	container_check_processes(found, pids, PROCESSES);
	assert_int_equal(json_array_size(found), 0);
	for (size_t i = 0; i < FILES; i++) {
		open_here[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(open_here[i] >= 0);
	}
	container_check_processes(found, pids, PROCESSES);
	for (size_t i = 0; i < FILES; i++)
		close(open_here[i]);
	assert_int_equal(json_array_size(found), 1);
	assert_non_null(strstr(json_text(json_array_get(found, 0), "what", NULL), "131072"));
	json_decref(found);
}

/** deep_mount() - In a mount namespace of its own: mount something whose line in mountinfo is very long */
static int deep_mount(const char *base)
{
	char name[201];
	json_t *found = json_array();
	int r;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    chdir(base) < 0)
		return 77;
	container_mountinfo_check(found, getpid());
	if (json_array_size(found))
		return 1;
	for (int i = 0; i < 18; i++)
		if (mkdir(name, 0700) < 0 || chdir(name) < 0)
			return 2;
	if (mount(".", ".", NULL, MS_BIND, NULL) < 0)
		return 77;
	container_mountinfo_check(found, getpid());
	r = json_array_size(found) == 1 && strstr(json_text(json_array_get(found, 0), "what", NULL),
						  "so many layers")
		    ? 0
		    : 3;
	json_decref(found);
	return r;
}

/* CRIU reads no line of mountinfo of more than 4 KiB: found before anything is sent. */
static void test_long_mountinfo(void **state)
{
	char dir[] = "/tmp/baton-deep-XXXXXX";
	char command[64];
	int status = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	pid_t child = fork();
	if (child == 0)
		_exit(deep_mount(dir));
	assert_int_equal(waitpid(child, &status, 0), child);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	if (WEXITSTATUS(status) == 77) {
		print_message("SKIP: nothing can be mounted here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

/** config() - Check a HostConfig: the one finding it must have, or none */
static void config(const char *host, const char *word)
{
	json_t *json = json_loads(host, 0, NULL);
	json_t *empty = json_object();
	json_t *found = json_array();

	assert_non_null(json);
	container_check_config(found, empty, json, NULL);
	assert_int_equal(json_array_size(found), *word ? 1 : 0);
	if (*word) {
		assert_non_null(strstr(json_text(json_array_get(found, 0), "what", NULL), word));
		assert_true(findings_lasting(found));
	}
	json_decref(json);
	json_decref(empty);
	json_decref(found);
}

/* What names something of one host has no meaning at another one. */
static void test_host_config(void **state)
{
	(void)state;
	config("{}", "");
	config("{\"CgroupnsMode\":\"private\",\"UsernsMode\":\"\",\"CgroupParent\":\"\","
	       "\"DeviceCgroupRules\":null,\"Links\":[],\"CpusetCpus\":\"\",\"IpcMode\":"
	       "\"private\"}",
	       "");
	config("{\"CgroupnsMode\":\"host\"}", cgroup_unified() ? "control groups of its host" : "");
	config("{\"UsernsMode\":\"host\"}", "its UsernsMode is host");
	config("{\"PidMode\":\"container:other\"}", "its PidMode is container:other");
	config("{\"CgroupParent\":\"/system.slice\"}", "below one of its host (/system.slice)");
	config("{\"DeviceCgroupRules\":[\"c 1:3 rwm\"]}", "devices of its host");
	config("{\"Links\":[\"/db:/web/db\"]}", "linked to other containers");
	config("{\"CpusetCpus\":\"0-1\"}", "bound to CPUs of its host (0-1)");
	config("{\"VolumeDriver\":\"nfs\"}", "by the driver (nfs)");
	config("{\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/sda\",\"Rate\":1}]}", "disk of its host");
}

/* A read-only mount is looked for at its path, so it must be there; others are not compared */
static void test_closed_mounts(void **state)
{
	json_t *findings = json_array();
	json_t *inspect =
		json_pack("{s:{s:i}, s:[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}]}", "State", "Pid",
			  (int)getpid(), "Mounts", "Destination", "/proc", "RW", 0, "Destination",
			  "/var/run/x", "RW", 0, "Destination", "/var/run/y", "RW", 1);

	(void)state;
	container_mounts_check_closed(findings, inspect);
	assert_int_equal(json_array_size(findings), 1);
	assert_string_equal(json_text(json_array_get(findings, 0), "what", NULL),
			    "its read-only mount at /var/run/x lies behind a link of the image");
	json_decref(findings);
	json_decref(inspect);
}

/* A line has whole findings, and says how many it has not. */
static void test_refusal(void **state)
{
	json_t *findings = json_array();
	struct err err = { 0 };
	char path[400];

	(void)state;
	assert_int_equal(findings_refusal(findings, &err), 0);
	/* what a container chose is shown, and does not keep a finding out of the list */
	finding_add_now(findings, "continue it", "process 12 (%s) is stopped", "\033[2J\xff");
	assert_int_equal(findings_refusal(findings, &err), -EPERM);
	assert_non_null(strstr(err.text, "process 12 (?[2J?) is stopped"));
	(void)json_array_clear(findings);
	finding_add_now(findings, "continue it", "process %d is stopped", 12);
	assert_false(findings_lasting(findings));
	assert_int_equal(findings_refusal(findings, &err), -EPERM);
	assert_string_equal(err.text,
			    "the container cannot be moved: process 12 is stopped (continue it)");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	finding_add(findings, "close it", "it has %s open", path);
	finding_add(findings, "end it", "it does more");
	assert_true(findings_lasting(findings));
	assert_int_equal(findings_refusal(findings, &err), -EPERM);
	assert_string_equal(err.text,
			    "the container cannot be moved: process 12 is stopped (continue "
			    "it); and 2 more, see baton check");
	/* One that is too long alone ends after a word. */
	(void)json_array_remove(findings, 0);
	(void)json_array_remove(findings, 1);
	assert_int_equal(findings_refusal(findings, &err), -EPERM);
	assert_string_equal(err.text, "the container cannot be moved: it has ...");
	json_decref(findings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_predict),     cmocka_unit_test(test_image),
		cmocka_unit_test(test_host_config), cmocka_unit_test(test_closed_mounts),
		cmocka_unit_test(test_refusal),     cmocka_unit_test(test_measure),
		cmocka_unit_test(test_many_files),  cmocka_unit_test(test_long_mountinfo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
