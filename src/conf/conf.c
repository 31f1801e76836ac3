/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "conf/conf_reader.h"

/*
 * libconfuse reads the grammar and calls us back after each value, while it still knows the line:
 * there each value is checked (on_top_level() and the other on_ functions). Mistakes that show only
 * when all is read, such as a missing setting, are found afterwards, and their error names the file.
 * Then the values move into struct conf.
 *
 * Only conf_reader.h, this file and conf_service.c know libconfuse.
 */

#define ROLE(r)    (1u << (r))
#define MUD        ROLE(WIRE_ROLE_MUD)
#define AP         ROLE(WIRE_ROLE_AP)
#define ES         ROLE(WIRE_ROLE_ES)
#define LOGREPO    ROLE(WIRE_ROLE_LOGREPO)
#define OPERATOR   ROLE(WIRE_ROLE_OPERATOR)
#define EVERY_ROLE (MUD | AP | ES | LOGREPO | OPERATOR)

/* The radio of a device; docs/mobility.md says where the numbers come from */
static const struct {
	const char *name;
	double standard;
	double min;
	double max;
	const char *unit;
	const char *help;
	size_t offset;
} radio_table[] = {
#define RADIO(name, standard, min, max, unit, help)                                                \
	{                                                                                          \
#name, standard, min, max, unit, help, offsetof(struct conf_radio, name)           \
	}
	RADIO(transmit_dbm, 20, -30, 60, "dBm", "power of each access point"),
	RADIO(reference_loss_db, 40, 0, 150, "dB", "path loss at 1 m"),
	RADIO(exponent, 3, 1, 8, "", "path loss exponent"),
	RADIO(shadowing_db, 0, 0, 20, "dB", "standard deviation of the shadowing; 0: none"),
	RADIO(decorrelation_m, 20, 0.1, 10000, "m", "distance over which shadowing changes"),
	RADIO(sensitivity_dbm, -82, -130, 0, "dBm", "below this an access point is not heard"),
	RADIO(hysteresis_db, 6, 0, 60, "dB", "another access point must be better by this"),
	RADIO(dwell_ms, 500, 0, 60000, "ms", "for so long"),
};

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

/* ---- checks at the time of reading ---- */

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

static int want_number(cfg_t *cfg, cfg_opt_t *opt, double min, double max)
{
	double value = cfg_opt_getnfloat(opt, cfg_opt_size(opt) - 1);

	if (value >= min && value <= max) /* neither, if it is no number */
		return 0;
	return conf_mistake(cfg, "%s = %g: want %g to %g", opt->name, value, min, max);
}

static int on_radio(cfg_t *cfg, cfg_opt_t *opt)
{
	for (size_t i = 0; i < ARRAY_SIZE(radio_table); i++) {
		if (strcmp(radio_table[i].name, opt->name) == 0)
			return want_number(cfg, opt, radio_table[i].min, radio_table[i].max);
	}
	return 0;
}

