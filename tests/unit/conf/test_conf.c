/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "conf/changes.h"
#include "conf/conf.h"
#include "conf/options.h"

#define PKI "pki { ca = \"ca.crt\" cert = \"x.crt\" key = \"/k/x.key\" }\n"

static const char ap_conf[] =
	"# access point\n"
	"name = \"AP-1\"\n"
	"listen = \"192.0.2.1:7100\"\n"
	"station_listen = \"[2001:db8::1]:7101\" // ours /* \n"
	"es = \"EdgeServer-1\"\n" PKI
	"logrepo { name = \"LogRepo\" address = \"192.0.2.9:7300\" }\n"
	"peer \"EdgeServer-1\" { role = \"es\" address = \"192.0.2.1:7200\" }\n"
	"peer \"EdgeServer-2\" { role = es address = \"192.0.2.2:7200\" }\n"
	"peer \"AP-2\" { role = \"ap\" address = \"192.0.2.2:7100\" es = \"EdgeServer-2\" }\n"
	"limits { grace_ms = 3000 }\n"
	"compare = \"none\"\n"
	"listener \"cache\" { listen = \"10.80.0.1:6379\" codec = \"resp\" }\n"
	"listener \"shop\" { listen = \"10.80.0.1:80\" service = \"web\" codec = \"http\" }\n"
	"stations = \"hostapd:/run/hostapd/wlan0\"\n"
	"request_events = \"log\"\n";

static const char es_conf[] = "name = \"EdgeServer-1\"\n"
			      "listen = \"192.0.2.1:7200\"\n"
			      "transfer_listen = \"192.0.2.1:7201\"\n" PKI
			      "docker { socket = \"/run/docker.sock\" exec_root = \"/run/runc\" }\n"
			      "state_dir = \"state\"\n"
			      "profile = \"paper\"\n"
			      "checkpoint_dir = \"/run/baton\"\n"
			      "service \"chain\" {\n"
			      "  image = \"baton/chain\"\n"
			      "  port = 9000\n"
			      "  sync = \"replay\"  restart = \"on-failure:5\"\n"
			      "  method = \"complete\"\n"
			      "  codec = \"resp\"\n"
			      "  memory_mb = 64\n"
			      "  env = { \"TZ=UTC\", \"A=b=c\" }\n"
			      "  command = { \"python3\", \"/app.py\" }\n"
			      "  pids = 50\n"
			      "  volumes = { \"data:/data\", \"logs:/var/log\" }\n"
			      "  tmpfs = { \"/run:size=16m,mode=0700\" }\n"
			      "  binds = { \"/srv/maps/eu:/maps:ro\" }\n"
			      "  publish = { \"8080:80/udp\", \"9001\", \"192.0.2.1:53:53\" }\n"
			      "}\n"
			      "shared = { \"/srv/maps\" }\n"
			      "peer \"EdgeServer-2\" { role = \"es\" address = \"192.0.2.2:7200\" "
			      "transfer = \"192.0.2.2:7201\" }\n";

static const char mud_conf[] =
	"name = \"MUD-1\"\nuses = \"chain\"\nap = { \"AP-1\", \"AP-2\" }\n" PKI
	"peer \"AP-1\" { role = \"ap\" address = \"192.0.2.1:7101\" }\n"
	"peer \"AP-2\" { role = \"ap\" address = \"192.0.2.2:7101\" }\n";

/* Loads a text through a file. Return: as conf_load() */
static int load(const char *text, size_t len, enum wire_role role, struct conf **ret,
		struct err *err)
{
	char path[] = "/tmp/baton-test-conf-XXXXXX";

	auto_close int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	int r = conf_load(path, role, ret, err);
	unlink(path);
	return r;
}

static struct conf *load_good(const char *text, enum wire_role role)
{
	struct conf *c = NULL;
	struct err err = { 0 };

