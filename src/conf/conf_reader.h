/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Configuration reader - access to libconfuse for the parts of the configuration
 *
 * Inner header of conf*.c: no other file knows libconfuse.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <confuse.h>

#include "base/text.h"
#include "conf/conf.h"

struct err;

/**
 * struct conf_reading - State of the callbacks: libconfuse has no room for an argument of ours
 * @role:	of the program
 * @path:	of the file being read
 * @err:	filled in with the first mistake
 * @failed:	there was one
 *
 * Set for the time of conf_load() only.
 */
struct conf_reading {
	enum wire_role role;
	const char *path;
	struct err *err;
	bool failed;
};

extern struct conf_reading conf_reading;

/**
 * conf_mistake() - Record the first mistake, with the place libconfuse is at
 *
 * Return: -1, as its callbacks want
 */
int conf_mistake(cfg_t *cfg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** conf_wrong() - Record a mistake that has no line of its own. Return: -EINVAL */
int conf_wrong(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** conf_last_string() - The value just read. Return: "" if there is none */
const char *conf_last_string(cfg_opt_t *opt);

/** conf_want_address() - Callback: "IP:PORT" in numbers, an address of this host */
int conf_want_address(cfg_t *cfg, cfg_opt_t *opt);

/** conf_want_other_address() - Callback: "IP:PORT" in numbers or "NAME:PORT", an address of another program */
int conf_want_other_address(cfg_t *cfg, cfg_opt_t *opt);

/**
 * conf_copy_address() - Copy an address of another program, in numbers
 * @to:		Set to it, to be freed; NULL if @text is
 * @text:	As conf_want_other_address() allows; a name is looked up now, which may take seconds
 * @path:	Of the configuration, for complaints
 *
 * Return: 0, -EHOSTUNREACH if there is no such host, which may change, or -ENOMEM
 */
int conf_copy_address(char **to, const char *text, const char *path);

/** conf_want_name() - Callback: all values are names */
int conf_want_name(cfg_t *cfg, cfg_opt_t *opt);

/**
 * conf_want_range() - The value just read is from @min to @max
 *
 * Return: 0 or -1, as callbacks want
 */
int conf_want_range(cfg_t *cfg, cfg_opt_t *opt, int64_t min, int64_t max, const char *unit);

/** conf_want_number() - The value just read is from @min to @max. Return: 0 or -1, as callbacks want */
int conf_want_number(cfg_t *cfg, cfg_opt_t *opt, double min, double max);

#define CONF_PATH_WANTED "an absolute path without .. and :, no slash at its end"

/** conf_is_path() - Whether a text is a CONF_PATH_WANTED */
bool conf_is_path(const char *text);

/** conf_want_list() - Callback: a list is not too long */
int conf_want_list(cfg_t *cfg, cfg_opt_t *opt);

/** conf_word_index() - Index of a word in a list. Return: -1 if it is not there */
int conf_word_index(const char *const *words, size_t count, const char *word);

/** conf_want_word() - Callback: a setting of the top level that is one of two words is one of them */
int conf_want_word(cfg_t *cfg, cfg_opt_t *opt);

/** conf_word() - The value of such a setting, which was checked when it was read. Return: 0 for the first word */
int conf_word(cfg_t *cfg, const char *name);

/** conf_copy_string() - Copy a string, NULL as NULL. Return: 0, or -ENOMEM */
int conf_copy_string(char **to, const char *from);

/** conf_copy_name() - Copy a name that was checked when it was read */
void conf_copy_name(char to[NAME_SIZE], const char *from);

/**
 * conf_copy_list() - Copy a list of strings, NULL-terminated; an empty one is NULL
 *
 * Return: 0, or -ENOMEM
 */
int conf_copy_list(char ***to, cfg_t *cfg, const char *name);

/** conf_free_list() - Release a list of conf_copy_list() */
void conf_free_list(char **list);

/** conf_want_comparison() - Callback: how answers are compared */
int conf_want_comparison(cfg_t *cfg, cfg_opt_t *opt);

/** conf_compares() - Whether the "compare" of a section, or of the top level, is "answers" */
bool conf_compares(cfg_t *cfg);

/** conf_want_codec() - Callback: the name of a codec */
int conf_want_codec(cfg_t *cfg, cfg_opt_t *opt);

/** conf_codec_index() - Codec with a name that was checked when it was read */
enum conf_codec conf_codec_index(const char *name);

/** conf_service_section() - The settings of a service, for CFG_SEC() */
cfg_opt_t *conf_service_section(void);

/** conf_service_watch() - Have all settings of services checked while they are read */
void conf_service_watch(cfg_t *cfg);

/** conf_want_service() - Callback: the end of a service's section */
int conf_want_service(cfg_t *cfg, cfg_opt_t *opt);

/**
 * conf_services_add() - Move services over from libconfuse's result
 * @list:	Grows; conf_services_free() is owed, also after a failure
 * @count:	Number of services in it
 * @cfg:	libconfuse's result
 * @path:	Where from
 *
 * Return: 0, or -ENOMEM
 */
int conf_services_add(struct conf_service **list, size_t *count, cfg_t *cfg, const char *path);

/** conf_services_free() - Release a list of services */
void conf_services_free(struct conf_service *list, size_t count);

/**
 * conf_catalogue_read() - Add the services of a catalogue's files
 * @dir:	Directory
 * @list, @count: as for conf_services_add()
 *
 * Return: 0, or negative error code
 */
int conf_catalogue_read(const char *dir, struct conf_service **list, size_t *count);

/**
 * conf_parse() - Read a file
 * @path:	File; errors name it
 * @options:	Settings that may be in it
 * @watch:	Sets callbacks
 * @ret:	Set on success only, to be released by cfg_free()
 *
 * Return: 0, or negative error code
 */
int conf_parse(const char *path, cfg_opt_t *options, void (*watch)(cfg_t *cfg), cfg_t **ret);

/* conf_copy.c */

#define CONF_HOSTAPD "hostapd:" /* begins a value of "stations": a control socket follows */

/**
 * conf_copy_all() - Move all values over from libconfuse's result, except those of a catalogue
 * @c:		Zeroed, with its role; conf_free() is owed, also after a failure
 * @cfg:	libconfuse's result
 * @path:	Of the file: relative paths begin beside it
 *
 * Return: 0, -EINVAL or -EHOSTUNREACH for a mistake that is reported already, or -ENOMEM
 */
int conf_copy_all(struct conf *c, cfg_t *cfg, const char *path);

/* conf_whole.c */

/** conf_whole_sections() - Each section that is there has the settings it needs. Return: 0, or -EINVAL */
int conf_whole_sections(const char *path, cfg_t *cfg);

/** conf_whole_check() - Peers that are named exist, and binds move. Return: 0, or -EINVAL */
int conf_whole_check(const char *path, const struct conf *c);

/* conf_radio.c */

#define CONF_RADIO_SETTINGS 8

/** conf_radio_section() - Fill in the settings of the radio, for CFG_SEC() */
void conf_radio_section(cfg_opt_t section[CONF_RADIO_SETTINGS + 1]);

/** conf_radio_watch() - Have them checked while they are read */
void conf_radio_watch(cfg_t *cfg);

/** conf_radio_copy() - Move their values over from libconfuse's result */
void conf_radio_copy(struct conf_radio *to, cfg_t *cfg);

/** conf_radio_print() - Write their defaults and ranges */
void conf_radio_print(FILE *to);
