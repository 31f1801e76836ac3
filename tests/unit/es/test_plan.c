/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "es/container/check.h"
#include "es/container/config.h"
#include "es/container/mounts.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/plan.h"
#include "es/system/cgroup.h"

/* What an engine says about a container, shortened, with one value of every kind. */
static const char inspect_text[] =
	"{\"Id\":\"c0ffee\",\"Image\":\"sha256:1111\",\"State\":{\"Running\":true,\"Pid\":0},"
	"\"Config\":{\"Hostname\":\"svc\",\"Domainname\":\"edge\",\"User\":\"0:0\","
	"\"AttachStdout\":true,\"Tty\":false,\"Env\":[\"TZ=UTC\",\"A=b\"],"
	"\"Cmd\":[\"serve\",\"-x\"],\"Entrypoint\":null,\"Image\":\"svc:1\",\"Volumes\":null,"
	"\"WorkingDir\":\"/w\",\"Labels\":{\"my\":\"label\",\"baton.epoch\":\"1\"},"
	"\"StopSignal\":\"SIGINT\",\"StopTimeout\":7,\"ExposedPorts\":{\"7000/tcp\":{}},"
	"\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":1000000000},"
	"\"SomethingNew\":{\"deep\":[1,2,3]}},"
	"\"HostConfig\":{\"Memory\":67108864,\"NanoCpus\":500000000,\"CapDrop\":[\"NET_RAW\"],"
	"\"CapAdd\":[\"SYS_NICE\"],\"Ulimits\":[{\"Name\":\"nofile\",\"Hard\":9,\"Soft\":9}],"
	"\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":3},\"ShmSize\":1024,"
	"\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"1m\"}},"
	"\"Tmpfs\":{\"/t\":\"size=1m\"},\"ReadonlyRootfs\":true,\"Sysctls\":{\"a.b\":\"1\"},"
	"\"SecurityOpt\":[\"no-new-privileges\"],\"MaskedPaths\":[\"/proc/kcore\"],\"Init\":true,"
	"\"PortBindings\":{\"7000/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"7000\"}]},"
	"\"ContainerIDFile\":\"/x\",\"ConsoleSize\":[0,0],\"Runtime\":\"other\","
	"\"NetworkMode\":\"default\",\"Binds\":null,\"Devices\":[]},"
	"\"NetworkSettings\":{\"Networks\":{\"bridge\":{\"IPAddress\":\"172.31.1.2\"}}}}";

static const char host_text[] =
	"{\"architecture\":\"x86_64\",\"kernel\":\"6.1.0-9\",\"criu\":\"4.2.1\",\"runc\":\"1.1.5\","
	"\"cpu\":\"fpu vme sse sse2\",\"cgroup\":\"hybrid\",\"hierarchies\":\"cpu,cpuacct "
	"memory\"}";

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	return json;
}

static void test_clone(void **state)
{
	static const char *const gone_host[] = { "ContainerIDFile", "ConsoleSize" };
	json_t *inspect = load(inspect_text);
	json_t *config = NULL;
	struct err err;
	const char *key;
	json_t *value;

	(void)state;
	assert_int_equal(container_config_clone(&config, inspect, &err), 0);
	/* All that is not left out on purpose is there, unchanged. */
	json_object_foreach(json_object_get(inspect, "HostConfig"), key, value)
	{
		bool gone = !strcmp(key, gone_host[0]) || !strcmp(key, gone_host[1]);

		assert_int_equal(gone, !json_at(config, "HostConfig", key, NULL));
		if (!gone)
			assert_true(json_equal(value, json_at(config, "HostConfig", key, NULL)));
	}
	json_object_foreach(json_object_get(inspect, "Config"), key, value)
	{
		if (strcmp(key, "AttachStdout") != 0)
			assert_true(json_equal(value, json_object_get(config, key)));
	}
	assert_null(json_object_get(config, "AttachStdout"));
	assert_null(json_at(config, "NetworkingConfig", "EndpointsConfig", "bridge", "IPAddress",
			    NULL));

	assert_int_equal(
		container_config_adapt(config, "sha256:2222", "baton", 0x1234, 2, "svc", 7000), 0);
	assert_string_equal(json_text(config, "Image", NULL), "sha256:2222");
	assert_string_equal(json_text(config, "HostConfig", "Runtime", NULL), "baton");
	assert_string_equal(json_text(config, "Labels", "my", NULL), "label");
	struct container_found found;
	assert_int_equal(container_found_from(&found, json_object_get(config, "Labels")), 0);
	assert_int_equal(found.session, 0x1234);
	assert_int_equal(found.epoch, 2);
	assert_int_equal(found.where.port, 7000);
	assert_string_equal(found.service, "svc");
	json_decref(config);
	json_decref(inspect);
}

