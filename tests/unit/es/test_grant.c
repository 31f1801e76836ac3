/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a peer asks for its container is not what the container gets (R13, R16)
 *
 * The base of each case is what an engine says about a container that was made of our own entry; it is
 * granted. One setting more, and it is refused by name.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/config.h"
#include "es/container/grant.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"

static const char *const volumes[] = { "data:/data", NULL };
static const char *const binds[] = { "/srv/shared:/s:ro", NULL };
static const char *const tmpfs[] = { "/run:size=1m", NULL };
static const char *const trusted[] = {
	"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "shop/cache",
	"registry:5000/team/app", NULL
};

static json_t *grant_new(void)
{
	const struct container_service service = { .name = "svc",
						   .image = "svc:1",
						   .port = 7000,
						   .memory_bytes = 256u << 20,
						   .cpu_millis = 500,
						   .pids = 100,
						   .volumes = volumes,
						   .binds = binds,
						   .tmpfs = tmpfs,
						   .trusted_images = trusted };
	json_t *grant = NULL;
	struct err err;

	assert_int_equal(container_grant_new(&grant, &service, "baton", &err), 0);
	return grant;
}

/* What an engine says about a container of that entry, after container_config_clone(). */
static const char asked_text[] =
	"{\"Hostname\":\"c0ffee\",\"Domainname\":\"\",\"User\":\"\",\"ExposedPorts\":{\"7000/"
	"tcp\":{}},"
	"\"Tty\":false,\"OpenStdin\":false,\"Env\":[\"A=b\",\"PATH=/bin\"],\"Cmd\":[\"serve\"],"
	"\"Image\":\"svc:1\",\"Volumes\":null,\"WorkingDir\":\"/"
	"w\",\"Entrypoint\":null,\"OnBuild\":null,"
	"\"Labels\":{\"baton.session\":\"1\",\"traefik.enable\":\"true\"},"
	"\"HostConfig\":{\"Binds\":[\"/srv/shared:/s:ro\"],\"LogConfig\":{\"Type\":\"json-file\","
	"\"Config\":{}},\"NetworkMode\":\"default\",\"PortBindings\":{},\"RestartPolicy\":{"
	"\"Name\":\"no\","
	"\"MaximumRetryCount\":0},\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,"
	"\"CapAdd\":null,\"CapDrop\":null,\"CgroupnsMode\":\"host\",\"Dns\":[],\"DnsOptions\":[],"
	"\"DnsSearch\":[],\"ExtraHosts\":null,\"GroupAdd\":null,\"IpcMode\":\"private\",\"Cgroup\":"
	"\"\","
	"\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":false,"
	"\"PublishAllPorts\":false,"
	"\"ReadonlyRootfs\":false,\"SecurityOpt\":null,\"Tmpfs\":{\"/"
	"run\":\"size=1m\"},\"UTSMode\":\"\","
	"\"UsernsMode\":\"\",\"ShmSize\":67108864,\"Runtime\":\"baton\",\"Isolation\":\"\","
	"\"CpuShares\":0,"
	"\"Memory\":268435456,\"NanoCpus\":500000000,\"CgroupParent\":\"\",\"BlkioWeight\":0,"
	"\"BlkioWeightDevice\":[],\"CpuPeriod\":0,\"CpusetCpus\":\"\",\"Devices\":[],"
	"\"DeviceCgroupRules\":null,\"DeviceRequests\":null,\"KernelMemory\":0,"
	"\"MemoryReservation\":0,"
	"\"MemorySwap\":536870912,\"MemorySwappiness\":null,\"OomKillDisable\":false,\"PidsLimit\":"
	"100,"
	"\"Ulimits\":null,\"CpuCount\":0,\"IOMaximumIOps\":0,"
	"\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/data\",\"VolumeOptions\":{\"NoCopy\":true,"
	"\"Labels\":{\"baton.volume\":\"data\"}}}],"
	"\"MaskedPaths\":[\"/proc/stat\"],\"ReadonlyPaths\":[\"/proc/sys\"]},"
	"\"NetworkingConfig\":{\"EndpointsConfig\":{\"bridge\":{}}}}";

static json_t *asked_new(void)
{
	json_t *asked = json_loads(asked_text, 0, NULL);

	assert_non_null(asked);
	return asked;
}

