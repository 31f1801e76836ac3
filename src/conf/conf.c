/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"

/*
 * libconfuse reads the grammar and calls us back after each value, while it still knows the line:
 * there each value is checked (on_top_level() and the other on_ functions). What can only be seen
 * when all is read, such as a missing setting, is checked afterwards and names the file. Then the
 * values move into struct conf.
 *
 * Only this file knows libconfuse.
 */

#define ROLE(r)    (1u << (r))
#define MUD        ROLE(WIRE_ROLE_MUD)
#define AP         ROLE(WIRE_ROLE_AP)
#define ES         ROLE(WIRE_ROLE_ES)
#define LOGREPO    ROLE(WIRE_ROLE_LOGREPO)
#define OPERATOR   ROLE(WIRE_ROLE_OPERATOR)
#define EVERY_ROLE (MUD | AP | ES | LOGREPO | OPERATOR)

#define START_MS_DEFAULT 30000
#define START_MS_MAX     3600000
#define MEMORY_MB_MAX    (16L << 20)
#define CPU_MILLIS_MAX   1000000
#define FILE_BYTES_MAX   (4 << 20)

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
	{ "es", AP, AP, "\"NAME\": the access point's edge server, one of the peers" },
	{ "ap", MUD, MUD, "{\"NAME\", ...}: access points in the order of the way" },
	{ "uses", MUD, MUD, "\"NAME\": service to ask for" },
	{ "pki", EVERY_ROLE, EVERY_ROLE, "{ ca = cert = key = }: files made by `baton pki`" },
	{ "logrepo", MUD | AP | ES | OPERATOR, 0, "{ name = address = }: event log repository" },
	{ "peer", MUD | AP | ES | OPERATOR, 0,
	  "\"NAME\" { role = \"ap|es|mud|logrepo\" address = [transfer =] [es =] [x = y =] }" },
	{ "radio", MUD, 0, "{ NAME = VALUE ... }: what the device hears, see below" },
	{ "service", ES, ES,
	  "\"NAME\" { image = port = [codec = \"frame|line|resp|http|udp\"] [sync = "
	  "\"auto|replay|hold\"] "
	  "[compare = \"answers|none\"] [compare_ignore = {}] "
	  "[method = \"auto|complete|partial\"] "
	  "[memory_mb =] [cpu_millis =] [start_timeout_ms =] [env = {}] [command = {}] }" },
	{ "docker", ES, ES, "{ socket = exec_root = [runtime = \"baton\"] }: its engine" },
	{ "registries", ES, 0, "{\"HOST:PORT\", ...}: images may be pulled from there" },
	{ "profile", ES, 0, "\"baton\", or \"paper\": as the paper did it, to compare with" },
	{ "compare", AP, 0,
	  "\"answers\": both containers must answer alike before one takes over; or \"none\"" },
	{ "state_dir", ES, ES, "\"PATH\": what must survive a restart" },
	{ "checkpoint_dir", ES, ES, "\"PATH\": checkpoints on their way, best on tmpfs" },
	{ "image_dir", ES, 0, "\"PATH\": images on their way, on disk (images in state_dir)" },
	{ "events", LOGREPO, LOGREPO, "\"PATH\": file of the event log" },
	{ "limits", EVERY_ROLE, 0, "{ NAME = VALUE ... }: see below" },
};

/*
 * What the callbacks need: libconfuse has no room for an argument of ours. Set for the time of
 * conf_load() only.
 */
static struct {
	enum wire_role role;
	const char *path;
	struct err *err;
	bool failed;
} loading;

/* Records the first mistake, with the place libconfuse is at. Return: -1, as its callbacks want */
static int mistake(cfg_t *cfg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int mistake(cfg_t *cfg, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!loading.failed)
		(void)err_set(loading.err, -EINVAL, "%s:%d: %s", loading.path, cfg->line, text);
	loading.failed = true;
	return -1;
}

