/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_reader.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "conf/conf.h"

#define START_MS_DEFAULT 30000
#define START_MS_MAX     3600000
#define MEMORY_MB_MAX    (16L << 20)
#define CPU_MILLIS_MAX   1000000

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

static int on_sync(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (conf_word_index(syncs, ARRAY_SIZE(syncs), s) >= 0)
		return 0;
	return conf_mistake(cfg, "sync = \"%.80s\": want \"auto\", \"replay\" or \"hold\"", s);
}

static int on_codec(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);

	if (conf_word_index(codecs, ARRAY_SIZE(codecs), s) >= 0)
		return 0;
	return conf_mistake(cfg,
			    "codec = \"%.80s\": want \"frame\", \"line\", \"resp\", \"http\" "
			    "or \"udp\"",
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
	return 0;
}

static cfg_opt_t section[] = {
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
		{ "service|codec", on_codec },
		{ "service|sync", on_sync },
		{ "service|compare", conf_want_comparison },
		{ "service|compare_ignore", on_compare_ignore },
		{ "service|method", on_method },
		{ "service|memory_mb", on_memory },
		{ "service|cpu_millis", on_cpu },
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
		{ "env", offsetof(struct conf_service, env) },
		{ "command", offsetof(struct conf_service, command) },
	};
	int r;

	conf_copy_name(s->name, cfg_title(from));
	s->port = (uint16_t)cfg_getint(from, "port");
	s->memory_bytes = (uint64_t)cfg_getint(from, "memory_mb") << 20;
	s->cpu_millis = (uint32_t)cfg_getint(from, "cpu_millis");
	s->start_ms = (uint32_t)cfg_getint(from, "start_timeout_ms");
	s->codec = (enum conf_codec)conf_word_index(codecs, ARRAY_SIZE(codecs),
						    cfg_getstr(from, "codec"));
	s->sync =
		(enum conf_sync)conf_word_index(syncs, ARRAY_SIZE(syncs), cfg_getstr(from, "sync"));
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

void conf_services_free(struct conf_service *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].image);
		free(list[i].file);
		conf_free_list(list[i].env);
		conf_free_list(list[i].command);
	}
	free(list);
}

const char *conf_codec_name(enum conf_codec codec)
{
	return codecs[codec];
}