static void test_own_entry(void **state)
{
	json_t *grant = grant_new();
	json_t *asked = asked_new();
	json_t *config = NULL;
	struct err err;

	(void)state;
	if (container_grant_config(&config, grant, asked, 7000, &err) < 0)
		fail_msg("%s", err.text);
	const json_t *host = json_object_get(config, "HostConfig");
	assert_string_equal(json_text(config, "Hostname", NULL), "c0ffee");
	assert_int_equal(json_array_size(json_object_get(config, "Env")), 2);
	assert_int_equal(json_integer_value(json_object_get(host, "Memory")), 256 << 20);
	assert_string_equal(json_text(host, "Runtime", NULL), "baton");
	assert_string_equal(json_text(host, "Tmpfs", "/run", NULL), "size=1m");
	assert_int_equal(json_array_size(json_object_get(host, "Mounts")), 1);
	/* Labels speak to other programs of the host; ours are made here. */
	assert_null(json_at(config, "Labels", "traefik.enable", NULL));
	/* Only what is on the list came along. */
	assert_null(json_object_get(host, "MaskedPaths"));
	assert_null(json_object_get(host, "CgroupnsMode"));
	json_decref(config);
	assert_int_equal(container_grant_config(&config, grant, asked, 22, &err), -EPERM);
	json_decref(asked);
	json_decref(grant);
}

/** struct wish - A setting that a peer would like; @name is what the refusal must name */
struct wish {
	const char *name;
	const char *value;
};

/** assert_refused() - Each wish, alone in @part of the configuration (NULL: in itself), is refused by name */
static void assert_refused(const char *part, const struct wish *wishes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_t *grant = grant_new();
		json_t *asked = asked_new();
		json_t *config = NULL;
		struct err err = { 0 };

		assert_int_equal(
			json_object_set_new(part ? json_object_get(asked, part) : asked,
					    wishes[i].name,
					    json_loads(wishes[i].value, JSON_DECODE_ANY, NULL)),
			0);
		if (container_grant_config(&config, grant, asked, 7000, &err) != -EPERM)
			fail_msg("%s: %s was granted", wishes[i].name, wishes[i].value);
		if (!strstr(err.text, wishes[i].name))
			fail_msg("%s: %s", wishes[i].name, err.text);
		json_decref(asked);
		json_decref(grant);
	}
}

static void test_wishes(void **state)
{
	static const struct wish wishes[] = {
		{ "CapAdd", "[\"ALL\"]" },
		{ "CapAdd", "[\"SYS_ADMIN\"]" },
		{ "SecurityOpt", "[\"seccomp=unconfined\"]" },
		{ "SecurityOpt", "[\"apparmor=unconfined\"]" },
		{ "SecurityOpt", "[\"label=disable\"]" },
		{ "SecurityOpt", "[\"systempaths=unconfined\"]" },
		{ "SecurityOpt", "\"seccomp=unconfined\"" },
		{ "SecurityOpt", "[\"seccomp\"]" },
		{ "Privileged", "true" },
		{ "DeviceCgroupRules", "[\"b *:* rwm\"]" },
		{ "Devices", "[{\"PathOnHost\":\"/dev/sda\"}]" },
		{ "DeviceRequests", "[{\"Count\":-1}]" },
		{ "UsernsMode", "\"host\"" },
		{ "PidMode", "\"host\"" },
		{ "PidMode", "\"container:x\"" },
		{ "IpcMode", "\"host\"" },
		{ "UTSMode", "\"host\"" },
		{ "NetworkMode", "\"host\"" },
		{ "NetworkMode", "\"container:x\"" },
		{ "NetworkMode", "\"other\"" },
		{ "MaskedPaths", "[]" },
		{ "ReadonlyPaths", "[]" },
		{ "CgroupParent", "\"/\"" },
		{ "Sysctls", "{\"net.ipv4.ip_forward\":\"1\"}" },
		{ "VolumeDriver", "\"evil\"" },
		{ "VolumesFrom", "[\"other\"]" },
		{ "ExtraHosts", "[\"x:1.2.3.4\"]" },
		{ "GroupAdd", "[\"docker\"]" },
		{ "OomScoreAdj", "-1000" },
		{ "OomKillDisable", "true" },
		{ "Memory", "0" },
		{ "Memory", "268435457" },
		{ "Memory", "-1" },
		{ "Memory", "\"1\"" },
		{ "MemorySwap", "-1" },
		{ "NanoCpus", "500000001" },
		{ "NanoCpus", "0" },
		{ "PidsLimit", "0" },
		{ "PidsLimit", "-1" },
		{ "ShmSize", "67108865" },
		{ "Binds", "[\"/:/host\"]" },
		{ "Binds", "[\"/srv/shared:/s\"]" },
		{ "Binds", "[\"/srv/shared/../..:/s:ro\"]" },
		{ "Binds", "{}" },
		{ "Mounts", "[{\"Type\":\"bind\",\"Source\":\"/srv/shared\",\"Target\":\"/s\"}]" },
		{ "Mounts", "[{\"Type\":\"volume\",\"Source\":\"other\",\"Target\":\"/d\"}]" },
		{ "Mounts",
		  "[{\"Type\":\"volume\",\"Target\":\"/d\",\"VolumeOptions\":{\"DriverConfig\":"
		  "{\"Name\":\"local\",\"Options\":{\"device\":\"/\"}}}}]" },
		{ "Mounts", "[{\"Type\":\"volume\",\"Target\":\"/d\",\"VolumeOptions\":{\"Labels\":"
			    "{\"x\":\"y\"}}}]" },
		{ "Mounts", "[{\"Type\":\"npipe\",\"Target\":\"/d\"}]" },
		{ "Mounts", "\"x\"" },
		{ "Tmpfs", "{\"/t\":\"size=1m,dev\"}" },
		{ "Tmpfs", "{\"/t\":\"suid\"}" },
		{ "Tmpfs", "{\"/t\":\"mpol=bind:0\"}" },
		{ "Tmpfs", "{\"/t\":1}" },
		{ "Init", "true" },
		{ "AutoRemove", "true" },
		{ "PublishAllPorts", "true" },
		{ "Annotations", "{\"run.oci.x\":\"y\"}" },
		{ "SomethingNew", "\"on\"" },
	};

	(void)state;
	assert_refused("HostConfig", wishes, ARRAY_SIZE(wishes));
}