static int on_metres(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_number(cfg, opt, -CONF_METRES_MAX, CONF_METRES_MAX);
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

static const char *const profiles[] = {
	[CONF_PROFILE_BATON] = "baton",
	[CONF_PROFILE_PAPER] = "paper",
};

static int on_profile(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (conf_word_index(profiles, ARRAY_SIZE(profiles), s) >= 0)
		return 0;
	return conf_mistake(cfg, "profile = \"%.80s\": want \"baton\" or \"paper\"", s);
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

static const char *const request_events[] = { "count", "log" };

static int on_request_events(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (conf_word_index(request_events, ARRAY_SIZE(request_events), s) >= 0)
		return 0;
	return conf_mistake(cfg, "request_events = \"%.80s\": want \"count\" or \"log\"", s);
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

static const char hostapd[] = "hostapd:";

static int on_stations(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (strcmp(s, "traffic") == 0 ||
	    (strncmp(s, hostapd, strlen(hostapd)) == 0 && s[strlen(hostapd)] == '/'))
		return 0;
	return conf_mistake(cfg, "stations = \"%.80s\": want \"traffic\" or \"hostapd:/PATH\"", s);
}

static const char *const when_unreachable[] = { "refuse", "begin" };

static int on_unreachable(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (conf_word_index(when_unreachable, ARRAY_SIZE(when_unreachable), s) >= 0)
		return 0;
	return conf_mistake(cfg, "when_unreachable = \"%.80s\": want \"refuse\" or \"begin\"", s);
}

/* ---- checks of the whole ---- */

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

static int check_section(const char *path, cfg_t *cfg, const char *section, const char *const *keys)
{
	cfg_t *sec = cfg_size(cfg, section) ? cfg_getsec(cfg, section) : NULL;

	for (size_t i = 0; sec && keys[i]; i++) {
		const char *s = cfg_getstr(sec, keys[i]);

		if (!s || !*s)
			return conf_wrong(path, "%s in section %s is missing", keys[i], section);
	}
	return 0;
}

static int check_peers(const char *path, const struct conf *c)
{
	for (size_t i = 0; i < c->peers; i++) {
		const struct conf_peer *p = &c->peer[i];
		const struct conf_peer *es = p->es[0] ? conf_peer_find(c, p->es) : NULL;

		if (name_equal(p->name, c->name))
			return conf_wrong(path, "peer \"%s\" is this node itself", p->name);
		if (p->es[0] && (!es || es->role != WIRE_ROLE_ES))
			return conf_wrong(path,
					  "peer \"%s\": es \"%s\" is no peer with role \"es\"",
					  p->name, p->es);
	}
	if (c->es[0]) {
		const struct conf_peer *es = conf_peer_find(c, c->es);

		if (!es || es->role != WIRE_ROLE_ES)
			return conf_wrong(path, "es \"%s\" is no peer with role \"es\"", c->es);
	}
	for (size_t i = 0; i < c->aps; i++) {
		const struct conf_peer *ap = conf_peer_find(c, c->ap[i]);

		if (!ap || ap->role != WIRE_ROLE_AP)
			return conf_wrong(path, "ap \"%s\" is no peer with role \"ap\"", c->ap[i]);
	}
	return 0;
}

/* Whether a bind's source is a shared directory, or in one */
static bool is_shared(const struct conf *c, const char *bind)
{
	size_t source = strcspn(bind, ":");

	for (size_t i = 0; c->shared && c->shared[i]; i++) {
		size_t len = strlen(c->shared[i]);

		if (len <= source && !strncmp(bind, c->shared[i], len) &&
		    (bind[len] == '/' || bind[len] == ':'))
			return true;
	}
	return false;
}

static int check_binds(const struct conf *c)
{
	for (size_t i = 0; i < c->services; i++) {
		const struct conf_service *s = &c->service[i];

		for (size_t k = 0; s->binds && s->binds[k]; k++) {
			if (!is_shared(c, s->binds[k]))
				return conf_wrong(s->file,
						  "service \"%s\": bind \"%.200s\" is in no "
						  "directory of shared = {...}; it would not move",
						  s->name, s->binds[k]);
		}
	}
	return 0;
}

/* ---- from libconfuse's values to ours ---- */

/* A path beside the configuration file, unless it is absolute */
static int copy_path(char **to, const char *from, const char *conf_path)
{
	const char *slash = strrchr(conf_path, '/');

	if (!from || from[0] == '/' || !slash)
		return conf_copy_string(to, from);
	return asprintf(to, "%.*s/%s", (int)(slash - conf_path), conf_path, from) < 0 ? -ENOMEM : 0;
}

static int copy_peers(struct conf *c, cfg_t *cfg)
{
	unsigned int n = cfg_size(cfg, "peer");
	int r = 0;

	c->peer = calloc(n ? n : 1, sizeof(*c->peer));
	if (!c->peer)
		return -ENOMEM;
	for (; r == 0 && c->peers < n; c->peers++) {
		struct conf_peer *p = &c->peer[c->peers];
		cfg_t *from = cfg_getnsec(cfg, "peer", (unsigned int)c->peers);

		conf_copy_name(p->name, cfg_title(from));
		conf_copy_name(p->es, cfg_getstr(from, "es"));
		p->role = wire_role_from_name(cfg_getstr(from, "role"));
		p->placed = cfg_size(from, "x") > 0;
		if (p->placed) {
			p->x = cfg_getfloat(from, "x");
			p->y = cfg_getfloat(from, "y");
		}
		r = conf_copy_address(&p->address, cfg_getstr(from, "address"), conf_reading.path);
		if (r == 0)
			r = conf_copy_address(&p->transfer, cfg_getstr(from, "transfer"),
					      conf_reading.path);
	}
	return r;
}

static void copy_radio(struct conf_radio *to, cfg_t *cfg)
{
	cfg_t *radio = cfg_size(cfg, "radio") ? cfg_getsec(cfg, "radio") : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(radio_table); i++)
		*(double *)(void *)((char *)to + radio_table[i].offset) =
			radio ? cfg_getfloat(radio, radio_table[i].name) : radio_table[i].standard;
}

/* A header is looked for in it with the spaces around it, in small letters. */
static int copy_listeners(struct conf *c, cfg_t *cfg)
{
	const char *stations = cfg_getstr(cfg, "stations");
	unsigned int n = cfg_size(cfg, "listener");
	int r = 0;

	c->listener = calloc(n ? n : 1, sizeof(*c->listener));
	if (!c->listener)
		return -ENOMEM;
	for (; r == 0 && c->listeners < n; c->listeners++) {
		struct conf_listener *l = &c->listener[c->listeners];
		cfg_t *from = cfg_getnsec(cfg, "listener", (unsigned int)c->listeners);
		const char *service = cfg_getstr(from, "service");

		conf_copy_name(l->name, cfg_title(from));
		conf_copy_name(l->service, service ? service : l->name);
		l->codec = conf_codec_index(cfg_getstr(from, "codec"));
		r = conf_copy_string(&l->listen, cfg_getstr(from, "listen"));
	}
	if (r == 0 && strncmp(stations, hostapd, strlen(hostapd)) == 0)
		r = conf_copy_string(&c->stations, stations + strlen(hostapd));
	return r;
}

static int copy_sections(struct conf *c, cfg_t *cfg, const char *path)
{
	int r = 0;

	if (cfg_size(cfg, "pki")) {
		cfg_t *pki = cfg_getsec(cfg, "pki");

		r = copy_path(&c->pki.ca, cfg_getstr(pki, "ca"), path);
		if (r == 0)
			r = copy_path(&c->pki.cert, cfg_getstr(pki, "cert"), path);
		if (r == 0)
			r = copy_path(&c->pki.key, cfg_getstr(pki, "key"), path);
		if (r == 0 && cfg_getstr(pki, "crl"))
			r = copy_path(&c->pki.crl, cfg_getstr(pki, "crl"), path);
	}
	if (r == 0 && cfg_size(cfg, "logrepo")) {
		cfg_t *logrepo = cfg_getsec(cfg, "logrepo");

		conf_copy_name(c->logrepo_name, cfg_getstr(logrepo, "name"));
		r = conf_copy_address(&c->logrepo_address, cfg_getstr(logrepo, "address"), path);
	}
	if (r == 0 && cfg_size(cfg, "docker")) {
		cfg_t *docker = cfg_getsec(cfg, "docker");

		r = copy_path(&c->docker.socket, cfg_getstr(docker, "socket"), path);
		if (r == 0)
			r = copy_path(&c->docker.exec_root, cfg_getstr(docker, "exec_root"), path);
		if (r == 0)
			r = conf_copy_string(&c->docker.runtime, cfg_getstr(docker, "runtime"));
	}
	cfg_t *limits = cfg_size(cfg, "limits") ? cfg_getsec(cfg, "limits") : NULL;
	for (int i = 0; i < CONF_LIMITS; i++)
		c->limit[i] = limits ? cfg_getint(limits, conf_limit_table[i].name)
				     : conf_limit_table[i].standard;
	return r;
}

static int copy_all(struct conf *c, cfg_t *cfg, const char *path)
{
	int r;

	conf_copy_name(c->name, cfg_getstr(cfg, "name"));
	conf_copy_name(c->es, cfg_getstr(cfg, "es"));
	conf_copy_name(c->uses, cfg_getstr(cfg, "uses"));
	c->profile = (enum conf_profile)conf_word_index(profiles, ARRAY_SIZE(profiles),
							cfg_getstr(cfg, "profile"));
	r = conf_copy_string(&c->path, path);
	if (r == 0)
		r = conf_copy_list(&c->registries, cfg, "registries");
	if (r == 0)
		r = conf_copy_list(&c->shared, cfg, "shared");
	c->compare = conf_compares(cfg);
	c->begins_anew = conf_word_index(when_unreachable, ARRAY_SIZE(when_unreachable),
					 cfg_getstr(cfg, "when_unreachable")) == 1;
	c->request_events = conf_word_index(request_events, ARRAY_SIZE(request_events),
					    cfg_getstr(cfg, "request_events")) == 1;
	if (r == 0)
		r = conf_copy_string(&c->listen, cfg_getstr(cfg, "listen"));
	if (r == 0)
		r = conf_copy_string(&c->station_listen, cfg_getstr(cfg, "station_listen"));
	if (r == 0)
		r = conf_copy_string(&c->transfer_listen, cfg_getstr(cfg, "transfer_listen"));
	if (r == 0)
		r = conf_copy_string(&c->monitor_listen, cfg_getstr(cfg, "monitor_listen"));
	if (r == 0)
		r = copy_path(&c->state_dir, cfg_getstr(cfg, "state_dir"), path);
	if (r == 0)
		r = copy_path(&c->checkpoint_dir, cfg_getstr(cfg, "checkpoint_dir"), path);
	if (r == 0)
		r = copy_path(&c->image_dir, cfg_getstr(cfg, "image_dir"), path);
	if (r == 0)
		r = copy_path(&c->spool_dir, cfg_getstr(cfg, "spool_dir"), path);
	if (r == 0 && c->state_dir && !c->image_dir &&
	    asprintf(&c->image_dir, "%s/images", c->state_dir) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = copy_path(&c->protect_dir, cfg_getstr(cfg, "protect_dir"), path);
	if (r == 0 && c->state_dir && !c->protect_dir &&
	    asprintf(&c->protect_dir, "%s/protected", c->state_dir) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = copy_path(&c->events, cfg_getstr(cfg, "events"), path);
	if (r == 0)
		r = copy_path(&c->catalogue, cfg_getstr(cfg, "catalogue"), path);
	if (r == 0)
		r = copy_peers(c, cfg);
	if (r == 0)
		r = conf_services_add(&c->service, &c->services, cfg, path);
	if (r == 0)
		r = copy_listeners(c, cfg);
	copy_radio(&c->radio, cfg);
	if (r == 0)
		r = copy_sections(c, cfg, path);
	if (r < 0)
		return r;
	unsigned int aps = cfg_size(cfg, "ap");
	c->ap = calloc(aps ? aps : 1, sizeof(*c->ap));
	if (!c->ap)
		return -ENOMEM;
	for (; c->aps < aps; c->aps++)
		conf_copy_name(c->ap[c->aps], cfg_getnstr(cfg, "ap", (unsigned int)c->aps));
	return 0;
}

/* ---- reading ---- */

static int check_whole(const char *path, cfg_t *cfg)
{
	static const char *const pki[] = { "ca", "cert", "key", NULL };
	static const char *const logrepo[] = { "name", "address", NULL };
	static const char *const docker[] = { "socket", "exec_root", NULL };
	int r;

	r = check_required(path, cfg);
	if (r == 0)
		r = check_section(path, cfg, "pki", pki);
	if (r == 0)
		r = check_section(path, cfg, "logrepo", logrepo);
	if (r == 0)
		r = check_section(path, cfg, "docker", docker);
	return r;
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
	for (size_t i = 0; i < ARRAY_SIZE(radio_table); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "radio|%s", radio_table[i].name);
		(void)cfg_set_validate_func(cfg, name, on_radio);
	}
	(void)cfg_set_validate_func(cfg, "service", on_service);
	conf_service_watch(cfg);
	(void)cfg_set_validate_func(cfg, "listener", on_listener);
	(void)cfg_set_validate_func(cfg, "listener|listen", conf_want_address);
	(void)cfg_set_validate_func(cfg, "listener|service", conf_want_name);
	(void)cfg_set_validate_func(cfg, "listener|codec", conf_want_codec);
	(void)cfg_set_validate_func(cfg, "stations", on_stations);
	(void)cfg_set_validate_func(cfg, "when_unreachable", on_unreachable);
	(void)cfg_set_validate_func(cfg, "profile", on_profile);
	(void)cfg_set_validate_func(cfg, "registries", on_registries);
	(void)cfg_set_validate_func(cfg, "shared", on_shared);
	(void)cfg_set_validate_func(cfg, "compare", on_compare);
	(void)cfg_set_validate_func(cfg, "request_events", on_request_events);
}

/* Checks the whole, and moves the values over */
static int finish(const char *path, cfg_t *cfg, struct conf **ret)
{
	int r = check_whole(path, cfg);

	if (r < 0)
		return r;
	AUTO(conf) struct conf *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(conf_reading.err, -ENOMEM, "read configuration %s", path);
	c->role = conf_reading.role;
	r = copy_all(c, cfg, path);
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
		r = check_peers(path, c);
	if (r == 0)
		r = check_binds(c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

int conf_load(const char *path, enum wire_role role, struct conf **ret, struct err *err)
{
	cfg_opt_t limits[CONF_LIMITS + 1];
	cfg_opt_t radio[ARRAY_SIZE(radio_table) + 1];
	cfg_t *cfg = NULL;
	int r;

	conf_reading.role = role;
	conf_reading.err = err;
	for (int i = 0; i < CONF_LIMITS; i++)
		limits[i] = (cfg_opt_t)CFG_INT(conf_limit_table[i].name,
					       (long)conf_limit_table[i].standard, CFGF_NONE);
	limits[CONF_LIMITS] = (cfg_opt_t)CFG_END();
	for (size_t i = 0; i < ARRAY_SIZE(radio_table); i++)
		radio[i] = (cfg_opt_t)CFG_FLOAT(radio_table[i].name, radio_table[i].standard,
						CFGF_NONE);
	radio[ARRAY_SIZE(radio_table)] = (cfg_opt_t)CFG_END();
	cfg_opt_t pki[] = {
		CFG_STR("ca", NULL, CFGF_NONE),
		CFG_STR("cert", NULL, CFGF_NONE),
		CFG_STR("key", NULL, CFGF_NONE),
		CFG_STR("crl", NULL, CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t logrepo[] = {
		CFG_STR("name", NULL, CFGF_NONE),
		CFG_STR("address", NULL, CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t peer[] = {
		CFG_STR("role", NULL, CFGF_NONE),
		CFG_STR("address", NULL, CFGF_NONE),
		CFG_STR("transfer", NULL, CFGF_NONE),
		CFG_STR("es", NULL, CFGF_NONE),
		CFG_FLOAT("x", 0, CFGF_NODEFAULT),
		CFG_FLOAT("y", 0, CFGF_NODEFAULT),
		CFG_END(),
	};
	cfg_opt_t listener[] = {
		CFG_STR("listen", NULL, CFGF_NONE),
		CFG_STR("service", NULL, CFGF_NONE),
		CFG_STR("codec", "frame", CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t docker[] = {
		CFG_STR("socket", NULL, CFGF_NONE),
		CFG_STR("exec_root", NULL, CFGF_NONE),
		CFG_STR("runtime", "baton", CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t options[] = {
		CFG_STR("name", NULL, CFGF_NONE),
		CFG_STR("listen", NULL, CFGF_NONE),
		CFG_STR("station_listen", NULL, CFGF_NONE),
		CFG_STR("transfer_listen", NULL, CFGF_NONE),
		CFG_STR("monitor_listen", NULL, CFGF_NONE),
		CFG_STR("es", NULL, CFGF_NONE),
		CFG_STR_LIST("ap", NULL, CFGF_NONE),
		CFG_STR("uses", NULL, CFGF_NONE),
		CFG_SEC("pki", pki, CFGF_NODEFAULT),
		CFG_SEC("logrepo", logrepo, CFGF_NODEFAULT),
		CFG_SEC("radio", radio, CFGF_NODEFAULT),
		CFG_SEC("peer", peer, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("service", conf_service_section(),
			CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("listener", listener, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_STR("stations", "traffic", CFGF_NONE),
		CFG_STR("when_unreachable", "refuse", CFGF_NONE),
		CFG_SEC("docker", docker, CFGF_NODEFAULT),
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

struct conf *conf_free(struct conf *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->peers; i++) {
		free(c->peer[i].address);
		free(c->peer[i].transfer);
	}
	for (size_t i = 0; i < c->listeners; i++)
		free(c->listener[i].listen);
	free(c->listener);
	free(c->stations);
	free(c->peer);
	conf_services_free(c->service, c->services);
	free(c->ap);
	free(c->path);
	free(c->listen);
	free(c->station_listen);
	free(c->transfer_listen);
	free(c->monitor_listen);
	free(c->pki.ca);
	free(c->pki.cert);
	free(c->pki.key);
	free(c->pki.crl);
	free(c->logrepo_address);
	free(c->docker.socket);
	free(c->docker.exec_root);
	free(c->docker.runtime);
	free(c->state_dir);
	free(c->spool_dir);
	free(c->checkpoint_dir);
	free(c->image_dir);
	free(c->protect_dir);
	conf_free_list(c->registries);
	conf_free_list(c->shared);
	free(c->events);
	free(c->catalogue);
	free(c);
	return NULL;
}

const struct conf_peer *conf_peer_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->peers; i++) {
		if (name_equal(c->peer[i].name, name))
			return &c->peer[i];
	}
	return NULL;
}

const struct conf_service *conf_service_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->services; i++) {
		if (name_equal(c->service[i].name, name))
			return &c->service[i];
	}
	return NULL;
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
		(void)fprintf(to, "Radio, with defaults and ranges:\n");
	for (size_t i = 0; i < ARRAY_SIZE(radio_table); i++) {
		if (setting_find("radio")->allowed & ROLE(role))
			(void)fprintf(to, "  %-19s %6g %-4s %s (%g to %g)\n", radio_table[i].name,
				      radio_table[i].standard, radio_table[i].unit,
				      radio_table[i].help, radio_table[i].min, radio_table[i].max);
	}
	(void)fprintf(to, "Limits, with their defaults and ranges:\n");
	conf_limit_print(to);
}