/* libconfuse's own complaints: syntax, unknown settings, wrong types */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)mistake(cfg, "%s (--help lists all settings)", text);
}

/* ---- checks at the time of reading ---- */

static const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	}
	return NULL;
}

static bool is_address(const char *text)
{
	/* numbers are checked again, in full, where the address is used */
	const char *colon = strrchr(text, ':');
	char *end;

	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return false;
	long port = strtol(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX)
		return false;
	return strspn(text, "0123456789abcdefABCDEF.:[]") == strlen(text);
}

static const char *last_string(cfg_opt_t *opt)
{
	const char *s = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	return s ? s : "";
}

static int want_address(cfg_t *cfg, cfg_opt_t *opt)
{
	if (is_address(last_string(opt)))
		return 0;
	return mistake(cfg, "%s = \"%.80s\": want \"IP:PORT\", in numbers", opt->name,
		       last_string(opt));
}

static int want_name(cfg_t *cfg, cfg_opt_t *opt)
{
	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);

		if (!s || !name_valid(s))
			return mistake(cfg,
				       "%s = \"%.80s\": want 1 to 63 of A-Z a-z 0-9 . _ -, "
				       "no dot or dash first",
				       opt->name, s ? s : "");
	}
	return 0;
}

static int want_range(cfg_t *cfg, cfg_opt_t *opt, int64_t min, int64_t max, const char *unit)
{
	int64_t value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);

	if (value >= min && value <= max)
		return 0;
	return mistake(cfg, "%s = %lld: want %lld to %lld%s%s", opt->name, (long long)value,
		       (long long)min, (long long)max, *unit ? " " : "", unit);
}

/* Any setting of the top level: whether this role has it, then its value */
static int on_top_level(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct setting *s = setting_find(opt->name);

	if (s && !(s->allowed & ROLE(loading.role)))
		return mistake(cfg, "%s is no setting of role \"%s\" (--help lists all settings)",
			       opt->name, wire_role_name(loading.role));
	if (strstr(opt->name, "listen"))
		return want_address(cfg, opt);
	if (strcmp(opt->name, "name") == 0 || strcmp(opt->name, "es") == 0 ||
	    strcmp(opt->name, "uses") == 0)
		return want_name(cfg, opt);
	if (strcmp(opt->name, "ap") == 0) {
		if (cfg_opt_size(opt) > CONF_LIST_MAX)
			return mistake(cfg, "ap: at most %d access points", CONF_LIST_MAX);
		return want_name(cfg, opt);
	}
	return 0;
}

static int on_limit(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct conf_limit *l = conf_limit_find(opt->name);

	return want_range(cfg, opt, l->min, l->max, l->unit);
}

static int on_peer_role(cfg_t *cfg, cfg_opt_t *opt)
{
	enum wire_role role = wire_role_from_name(last_string(opt));

	if (role != WIRE_ROLE_NONE && role != WIRE_ROLE_OPERATOR)
		return 0;
	return mistake(cfg, "role = \"%.80s\": want \"ap\", \"es\", \"mud\" or \"logrepo\"",
		       last_string(opt));
}

static int want_number(cfg_t *cfg, cfg_opt_t *opt, double min, double max)
{
	double value = cfg_opt_getnfloat(opt, cfg_opt_size(opt) - 1);

	if (value >= min && value <= max) /* neither, if it is no number */
		return 0;
	return mistake(cfg, "%s = %g: want %g to %g", opt->name, value, min, max);
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
		return mistake(cfg, "at most %d peers", CONF_PEERS_MAX);
	if (!name_valid(title))
		return mistake(cfg, "peer \"%.80s\": its title must be its name", title);
	if (!cfg_getstr(peer, "role") || !cfg_getstr(peer, "address"))
		return mistake(cfg, "peer \"%s\": needs role and address", title);
	enum wire_role role = wire_role_from_name(cfg_getstr(peer, "role"));
	if (cfg_getstr(peer, "transfer") && role != WIRE_ROLE_ES)
		return mistake(cfg, "peer \"%s\": only an es has transfer", title);
	if (cfg_getstr(peer, "es") && role != WIRE_ROLE_AP)
		return mistake(cfg, "peer \"%s\": only an ap has es", title);
	if (cfg_size(peer, "x") != cfg_size(peer, "y"))
		return mistake(cfg, "peer \"%s\": x and y belong together", title);
	if (cfg_size(peer, "x") && role != WIRE_ROLE_AP)
		return mistake(cfg, "peer \"%s\": only an ap has x and y", title);
	return 0;
}