	if (load(text, strlen(text), role, &c, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static void test_ap(void **state)
{
	(void)state;
	AUTO(conf) struct conf *c = load_good(ap_conf, WIRE_ROLE_AP);
	assert_string_equal(c->name, "AP-1");
	assert_string_equal(c->listen, "192.0.2.1:7100");
	assert_string_equal(c->es, "EdgeServer-1");
	assert_string_equal(c->pki.ca, "/tmp/ca.crt"); /* beside the file */
	assert_string_equal(c->pki.key, "/k/x.key");
	assert_string_equal(c->logrepo_name, "LogRepo");
	assert_int_equal(c->peers, 3);
	const struct conf_peer *p = conf_peer_find(c, "AP-2");
	assert_non_null(p);
	assert_int_equal(p->role, WIRE_ROLE_AP);
	assert_string_equal(p->es, "EdgeServer-2");
	assert_null(p->transfer);
	assert_null(conf_peer_find(c, "AP-3"));
	assert_int_equal(c->limit[CONF_GRACE_MS], 3000);
	assert_int_equal(c->listeners, 2);
	assert_string_equal(c->listener[0].listen, "10.80.0.1:6379");
	assert_string_equal(c->listener[0].service, "cache"); /* the listener's name */
	assert_int_equal(c->listener[0].codec, CONF_CODEC_RESP);
	assert_string_equal(c->listener[1].service, "web");
	assert_string_equal(c->stations, "/run/hostapd/wlan0");
	assert_null(c->state_dir);
	assert_int_equal(c->limit[CONF_DRAIN_MS], conf_limit_table[CONF_DRAIN_MS].standard);
}

/* Other programs may be named by their hosts; the name is looked up at once. */
static void test_host_names(void **state)
{
	static const char old[] = "192.0.2.2:7200";
	const char *at = strstr(ap_conf, old);
	char text[4096];

	(void)state;
	(void)snprintf(text, sizeof(text), "%.*slocalhost:7200%s", (int)(at - ap_conf), ap_conf,
		       at + strlen(old));
	AUTO(conf) struct conf *c = load_good(text, WIRE_ROLE_AP);
	const char *found = conf_peer_find(c, "EdgeServer-2")->address;
	if (strcmp(found, "127.0.0.1:7200") != 0)
		assert_string_equal(found, "[::1]:7200");

	/* It may be found the next time: that is another error than a mistake. */
	struct conf *none = NULL;
	struct err err = { 0 };
	(void)snprintf(text, sizeof(text), "%.*snone.invalid:7200%s", (int)(at - ap_conf), ap_conf,
		       at + strlen(old));
	assert_int_equal(load(text, strlen(text), WIRE_ROLE_AP, &none, &err), -EHOSTUNREACH);
	assert_null(none);
	assert_non_null(strstr(err.text, "host none.invalid is not found"));
}

static void test_es(void **state)
{
	(void)state;
	AUTO(conf) struct conf *c = load_good(es_conf, WIRE_ROLE_ES);
	assert_string_equal(c->state_dir, "/tmp/state");
	assert_string_equal(c->docker.runtime, "baton");
	assert_string_equal(conf_peer_find(c, "EdgeServer-2")->transfer, "192.0.2.2:7201");
	const struct conf_service *s = conf_service_find(c, "chain");
	assert_non_null(s);
	assert_string_equal(s->image, "baton/chain");
	assert_int_equal(s->port, 9000);
	assert_int_equal(s->codec, CONF_CODEC_RESP);
	assert_int_equal(s->sync, CONF_SYNC_REPLAY);
	assert_int_equal(s->restart, CONF_RESTART_ON_FAILURE);
	assert_int_equal(s->restart_tries, 5);
	assert_int_equal(s->method, CONF_METHOD_COMPLETE);
	assert_int_equal(c->profile, CONF_PROFILE_PAPER);
	assert_int_equal(s->memory_bytes, 64u << 20);
	assert_int_equal(s->start_ms, 30000);
	assert_string_equal(s->env[1], "A=b=c");
	assert_null(s->env[2]);
	assert_string_equal(s->command[0], "python3");
	assert_int_equal(s->pids, 50);
	assert_string_equal(s->volumes[1], "logs:/var/log");
	assert_string_equal(s->tmpfs[0], "/run:size=16m,mode=0700");
	assert_string_equal(s->binds[0], "/srv/maps/eu:/maps:ro");
	assert_string_equal(s->publish[2], "192.0.2.1:53:53");
	assert_string_equal(c->shared[0], "/srv/maps");
	assert_null(conf_service_find(c, "other"));
	assert_int_equal(c->limit[CONF_GRACE_MS], 2000);
	assert_null(c->logrepo_address);
}

static void test_mud(void **state)
{
	(void)state;
	AUTO(conf) struct conf *c = load_good(mud_conf, WIRE_ROLE_MUD);
	assert_string_equal(c->uses, "chain");
	assert_int_equal(c->aps, 2);
	assert_string_equal(c->ap[1], "AP-2");
	assert_false(c->peer[0].placed);
	assert_true(c->radio.exponent == 3 && c->radio.dwell_ms == 500);
}

static void test_places_and_radio(void **state)
{
	static const char more[] =
		"peer \"AP-3\" { role = ap address = \"192.0.2.3:7101\" x = 0 y = -12.5 }\n"
		"radio { exponent = 2 sensitivity_dbm = -90.5 }\n";
	char text[sizeof(mud_conf) + sizeof(more)];

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s", mud_conf, more);
	AUTO(conf) struct conf *c = load_good(text, WIRE_ROLE_MUD);
	const struct conf_peer *p = conf_peer_find(c, "AP-3");
	assert_non_null(p);
	assert_true(p->placed && p->x == 0 && p->y == -12.5);
	assert_false(conf_peer_find(c, "AP-1")->placed);
	assert_true(c->radio.exponent == 2 && c->radio.sensitivity_dbm == -90.5);
	assert_true(c->radio.transmit_dbm == 20 && c->radio.hysteresis_db == 6);
}

/** put() - Write a file of a catalogue */
static void put(const char *dir, const char *name, const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	auto_fclose FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

/** load_with() - Load es_conf, or a text that replaces it, with the directory as its catalogue */
static int load_with(const char *dir, const char *base, struct conf **ret, struct err *err)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "%scatalogue = \"%s\"\n", base, dir);
	return load(text, strlen(text), WIRE_ROLE_ES, ret, err);
}

#define SERVICE "{ image = \"i\" port = 80 }\n"

static void test_catalogue(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		const char *words;
	} wrong[] = {
		{ "c.conf", "service \"c\" {\n  image = \"i\"\n  port = 0\n}\n",
		  "c.conf:3: port = 0" },
		{ "c.conf", "service \"c\" {\n  image = \"i\"\n", "c.conf:1: what is opened" },
		{ "c.conf", "name = \"x\"\n", "c.conf:1: no such option 'name'" },
		{ "c.conf", "# nothing yet\n", "c.conf: holds 0 services: want one" },
		{ "c.conf", "service \"c\" " SERVICE "service \"d\" " SERVICE, "holds 2 services" },
		{ "c.conf", "service \"b\" " SERVICE, "c.conf: service \"b\" is in " },
		{ "c.conf", "service \"chain\" " SERVICE, "c.conf: service \"chain\" is in " },
		{ "c.conf", "service \"c\" { image = \"i\" port = 80 binds = {\"/e:/e\"} }\n",
		  "c.conf: service \"c\": bind \"/e:/e\" is in no" },
	};
	char dir[] = "/tmp/baton-test-catalogue-XXXXXX";
	char command[128];
	struct conf *c = NULL;
	struct err err = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	put(dir, "b.conf", "service \"b\" " SERVICE);
	put(dir, "a.conf", "service \"first\" " SERVICE);
	put(dir, "notes.txt", "what?");
	put(dir, ".hidden.conf", "what?");
	put(dir, "b.conf~", "what?");
	assert_int_equal(load_with(dir, es_conf, &c, &err), 0);
	assert_int_equal(c->services, 3);
	assert_string_equal(conf_service_find(c, "first")->image, "i");
	assert_non_null(strstr(conf_service_find(c, "b")->file, "/b.conf"));
	conf_free(TAKE_PTR(c));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		put(dir, wrong[i].name, wrong[i].text);
		assert_int_equal(load_with(dir, es_conf, &c, &err), -EINVAL);
		if (!strstr(err.text, wrong[i].words))
			fail_msg("\"%s\" lacks \"%s\"", err.text, wrong[i].words);
	}
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(load_with(dir, es_conf, &c, &err), -ENOENT);
	assert_non_null(strstr(err.text, "read the catalogue /tmp/"));
}

