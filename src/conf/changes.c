/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/changes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"

/* Settings of one string each; one that a role does not have is NULL in both configurations */
static const struct {
	const char *name;
	size_t offset;
} fixed_strings[] = {
	{ "listen", offsetof(struct conf, listen) },
	{ "station_listen", offsetof(struct conf, station_listen) },
	{ "transfer_listen", offsetof(struct conf, transfer_listen) },
	{ "monitor_listen", offsetof(struct conf, monitor_listen) },
	{ "pki.ca", offsetof(struct conf, pki.ca) },
	{ "pki.cert", offsetof(struct conf, pki.cert) },
	{ "pki.key", offsetof(struct conf, pki.key) },
	{ "pki.crl", offsetof(struct conf, pki.crl) },
	{ "stations", offsetof(struct conf, stations) },
	{ "docker.socket", offsetof(struct conf, docker.socket) },
	{ "docker.exec_root", offsetof(struct conf, docker.exec_root) },
	{ "docker.runtime", offsetof(struct conf, docker.runtime) },
	{ "state_dir", offsetof(struct conf, state_dir) },
	{ "spool_dir", offsetof(struct conf, spool_dir) },
	{ "checkpoint_dir", offsetof(struct conf, checkpoint_dir) },
	{ "image_dir", offsetof(struct conf, image_dir) },
	{ "protect_dir", offsetof(struct conf, protect_dir) },
	{ "events", offsetof(struct conf, events) },
};

static bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool list_equal(char *const *a, char *const *b)
{
	size_t i = 0;

	while (a && b && a[i] && b[i] && strcmp(a[i], b[i]) == 0)
		i++;
	return text_equal(a ? a[i] : NULL, b ? b[i] : NULL);
}

static const char *string_at(const struct conf *c, size_t offset)
{
	return *(char *const *)(const void *)((const char *)c + offset);
}

static void limits_fixed(const struct conf *running, const struct conf *next,
			 void (*fn)(void *ctx, const char *setting), void *ctx)
{
	char name[64];

	for (int i = 0; i < CONF_LIMITS; i++) {
		if (!conf_limit_table[i].fixed || running->limit[i] == next->limit[i])
			continue;
		(void)snprintf(name, sizeof(name), "limits.%s", conf_limit_table[i].name);
		fn(ctx, name);
	}
}

void conf_changes_fixed(const struct conf *running, const struct conf *next,
			void (*fn)(void *ctx, const char *setting), void *ctx)
{
	if (!name_equal(running->name, next->name))
		fn(ctx, "name");
	if (!name_equal(running->es, next->es))
		fn(ctx, "es");
	for (size_t i = 0; i < ARRAY_SIZE(fixed_strings); i++) {
		size_t offset = fixed_strings[i].offset;

		if (!text_equal(string_at(running, offset), string_at(next, offset)))
			fn(ctx, fixed_strings[i].name);
	}
	if (running->profile != next->profile)
		fn(ctx, "profile");
	if (!list_equal(running->shared, next->shared))
		fn(ctx, "shared");
	if (!list_equal(running->registries, next->registries))
		fn(ctx, "registries");
	limits_fixed(running, next, fn, ctx);
}

void conf_changes_say_fixed(void *ctx, const char *setting)
{
	(void)ctx;
	log_info("%s changed: takes effect at the next start", setting);
}

void conf_changes_kept(void *ctx, const char *reason)
{
	(void)ctx;
	log_error("the configuration stays as it was: %s", reason);
}