/* Whatever a peer asks for, a container of a session is kept apart: its environment says so, and once. */
static void test_apart(void **state)
{
	static const struct {
		const char *asked;
		const char *expected;
	} tries[] = {
		{ "null", "[\"BATON_APART=yes\"]" },
		{ "[\"A=b\"]", "[\"A=b\",\"BATON_APART=yes\"]" },
		{ "[\"BATON_APART=yes\",\"A=b\"]", "[\"BATON_APART=yes\",\"A=b\"]" },
		{ "[\"BATON_APART=no\",\"A=b\"]", "[\"A=b\",\"BATON_APART=yes\"]" },
		{ "[\"BATON_APART=no\",\"BATON_APART=yes\",\"BATON_APART=\"]",
		  "[\"BATON_APART=yes\"]" },
		{ "[\"BATON_APART=yes\",\"BATON_APART=yes\"]", "[\"BATON_APART=yes\"]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		json_t *config =
			json_pack("{s:o, s:{}}", "Env",
				  json_loads(tries[i].asked, JSON_DECODE_ANY, NULL), "HostConfig");
		json_t *expected = load(tries[i].expected);
		json_t *inspect = json_pack("{s:O}", "Config", config);

		assert_int_equal(container_config_adapt(config, NULL, "baton", 1, 2, "svc", 7000),
				 0);
		assert_true(json_equal(json_object_get(config, "Env"), expected));
		assert_true(container_config_apart(inspect));
		(void)json_object_del(config, "Env");
		assert_false(container_config_apart(inspect));
		json_decref(inspect);
		json_decref(expected);
		json_decref(config);
	}
}

/** test_service_belongings() - Mounts, limits and ports of a service are asked for as Docker wants them */
static void test_service_belongings(void)
{
	static const char *const volumes[] = { "data:/data", NULL };
	static const char *const tmpfs[] = { "/run:size=1m", "/t", NULL };
	static const char *const binds[] = { "/srv:/s:ro", NULL };
	static const char *const publish[] = { "8080:80/udp", "9001", "192.0.2.1:53:9001", NULL };
	const struct container_service service = { .name = "svc",
						   .image = "svc:1",
						   .port = 53,
						   .pids = 9,
						   .volumes = volumes,
						   .tmpfs = tmpfs,
						   .binds = binds,
						   .publish = publish };
	json_t *want =
		load("{\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/data\",\"VolumeOptions\":"
		     "{\"Labels\":{\"baton.volume\":\"data\"}}}],"
		     "\"Tmpfs\":{\"/run\":\"size=1m\",\"/t\":\"\"},\"Binds\":[\"/srv:/s:ro\"],"
		     "\"PortBindings\":{\"80/udp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}],"
		     "\"9001/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"},"
		     "{\"HostIp\":\"192.0.2.1\",\"HostPort\":\"53\"}]},\"PidsLimit\":9}");
	json_t *config = NULL;
	const char *key;
	json_t *value;
	struct err err;

	assert_int_equal(container_config_for_service(&config, &service, "baton", &err), 0);
	json_object_foreach(want, key, value)
	{
		assert_true(json_equal(value, json_at(config, "HostConfig", key, NULL)));
	}
	assert_int_equal(json_object_size(json_object_get(config, "ExposedPorts")), 3);
	json_decref(config);
	json_decref(want);
}

/** zone_is() - A service with this environment runs in this time zone, told last */
static void zone_is(const char *const *env, const char *zone, size_t entries)
{
	const struct container_service service = {
		.name = "svc", .image = "svc:1", .env = env, .port = 53
	};
	json_t *config = NULL;
	struct err err;

	assert_int_equal(container_config_for_service(&config, &service, "baton", &err), 0);
	const json_t *list = json_object_get(config, "Env");
	assert_int_equal(json_array_size(list), entries);
	assert_string_equal(json_string_value(json_array_get(list, entries - 1)), zone);
	json_decref(config);
}

