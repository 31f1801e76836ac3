/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Configuration - the settings, and how a file of them is read
 *
 * libconfuse reads the grammar and calls us back after each value, while it still knows the line:
 * there each value is checked (on_top_level() and the other on_ functions). Mistakes that show only
 * when all is read, such as a missing setting, are found afterwards, and their error names the file.
 * Then the values move into struct conf (conf_copy.c), and are checked against one another (conf_whole.c).
 */

#include "conf/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "conf/conf_reader.h"

#define ROLE(r)    (1u << (r))
#define MUD        ROLE(WIRE_ROLE_MUD)
#define AP         ROLE(WIRE_ROLE_AP)
#define ES         ROLE(WIRE_ROLE_ES)
#define LOGREPO    ROLE(WIRE_ROLE_LOGREPO)
#define OPERATOR   ROLE(WIRE_ROLE_OPERATOR)
#define EVERY_ROLE (MUD | AP | ES | LOGREPO | OPERATOR)

/* One setting of the top level: who may have it, who must, and what it is for */
struct setting {
	const char *name;
	unsigned int allowed;
	unsigned int required;
	const char *help;
};

static const struct setting settings[] = {
	{ "name", EVERY_ROLE, EVERY_ROLE, "\"NAME\": this node, as in its certificate" },
	{ "listen", AP | ES | LOGREPO, AP | ES | LOGREPO, "\"IP:PORT\": for other programs" },
	{ "station_listen", AP, AP, "\"IP:PORT\": for mobile user devices" },
	{ "transfer_listen", ES, ES, "\"IP:PORT\": for containers on their way here" },
	{ "monitor_listen", AP | ES | LOGREPO, 0,
	  "\"IP:PORT\": GET /metrics (Prometheus) and /healthz, without certificates; best on "
	  "loopback" },
	{ "es", AP, AP, "\"NAME\": the access point's edge server, one of the peers" },
	{ "ap", MUD, MUD, "{\"NAME\", ...}: access points in the order of the way" },
	{ "uses", MUD, MUD, "\"NAME\": service to ask for" },
	{ "pki", EVERY_ROLE, EVERY_ROLE,
	  "{ ca = cert = key = [crl = (ca.crl beside ca, if it is there)] }: files made by `baton "
	  "pki`" },
	{ "logrepo", MUD | AP | ES | OPERATOR, 0, "{ name = address = }: event log repository" },
	{ "peer", MUD | AP | ES | OPERATOR, 0,
	  "\"NAME\" { role = \"ap|es|mud|logrepo\" address = [transfer =] [es =] [x = y =] }" },
	{ "radio", MUD, 0, "{ NAME = VALUE ... }: what the device hears, see below" },
	{ "service", ES, 0,
	  "\"NAME\" { image = port = [codec = \"frame|line|resp|http|udp|tcp\"] [sync = "
	  "\"auto|replay|hold\"] "
	  "[compare = \"answers|none\"] [compare_ignore = {}] "
	  "[method = \"auto|complete|partial\"] "
	  "[restart = \"always|on-failure[:N]|no\"] [protect = \"no|memory\"] [protect_ms =] "
	  "[memory_mb =] [cpu_millis =] [pids =] [start_timeout_ms =] [env = {}] [command = {}] "
	  "[volumes = {\"NAME:/PATH\"}] [tmpfs = {\"/PATH[:OPTIONS]\"}] "
	  "[binds = {\"/PATH:/PATH[:ro]\"}] "
	  "[publish = {\"[[IP:]HOST_PORT:]PORT[/tcp|udp]\"}] "
	  "[trusted_images = {\"sha256:ID\", \"REPOSITORY\"}] }" },
	{ "catalogue", ES, 0,
	  "\"PATH\": directory of more services, a file NAME.conf for each; read again on SIGHUP" },
	{ "shared", ES, 0,
	  "{\"PATH\", ...}: directories that are the same on all edge servers; binds may be "
	  "there" },
	{ "listener", AP, 0,
	  "\"NAME\" { listen = \"IP:PORT\" [service = \"NAME\"] "
	  "[codec = \"frame|line|resp|http|udp|tcp\"] }: a service for ordinary users" },
	{ "stations", AP, 0,
	  "\"traffic\": who sends something is a user; or \"hostapd:/PATH\", its control socket: "
	  "only its stations are" },
	{ "when_unreachable", AP, 0,
	  "\"refuse\": a user is refused while an access point that may have its sessions cannot "
	  "be asked; or \"begin\": it begins anew" },
	{ "docker", ES, ES, "{ socket = exec_root = [runtime = \"baton\"] }: its engine" },
	{ "registries", ES, 0, "{\"HOST:PORT\", ...}: images may be pulled from there" },
	{ "profile", ES, 0, "\"baton\", or \"paper\": as the paper did it, to compare with" },
	{ "compare", AP, 0,
	  "\"answers\": both containers must answer alike before one takes over; or \"none\"" },
	{ "request_events", MUD | AP, 0,
	  "\"count\": requests are only counted; or \"log\": each is an event, for experiments" },
	{ "state_dir", AP | ES, ES, "\"PATH\": what must survive a restart" },
	{ "checkpoint_dir", ES, ES, "\"PATH\": checkpoints on their way, best on tmpfs" },
	{ "image_dir", ES, 0, "\"PATH\": images on their way, on disk (images in state_dir)" },
	{ "protect_dir", ES, 0,
	  "\"PATH\": cuts of protected services, on disk (protected in state_dir)" },
	{ "spool_dir", AP | ES, 0,
	  "\"PATH\": long requests and answers on their way, on disk (/var/tmp)" },
	{ "events", LOGREPO, LOGREPO, "\"PATH\": file of the event log" },
	{ "limits", EVERY_ROLE, 0, "{ NAME = VALUE ... }: see below" },
};

