/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_reader.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "conf/conf.h"

#define START_MS_DEFAULT 30000
#define START_MS_MAX     3600000
#define MEMORY_MB_MAX    (16L << 20)
#define CPU_MILLIS_MAX   1000000
#define PIDS_MAX         (4 << 20)

static const char *const codecs[CONF_CODECS] = {
	[CONF_CODEC_FRAME] = "frame", [CONF_CODEC_LINE] = "line", [CONF_CODEC_RESP] = "resp",
	[CONF_CODEC_HTTP] = "http",   [CONF_CODEC_UDP] = "udp",   [CONF_CODEC_TCP] = "tcp",
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
static const char *const comparisons[] = { "none", "answers" };

static int on_port(cfg_t *cfg, cfg_opt_t *opt)
{
	return conf_want_range(cfg, opt, 1, UINT16_MAX, "");
}

static int on_memory(cfg_t *cfg, cfg_opt_t *opt)
{
	return conf_want_range(cfg, opt, 6, MEMORY_MB_MAX, "MiB");
}

static int on_cpu(cfg_t *cfg, cfg_opt_t *opt)
{
	return conf_want_range(cfg, opt, 1, CPU_MILLIS_MAX, "thousandths of a CPU");
}

static int on_start(cfg_t *cfg, cfg_opt_t *opt)
{
	return conf_want_range(cfg, opt, 100, START_MS_MAX, "ms");
}

#define ON_FAILURE "on-failure"
#define TRIES_MAX  1000000

/* "always", "no", "on-failure" or "on-failure:N", as Docker's restart policies. Return: false if it is none */
static bool restart_parse(const char *text, enum conf_restart *restart, uint32_t *tries)
{
	char *end = NULL;

	*tries = 0;
	if (strcmp(text, "always") == 0)
		*restart = CONF_RESTART_ALWAYS;
	else if (strcmp(text, "no") == 0)
		*restart = CONF_RESTART_NO;
	else
		*restart = CONF_RESTART_ON_FAILURE;
	if (*restart != CONF_RESTART_ON_FAILURE || strcmp(text, ON_FAILURE) == 0)
		return true;
	if (strncmp(text, ON_FAILURE ":", strlen(ON_FAILURE ":")) != 0)
		return false;
	text += strlen(ON_FAILURE ":");
	if (*text < '1' || *text > '9')
		return false;
	unsigned long n = strtoul(text, &end, 10);
	if (*end || n > TRIES_MAX)
		return false;
	*tries = (uint32_t)n;
	return true;
}

static int on_restart(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = cfg_opt_getnstr(opt, 0);
	enum conf_restart restart;
	uint32_t tries;

	if (restart_parse(s, &restart, &tries))
		return 0;
	return conf_mistake(cfg,
			    "restart = \"%.80s\": want \"always\", \"on-failure\", "
			    "\"on-failure:N\" with N from 1 to %d, or \"no\"",
			    s, TRIES_MAX);
}

#define PROTECT_MS_DEFAULT 30000
#define PROTECT_MS_MIN     1000
#define PROTECT_MS_MAX     86400000

static int on_protect(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (strcmp(s, "no") == 0 || strcmp(s, "memory") == 0)
		return 0;
	return conf_mistake(cfg, "protect = \"%.80s\": want \"no\" or \"memory\"", s);
}

static int on_protect_ms(cfg_t *cfg, cfg_opt_t *opt)
{
	long ms = cfg_opt_getnint(opt, 0);

	if (ms >= PROTECT_MS_MIN && ms <= PROTECT_MS_MAX)
		return 0;
	return conf_mistake(cfg, "protect_ms = %ld: want %d to %d milliseconds", ms, PROTECT_MS_MIN,
			    PROTECT_MS_MAX);
}

/* Requests since the cut are executed again after a crash, so it must be a service whose requests can be (R6). */
static int want_protectable(cfg_t *cfg, cfg_t *service)
{
	const char *sync = cfg_getstr(service, "sync");
	const char *codec = cfg_getstr(service, "codec");

	if (strcmp(cfg_getstr(service, "protect"), "memory") != 0)
		return 0;
	if (strcmp(sync, "hold") == 0)
		return conf_mistake(
			cfg,
			"service \"%s\": protect = \"memory\" executes requests again after "
			"a crash, and sync = \"hold\" says that they must not be: leave "
			"one of them out",
			cfg_title(service));
	if (strcmp(codec, "tcp") == 0 || strcmp(codec, "udp") == 0)
		return conf_mistake(
			cfg,
			"service \"%s\": protect = \"memory\" executes requests again after "
			"a crash, which codec \"%s\" cannot: leave it out",
			cfg_title(service), codec);
	return 0;
}

static int on_sync(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (conf_word_index(syncs, ARRAY_SIZE(syncs), s) >= 0)
		return 0;
	return conf_mistake(cfg, "sync = \"%.80s\": want \"auto\", \"replay\" or \"hold\"", s);
}

int conf_want_codec(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (conf_word_index(codecs, ARRAY_SIZE(codecs), s) >= 0)
		return 0;
	return conf_mistake(cfg,
			    "codec = \"%.80s\": want \"frame\", \"line\", \"resp\", \"http\", "
			    "\"tcp\" or \"udp\"",
			    s);
}

static int on_method(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (conf_word_index(methods, ARRAY_SIZE(methods), s) >= 0)
		return 0;
	return conf_mistake(cfg, "method = \"%.80s\": want \"auto\", \"complete\" or \"partial\"",
			    s);
}

int conf_want_comparison(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (conf_word_index(comparisons, ARRAY_SIZE(comparisons), s) >= 0)
		return 0;
	return conf_mistake(cfg, "compare = \"%.80s\": want \"answers\" or \"none\"", s);
}

static int on_compare_ignore(cfg_t *cfg, cfg_opt_t *opt)
{
	size_t length = 2;

	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);

		if (!s || !*s || strpbrk(s, " \t:"))
			return conf_mistake(cfg,
					    "compare_ignore \"%.80s\": want the name of a header",
					    s ? s : "");
		length += 1 + strlen(s);
	}
	if (length > CONF_IGNORE_SIZE)
		return conf_mistake(cfg, "compare_ignore: at most %d characters",
				    CONF_IGNORE_SIZE - 2);
	return 0;
}