/* Containers have the same time zone everywhere: what the catalogue says, or UTC. */
static void test_time_zone(void **state)
{
	static const char *const other[] = { "A=b", NULL };
	static const char *const zone[] = { "A=b", "TZ=Europe/Berlin", NULL };

	(void)state;
	zone_is(NULL, "TZ=UTC", 1);
	zone_is(other, "TZ=UTC", 2);
	zone_is(zone, "TZ=Europe/Berlin", 2);
}

static void test_service(void **state)
{
	static const char *const env[] = { "A=b", NULL };
	struct container_service service = { .name = "svc",
					     .image = "svc:1",
					     .env = env,
					     .port = 53,
					     .udp = true,
					     .memory_bytes = 1 << 20,
					     .cpu_millis = 500 };
	json_t *config = NULL;
	struct err err;

	(void)state;
	assert_int_equal(container_config_for_service(&config, &service, "baton", &err), 0);
	assert_true(json_is_object(json_at(config, "ExposedPorts", "53/udp", NULL)));
	assert_int_equal(json_integer_value(json_at(config, "HostConfig", "NanoCpus", NULL)),
			 500000000);
	assert_true(json_is_null(json_object_get(config, "Cmd")));
	json_decref(config);
	test_service_belongings();
	service.image = NULL;
	assert_int_equal(container_config_for_service(&config, &service, "baton", &err), -EINVAL);
}

static json_t *plan_new(void)
{
	json_t *inspect = load(inspect_text);
	json_t *image = load("{\"RootFS\":{\"Layers\":[\"sha256:a\",\"sha256:b\"]}}");
	json_t *host = load(host_text);
	json_t *plan = NULL;
	struct err err;

	assert_int_equal(migration_plan_make(&plan, inspect, image, host, 7000, 30, 20, &err), 0);
	json_decref(inspect);
	json_decref(image);
	json_decref(host);
	return plan;
}

static int parse(const json_t *plan, json_t **ret, struct err *err)
{
	char *text = json_dumps(plan, 0);
	int r = migration_plan_parse(ret, text, strlen(text), NULL, err);

	free(text);
	return r;
}

static void test_plan(void **state)
{
	json_t *plan = plan_new();
	json_t *back = NULL;
	struct err err;

	(void)state;
	assert_int_equal(parse(plan, &back, &err), 0);
	assert_true(json_equal(plan, back));
	assert_false(migration_plan_udp(back));
	json_decref(back);

	/* what we add to a size must not overflow (R16) */
	json_object_set_new(json_object_get(plan, "bytes"), "memory", json_integer(INT64_MAX));
	assert_int_equal(parse(plan, &back, &err), -EPROTO);
	json_object_set_new(json_object_get(plan, "bytes"), "memory",
			    json_integer(MIGRATION_SIZE_MAX));
	assert_int_equal(parse(plan, &back, &err), 0);
	json_decref(back);

	json_object_set_new(plan, "version", json_integer(1));
	assert_int_equal(parse(plan, &back, &err), -EPROTO);
	json_object_set_new(plan, "version", json_integer(2));
	json_object_set_new(plan, "port", json_integer(70000));
	assert_int_equal(parse(plan, &back, &err), -EPROTO);
	json_object_set_new(plan, "port", json_string("7000"));
	assert_int_equal(parse(plan, &back, &err), -EPROTO);
	json_object_set_new(plan, "port", json_integer(7000));
	json_object_del(json_object_get(plan, "host"), "cpu");
	assert_int_equal(parse(plan, &back, &err), -EPROTO);
	assert_int_equal(migration_plan_parse(&back, "[1", 2, NULL, &err), -EPROTO);
	assert_int_equal(migration_plan_parse(&back, "{}", MIGRATION_PLAN_MAX + 1, NULL, &err),
			 -EPROTO);
	json_decref(plan);
}