static const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	}
	return NULL;
}

/* Any setting of the top level: whether this role has it, then its value */
static int on_top_level(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct setting *s = setting_find(opt->name);

	if (s && !(s->allowed & ROLE(conf_reading.role)))
		return conf_mistake(cfg,
				    "%s is no setting of role \"%s\" (--help lists all settings)",
				    opt->name, wire_role_name(conf_reading.role));
	if (strstr(opt->name, "listen") && opt->type == CFGT_STR)
		return conf_want_address(cfg, opt);
	if (strcmp(opt->name, "name") == 0 || strcmp(opt->name, "es") == 0 ||
	    strcmp(opt->name, "uses") == 0)
		return conf_want_name(cfg, opt);
	if (strcmp(opt->name, "ap") == 0) {
		if (cfg_opt_size(opt) > CONF_LIST_MAX)
			return conf_mistake(cfg, "ap: at most %d access points", CONF_LIST_MAX);
		return conf_want_name(cfg, opt);
	}
	return 0;
}

static int on_limit(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct conf_limit *l = conf_limit_find(opt->name);

	return conf_want_range(cfg, opt, l->min, l->max, l->unit);
}

static int on_peer_role(cfg_t *cfg, cfg_opt_t *opt)
{
	enum wire_role role = wire_role_from_name(conf_last_string(opt));

	if (role != WIRE_ROLE_NONE && role != WIRE_ROLE_OPERATOR)
		return 0;
	return conf_mistake(cfg, "role = \"%.80s\": want \"ap\", \"es\", \"mud\" or \"logrepo\"",
			    conf_last_string(opt));
}

static int on_metres(cfg_t *cfg, cfg_opt_t *opt)
{
	return conf_want_number(cfg, opt, -CONF_METRES_MAX, CONF_METRES_MAX);
}