/* One that had no network, or a terminal, would be another container here */
static void test_other_containers(void **state)
{
	static const struct wish wishes[] = {
		{ "Tty", "true" },
		{ "NetworkDisabled", "true" },
		{ "MacAddress", "\"02:42:ac:11:00:02\"" },
	};

	(void)state;
	assert_refused(NULL, wishes, ARRAY_SIZE(wishes));
}

/* An engine notes its own default ulimits with each container. They are no wish, and are not taken. */
static void test_engine_ulimits(void **state)
{
	json_t *grant = grant_new();
	json_t *asked = asked_new();
	json_t *config = NULL;
	struct err err;

	(void)state;
	assert_int_equal(
		json_object_set_new(
			json_object_get(asked, "HostConfig"), "Ulimits",
			json_loads("[{\"Name\":\"memlock\",\"Hard\":-1,\"Soft\":-1}]", 0, NULL)),
		0);
	assert_int_equal(container_grant_config(&config, grant, asked, 7000, &err), 0);
	assert_null(json_at(config, "HostConfig", "Ulimits", NULL));
	json_decref(config);
	json_decref(asked);
	json_decref(grant);
}

/* Less than our entry gives is granted: the container had no more. */
static void test_less(void **state)
{
	static const struct wish wishes[] = {
		{ "Memory", "1048576" },
		{ "PidsLimit", "10" },
		{ "CapDrop", "[\"NET_RAW\",\"MKNOD\"]" },
		{ "ReadonlyRootfs", "true" },
		{ "OomScoreAdj", "500" },
		{ "ShmSize", "1048576" },
		{ "Tmpfs", "{\"/t\":\"rw,noexec,size=65536k,mode=1777\"}" },
		{ "Binds", "[]" },
		{ "MemoryReservation", "1048576" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		json_t *grant = grant_new();
		json_t *asked = asked_new();
		json_t *config = NULL;
		json_t *value = json_loads(wishes[i].value, JSON_DECODE_ANY, NULL);
		struct err err = { 0 };

		json_object_set(json_object_get(asked, "HostConfig"), wishes[i].name, value);
		if (container_grant_config(&config, grant, asked, 7000, &err) < 0)
			fail_msg("%s: %s", wishes[i].name, err.text);
		const json_t *got = json_at(config, "HostConfig", wishes[i].name, NULL);
		assert_true(json_equal(got, value) || (!got && !json_array_size(value)));
		json_decref(value);
		json_decref(config);
		json_decref(asked);
		json_decref(grant);
	}
}

static void test_new_privileges(void **state)
{
	json_t *grant = grant_new();
	json_t *asked = asked_new();
	json_t *config = NULL;
	struct err err;

	(void)state;
	json_object_set_new(json_object_get(asked, "HostConfig"), "SecurityOpt",
			    json_pack("[s, s]", "no-new-privileges", "seccomp={}"));
	assert_int_equal(container_grant_config(&config, grant, asked, 7000, &err), 0);
	/* the filter is our engine's, not the peer's */
	json_t *expected = json_pack("[s]", "no-new-privileges");
	assert_true(json_equal(json_at(config, "HostConfig", "SecurityOpt", NULL), expected));
	json_decref(expected);
	json_decref(config);
	json_decref(asked);
	json_decref(grant);
}

static void test_inside(void **state)
{
	static const struct wish bad[] = {
		{ "Env", "[1]" },
		{ "Env", "{}" },
		{ "Cmd", "[[\"x\"]]" },
		{ "User", "1" },
		{ "Hostname", "{}" },
		{ "StopTimeout", "\"x\"" },
		{ "Healthcheck", "[]" },
		{ "Healthcheck", "{\"Test\":[\"CMD\",\"x\"],\"Interval\":1000000}" },
		{ "Healthcheck", "{\"Timeout\":999999999}" },
		{ "Healthcheck", "{\"StartPeriod\":1}" },
		{ "Healthcheck", "{\"StartInterval\":1000000}" },
		{ "Healthcheck", "{\"Interval\":-1}" },
		{ "Healthcheck", "{\"Interval\":1.5}" },
		{ "Healthcheck", "{\"Interval\":\"1s\"}" },
		{ "Healthcheck", "{\"Retries\":\"x\"}" },
		{ "Healthcheck", "{\"Test\":[1]}" },
		{ "Healthcheck", "{\"Often\":true}" },
	};

	(void)state;
	assert_refused(NULL, bad, ARRAY_SIZE(bad));
}

/* The engine runs it, so it must not be able to keep the engine busy */
static void test_health(void **state)
{
	json_t *check = json_pack("{s:[s, s], s:I, s:I, s:i, s:i}", "Test", "CMD-SHELL", "true",
				  "Interval", (json_int_t)1000000000, "Timeout",
				  (json_int_t)30000000000, "StartPeriod", 0, "Retries", 3);
	json_t *words = json_array();

	(void)state;
	assert_true(container_grant_health(NULL));
	assert_true(container_grant_health(check));
	for (size_t i = 0; i < 64; i++)
		json_array_append_new(words, json_string("x"));
	json_object_set(check, "Test", words);
	assert_true(container_grant_health(check));
	json_array_append_new(words, json_string("x"));
	assert_false(container_grant_health(check));
	json_decref(words);
	json_decref(check);
	/* the engine takes an image's where the configuration has none */
	json_t *image =
		json_loads("{\"Config\":{\"Healthcheck\":{\"Interval\":1000000}}}", 0, NULL);
	struct err err = { 0 };
	assert_int_equal(container_grant_image(image, &err), -EPERM);
	assert_non_null(strstr(err.text, "Healthcheck of its image (times of at least 1 s"));
	json_decref(image);
	image = json_loads("{\"Config\":{\"Healthcheck\":null}}", 0, NULL);
	assert_int_equal(container_grant_image(image, &err), 0);
	json_decref(image);
}

/** tasks_of() - What tasks may have at an engine with these options, in a container with that one */
static struct checkpoint_grant tasks_of(const char *engine, const char *option)
{
	json_t *info = json_loads(engine, 0, NULL);
	json_t *config = json_pack("{s:{s:[s]}}", "HostConfig", "SecurityOpt", option);
	struct container_engine_grant given;
	struct checkpoint_grant tasks;

	assert_non_null(info);
	container_grant_engine(&given, info);
	container_grant_tasks(&tasks, config, &given);
	json_decref(info);
	json_decref(config);
	return tasks;
}

/* What the engine gives up for every container, a checkpoint does not bring back */
static void test_engine(void **state)
{
	static const char strict[] = "{\"SecurityOptions\":[\"name=seccomp,profile=builtin\","
				     "\"name=no-new-privileges\"]}";
	static const char usual[] = "{\"SecurityOptions\":[\"name=seccomp,profile=default\"]}";
	static const char open[] = "{\"SecurityOptions\":[\"name=seccomp,profile=unconfined\"]}";

	(void)state;
	assert_true(tasks_of(strict, "label=x").no_new_privs);
	assert_true(tasks_of(strict, "label=x").filtered);
	assert_false(tasks_of(strict, "seccomp=unconfined").filtered);
	assert_false(tasks_of(strict, "no-new-privileges:false").no_new_privs);
	assert_false(tasks_of(usual, "label=x").no_new_privs);
	assert_true(tasks_of(usual, "no-new-privileges").no_new_privs);
	assert_true(tasks_of(usual, "label=x").filtered);
	assert_false(tasks_of(open, "label=x").filtered);
	assert_false(tasks_of("{}", "label=x").filtered);
}

static int closed_of(char *to, size_t size, const char *inspect)
{
	json_t *said = json_loads(inspect, 0, NULL);
	int r;

	assert_non_null(said);
	r = container_grant_closed(to, size, said);
	json_decref(said);
	return r;
}

/* What must be closed in the copy is what the engine closes, as far as this host has it */
static void test_closed(void **state)
{
	static const char all[] =
		"{\"HostConfig\":{\"MaskedPaths\":[\"/proc/stat\",\"/proc/no/such\"],"
		"\"ReadonlyPaths\":[\"/proc/sys\"],\"ReadonlyRootfs\":true},"
		"\"Mounts\":[{\"Destination\":\"/settings\",\"RW\":false},"
		"{\"Destination\":\"/data\",\"RW\":true}]}";
	char closed[100];

	(void)state;
	assert_int_equal(closed_of(closed, sizeof(closed), all), 0);
	assert_string_equal(closed, "m/proc/stat\nr/proc/sys\nb/settings\nr/");
	assert_int_equal(closed_of(closed, sizeof(closed), "{\"HostConfig\":{}}"), 0);
	assert_string_equal(closed, "");
	/* no more than fits, to the byte */
	assert_int_equal(closed_of(closed, 37, all), 0);
	assert_int_equal(closed_of(closed, 36, all), -E2BIG);
	/* one line is one path */
	assert_int_equal(closed_of(closed, sizeof(closed),
				   "{\"Mounts\":[{\"Destination\":\"/a\\nr/b\",\"RW\":false}]}"),
			 -E2BIG);
}

/* Some engines mask a path of each CPU; a host has other CPUs than the next one */
static void test_closed_cpus(void **state)
{
	char closed[100];

	(void)state;
	assert_int_equal(access("/sys/devices/system/cpu/online", F_OK), 0);
	assert_int_equal(closed_of(closed, sizeof(closed),
				   "{\"HostConfig\":{\"MaskedPaths\":["
				   "\"/sys/devices/system/cpu/online\",\"/proc/stat\"]}}"),
			 0);
	assert_string_equal(closed, "m/proc/stat");
}

static void test_names(void **state)
{
	json_t *grant = grant_new();

	(void)state;
	assert_true(container_grant_name(grant, "sha256:1", "shop/cache:1"));
	assert_true(container_grant_name(grant, "sha256:1", "shop/cache"));
	assert_true(container_grant_name(grant, "sha256:1", "registry:5000/team/app:2"));
	/* an id stands for the image of this service, not for the name of another one */
	assert_true(container_grant_name(grant, trusted[0], "svc:1"));
	assert_false(container_grant_name(grant, trusted[0], "svc:10"));
	assert_false(container_grant_name(grant, trusted[0], "svc"));
	assert_false(container_grant_name(grant, trusted[0], "anything:1"));
	assert_true(container_grant_name(grant, trusted[0], "shop/cache:1"));
	assert_false(container_grant_name(grant, "sha256:1", "svc:1"));
	assert_false(container_grant_name(grant, "sha256:1", "shop/cache2:1"));
	assert_false(container_grant_name(grant, "sha256:1", "shop/cac:1"));
	assert_false(container_grant_name(grant, "sha256:1", "evil/shop/cache:1"));
	assert_false(container_grant_name(grant, "sha256:1", "registry:5000"));
	assert_false(container_grant_name(grant, "sha256:1", ""));
	json_decref(grant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_entry),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_less),
		cmocka_unit_test(test_new_privileges),
		cmocka_unit_test(test_inside),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_engine),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_closed_cpus),
		cmocka_unit_test(test_other_containers),
		cmocka_unit_test(test_engine_ulimits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