static int on_port(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_range(cfg, opt, 1, UINT16_MAX, "");
}

static int on_memory(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_range(cfg, opt, 6, MEMORY_MB_MAX, "MiB");
}

static int on_cpu(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_range(cfg, opt, 1, CPU_MILLIS_MAX, "thousandths of a CPU");
}

static int on_start(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_range(cfg, opt, 100, START_MS_MAX, "ms");
}

static const char *const codecs[CONF_CODECS] = {
	[CONF_CODEC_FRAME] = "frame", [CONF_CODEC_LINE] = "line", [CONF_CODEC_RESP] = "resp",
	[CONF_CODEC_HTTP] = "http",   [CONF_CODEC_UDP] = "udp",
};
static const char *const syncs[] = {
	[CONF_SYNC_AUTO] = "auto",
	[CONF_SYNC_REPLAY] = "replay",
	[CONF_SYNC_HOLD] = "hold",
};
static const char *const methods[] = {
	[CONF_METHOD_AUTO] = "auto",
	[CONF_METHOD_COMPLETE] = "complete",
	[CONF_METHOD_PARTIAL] = "partial",
};
static const char *const profiles[] = {
	[CONF_PROFILE_BATON] = "baton",
	[CONF_PROFILE_PAPER] = "paper",
};
static const char *const comparisons[] = { "none", "answers" };

/* Index of a word in a list. Return: -1 if it is not there */
static int word_index(const char *const *words, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0)
			return (int)i;
	}
	return -1;
}

static int on_sync(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = last_string(opt);

	if (word_index(syncs, ARRAY_SIZE(syncs), s) >= 0)
		return 0;
	return mistake(cfg, "sync = \"%.80s\": want \"auto\", \"replay\" or \"hold\"", s);
}

static int on_codec(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = last_string(opt);

	if (word_index(codecs, ARRAY_SIZE(codecs), s) >= 0)
		return 0;
	return mistake(cfg,
		       "codec = \"%.80s\": want \"frame\", \"line\", \"resp\", \"http\" "
		       "or \"udp\"",
		       s);
}

static int on_method(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = last_string(opt);

	if (word_index(methods, ARRAY_SIZE(methods), s) >= 0)
		return 0;
	return mistake(cfg, "method = \"%.80s\": want \"auto\", \"complete\" or \"partial\"", s);
}

static int on_profile(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = last_string(opt);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (word_index(profiles, ARRAY_SIZE(profiles), s) >= 0)
		return 0;
	return mistake(cfg, "profile = \"%.80s\": want \"baton\" or \"paper\"", s);
}

static int on_list(cfg_t *cfg, cfg_opt_t *opt);

static int on_registries(cfg_t *cfg, cfg_opt_t *opt)
{
	return on_top_level(cfg, opt) < 0 ? -1 : on_list(cfg, opt);
}

static int on_service_compare(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = last_string(opt);

	if (word_index(comparisons, ARRAY_SIZE(comparisons), s) >= 0)
		return 0;
	return mistake(cfg, "compare = \"%.80s\": want \"answers\" or \"none\"", s);
}