static int on_env(cfg_t *cfg, cfg_opt_t *opt)
{
	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);
		const char *equals = s ? strchr(s, '=') : NULL;

		if (!equals || equals == s)
			return conf_mistake(cfg, "env entry \"%.80s\": want \"NAME=VALUE\"",
					    s ? s : "");
	}
	return conf_want_list(cfg, opt);
}

/* Cuts @text at its first colon. Return: the text behind it, or NULL if there is none */
static char *split(char *text)
{
	char *colon = strchr(text, ':');

	if (colon)
		*colon++ = '\0';
	return colon;
}

/* Entries of the lists of mounts: @entry may be changed. Return: whether it is one */
static bool is_volume(char *entry)
{
	const char *target = split(entry);

	return target && name_valid(entry) && conf_is_path(target);
}

static bool is_tmpfs(char *entry)
{
	const char *options = split(entry);

	return conf_is_path(entry) && (!options || *options);
}

static bool is_bind(char *entry)
{
	char *target = split(entry);
	const char *mode = target ? split(target) : NULL;

	return target && conf_is_path(entry) && conf_is_path(target) &&
	       (!mode || !strcmp(mode, "ro") || !strcmp(mode, "rw"));
}

static bool is_port(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && port > 0 && port <= UINT16_MAX;
}

static bool is_publish(char *entry)
{
	char *slash = strchr(entry, '/');
	char *colon;

	if (slash && strcmp(slash, "/tcp") != 0 && strcmp(slash, "/udp") != 0)
		return false;
	if (slash)
		*slash = '\0';
	colon = strrchr(entry, ':');
	if (!is_port(colon ? colon + 1 : entry))
		return false;
	if (!colon)
		return true;
	*colon = '\0';
	colon = strrchr(entry, ':');
	if (!is_port(colon ? colon + 1 : entry))
		return false;
	/* Which address it is the engine checks. */
	return !colon || (colon > entry && entry + strspn(entry, "0123456789.") == colon);
}