/** with_volumes() - The container with a volume of each way to ask for one, and a shared directory */
static json_t *with_volumes(void)
{
	json_t *inspect = load(inspect_text);
	json_t *host = json_object_get(inspect, "HostConfig");

	json_object_set_new(host, "Binds", load("[\"data:/a\", \"/srv/s:/s:ro\"]"));
	json_object_set_new(host, "Mounts",
			    load("[{\"Type\":\"volume\",\"Source\":\"x\",\"Target\":\"/b\","
				 "\"VolumeOptions\":{\"Labels\":{\"l\":\"v\"}}},"
				 "{\"Type\":\"tmpfs\",\"Target\":\"/t2\"}]"));
	json_object_set_new(json_object_get(inspect, "Config"), "Volumes", load("{\"/c\":{}}"));
	json_object_set_new(
		inspect, "Mounts",
		load("[{\"Type\":\"volume\",\"Name\":\"data\",\"Source\":\"/v/data/_data\","
		     "\"Destination\":\"/a\",\"RW\":true},"
		     "{\"Type\":\"bind\",\"Source\":\"/srv/s\",\"Destination\":\"/s\"},"
		     "{\"Type\":\"volume\",\"Name\":\"x\",\"Destination\":\"/b\",\"RW\":true},"
		     "{\"Type\":\"volume\",\"Name\":\"0f\",\"Destination\":\"/c\",\"RW\":true}]"));
	return inspect;
}

/* However they were asked for, they are asked for again without a name; the rest stays. */
static void test_clone_volumes(void **state)
{
	json_t *want = load("[{\"Type\":\"tmpfs\",\"Target\":\"/t2\"},"
			    "{\"Type\":\"volume\",\"Target\":\"/a\","
			    "\"VolumeOptions\":{\"NoCopy\":true}},"
			    "{\"Type\":\"volume\",\"Target\":\"/b\","
			    "\"VolumeOptions\":{\"NoCopy\":true,\"Labels\":{\"l\":\"v\"}}},"
			    "{\"Type\":\"volume\",\"Target\":\"/c\","
			    "\"VolumeOptions\":{\"NoCopy\":true}}]");
	json_t *binds = load("[\"/srv/s:/s:ro\"]");
	json_t *inspect = with_volumes();
	json_t *config = NULL;
	struct err err;

	(void)state;
	assert_int_equal(container_config_clone(&config, inspect, &err), 0);
	assert_true(json_equal(json_at(config, "HostConfig", "Mounts", NULL), want));
	assert_true(json_equal(json_at(config, "HostConfig", "Binds", NULL), binds));
	json_decref(config);
	json_decref(inspect);
	json_decref(binds);
	json_decref(want);
}

/** volumes() - Parse a plan of which "volumes" and HostConfig's Mounts are as given */
static void volumes(const char *paths, const char *mounts, int want, const char *reason)
{
	json_t *plan = plan_new();
	json_t *back = NULL;
	struct err err = { 0 };

	json_object_set_new(plan, "volumes", load(paths));
	json_object_set_new(json_at(plan, "config", "HostConfig", NULL), "Mounts", load(mounts));
	assert_int_equal(parse(plan, &back, &err), want);
	assert_non_null(strstr(want ? err.text : reason, reason));
	json_decref(back);
	json_decref(plan);
}

static void test_plan_volumes(void **state)
{
	static const char ours[] = "the plan's volumes are not those";
	static const char own[] = "is asked for by name or by driver";

	(void)state;
	volumes("[\"/a\"]", "[{\"Type\":\"volume\",\"Target\":\"/a\"}]", 0, "");
	volumes("[]", "[{\"Type\":\"tmpfs\",\"Target\":\"/a\"}]", 0, "");
	volumes("[]", "[{\"Type\":\"volume\",\"Target\":\"/a\"}]", -EPROTO, ours);
	volumes("[\"/a\"]", "[]", -EPROTO, ours);
	volumes("[\"/b\"]", "[{\"Type\":\"volume\",\"Target\":\"/a\"}]", -EPROTO, ours);
	volumes("[1]", "[{\"Type\":\"volume\",\"Target\":\"/a\"}]", -EPROTO, ours);
	volumes("{}", "[]", -EPROTO, ours);
	volumes("[\"/a\"]", "[{\"Type\":\"volume\",\"Source\":\"x\",\"Target\":\"/a\"}]", -EPERM,
		own);
	volumes("[\"/a\"]",
		"[{\"Type\":\"volume\",\"Target\":\"/a\",\"VolumeOptions\":{\"DriverConfig\":"
		"{\"Options\":{\"type\":\"nfs\"}}}}]",
		-EPERM, own);
}