static int on_compare(cfg_t *cfg, cfg_opt_t *opt)
{
	return on_top_level(cfg, opt) < 0 ? -1 : on_service_compare(cfg, opt);
}

static int on_compare_ignore(cfg_t *cfg, cfg_opt_t *opt)
{
	size_t length = 2;

	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);

		if (!s || !*s || strpbrk(s, " \t:"))
			return mistake(cfg, "compare_ignore \"%.80s\": want the name of a header",
				       s ? s : "");
		length += 1 + strlen(s);
	}
	if (length > CONF_IGNORE_SIZE)
		return mistake(cfg, "compare_ignore: at most %d characters", CONF_IGNORE_SIZE - 2);
	return 0;
}

static int on_list(cfg_t *cfg, cfg_opt_t *opt)
{
	if (cfg_opt_size(opt) > CONF_LIST_MAX)
		return mistake(cfg, "%s: at most %d entries", opt->name, CONF_LIST_MAX);
	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);
		const char *equals = s ? strchr(s, '=') : NULL;

		if (strcmp(opt->name, "env") == 0 && (!equals || equals == s))
			return mistake(cfg, "env entry \"%.80s\": want \"NAME=VALUE\"", s ? s : "");
	}
	return 0;
}

/* End of a service section */
static int on_service(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *service = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(service);

	if (on_top_level(cfg, opt) < 0)
		return -1;
	if (cfg_opt_size(opt) > CONF_SERVICES_MAX)
		return mistake(cfg, "at most %d services", CONF_SERVICES_MAX);
	if (!name_valid(title))
		return mistake(cfg, "service \"%.80s\": its title must be a name", title);
	if (!cfg_getstr(service, "image") || !cfg_getstr(service, "image")[0] ||
	    !cfg_getint(service, "port"))
		return mistake(cfg, "service \"%s\": needs image and port", title);
	return 0;
}

/* ---- checks of the whole ---- */

/* A mistake that has no line of its own */
static int wrong(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int wrong(const char *path, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(loading.err, -EINVAL, "%s: %s", path, text);
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

		if ((s->required & ROLE(loading.role)) && !given(cfg, s->name))
			return wrong(path, "%s is missing: %s %s", s->name, s->name, s->help);
	}
	return 0;
}

static int check_section(const char *path, cfg_t *cfg, const char *section, const char *const *keys)
{
	cfg_t *sec = cfg_size(cfg, section) ? cfg_getsec(cfg, section) : NULL;

	for (size_t i = 0; sec && keys[i]; i++) {
		const char *s = cfg_getstr(sec, keys[i]);

		if (!s || !*s)
			return wrong(path, "%s in section %s is missing", keys[i], section);
	}
	return 0;
}

static int check_peers(const char *path, const struct conf *c)
{
	for (size_t i = 0; i < c->peers; i++) {
		const struct conf_peer *p = &c->peer[i];
		const struct conf_peer *es = p->es[0] ? conf_peer_find(c, p->es) : NULL;

		if (name_equal(p->name, c->name))
			return wrong(path, "peer \"%s\" is this node itself", p->name);
		if (p->es[0] && (!es || es->role != WIRE_ROLE_ES))
			return wrong(path, "peer \"%s\": es \"%s\" is no peer with role \"es\"",
				     p->name, p->es);
	}
	if (c->es[0]) {
		const struct conf_peer *es = conf_peer_find(c, c->es);

		if (!es || es->role != WIRE_ROLE_ES)
			return wrong(path, "es \"%s\" is no peer with role \"es\"", c->es);
	}
	for (size_t i = 0; i < c->aps; i++) {
		const struct conf_peer *ap = conf_peer_find(c, c->ap[i]);

		if (!ap || ap->role != WIRE_ROLE_AP)
			return wrong(path, "ap \"%s\" is no peer with role \"ap\"", c->ap[i]);
	}
	return 0;
}

/* ---- from libconfuse's values to ours ---- */

static int copy_string(char **to, const char *from)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