static int want_entries(cfg_t *cfg, cfg_opt_t *opt, bool (*is_one)(char *), const char *want)
{
	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);

		auto_free char *copy = s ? strdup(s) : NULL;
		if (!copy || !is_one(copy))
			return conf_mistake(cfg, "%s entry \"%.80s\": want %s", opt->name,
					    s ? s : "", want);
	}
	return conf_want_list(cfg, opt);
}

static int on_volumes(cfg_t *cfg, cfg_opt_t *opt)
{
	if (cfg_opt_size(opt) > CONF_VOLUMES_MAX)
		return conf_mistake(cfg, "volumes: at most %d can move with a container",
				    CONF_VOLUMES_MAX);
	return want_entries(cfg, opt, is_volume, "\"NAME:/PATH\"");
}

static int on_tmpfs(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_entries(cfg, opt, is_tmpfs, "\"/PATH\" or \"/PATH:OPTIONS\"");
}

static int on_binds(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_entries(cfg, opt, is_bind, "\"/PATH:/PATH\", with \":ro\" or not");
}

static int on_publish(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_entries(cfg, opt, is_publish,
			    "\"PORT\", \"HOST_PORT:PORT\" or \"IP:HOST_PORT:PORT\", with \"/tcp\" "
			    "or \"/udp\" or not");
}

/* An image's id, or a repository without a tag: a tag says nothing that a peer could not say, too. */
static bool is_trusted_image(char *text)
{
	const char *slash = strrchr(text, '/');

	if (!strncmp(text, "sha256:", 7))
		return strlen(text) == 7 + 64 && strspn(text + 7, "0123456789abcdef") == 64;
	return *text && !strchr(slash ? slash : text, ':') && !strpbrk(text, " @");
}

static int on_trusted_images(cfg_t *cfg, cfg_opt_t *opt)
{
	return want_entries(cfg, opt, is_trusted_image,
			    "\"sha256:ID\" or \"REPOSITORY\", without a tag");
}

static int on_pids(cfg_t *cfg, cfg_opt_t *opt)
{
	return conf_want_range(cfg, opt, 1, PIDS_MAX, "processes and threads");
}

/* The path in the container of an entry of a list of mounts, up to its end or a colon */
static const char *target_of(const char *list, const char *entry)
{
	return strcmp(list, "tmpfs") == 0 ? entry : strchr(entry, ':') + 1;
}

/* Whether two mounts of a service are at the same place. Return: 0 or -1, as callbacks want */
static int want_other_targets(cfg_t *cfg, cfg_t *service)
{
	static const char *const lists[] = { "volumes", "tmpfs", "binds" };
	const char *seen[3 * CONF_LIST_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (unsigned int k = 0; k < cfg_size(service, lists[i]); k++) {
			const char *target = target_of(lists[i], cfg_getnstr(service, lists[i], k));
			size_t len = strcspn(target, ":");

			for (size_t j = 0; j < count; j++) {
				if (strcspn(seen[j], ":") == len && !strncmp(seen[j], target, len))
					return conf_mistake(cfg,
							    "service \"%s\": two mounts at %.*s",
							    cfg_title(service), (int)len, target);
			}
			seen[count++] = target;
		}
	}
	return 0;
}

int conf_want_service(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *service = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *title = cfg_title(service);

	if (cfg_opt_size(opt) > CONF_SERVICES_MAX)
		return conf_mistake(cfg, "at most %d services", CONF_SERVICES_MAX);
	if (!name_valid(title))
		return conf_mistake(cfg, "service \"%.80s\": its title must be a name", title);
	if (!cfg_getstr(service, "image") || !cfg_getstr(service, "image")[0] ||
	    !cfg_getint(service, "port"))
		return conf_mistake(cfg, "service \"%s\": needs image and port", title);
	if (strcmp(cfg_getstr(service, "codec"), codecs[CONF_CODEC_TCP]) == 0 &&
	    strcmp(cfg_getstr(service, "sync"), syncs[CONF_SYNC_REPLAY]) == 0)
		return conf_mistake(cfg,
				    "service \"%s\": codec \"tcp\" cannot be replayed: want sync "
				    "= \"hold\" or \"auto\"",
				    title);
	return want_protectable(cfg, service) < 0 ? -1 : want_other_targets(cfg, service);
}