/* End of a peer section */
static int on_peer(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *peer = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(peer);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (cfg_opt_size(opt) > CONF_PEERS_MAX)
		return conf_mistake(cfg, "at most %d peers", CONF_PEERS_MAX);
	if (!name_valid(title))
		return conf_mistake(cfg, "peer \"%.80s\": its title must be its name", title);
	if (!cfg_getstr(peer, "role") || !cfg_getstr(peer, "address"))
		return conf_mistake(cfg, "peer \"%s\": needs role and address", title);
	enum wire_role role = wire_role_from_name(cfg_getstr(peer, "role"));
	if (cfg_getstr(peer, "transfer") && role != WIRE_ROLE_ES)
		return conf_mistake(cfg, "peer \"%s\": only an es has transfer", title);
	if (cfg_getstr(peer, "es") && role != WIRE_ROLE_AP)
		return conf_mistake(cfg, "peer \"%s\": only an ap has es", title);
	if (cfg_size(peer, "x") != cfg_size(peer, "y"))
		return conf_mistake(cfg, "peer \"%s\": x and y belong together", title);
	if (cfg_size(peer, "x") && role != WIRE_ROLE_AP)
		return conf_mistake(cfg, "peer \"%s\": only an ap has x and y", title);
	return 0;
}

/* A setting that is one of two words */
static int on_word(cfg_t *cfg, cfg_opt_t *opt)
{
	return on_top_level(cfg, opt) < 0 ? -1 : conf_want_word(cfg, opt);
}

static int on_registries(cfg_t *cfg, cfg_opt_t *opt)
{
	return on_top_level(cfg, opt) < 0 ? -1 : conf_want_list(cfg, opt);
}

static int on_shared(cfg_t *cfg, cfg_opt_t *opt)
{
	if (on_top_level(cfg, opt) < 0)
		return -1;
	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		if (!conf_is_path(cfg_opt_getnstr(opt, i)))
			return conf_mistake(cfg, "shared \"%.80s\": want " CONF_PATH_WANTED,
					    cfg_opt_getnstr(opt, i));
	}
	return conf_want_list(cfg, opt);
}

static int on_compare(cfg_t *cfg, cfg_opt_t *opt)
{
	return on_top_level(cfg, opt) < 0 ? -1 : conf_want_comparison(cfg, opt);
}

static int on_service(cfg_t *cfg, cfg_opt_t *opt)
{
	return on_top_level(cfg, opt) < 0 ? -1 : conf_want_service(cfg, opt);
}

/* End of a listener section */
static int on_listener(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *listener = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(listener);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (cfg_opt_size(opt) > CONF_LISTENERS_MAX)
		return conf_mistake(cfg, "at most %d listeners", CONF_LISTENERS_MAX);
	if (!name_valid(title))
		return conf_mistake(cfg, "listener \"%.80s\": its title must be a name", title);
	if (!cfg_getstr(listener, "listen"))
		return conf_mistake(cfg, "listener \"%s\": needs listen = \"IP:PORT\"", title);
	return 0;
}

static int on_stations(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (strcmp(s, "traffic") == 0 ||
	    (strncmp(s, CONF_HOSTAPD, strlen(CONF_HOSTAPD)) == 0 && s[strlen(CONF_HOSTAPD)] == '/'))
		return 0;
	return conf_mistake(cfg, "stations = \"%.80s\": want \"traffic\" or \"hostapd:/PATH\"", s);
}

/* Whether a setting was given at all */
static bool given(cfg_t *cfg, const char *name)
{
	cfg_opt_t *opt = cfg_getopt(cfg, name);

	if (cfg_opt_size(opt) == 0)
		return false;
	return opt->type != CFGT_STR || cfg_opt_getnstr(opt, 0);
}

static int check_required(const char *path, cfg_t *cfg)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];

		if ((s->required & ROLE(conf_reading.role)) && !given(cfg, s->name))
			return conf_wrong(path, "%s is missing: %s %s", s->name, s->name, s->help);
	}
	return 0;
}