/* A path beside the configuration file, unless it is absolute */
static int copy_path(char **to, const char *from, const char *conf_path)
{
	const char *slash = strrchr(conf_path, '/');

	if (!from || from[0] == '/' || !slash)
		return copy_string(to, from);
	return asprintf(to, "%.*s/%s", (int)(slash - conf_path), conf_path, from) < 0 ? -ENOMEM : 0;
}

static void copy_name(char to[NAME_SIZE], const char *from)
{
	if (from)
		(void)name_set(to, from, NULL); /* checked when it was read */
}

static int copy_list(char ***to, cfg_t *cfg, const char *name)
{
	unsigned int n = cfg_size(cfg, name);
	int r = 0;

	if (!n)
		return 0;
	*to = calloc(n + 1, sizeof(**to));
	if (!*to)
		return -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = copy_string(&(*to)[i], cfg_getnstr(cfg, name, i));
	return r;
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

		copy_name(p->name, cfg_title(from));
		copy_name(p->es, cfg_getstr(from, "es"));
		p->role = wire_role_from_name(cfg_getstr(from, "role"));
		p->placed = cfg_size(from, "x") > 0;
		if (p->placed) {
			p->x = cfg_getfloat(from, "x");
			p->y = cfg_getfloat(from, "y");
		}
		r = copy_string(&p->address, cfg_getstr(from, "address"));
		if (r == 0)
			r = copy_string(&p->transfer, cfg_getstr(from, "transfer"));
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
static void copy_ignored(char to[CONF_IGNORE_SIZE], cfg_t *from)
{
	size_t at = 0;

	for (unsigned int i = 0; i < cfg_size(from, "compare_ignore"); i++) {
		const char *name = cfg_getnstr(from, "compare_ignore", i);

		to[at++] = ' ';
		for (; *name; name++)
			to[at++] = (char)tolower((unsigned char)*name);
	}
	if (at)
		to[at++] = ' ';
	to[at] = '\0';
}

static int copy_services(struct conf *c, cfg_t *cfg)
{
	unsigned int n = cfg_size(cfg, "service");
	int r = 0;

	c->service = calloc(n ? n : 1, sizeof(*c->service));
	if (!c->service)
		return -ENOMEM;
	for (; r == 0 && c->services < n; c->services++) {
		struct conf_service *s = &c->service[c->services];
		cfg_t *from = cfg_getnsec(cfg, "service", (unsigned int)c->services);

		copy_name(s->name, cfg_title(from));
		s->port = (uint16_t)cfg_getint(from, "port");
		s->memory_bytes = (uint64_t)cfg_getint(from, "memory_mb") << 20;
		s->cpu_millis = (uint32_t)cfg_getint(from, "cpu_millis");
		s->start_ms = (uint32_t)cfg_getint(from, "start_timeout_ms");
		s->codec = (enum conf_codec)word_index(codecs, ARRAY_SIZE(codecs),
						       cfg_getstr(from, "codec"));
		s->method = (enum conf_method)word_index(methods, ARRAY_SIZE(methods),
							 cfg_getstr(from, "method"));
		s->sync = (enum conf_sync)word_index(syncs, ARRAY_SIZE(syncs),
						     cfg_getstr(from, "sync"));
		s->compare = word_index(comparisons, ARRAY_SIZE(comparisons),
					cfg_getstr(from, "compare")) == 1;
		copy_ignored(s->compare_ignore, from);
		r = copy_string(&s->image, cfg_getstr(from, "image"));
		if (r == 0)
			r = copy_list(&s->env, from, "env");
		if (r == 0)
			r = copy_list(&s->command, from, "command");
	}
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
	}
	if (r == 0 && cfg_size(cfg, "logrepo")) {
		cfg_t *logrepo = cfg_getsec(cfg, "logrepo");

		copy_name(c->logrepo_name, cfg_getstr(logrepo, "name"));
		r = copy_string(&c->logrepo_address, cfg_getstr(logrepo, "address"));
	}
	if (r == 0 && cfg_size(cfg, "docker")) {
		cfg_t *docker = cfg_getsec(cfg, "docker");

		r = copy_path(&c->docker.socket, cfg_getstr(docker, "socket"), path);
		if (r == 0)
			r = copy_path(&c->docker.exec_root, cfg_getstr(docker, "exec_root"), path);
		if (r == 0)
			r = copy_string(&c->docker.runtime, cfg_getstr(docker, "runtime"));
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

	copy_name(c->name, cfg_getstr(cfg, "name"));
	copy_name(c->es, cfg_getstr(cfg, "es"));
	copy_name(c->uses, cfg_getstr(cfg, "uses"));
	c->profile = (enum conf_profile)word_index(profiles, ARRAY_SIZE(profiles),
						   cfg_getstr(cfg, "profile"));
	r = copy_list(&c->registries, cfg, "registries");
	c->compare = word_index(comparisons, ARRAY_SIZE(comparisons), cfg_getstr(cfg, "compare"));
	if (r == 0)
		r = copy_string(&c->listen, cfg_getstr(cfg, "listen"));
	if (r == 0)
		r = copy_string(&c->station_listen, cfg_getstr(cfg, "station_listen"));
	if (r == 0)
		r = copy_string(&c->transfer_listen, cfg_getstr(cfg, "transfer_listen"));
	if (r == 0)
		r = copy_path(&c->state_dir, cfg_getstr(cfg, "state_dir"), path);
	if (r == 0)
		r = copy_path(&c->checkpoint_dir, cfg_getstr(cfg, "checkpoint_dir"), path);
	if (r == 0)
		r = copy_path(&c->image_dir, cfg_getstr(cfg, "image_dir"), path);
	if (r == 0 && c->state_dir && !c->image_dir &&
	    asprintf(&c->image_dir, "%s/images", c->state_dir) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = copy_path(&c->events, cfg_getstr(cfg, "events"), path);
	if (r == 0)
		r = copy_peers(c, cfg);
	if (r == 0)
		r = copy_services(c, cfg);
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
		copy_name(c->ap[c->aps], cfg_getnstr(cfg, "ap", (unsigned int)c->aps));
	return 0;
}

/* ---- reading ---- */

/* Whether a comment may begin after @c: inside an unquoted word, # and / are ordinary */
static bool ends_word(char c)
{
	return strchr(" \t\n={}(),+\"'", c) != NULL;
}

/*
 * Two weaknesses of libconfuse 3.3 are met here. It counts a line with a comment several times, and
 * an error with the wrong line is worse than one without: comments become spaces. And it takes the
 * end of the file as the end of any section, so half a file could pass for a whole one: open
 * sections are counted.
 */
static int prepare(const char *path, char *text)
{
	char before = '\n';
	char quote = '\0';
	int line = 1, opened = 0, depth = 0;

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what wrong() returns is negative */
	for (char *p = text; *p; p++) {
		char *end = NULL;

		if (*p == '\n')
			line++;
		if (quote) {
			if (*p == '\\' && p[1])
				line += *++p == '\n';
			else if (*p == quote)
				quote = '\0';
		} else if (*p == '"' || *p == '\'') {
			quote = *p;
			opened = depth ? opened : line;
		} else if (*p == '{') {
			opened = depth++ ? opened : line;
		} else if (*p == '}') {
			depth--;
		} else if (ends_word(before) && (*p == '#' || (*p == '/' && p[1] == '/'))) {
			end = p + strcspn(p, "\n");
		} else if (ends_word(before) && *p == '/' && p[1] == '*') {
			end = strstr(p + 2, "*/");
			end = end ? end + 2 : p + strlen(p);
		}
		for (; end && p < end; p++) {
			if (*p == '\n')
				line++;
			else
				*p = ' ';
		}
		if (end)
			p--;
		before = *p;
	}
	if (quote || depth > 0)
		return err_set(loading.err, -EINVAL, "%s:%d: what is opened here is never closed",
			       path, opened);
	return 0;
}

/* Reads a whole file of sane size. Return: 0, @text for the caller to free, or negative */
static int read_text(const char *path, char **text)
{
	struct stat st;

	auto_fclose FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		return err_set(loading.err, -errno, "open configuration %s", path);
	/* libconfuse would read a directory or an endless device */
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
		return wrong(path, "is no configuration file");
	auto_free char *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return err_set(loading.err, -ENOMEM, "read configuration %s", path);
	size_t len = fread(bytes, 1, (size_t)st.st_size, f);
	bytes[len] = '\0';
	if (memchr(bytes, '\0', len))
		return wrong(path, "is no text");
	*text = TAKE_PTR(bytes);
	return 0;
}

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

/* Sets all checks, parses, and moves the values over */
static int parse(const char *path, const char *text, cfg_t *cfg, struct conf **ret)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		(void)cfg_set_validate_func(cfg, settings[i].name, on_top_level);
	for (int i = 0; i < CONF_LIMITS; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "limits|%s", conf_limit_table[i].name);
		(void)cfg_set_validate_func(cfg, name, on_limit);
	}
	(void)cfg_set_validate_func(cfg, "logrepo|name", want_name);
	(void)cfg_set_validate_func(cfg, "logrepo|address", want_address);
	(void)cfg_set_validate_func(cfg, "peer", on_peer);
	(void)cfg_set_validate_func(cfg, "peer|role", on_peer_role);
	(void)cfg_set_validate_func(cfg, "peer|address", want_address);
	(void)cfg_set_validate_func(cfg, "peer|transfer", want_address);
	(void)cfg_set_validate_func(cfg, "peer|es", want_name);
	(void)cfg_set_validate_func(cfg, "peer|x", on_metres);
	(void)cfg_set_validate_func(cfg, "peer|y", on_metres);
	for (size_t i = 0; i < ARRAY_SIZE(radio_table); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "radio|%s", radio_table[i].name);
		(void)cfg_set_validate_func(cfg, name, on_radio);
	}
	(void)cfg_set_validate_func(cfg, "service", on_service);
	(void)cfg_set_validate_func(cfg, "service|port", on_port);
	(void)cfg_set_validate_func(cfg, "service|codec", on_codec);
	(void)cfg_set_validate_func(cfg, "service|sync", on_sync);
	(void)cfg_set_validate_func(cfg, "service|compare", on_service_compare);
	(void)cfg_set_validate_func(cfg, "service|compare_ignore", on_compare_ignore);
	(void)cfg_set_validate_func(cfg, "service|method", on_method);
	(void)cfg_set_validate_func(cfg, "profile", on_profile);
	(void)cfg_set_validate_func(cfg, "registries", on_registries);
	(void)cfg_set_validate_func(cfg, "compare", on_compare);
	(void)cfg_set_validate_func(cfg, "service|memory_mb", on_memory);
	(void)cfg_set_validate_func(cfg, "service|cpu_millis", on_cpu);
	(void)cfg_set_validate_func(cfg, "service|start_timeout_ms", on_start);
	(void)cfg_set_validate_func(cfg, "service|env", on_list);
	(void)cfg_set_validate_func(cfg, "service|command", on_list);

	if (cfg_parse_buf(cfg, text) != CFG_SUCCESS)
		return loading.failed ? -EINVAL : wrong(path, "syntax error");
	r = check_whole(path, cfg);
	if (r < 0)
		return r;
	AUTO(conf) struct conf *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(loading.err, -ENOMEM, "read configuration %s", path);
	c->role = loading.role;
	r = copy_all(c, cfg, path);
	if (r < 0)
		return err_set(loading.err, r, "read configuration %s", path);
	r = check_peers(path, c);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