static cfg_opt_t section[] = {
	CFG_STR("image", NULL, CFGF_NONE),
	CFG_INT("port", 0, CFGF_NONE),
	CFG_STR("codec", "frame", CFGF_NONE),
	CFG_STR("sync", "auto", CFGF_NONE),
	CFG_STR("restart", "always", CFGF_NONE),
	CFG_STR("protect", "no", CFGF_NONE),
	CFG_INT("protect_ms", PROTECT_MS_DEFAULT, CFGF_NONE),
	CFG_STR("compare", "answers", CFGF_NONE),
	CFG_STR_LIST("compare_ignore", NULL, CFGF_NONE),
	CFG_STR("method", "auto", CFGF_NONE),
	CFG_INT("memory_mb", 0, CFGF_NONE),
	CFG_INT("cpu_millis", 0, CFGF_NONE),
	CFG_INT("pids", 0, CFGF_NONE),
	CFG_STR_LIST("volumes", NULL, CFGF_NONE),
	CFG_STR_LIST("tmpfs", NULL, CFGF_NONE),
	CFG_STR_LIST("binds", NULL, CFGF_NONE),
	CFG_STR_LIST("publish", NULL, CFGF_NONE),
	CFG_STR_LIST("trusted_images", NULL, CFGF_NONE),
	CFG_INT("start_timeout_ms", START_MS_DEFAULT, CFGF_NONE),
	CFG_STR_LIST("env", NULL, CFGF_NONE),
	CFG_STR_LIST("command", NULL, CFGF_NONE),
	CFG_END(),
};

cfg_opt_t *conf_service_section(void)
{
	return section;
}

void conf_service_watch(cfg_t *cfg)
{
	static const struct {
		const char *name;
		cfg_validate_callback_t on;
	} checks[] = {
		{ "service|port", on_port },
		{ "service|codec", conf_want_codec },
		{ "service|sync", on_sync },
		{ "service|restart", on_restart },
		{ "service|protect", on_protect },
		{ "service|protect_ms", on_protect_ms },
		{ "service|compare", conf_want_comparison },
		{ "service|compare_ignore", on_compare_ignore },
		{ "service|method", on_method },
		{ "service|memory_mb", on_memory },
		{ "service|cpu_millis", on_cpu },
		{ "service|pids", on_pids },
		{ "service|volumes", on_volumes },
		{ "service|tmpfs", on_tmpfs },
		{ "service|binds", on_binds },
		{ "service|publish", on_publish },
		{ "service|trusted_images", on_trusted_images },
		{ "service|start_timeout_ms", on_start },
		{ "service|env", on_env },
		{ "service|command", conf_want_list },
	};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		(void)cfg_set_validate_func(cfg, checks[i].name, checks[i].on);
}

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

bool conf_compares(cfg_t *cfg)
{
	return strcmp(cfg_getstr(cfg, "compare"), "answers") == 0;
}

/** service_copy() - Move the values of a section over. Return: 0, or -ENOMEM */
static int service_copy(struct conf_service *s, cfg_t *from)
{
	static const struct {
		const char *name;
		size_t offset;
	} lists[] = {
		{ "volumes", offsetof(struct conf_service, volumes) },
		{ "tmpfs", offsetof(struct conf_service, tmpfs) },
		{ "binds", offsetof(struct conf_service, binds) },
		{ "publish", offsetof(struct conf_service, publish) },
		{ "trusted_images", offsetof(struct conf_service, trusted_images) },
		{ "env", offsetof(struct conf_service, env) },
		{ "command", offsetof(struct conf_service, command) },
	};
	int r;

	conf_copy_name(s->name, cfg_title(from));
	s->port = (uint16_t)cfg_getint(from, "port");
	s->memory_bytes = (uint64_t)cfg_getint(from, "memory_mb") << 20;
	s->cpu_millis = (uint32_t)cfg_getint(from, "cpu_millis");
	s->pids = (uint32_t)cfg_getint(from, "pids");
	s->start_ms = (uint32_t)cfg_getint(from, "start_timeout_ms");
	s->codec = conf_codec_index(cfg_getstr(from, "codec"));
	s->sync =
		(enum conf_sync)conf_word_index(syncs, ARRAY_SIZE(syncs), cfg_getstr(from, "sync"));
	(void)restart_parse(cfg_getstr(from, "restart"), &s->restart, &s->restart_tries);
	if (strcmp(cfg_getstr(from, "protect"), "memory") == 0)
		s->protect_ms = (uint64_t)cfg_getint(from, "protect_ms");
	s->method = (enum conf_method)conf_word_index(methods, ARRAY_SIZE(methods),
						      cfg_getstr(from, "method"));
	s->compare = conf_compares(from);
	copy_ignored(s->compare_ignore, from);
	r = conf_copy_string(&s->image, cfg_getstr(from, "image"));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lists); i++)
		r = conf_copy_list((char ***)(void *)((char *)s + lists[i].offset), from,
				   lists[i].name);
	return r;
}