/* A good file with one piece replaced, and what the error must say */
struct bad {
	const char *base;
	enum wire_role role;
	const char *old;
	const char *new;
	const char *words;
};

static const struct bad bad[] = {
	{ ap_conf, WIRE_ROLE_AP, "name = \"AP-1\"", "name = \"AP 1\"",
	  ":2: name = \"AP 1\": want" },
	{ ap_conf, WIRE_ROLE_AP, "name = \"AP-1\"", "", "name is missing" },
	/* a string without an end goes over lines; what is said of it does not */
	{ ap_conf, WIRE_ROLE_AP, "name = \"AP-1\"", "name =x\"\npki { \"\n# \"", "pki" },
	{ ap_conf, WIRE_ROLE_AP, "192.0.2.1:7100", "localhost:7100", ":3: listen = " },
	{ ap_conf, WIRE_ROLE_AP, "192.0.2.1:7100", "192.0.2.1", "want \"IP:PORT\"" },
	{ ap_conf, WIRE_ROLE_AP, "192.0.2.9:7300", "no_host:7300",
	  "want \"IP:PORT\" or \"NAME:PORT\"" },
	{ ap_conf, WIRE_ROLE_AP, "192.0.2.9:7300", "host", "want \"IP:PORT\" or \"NAME:PORT\"" },
	{ ap_conf, WIRE_ROLE_AP, "192.0.2.9:7300", "a:1:7300",
	  "want \"IP:PORT\" or \"NAME:PORT\"" },
	{ ap_conf, WIRE_ROLE_AP, "192.0.2.9:7300", "-h:7300", "want \"IP:PORT\" or \"NAME:PORT\"" },
	{ ap_conf, WIRE_ROLE_AP, "7101", "71010", ":4: station_listen" },
	{ ap_conf, WIRE_ROLE_AP, "es = \"EdgeServer-1\"", "", "es is missing" },
	{ ap_conf, WIRE_ROLE_AP, "es = \"EdgeServer-1\"", "es = \"AP-2\"", "no peer with role" },
	{ ap_conf, WIRE_ROLE_AP, PKI, "", "pki is missing" },
	{ ap_conf, WIRE_ROLE_AP, "key =", "kex =", ":6: no such option 'kex'" },
	{ ap_conf, WIRE_ROLE_AP, "cert = \"x.crt\"", "", "cert in section pki is missing" },
	{ ap_conf, WIRE_ROLE_AP, "role = es", "role = \"boss\"", ":9: role = \"boss\": want" },
	{ ap_conf, WIRE_ROLE_AP, "role = es", "", "needs role and address" },
	{ ap_conf, WIRE_ROLE_AP, "peer \"AP-2\"", "peer \"EdgeServer-2\"", "EdgeServer-2" },
	{ ap_conf, WIRE_ROLE_AP, "peer \"AP-2\"", "peer \"AP-1\"", "is this node itself" },
	{ ap_conf, WIRE_ROLE_AP, "es = \"EdgeServer-2\"", "es = \"X\"", "\"X\" is no peer" },
	{ ap_conf, WIRE_ROLE_AP, "3000", "-1", ":11: grace_ms = -1: want 0 to 600000 ms" },
	{ ap_conf, WIRE_ROLE_AP, "3000", "soon", ":11: invalid integer" },
	{ ap_conf, WIRE_ROLE_AP, "3000", "99999999999999999999", ":11:" },
	{ ap_conf, WIRE_ROLE_AP, "grace_ms", "grace", "no such option 'grace'" },
	{ ap_conf, WIRE_ROLE_AP, "limits", "events = \"/x\" limits",
	  "events is no setting of role" },
	{ ap_conf, WIRE_ROLE_AP, "10.80.0.1:80\"", "10.80.0.1\"",
	  ":14: listen = \"10.80.0.1\": want \"IP:PORT\"" },
	{ ap_conf, WIRE_ROLE_AP, "listen = \"10.80.0.1:80\"", "", ":14: listener \"shop\": needs" },
	{ ap_conf, WIRE_ROLE_AP, "codec = \"http\"", "codec = \"smtp\"", ":14: codec = \"smtp\"" },
	{ ap_conf, WIRE_ROLE_AP, "\"web\"", "\"a/b\"", ":14: service = \"a/b\"" },
	{ ap_conf, WIRE_ROLE_AP, "listener \"shop\"", "listener \"a b\"", "title must be a name" },
	{ ap_conf, WIRE_ROLE_AP, "hostapd:/run", "hostapd:run", ":15: stations = \"hostapd:run" },
	{ ap_conf, WIRE_ROLE_AP, "limits {", "limits", "" },
	{ ap_conf, WIRE_ROLE_AP, "3000 }", "3000", "" },
	{ ap_conf, WIRE_ROLE_AP, "\"AP-2\" {", "\"AP-2 {", "" },
	{ ap_conf, WIRE_ROLE_MUD, "x", "x", "is no setting of role \"mud\"" },
	{ es_conf, WIRE_ROLE_ES, "port = 9000", "port = 70000", ":11: port = 70000: want 1" },
	{ es_conf, WIRE_ROLE_ES, "port = 9000", "", "needs image and port" },
	{ es_conf, WIRE_ROLE_ES, "\"replay\"", "\"pray\"",
	  "want \"auto\", \"replay\" or \"hold\"" },
	{ es_conf, WIRE_ROLE_ES, "\"resp\"", "\"smtp\"",
	  ":14: codec = \"smtp\": want \"frame\", \"line\", \"resp\", \"http\", \"tcp\" or "
	  "\"udp\"" },
	{ es_conf, WIRE_ROLE_ES, "\"complete\"", "\"whole\"",
	  ":13: method = \"whole\": want \"auto\", \"complete\" or \"partial\"" },
	{ es_conf, WIRE_ROLE_ES, "\"paper\"", "\"fast\"", "profile = \"fast\": want" },
	{ ap_conf, WIRE_ROLE_AP, "limits", "profile = \"paper\" limits",
	  "profile is no setting of role" },
	{ ap_conf, WIRE_ROLE_AP, "\"none\"", "\"some\"", "compare = \"some\": want" },
	{ ap_conf, WIRE_ROLE_AP, "\"log\"", "\"all\"",
	  "request_events = \"all\": want \"count\" or \"log\"" },
	{ es_conf, WIRE_ROLE_ES, "TZ=UTC", "TZ", "env entry \"TZ\"" },
	{ es_conf, WIRE_ROLE_ES, "data:/data", "/data", ":19: volumes entry \"/data\": want" },
	{ es_conf, WIRE_ROLE_ES, "data:/data", "a/b:/data", "volumes entry" },
	{ es_conf, WIRE_ROLE_ES, "data:/data", "data:data", "volumes entry" },
	{ es_conf, WIRE_ROLE_ES, "data:/data", "data:/data:ro", "volumes entry" },
	{ es_conf, WIRE_ROLE_ES, "data:/data", "data:/run", "two mounts at /run" },
	{ es_conf, WIRE_ROLE_ES, "/run:size", "run:size", ":20: tmpfs entry" },
	{ es_conf, WIRE_ROLE_ES, "/srv/maps/eu:/maps:ro", "/srv/maps/eu", ":21: binds entry" },
	{ es_conf, WIRE_ROLE_ES, ":/maps:ro", ":/maps:rx", "binds entry" },
	{ es_conf, WIRE_ROLE_ES, "/srv/maps/eu", "/srv/maps/../etc", "binds entry" },
	{ es_conf, WIRE_ROLE_ES, "/srv/maps/eu", "/srv/mapsx",
	  "bind \"/srv/mapsx:/maps:ro\" is in no directory of shared" },
	{ es_conf, WIRE_ROLE_ES, "shared = { \"/srv/maps\" }\n", "",
	  "is in no directory of shared" },
	{ es_conf, WIRE_ROLE_ES, "{ \"/srv/maps\" }", "{ \"/srv/maps/\" }", ":24: shared \"/srv" },
	{ es_conf, WIRE_ROLE_ES, "8080:80/udp", "8080:80/sctp", ":22: publish entry" },
	{ es_conf, WIRE_ROLE_ES, "8080:80/udp", "8080:", "publish entry" },
	{ es_conf, WIRE_ROLE_ES, "8080:80/udp", "0:80", "publish entry" },
	{ es_conf, WIRE_ROLE_ES, "8080:80/udp", "::80:80", "publish entry" },
	{ es_conf, WIRE_ROLE_ES, "pids = 50", "pids = 0", ":18: pids = 0: want 1 to" },
	{ es_conf, WIRE_ROLE_ES, "state_dir = \"state\"", "", "state_dir is missing" },
	{ es_conf, WIRE_ROLE_ES, "exec_root = \"/run/runc\"", "", "exec_root in section docker" },
	{ es_conf, WIRE_ROLE_ES, "service \"chain\"", "service \"a/b\"", "title must be a name" },
	{ mud_conf, WIRE_ROLE_MUD, "{ \"AP-1\", \"AP-2\" }", "{}", "ap is missing" },
	{ mud_conf, WIRE_ROLE_MUD, "192.0.2.1:7101\"", "192.0.2.1:7101\" x = 1",
	  "peer \"AP-1\": x and y belong together" },
	{ mud_conf, WIRE_ROLE_MUD, "192.0.2.1:7101\"", "192.0.2.1:7101\" x = 1 y = north",
	  "invalid floating point value" },
	{ mud_conf, WIRE_ROLE_MUD, "192.0.2.1:7101\"", "192.0.2.1:7101\" x = nan y = 1",
	  "x = nan: want -1e+06 to 1e+06" },
	{ mud_conf, WIRE_ROLE_MUD, "uses = \"chain\"\n",
	  "uses = \"chain\" radio { exponent = 9 }\n", ":2: exponent = 9: want 1 to 8" },
	{ mud_conf, WIRE_ROLE_MUD, "uses = \"chain\"\n", "uses = \"chain\" radio { power = 9 }\n",
	  "no such option 'power'" },
	{ ap_conf, WIRE_ROLE_AP, "limits {", "radio { exponent = 3 }\nlimits {",
	  "radio is no setting of role \"ap\"" },
	{ es_conf, WIRE_ROLE_ES, "transfer = \"192.0.2.2:7201\"",
	  "transfer = \"192.0.2.2:7201\" x = 1 y = 2",
	  "peer \"EdgeServer-2\": only an ap has x and y" },
	{ mud_conf, WIRE_ROLE_MUD, "{ \"AP-1\", \"AP-2\" }", "{\"AP-9\"}",
	  "ap \"AP-9\" is no peer" },
	{ mud_conf, WIRE_ROLE_MUD, "{ \"AP-1\", \"AP-2\" }", "{\"a/b\"}", ":3: ap = \"a/b\"" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct conf *c = NULL;
		struct err err = { 0 };
		char text[4096];

		const char *at = strstr(bad[i].base, bad[i].old);
		assert_non_null(at);
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - bad[i].base), bad[i].base,
			       bad[i].new, at + strlen(bad[i].old));
		if (load(text, strlen(text), bad[i].role, &c, &err) != -EINVAL)
			fail_msg("%zu: accepted \"%s\" for \"%s\"", i, bad[i].new, bad[i].old);
		assert_null(c);
		if (!strstr(err.text, bad[i].words) || strchr(err.text, '\n'))
			fail_msg("%zu: \"%s\" lacks \"%s\"", i, err.text, bad[i].words);
	}
}