/* A declared directory, and what is in it, and nothing that only looks so. */
static void test_shared(void **state)
{
	static const char *const shared[] = { "/srv/maps", NULL };

	(void)state;
	assert_true(container_mounts_shared(shared, "/srv/maps"));
	assert_true(container_mounts_shared(shared, "/srv/maps/eu"));
	assert_false(container_mounts_shared(shared, "/srv/mapsx"));
	assert_false(container_mounts_shared(shared, "/srv"));
	assert_false(container_mounts_shared(shared, "/srv/maps/../secret"));
	assert_false(container_mounts_shared(shared, "/srv/maps/.."));
	assert_false(container_mounts_shared(shared, "srv/maps"));
	assert_false(container_mounts_shared(NULL, "/srv/maps"));
}

/* A source cannot make us create what we would not let leave. */
static void test_plan_refused(void **state)
{
	static const char *const bad[] = {
		"{\"Privileged\":true}",
		"{\"Binds\":[\"/var/run/docker.sock:/s\"]}",
		"{\"Binds\":[\"/etc:/e:ro\"]}",
		"{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/etc\",\"Target\":\"/e\"}]}",
		"{\"Devices\":[{\"PathOnHost\":\"/dev/kvm\"}]}",
		"{\"NetworkMode\":\"host\"}",
		"{\"PidMode\":\"container:x\"}",
		"{\"IpcMode\":\"host\"}",
		"{\"VolumesFrom\":[\"x\"]}",
		"{\"AutoRemove\":true}",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *plan = plan_new();
		json_t *back = NULL;
		json_t *more = load(bad[i]);

		json_object_update(json_at(plan, "config", "HostConfig", NULL), more);
		assert_int_equal(parse(plan, &back, &err), -EPERM);
		assert_non_null(strstr(err.text, "cannot be moved"));
		json_decref(more);
		json_decref(plan);
	}
	json_t *plan = plan_new();
	json_t *back = NULL;
	json_object_set_new(json_object_get(plan, "config"), "Tty", json_true());
	assert_int_equal(parse(plan, &back, &err), -EPERM);
	assert_non_null(strstr(err.text, "tty"));
	json_decref(plan);
}

static void test_plan_no_texts(void **state)
{
	static const char *const keys[] = { "layers", "tags", "digests", "volumes" };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *plan = plan_new();
		json_t *back = NULL;

		json_t *image = json_object_get(plan, "image");
		json_object_set_new(i < 3 ? image : plan, keys[i], json_pack("[i]", 7));
		if (parse(plan, &back, &err) != -EPROTO)
			fail_msg("%s", keys[i]);
		json_decref(plan);
	}
}

static void fits(const char *key, const char *ours, int want)
{
	json_t *plan = plan_new();
	json_t *host = load(host_text);
	struct err err;

	json_object_set_new(host, key, json_string(ours));
	assert_int_equal(migration_plan_fits_host(plan, host, &err), want);
	json_decref(host);
	json_decref(plan);
}

static void test_fits(void **state)
{
	(void)state;
	fits("architecture", "x86_64", 0);
	fits("architecture", "aarch64", -EPERM);
	fits("kernel", "6.18.0", 0);
	fits("kernel", "5.10.0", -EPERM);
	fits("criu", "4.3", 0);
	fits("criu", "4.1.1", -EPERM);
	fits("criu", "5.0", -EPERM);
	fits("runc", "1.2.7", 0);
	fits("runc", "2.0.0", -EPERM);
	fits("cpu", "avx sse2 sse vme fpu", 0);
	fits("cpu", "fpu vme sse2 ssse", -EPERM);
	fits("cgroup", "hybrid", 0);
	fits("cgroup", "v1", -EPERM);
	fits("cgroup", "v2", -EPERM);
	fits("hierarchies", "pids memory cpu,cpuacct", 0);
	fits("hierarchies", "cpu cpuacct memory", -EPERM);

	json_t *plan = plan_new();
	json_t *host = load(host_text);
	struct err err;
	json_t *in_plan = json_object_get(plan, "image");
	assert_int_equal(migration_plan_fits_host(plan, host, &err), 0);
	json_object_set_new(in_plan, "architecture", json_string("amd64"));
	assert_int_equal(migration_plan_fits_host(plan, host, &err), 0);
	json_object_set_new(in_plan, "architecture", json_string("arm64"));
	assert_int_equal(migration_plan_fits_host(plan, host, &err), -EPERM);
	assert_string_equal(err.text, "the image's architecture does not fit: arm64 there, "
				      "amd64 here");
	json_decref(host);
	json_t *image = load("{\"RootFS\":{\"Layers\":[\"sha256:b\",\"sha256:a\"]}}");
	assert_int_equal(migration_plan_fits_image(plan, image, &err), -EPERM);
	assert_true(err.lasting);
	json_decref(image);
	json_decref(plan);
}

