/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bundle: Landlock is closed to a container, with each kind of seccomp profile, and so is MPTCP
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "runtime/bundle.h"

#define RULE                                                                                       \
	"{\"names\":[\"landlock_create_ruleset\",\"landlock_add_rule\",\"landlock_restrict_"       \
	"self\"],"                                                                                 \
	"\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}"

#define APART "\"process\":{\"env\":[\"BATON_LANDLOCK=keep\",\"BATON_APART=yes\"]}"

/* with it an edit changes nothing */
#define KEPT "\"process\":{\"env\":[\"BATON_LANDLOCK=keep\"]}"

static void edit(const char *from, const char *expected)
{
	auto_free char *to = bundle_config_edit(from, strlen(from), &(struct bundle_wanted){ 0 });

	assert_non_null(to);
	assert_string_equal(to, expected);
}

/* What the profile allowed of it goes; all else stays. */
static void test_profile(void **state)
{
	(void)state;
	edit("{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":["
	     "{\"names\":[\"read\",\"landlock_add_rule\",\"write\"],\"action\":\"SCMP_ACT_ALLOW\"},"
	     "{\"names\":[\"landlock_restrict_self\"],\"action\":\"SCMP_ACT_ALLOW\"}]}}}",
	     "{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":["
	     "{\"names\":[\"read\",\"write\"],\"action\":\"SCMP_ACT_ALLOW\"}," RULE "]}}}");
	edit("{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"}}}",
	     "{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" RULE
	     "]}}}");
}

static void test_unconfined(void **state)
{
	auto_free char *to = bundle_config_edit("{\"linux\":{}}", 12, &(struct bundle_wanted){ 0 });

	(void)state;
	assert_non_null(strstr(to, "\"defaultAction\":\"SCMP_ACT_ALLOW\""));
	assert_non_null(strstr(to, "\"architectures\":[\"SCMP_ARCH_"));
	assert_non_null(strstr(to, RULE));
}

static void test_kept(void **state)
{
	static const char config[] =
		"{\"process\":{\"env\":[\"A=1\",\"BATON_LANDLOCK=keep\"]},\"linux\":{}}";

	(void)state;
	edit(config, config);
}

#define NETWORK "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"}]"

static void mptcp(const char *config, const char *sysctl)
{
	auto_free char *to = bundle_config_edit(config, strlen(config),
						&(struct bundle_wanted){ .mptcp = true });

	assert_non_null(to);
	if (sysctl)
		assert_non_null(strstr(to, sysctl));
	else
		assert_null(strstr(to, "net.mptcp.enabled"));
	auto_free char *old =
		bundle_config_edit(config, strlen(config), &(struct bundle_wanted){ 0 });
	if (!strstr(config, "mptcp"))
		assert_null(strstr(old, "mptcp"));
}

/* Go's programs take TCP then. The host's network, or another container's, is not ours to change. */
static void test_mptcp(void **state)
{
	(void)state;
	mptcp("{\"linux\":{" NETWORK "}}", "\"sysctl\":{\"net.mptcp.enabled\":\"0\"}");
	mptcp("{\"linux\":{\"sysctl\":{\"net.core.somaxconn\":\"7\"}," NETWORK "}}",
	      "\"sysctl\":{\"net.core.somaxconn\":\"7\",\"net.mptcp.enabled\":\"0\"}");
	mptcp("{\"linux\":{\"sysctl\":{\"net.mptcp.enabled\":\"1\"}," NETWORK "}}",
	      "\"sysctl\":{\"net.mptcp.enabled\":\"1\"}");
	mptcp("{\"process\":{\"env\":[\"BATON_MPTCP=keep\"]},\"linux\":{" NETWORK "}}", NULL);
	mptcp("{\"linux\":{\"namespaces\":[{\"type\":\"pid\"}]}}", NULL);
	mptcp("{\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/proc/7/ns/net\"}]}}",
	      NULL);
}

/* An engine writes "unlimited" as the number that all of 64 bits make, which jansson does not take. */
static void test_big_numbers(void **state)
{
	static const char kept[] =
		"{\"process\":{\"env\":[\"BATON_LANDLOCK=keep\",\"N=18446744073709551615\","
		"\"Q=\\\",18446744073709551615\"],\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"hard\":"
		"18446744073709551615,\"soft\":18446744073709551615}],"
		"\"n\":[-9223372036854775808,999999999999999999,1000000000000000000,0,-1,1.5]},"
		"\"18446744073709551615\":18446744073709551615}";

	(void)state;
	edit(kept, kept);
}

/* A number is one only where JSON has one */
static void test_no_numbers(void **state)
{
	static const char good[] = "{\"a\":18446744073709551615," KEPT "}";
	static const char *const texts[] = { "{\"a\":18446744073709551615x," KEPT "}",
					     "{\"a\":\"1," KEPT "}", "{\"a\":--1," KEPT "}" };

	(void)state;
	edit(good, good);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_null(bundle_config_edit(texts[i], strlen(texts[i]),
					       &(struct bundle_wanted){ 0 }));
	assert_null(bundle_config_edit("{}\0{}", 5, &(struct bundle_wanted){ 0 }));
}

static void test_no_config(void **state)
{
	char dir[] = "/tmp/baton-test-XXXXXX";
	char file[PATH_MAX];

	(void)state;
	assert_null(bundle_config_edit("[]", 2, &(struct bundle_wanted){ 0 }));
	assert_null(bundle_config_edit("{", 1, &(struct bundle_wanted){ 0 }));
	assert_non_null(mkdtemp(dir));
	assert_int_equal(bundle_edit(dir, file, NULL, NULL), -ENOENT);
	assert_int_equal(rmdir(dir), 0);
}

