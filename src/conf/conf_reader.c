/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"

#define FILE_BYTES_MAX (4 << 20)

struct conf_reading conf_reading;

/* A mistake is told in one line, whatever of the file it quotes */
static void one_line(char text[ERR_TEXT_MAX], const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void one_line(char text[ERR_TEXT_MAX], const char *fmt, va_list ap)
{
	(void)vsnprintf(text, ERR_TEXT_MAX, fmt, ap);
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

int conf_mistake(cfg_t *cfg, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	one_line(text, fmt, ap);
	va_end(ap);
	if (!conf_reading.failed)
		(void)err_set(conf_reading.err, -EINVAL, "%s:%d: %s", conf_reading.path, cfg->line,
			      text);
	conf_reading.failed = true;
	return -1;
}

int conf_wrong(const char *path, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	one_line(text, fmt, ap);
	va_end(ap);
	return err_set(conf_reading.err, -EINVAL, "%s: %s", path, text);
}

const char *conf_last_string(cfg_opt_t *opt)
{
	const char *s = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	return s ? s : "";
}

int conf_want_name(cfg_t *cfg, cfg_opt_t *opt)
{
	for (unsigned int i = 0; i < cfg_opt_size(opt); i++) {
		const char *s = cfg_opt_getnstr(opt, i);

		if (!s || !name_valid(s))
			return conf_mistake(cfg,
					    "%s = \"%.80s\": want 1 to 63 of A-Z a-z 0-9 . _ -, "
					    "no dot or dash first",
					    opt->name, s ? s : "");
	}
	return 0;
}

int conf_want_range(cfg_t *cfg, cfg_opt_t *opt, int64_t min, int64_t max, const char *unit)
{
	int64_t value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);

	if (value >= min && value <= max)
		return 0;
	return conf_mistake(cfg, "%s = %lld: want %lld to %lld%s%s", opt->name, (long long)value,
			    (long long)min, (long long)max, *unit ? " " : "", unit);
}

int conf_word_index(const char *const *words, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0)
			return (int)i;
	}
	return -1;
}

static const struct {
	const char *name;
	const char *words[2];
} word_settings[] = {
	{ "profile", { [CONF_PROFILE_BATON] = "baton", [CONF_PROFILE_PAPER] = "paper" } },
	{ "when_unreachable", { "refuse", "begin" } },
	{ "request_events", { "count", "log" } },
};

static const char *const *words_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(word_settings); i++) {
		if (strcmp(word_settings[i].name, name) == 0)
			return word_settings[i].words;
	}
	return NULL;
}

int conf_want_word(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *s = conf_last_string(opt);
	const char *const *words = words_of(opt->name);

	if (conf_word_index(words, 2, s) >= 0)
		return 0;
	return conf_mistake(cfg, "%s = \"%.80s\": want \"%s\" or \"%s\"", opt->name, s, words[0],
			    words[1]);
}

int conf_word(cfg_t *cfg, const char *name)
{
	return conf_word_index(words_of(name), 2, cfg_getstr(cfg, name));
}

int conf_want_number(cfg_t *cfg, cfg_opt_t *opt, double min, double max)
{
	double value = cfg_opt_getnfloat(opt, cfg_opt_size(opt) - 1);

	if (value >= min && value <= max) /* neither, if it is no number */
		return 0;
	return conf_mistake(cfg, "%s = %g: want %g to %g", opt->name, value, min, max);
}

bool conf_is_path(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len > 1 && text[0] == '/' && text[len - 1] != '/' && !strchr(text, ':') &&
	       !strstr(text, "//") && !strstr(text, "/../") &&
	       (len < 3 || strcmp(text + len - 3, "/..") != 0);
}

int conf_want_list(cfg_t *cfg, cfg_opt_t *opt)
{
	if (cfg_opt_size(opt) > CONF_LIST_MAX)
		return conf_mistake(cfg, "%s: at most %d entries", opt->name, CONF_LIST_MAX);
	return 0;
}

int conf_copy_string(char **to, const char *from)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

void conf_copy_name(char to[NAME_SIZE], const char *from)
{
	if (from)
		(void)name_set(to, from, NULL); /* checked when it was read */
}

int conf_copy_list(char ***to, cfg_t *cfg, const char *name)
{
	unsigned int n = cfg_size(cfg, name);
	int r = 0;

	if (!n)
		return 0;
	*to = calloc(n + 1, sizeof(**to));
	if (!*to)
		return -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = conf_copy_string(&(*to)[i], cfg_getnstr(cfg, name, i));
	return r;
}

void conf_free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

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

	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): conf_wrong() returns a negative value */
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
		return err_set(conf_reading.err, -EINVAL,
			       "%s:%d: what is opened here is never closed", path, opened);
	return 0;
}

/* Reads a whole file of sane size. Return: 0, @text for the caller to free, or negative */
static int read_text(const char *path, char **text)
{
	struct stat st;

	auto_fclose FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		return err_set(conf_reading.err, -errno, "open configuration %s", path);
	/* libconfuse would read a directory or an endless device */
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
		return conf_wrong(path, "is no configuration file");
	auto_free char *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return err_set(conf_reading.err, -ENOMEM, "read configuration %s", path);
	size_t len = fread(bytes, 1, (size_t)st.st_size, f);
	bytes[len] = '\0';
	if (memchr(bytes, '\0', len))
		return conf_wrong(path, "is no text");
	*text = TAKE_PTR(bytes);
	return 0;
}

/* libconfuse's own complaints: syntax, unknown settings, wrong types */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[ERR_TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)conf_mistake(cfg, "%s (--help lists all settings)", text);
}

int conf_parse(const char *path, cfg_opt_t *options, void (*watch)(cfg_t *cfg), cfg_t **ret)
{
	char *bytes = NULL;
	int r;

	conf_reading.path = path;
	conf_reading.failed = false;
	r = read_text(path, &bytes);
	if (r < 0)
		return r;
	auto_free char *text = bytes;
	r = prepare(path, text);
	if (r < 0)
		return r;
	cfg_t *cfg = cfg_init(options, CFGF_NONE);
	if (!cfg)
		return err_set(conf_reading.err, -ENOMEM, "read configuration %s", path);
	(void)cfg_set_error_function(cfg, on_error);
	watch(cfg);
	if (cfg_parse_buf(cfg, text) != CFG_SUCCESS) {
		cfg_free(cfg);
		return conf_reading.failed ? -EINVAL : conf_wrong(path, "syntax error");
	}
	*ret = cfg;
	return 0;
}