static void layers_here(const char *image_text, size_t count)
{
	json_t *plan = plan_new();
	json_t *image = load(image_text);

	assert_int_equal(migration_plan_layers_here(plan, image), count);
	json_decref(image);
	json_decref(plan);
}

static void test_layers_here(void **state)
{
	(void)state;
	layers_here("{}", 0);
	layers_here("{\"RootFS\":{\"Layers\":[]}}", 0);
	layers_here("{\"RootFS\":{\"Layers\":[\"sha256:b\"]}}", 0);
	layers_here("{\"RootFS\":{\"Layers\":[\"sha256:a\"]}}", 1);
	layers_here("{\"RootFS\":{\"Layers\":[\"sha256:a\",\"sha256:c\"]}}", 1);
	layers_here("{\"RootFS\":{\"Layers\":[\"sha256:a\",\"sha256:b\",\"sha256:c\"]}}", 2);
}

static void version(const char *groups, const char *want, const char *hierarchies)
{
	char list[CGROUP_LIST_MAX];

	assert_string_equal(cgroup_version_parse(list, groups), want);
	assert_string_equal(list, hierarchies);
}

static void test_cgroup_version(void **state)
{
	char many[4 * CGROUP_LIST_MAX] = "";
	char list[CGROUP_LIST_MAX];

	(void)state;
	version("0::/system.slice/docker.service\n", "v2", "");
	version("3:memory:/a\n2:cpu,cpuacct:/b\n1:name=systemd:/\n0::/\n", "hybrid",
		"memory cpu,cpuacct name=systemd");
	version("2:cpu,cpuacct:/b:c\n1:name=systemd:/\n", "v1", "cpu,cpuacct name=systemd");
	/* systemd's own beside version 2 is none of version 1 */
	version("1:name=systemd:/\n0::/", "v2", "");
	version("", "v1", "");
	version("nothing of it\n\n0\n", "v1", "");
	for (size_t i = 0; i + 10 < sizeof(many); i += 9)
		memcpy(many + i, "1:pids:/\n", 10);
	assert_string_equal(cgroup_version_parse(list, many), "v1");
	assert_true(strlen(list) < CGROUP_LIST_MAX);
}

/** runc_says() - Whether a runc whose help is this must be told to carry files without a name */
static bool runc_says(const char *help, int status)
{
	char dir[] = "/tmp/baton-test-XXXXXX";
	char bin[48];
	char runc[64];
	bool remaps;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(bin, sizeof(bin), "%s/bin", dir);
	(void)snprintf(runc, sizeof(runc), "%s/runc", bin);
	assert_int_equal(mkdir(bin, 0700), 0);
	int fd = open(runc, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_true(dprintf(fd,
			    "#!/bin/sh\n[ \"$*\" = 'checkpoint --help' ] && echo '%s'\nexit %d\n",
			    help, status) > 0);
	close(fd);
	remaps = migration_runc_remaps(dir);
	assert_int_equal(unlink(runc), 0);
	assert_int_equal(rmdir(bin), 0);
	assert_int_equal(rmdir(dir), 0);
	return remaps;
}

static void test_runc_remaps(void **state)
{
	(void)state;
	assert_true(runc_says("   --file-locks\n   --link-remap   handle them", 0));
	assert_false(runc_says("   --file-locks", 0));
	assert_false(runc_says("   --link-remap", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clone),         cmocka_unit_test(test_apart),
		cmocka_unit_test(test_service),       cmocka_unit_test(test_time_zone),
		cmocka_unit_test(test_plan),          cmocka_unit_test(test_plan_refused),
		cmocka_unit_test(test_plan_no_texts), cmocka_unit_test(test_fits),
		cmocka_unit_test(test_layers_here),   cmocka_unit_test(test_clone_volumes),
		cmocka_unit_test(test_plan_volumes),  cmocka_unit_test(test_shared),
		cmocka_unit_test(test_runc_remaps),   cmocka_unit_test(test_cgroup_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