static void watch(cfg_t *cfg)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		(void)cfg_set_validate_func(cfg, settings[i].name, on_top_level);
	for (int i = 0; i < CONF_LIMITS; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "limits|%s", conf_limit_table[i].name);
		(void)cfg_set_validate_func(cfg, name, on_limit);
	}
	(void)cfg_set_validate_func(cfg, "logrepo|name", conf_want_name);
	(void)cfg_set_validate_func(cfg, "logrepo|address", conf_want_other_address);
	(void)cfg_set_validate_func(cfg, "peer", on_peer);
	(void)cfg_set_validate_func(cfg, "peer|role", on_peer_role);
	(void)cfg_set_validate_func(cfg, "peer|address", conf_want_other_address);
	(void)cfg_set_validate_func(cfg, "peer|transfer", conf_want_other_address);
	(void)cfg_set_validate_func(cfg, "peer|es", conf_want_name);
	(void)cfg_set_validate_func(cfg, "peer|x", on_metres);
	(void)cfg_set_validate_func(cfg, "peer|y", on_metres);
	conf_radio_watch(cfg);
	(void)cfg_set_validate_func(cfg, "service", on_service);
	conf_service_watch(cfg);
	(void)cfg_set_validate_func(cfg, "listener", on_listener);
	(void)cfg_set_validate_func(cfg, "listener|listen", conf_want_address);
	(void)cfg_set_validate_func(cfg, "listener|service", conf_want_name);
	(void)cfg_set_validate_func(cfg, "listener|codec", conf_want_codec);
	(void)cfg_set_validate_func(cfg, "stations", on_stations);
	(void)cfg_set_validate_func(cfg, "when_unreachable", on_word);
	(void)cfg_set_validate_func(cfg, "profile", on_word);
	(void)cfg_set_validate_func(cfg, "registries", on_registries);
	(void)cfg_set_validate_func(cfg, "shared", on_shared);
	(void)cfg_set_validate_func(cfg, "compare", on_compare);
	(void)cfg_set_validate_func(cfg, "request_events", on_word);
}