int conf_load(const char *path, enum wire_role role, struct conf **ret, struct err *err)
{
	cfg_opt_t limits[CONF_LIMITS + 1];
	cfg_opt_t radio[ARRAY_SIZE(radio_table) + 1];
	char *bytes = NULL;
	int r;

	loading.role = role;
	loading.path = path;
	loading.err = err;
	loading.failed = false;
	r = read_text(path, &bytes);
	if (r < 0)
		return r;
	auto_free char *text = bytes;
	r = prepare(path, text);
	if (r < 0)
		return r;

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
	cfg_opt_t service[] = {
		CFG_STR("image", NULL, CFGF_NONE),
		CFG_INT("port", 0, CFGF_NONE),
		CFG_STR("codec", "frame", CFGF_NONE),
		CFG_STR("sync", "auto", CFGF_NONE),
		CFG_STR("compare", "answers", CFGF_NONE),
		CFG_STR_LIST("compare_ignore", NULL, CFGF_NONE),
		CFG_STR("method", "auto", CFGF_NONE),
		CFG_INT("memory_mb", 0, CFGF_NONE),
		CFG_INT("cpu_millis", 0, CFGF_NONE),
		CFG_INT("start_timeout_ms", START_MS_DEFAULT, CFGF_NONE),
		CFG_STR_LIST("env", NULL, CFGF_NONE),
		CFG_STR_LIST("command", NULL, CFGF_NONE),
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
		CFG_STR("es", NULL, CFGF_NONE),
		CFG_STR_LIST("ap", NULL, CFGF_NONE),
		CFG_STR("uses", NULL, CFGF_NONE),
		CFG_SEC("pki", pki, CFGF_NODEFAULT),
		CFG_SEC("logrepo", logrepo, CFGF_NODEFAULT),
		CFG_SEC("radio", radio, CFGF_NODEFAULT),
		CFG_SEC("peer", peer, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("service", service, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("docker", docker, CFGF_NODEFAULT),
		CFG_STR_LIST("registries", NULL, CFGF_NONE),
		CFG_STR("profile", "baton", CFGF_NONE),
		CFG_STR("compare", "answers", CFGF_NONE),
		CFG_STR("state_dir", NULL, CFGF_NONE),
		CFG_STR("checkpoint_dir", NULL, CFGF_NONE),
		CFG_STR("image_dir", NULL, CFGF_NONE),
		CFG_STR("events", NULL, CFGF_NONE),
		CFG_SEC("limits", limits, CFGF_NODEFAULT),
		CFG_END(),
	};

	cfg_t *cfg = cfg_init(options, CFGF_NONE);
	if (!cfg)
		return err_set(err, -ENOMEM, "read configuration %s", path);
	(void)cfg_set_error_function(cfg, on_error);
	r = parse(path, text, cfg, ret);
	cfg_free(cfg);
	loading.err = NULL;
	return r;
}

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

struct conf *conf_free(struct conf *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->peers; i++) {
		free(c->peer[i].address);
		free(c->peer[i].transfer);
	}
	for (size_t i = 0; i < c->services; i++) {
		free(c->service[i].image);
		free_list(c->service[i].env);
		free_list(c->service[i].command);
	}
	free(c->peer);
	free(c->service);
	free(c->ap);
	free(c->listen);
	free(c->station_listen);
	free(c->transfer_listen);
	free(c->pki.ca);
	free(c->pki.cert);
	free(c->pki.key);
	free(c->logrepo_address);
	free(c->docker.socket);
	free(c->docker.exec_root);
	free(c->docker.runtime);
	free(c->state_dir);
	free(c->checkpoint_dir);
	free(c->image_dir);
	free_list(c->registries);
	free(c->events);
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

const char *conf_codec_name(enum conf_codec codec)
{
	return codecs[codec];
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