/** bundle_make() - Make a bundle with this configuration in a new directory */
static void bundle_make(char dir[static 32], const char *config)
{
	char path[64];

	(void)snprintf(dir, 32, "/tmp/baton-bundle-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/config.json", dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(config, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void bundle_remove(const char *dir)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/config.json", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void score(const char *config, int expected)
{
	char dir[32];

	bundle_make(dir, config);
	assert_int_equal(bundle_oom_score(dir), expected);
	bundle_remove(dir);
}

/* A restored process has the score that was asked for, not that of the engine's own processes. */
static void test_oom_score(void **state)
{
	(void)state;
	score("{\"process\":{\"oomScoreAdj\":300}}", 300);
	score("{\"process\":{\"oomScoreAdj\":-5}}", -5);
	score("{\"process\":{\"oomScoreAdj\":7,\"rlimits\":[18446744073709551615]}}", 7);
	score("{\"process\":{}}", 0);
	score("{\"process\":{\"oomScoreAdj\":5000}}", 0);
	score("no JSON", 0);
	assert_int_equal(bundle_oom_score("/nowhere"), 0);
}

static void cgroups_path(const char *config, size_t size, int result, const char *expected)
{
	char dir[32];
	char to[32] = "";

	bundle_make(dir, config);
	assert_int_equal(bundle_cgroups_path(dir, to, size), result);
	if (result == 0)
		assert_string_equal(to, expected);
	bundle_remove(dir);
}

static void test_cgroups_path(void **state)
{
	char to[8];

	(void)state;
	cgroups_path("{\"linux\":{\"cgroupsPath\":\"/docker/c0ffee\"}}", 32, 0, "/docker/c0ffee");
	cgroups_path("{\"linux\":{\"cgroupsPath\":\"/docker/c0ffee\"}}", 14, -ENAMETOOLONG, "");
	cgroups_path("{\"linux\":{\"cgroupsPath\":\"\"}}", 32, -ENOENT, "");
	cgroups_path("{\"linux\":{\"cgroupsPath\":7}}", 32, -ENOENT, "");
	cgroups_path("{\"linux\":{}}", 32, -ENOENT, "");
	cgroups_path("no JSON", 32, -ENOENT, "");
	assert_int_equal(bundle_cgroups_path("/nowhere", to, sizeof(to)), -ENOENT);
}

/* Our hook comes after the engine's, which makes the network. */
static void test_hook(void **state)
{
	static const struct bundle_wanted wanted = { .hook = "/sbin/us" };
	static const char us[] =
		"{\"path\":\"/sbin/us\",\"args\":[\"baton-runtime\",\"keep-apart\"]}";
	static const char *const texts[] = {
		"{" APART "}",
		"{" APART ",\"hooks\":{}}",
		"{" APART ",\"hooks\":{\"prestart\":[{\"path\":\"/engine\"}]}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_free char *to = bundle_config_edit(texts[i], strlen(texts[i]), &wanted);

		assert_non_null(to);
		assert_non_null(strstr(to, us));
		if (strstr(texts[i], "/engine"))
			assert_true(strstr(to, "/engine") < strstr(to, us));
	}
	auto_free char *other = bundle_config_edit("{" KEPT "}", strlen("{" KEPT "}"), &wanted);
	assert_string_equal(other, "{" KEPT "}");
}

/** apart() - Whether a container with this configuration is to be kept apart, by a record that has @pid */
static void apart(const char *config, const char *pid, int result, pid_t expected)
{
	char dir[] = "/tmp/baton-test-XXXXXX";
	char bundle[32];
	char path[64];
	pid_t found = -1;

	bundle_make(bundle, config);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/c0ffee", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/c0ffee/state.json", dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fprintf(f,
			    "{\"init_process_pid\":%s,\"a\":18446744073709551615,"
			    "\"config\":{\"labels\":[7,\"a=b\",\"bundle=%s\"]}}",
			    pid, bundle) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(bundle_apart(dir, "c0ffee", &found), result);
	if (result == 0)
		assert_int_equal(found, expected);
	assert_int_equal(bundle_apart(dir, "another", &found), -ENOENT);
	assert_int_equal(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
	bundle_remove(bundle);
}

static void test_apart(void **state)
{
	(void)state;
	apart("{" APART "}", "7", 0, 7);
	apart("{" KEPT "}", "7", 0, 0);
	apart("{\"process\":{\"env\":[\"BATON_APART=no\"]}}", "7", 0, 0);
	apart("{}", "7", 0, 0);
	apart("no JSON", "7", -ENOENT, 0);
	apart("{" APART "}", "0", -ENOENT, 0);
	apart("{" APART "}", "99999999999", -ENOENT, 0);
	apart("{" APART "}", "\"7\"", -ENOENT, 0);
	apart("{" APART "}", "", -ENOENT, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_profile),    cmocka_unit_test(test_unconfined),
		cmocka_unit_test(test_kept),       cmocka_unit_test(test_no_config),
		cmocka_unit_test(test_oom_score),  cmocka_unit_test(test_big_numbers),
		cmocka_unit_test(test_no_numbers), cmocka_unit_test(test_cgroups_path),
		cmocka_unit_test(test_mptcp),      cmocka_unit_test(test_hook),
		cmocka_unit_test(test_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