/* Checks the whole, and moves the values over */
static int finish(const char *path, cfg_t *cfg, struct conf **ret)
{
	int r = check_required(path, cfg);

	if (r == 0)
		r = conf_whole_sections(path, cfg);

	if (r < 0)
		return r;
	AUTO(conf) struct conf *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(conf_reading.err, -ENOMEM, "read configuration %s", path);
	c->role = conf_reading.role;
	r = conf_copy_all(c, cfg, path);
	if (r < 0) /* the mistake has been reported already */
		return r == -EINVAL || r == -EHOSTUNREACH
			       ? r
			       : err_set(conf_reading.err, r, "read configuration %s", path);
	if (c->catalogue)
		r = conf_catalogue_read(c->catalogue, &c->service, &c->services);
	if (r == 0 && c->role == WIRE_ROLE_ES && !c->services && !c->catalogue)
		r = conf_wrong(path, "service is missing: service %s; or catalogue %s",
			       setting_find("service")->help, setting_find("catalogue")->help);
	if (r == 0)
		r = conf_whole_check(path, c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

static cfg_opt_t pki_section[] = {
	CFG_STR("ca", NULL, CFGF_NONE),
	CFG_STR("cert", NULL, CFGF_NONE),
	CFG_STR("key", NULL, CFGF_NONE),
	CFG_STR("crl", NULL, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t logrepo_section[] = {
	CFG_STR("name", NULL, CFGF_NONE),
	CFG_STR("address", NULL, CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t peer_section[] = {
	CFG_STR("role", NULL, CFGF_NONE),
	CFG_STR("address", NULL, CFGF_NONE),
	CFG_STR("transfer", NULL, CFGF_NONE),
	CFG_STR("es", NULL, CFGF_NONE),
	CFG_FLOAT("x", 0, CFGF_NODEFAULT),
	CFG_FLOAT("y", 0, CFGF_NODEFAULT),
	CFG_END(),
};

static cfg_opt_t listener_section[] = {
	CFG_STR("listen", NULL, CFGF_NONE),
	CFG_STR("service", NULL, CFGF_NONE),
	CFG_STR("codec", "frame", CFGF_NONE),
	CFG_END(),
};

static cfg_opt_t docker_section[] = {
	CFG_STR("socket", NULL, CFGF_NONE),
	CFG_STR("exec_root", NULL, CFGF_NONE),
	CFG_STR("runtime", "baton", CFGF_NONE),
	CFG_END(),
};

static void limits_section(cfg_opt_t section[CONF_LIMITS + 1])
{
	for (int i = 0; i < CONF_LIMITS; i++)
		section[i] = (cfg_opt_t)CFG_INT(conf_limit_table[i].name,
						(long)conf_limit_table[i].standard, CFGF_NONE);
	section[CONF_LIMITS] = (cfg_opt_t)CFG_END();
}

int conf_load(const char *path, enum wire_role role, struct conf **ret, struct err *err)
{
	cfg_opt_t limits[CONF_LIMITS + 1];
	cfg_opt_t radio[CONF_RADIO_SETTINGS + 1];
	cfg_t *cfg = NULL;
	int r;

	conf_reading.role = role;
	conf_reading.err = err;
	limits_section(limits);
	conf_radio_section(radio);
	cfg_opt_t options[] = {
		CFG_STR("name", NULL, CFGF_NONE),
		CFG_STR("listen", NULL, CFGF_NONE),
		CFG_STR("station_listen", NULL, CFGF_NONE),
		CFG_STR("transfer_listen", NULL, CFGF_NONE),
		CFG_STR("monitor_listen", NULL, CFGF_NONE),
		CFG_STR("es", NULL, CFGF_NONE),
		CFG_STR_LIST("ap", NULL, CFGF_NONE),
		CFG_STR("uses", NULL, CFGF_NONE),
		CFG_SEC("pki", pki_section, CFGF_NODEFAULT),
		CFG_SEC("logrepo", logrepo_section, CFGF_NODEFAULT),
		CFG_SEC("radio", radio, CFGF_NODEFAULT),
		CFG_SEC("peer", peer_section, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("service", conf_service_section(),
			CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("listener", listener_section,
			CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_STR("stations", "traffic", CFGF_NONE),
		CFG_STR("when_unreachable", "refuse", CFGF_NONE),
		CFG_SEC("docker", docker_section, CFGF_NODEFAULT),
		CFG_STR_LIST("registries", NULL, CFGF_NONE),
		CFG_STR_LIST("shared", NULL, CFGF_NONE),
		CFG_STR("profile", "baton", CFGF_NONE),
		CFG_STR("compare", "answers", CFGF_NONE),
		CFG_STR("request_events", "count", CFGF_NONE),
		CFG_STR("state_dir", NULL, CFGF_NONE),
		CFG_STR("spool_dir", "/var/tmp", CFGF_NONE),
		CFG_STR("checkpoint_dir", NULL, CFGF_NONE),
		CFG_STR("image_dir", NULL, CFGF_NONE),
		CFG_STR("protect_dir", NULL, CFGF_NONE),
		CFG_STR("events", NULL, CFGF_NONE),
		CFG_STR("catalogue", NULL, CFGF_NONE),
		CFG_SEC("limits", limits, CFGF_NODEFAULT),
		CFG_END(),
	};

	r = conf_parse(path, options, watch, &cfg);
	if (r == 0) {
		r = finish(path, cfg, ret);
		cfg_free(cfg);
	}
	conf_reading.err = NULL;
	return r;
}

void conf_help(FILE *to, enum wire_role role)
{
	(void)fprintf(to, "Settings in the configuration file (* = required):\n");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];

		if (s->allowed & ROLE(role))
			(void)fprintf(to, "  %s %-15s %s\n", s->required & ROLE(role) ? "*" : " ",
				      s->name, s->help);
	}
	if (setting_find("radio")->allowed & ROLE(role))
		conf_radio_print(to);
	(void)fprintf(to, "Limits, with their defaults and ranges:\n");
	conf_limit_print(to);
}