int conf_services_add(struct conf_service **list, size_t *count, cfg_t *cfg, const char *path)
{
	unsigned int n = cfg_size(cfg, "service");
	struct conf_service *all;

	if (!n)
		return 0;
	all = realloc(*list, (*count + n) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	*list = all;
	for (unsigned int i = 0; i < n; i++) {
		struct conf_service *s = &all[*count];
		int r;

		memset(s, 0, sizeof(*s));
		(*count)++;
		r = service_copy(s, cfg_getnsec(cfg, "service", i));
		if (r == 0)
			r = conf_copy_string(&s->file, path);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- a directory of services --- */

static void watch_service(cfg_t *cfg)
{
	(void)cfg_set_validate_func(cfg, "service", conf_want_service);
	conf_service_watch(cfg);
}

/* Whether a file of the directory is one of a service: not hidden, not an editor's backup */
static int is_service_file(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot && strcmp(dot, ".conf") == 0;
}

/* Whether the last service has a name of its own */
static int want_own_name(const struct conf_service *list, size_t count)
{
	const struct conf_service *last = &list[count - 1];

	for (size_t i = 0; i + 1 < count; i++) {
		if (name_equal(list[i].name, last->name))
			return conf_wrong(last->file, "service \"%s\" is in %s, too", last->name,
					  list[i].file);
	}
	if (count > CONF_SERVICES_MAX)
		return conf_wrong(last->file, "at most %d services", CONF_SERVICES_MAX);
	return 0;
}

static int catalogue_file(const char *path, struct conf_service **list, size_t *count)
{
	cfg_opt_t options[] = {
		CFG_SEC("service", section, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END(),
	};
	cfg_t *cfg = NULL;
	int r = conf_parse(path, options, watch_service, &cfg);

	if (r < 0)
		return r;
	if (cfg_size(cfg, "service") != 1)
		r = conf_wrong(path, "holds %u services: want one, service \"NAME\" { ... }",
			       cfg_size(cfg, "service"));
	if (r == 0 && conf_services_add(list, count, cfg, path) < 0)
		r = err_set(conf_reading.err, -ENOMEM, "read configuration %s", path);
	cfg_free(cfg);
	return r < 0 ? r : want_own_name(*list, *count);
}

int conf_catalogue_read(const char *dir, struct conf_service **list, size_t *count)
{
	struct dirent **entry = NULL;
	int n = scandir(dir, &entry, is_service_file, alphasort);
	int r = n < 0 ? err_set(conf_reading.err, -errno, "read the catalogue %s", dir) : 0;

	for (int i = 0; i < n; i++) {
		char *path = NULL;

		if (r == 0 && asprintf(&path, "%s/%s", dir, entry[i]->d_name) < 0)
			r = err_set(conf_reading.err, -ENOMEM, "read the catalogue %s", dir);
		if (r == 0)
			r = catalogue_file(path, list, count);
		free(path);
		free(entry[i]);
	}
	free(entry);
	return r;
}

void conf_services_free(struct conf_service *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].image);
		free(list[i].file);
		conf_free_list(list[i].volumes);
		conf_free_list(list[i].tmpfs);
		conf_free_list(list[i].binds);
		conf_free_list(list[i].publish);
		conf_free_list(list[i].trusted_images);
		conf_free_list(list[i].env);
		conf_free_list(list[i].command);
	}
	free(list);
}

enum conf_codec conf_codec_index(const char *name)
{
	return (enum conf_codec)conf_word_index(codecs, ARRAY_SIZE(codecs), name);
}

const char *conf_codec_name(enum conf_codec codec)
{
	return codecs[codec];
}