/* Whatever the bytes are, there is an error and nothing leaks; cut anywhere, too */
static void test_rubbish(void **state)
{
	static const char *const text[] = { "",
					    "\n\n",
					    "{{{{",
					    "}",
					    "name",
					    "name =",
					    "= = =",
					    "\"",
					    "peer \"",
					    "/*",
					    "name = \"${HOME",
					    "\xff\xfe" };
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		struct conf *c = NULL;

		assert_int_equal(load(text[i], strlen(text[i]), WIRE_ROLE_ES, &c, &err), -EINVAL);
	}
	for (size_t len = 0; len < sizeof(es_conf) - 1; len++) {
		struct conf *c = NULL;

		(void)load(es_conf, len, WIRE_ROLE_ES, &c, &err);
		conf_free(c);
	}
}

static void test_no_file(void **state)
{
	struct conf *c = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(conf_load("/nowhere/x.conf", WIRE_ROLE_AP, &c, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/x.conf"));
	assert_int_equal(conf_load("/tmp", WIRE_ROLE_AP, &c, &err), -EINVAL);
	assert_int_equal(conf_load("/dev/zero", WIRE_ROLE_AP, &c, &err), -EINVAL);
}

static int seen;

static int take_number(void *ctx, const char *value, struct err *err)
{
	(void)ctx;
	seen = atoi(value);
	return seen ? 0 : err_set(err, -EINVAL, "--number %s: want a number", value);
}

static void test_options(void **state)
{
	static const struct options_extra extra[] = {
		{ "number", "N", "a number", take_number },
		{ 0 },
	};
	const struct options o = {
		.program = "baton-test", .summary = "a test", .role = WIRE_ROLE_MUD, .extra = extra
	};
	struct conf *c = NULL;
	struct err err = { 0 };

	(void)state;
	/* getopt_long() may reorder the list but leaves the strings alone */
#define ARGS(...)                                                                                  \
	(int)ARRAY_SIZE(((const char *[]){ __VA_ARGS__ })),                                        \
		(char **)(uintptr_t)(const char *[]){ __VA_ARGS__, NULL }
	assert_int_equal(options_load(&o, ARGS("t"), &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, "--config FILE is missing"));
	assert_int_equal(options_load(&o, ARGS("t", "--what"), &c, &err), -EINVAL);
	assert_int_equal(options_load(&o, ARGS("t", "--config"), &c, &err), -EINVAL);
	assert_int_equal(options_load(&o, ARGS("t", "x"), &c, &err), -EINVAL);
	assert_int_equal(options_load(&o, ARGS("t", "--number", "x"), &c, &err), -EINVAL);
	assert_int_equal(
		options_load(&o, ARGS("t", "--number", "7", "--config", "/nowhere"), &c, &err),
		-ENOENT);
	assert_int_equal(seen, 7);
	assert_int_equal(options_load(&o, ARGS("t", "--help"), &c, &err), OPTIONS_E_DONE);
	assert_int_equal(options_load(&o, ARGS("t", "--version"), &c, &err), OPTIONS_E_DONE);
	assert_null(c);
}

/* The table itself: defaults within their ranges */
static void test_limits(void **state)
{
	(void)state;
	for (int i = 0; i < CONF_LIMITS; i++) {
		const struct conf_limit *l = &conf_limit_table[i];

		assert_non_null(l->name);
		assert_true(l->min <= l->standard && l->standard <= l->max);
		assert_ptr_equal(conf_limit_find(l->name), l);
	}
	assert_null(conf_limit_find("nothing"));
}

static void note(void *ctx, const char *setting)
{
	char *list = ctx;

	(void)snprintf(list + strlen(list), 256 - strlen(list), "%s;", setting);
}

/* What differs between a configuration of @role, and the same one with @line instead of @old */
static const char *changes(enum wire_role role, const char *text, const char *old, const char *line)
{
	static char list[256];
	char next[4096];
	const char *at = strstr(text, old);
	struct conf *loaded[2] = { NULL, NULL };
	struct err err = { 0 };

	assert_non_null(at);
	(void)snprintf(next, sizeof(next), "%.*s%s%s", (int)(at - text), text, line,
		       at + strlen(old));
	if (load(text, strlen(text), role, &loaded[0], &err) < 0 ||
	    load(next, strlen(next), role, &loaded[1], &err) < 0)
		fail_msg("%s", err.text);
	list[0] = '\0';
	conf_changes_fixed(loaded[0], loaded[1], note, list);
	conf_free(loaded[0]);
	conf_free(loaded[1]);
	return list;
}

/* What a program cannot change while it runs is named; what it takes at SIGHUP is not */
static void test_changes(void **state)
{
	const enum wire_role ap = WIRE_ROLE_AP, es = WIRE_ROLE_ES;

	(void)state;
	assert_string_equal(changes(ap, ap_conf, "", ""), "");
	assert_string_equal(changes(ap, ap_conf, "\"AP-1\"", "\"AP-9\""), "name;");
	assert_string_equal(changes(ap, ap_conf, "192.0.2.1:7100", "192.0.2.1:7109"), "listen;");
	assert_string_equal(changes(ap, ap_conf, "\"hostapd:/run/hostapd/wlan0\"", "\"traffic\""),
			    "stations;");
	assert_string_equal(changes(ap, ap_conf, "es = \"EdgeServer-1\"", "es = \"EdgeServer-2\""),
			    "es;");
	assert_string_equal(changes(ap, ap_conf, "\"x.crt\"", "\"y.crt\" crl = \"z\""),
			    "pki.cert;pki.crl;");
	assert_string_equal(changes(ap, ap_conf, "192.0.2.9:7300", "192.0.2.8:7300"), "");
	assert_string_equal(changes(ap, ap_conf, "192.0.2.1:7200", "192.0.2.7:7200"), "");
	assert_string_equal(
		changes(ap, ap_conf, "grace_ms = 3000", "grace_ms = 1000 dead_ms = 3000"), "");
	assert_string_equal(changes(ap, ap_conf, "10.80.0.1:80", "10.80.0.1:81"), "");
	assert_string_equal(changes(es, es_conf, "\"/srv/maps\" }", "\"/srv/maps\", \"/srv\" }"),
			    "shared;");
	assert_string_equal(changes(es, es_conf, "profile = \"paper\"", "registries = { \"r:5\" }"),
			    "profile;registries;");
	assert_string_equal(changes(es, es_conf, "profile = \"paper\"",
				    "profile = \"paper\" limits { stall_ms = 7000 "
				    "migrations_max = 9 }"),
			    "limits.stall_ms;");
	assert_string_equal(changes(es, es_conf, "\"/run/runc\"", "\"/run/other\""),
			    "docker.exec_root;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ap),         cmocka_unit_test(test_es),
		cmocka_unit_test(test_mud),        cmocka_unit_test(test_places_and_radio),
		cmocka_unit_test(test_catalogue),  cmocka_unit_test(test_bad),
		cmocka_unit_test(test_rubbish),    cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_options),    cmocka_unit_test(test_limits),
		cmocka_unit_test(test_host_names), cmocka_unit_test(test_changes),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
