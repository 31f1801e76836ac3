/* SPDX-License-Identifier: Apache-2.0 */
#include "es/service_catalogue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/** struct entry - A service; its strings are ours */
struct entry {
	struct container_service service;
	bool offered;
};

#define LISTS 7

/** struct service_catalogue - The offered ones first */
struct service_catalogue {
	struct entry *entry;
	size_t count;
};

/** lists_of() - The lists of strings of a service. Return: how many there are */
static size_t lists_of(struct container_service *s, const char *const **list[LISTS])
{
	const char *const **const all[] = { &s->command, &s->env,     &s->volumes,       &s->tmpfs,
					    &s->binds,   &s->publish, &s->trusted_images };

	memcpy(list, all, sizeof(all));
	return ARRAY_SIZE(all);
}

static void strings_free(const char *const *list)
{
	for (size_t i = 0; list && list[i]; i++)
		free((void *)(uintptr_t)list[i]);
	free((void *)(uintptr_t)list);
}

/** strings_copy() - Copy a list of strings. Return: 0, or -ENOMEM with what was copied */
static int strings_copy(const char *const **to, const char *const *from)
{
	size_t n = 0;

	*to = NULL;
	while (from && from[n])
		n++;
	if (!from)
		return 0;
	char **copy = calloc(n + 1, sizeof(*copy));
	*to = (const char *const *)copy;
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(from[i]);
		if (!copy[i])
			return -ENOMEM;
	}
	return copy ? 0 : -ENOMEM;
}

static void entry_deinit(struct entry *e)
{
	const char *const **list[LISTS];
	size_t n = lists_of(&e->service, list);

	for (size_t i = 0; i < n; i++) {
		const char *const *strings = *list[i];

		strings_free(strings);
	}
	free((void *)(uintptr_t)e->service.image);
}

/** entry_init() - Copy a service; entry_deinit() is owed, also after a failure */
static int entry_init(struct entry *e, const struct container_service *from, bool offered)
{
	const char *const **to[LISTS];
	const char *const **source[LISTS];
	struct container_service copied = *from;
	size_t n = lists_of(&e->service, to);
	int r = 0;

	(void)lists_of(&copied, source);
	e->service = *from;
	e->offered = offered;
	for (size_t i = 0; i < n; i++)
		*to[i] = NULL;
	e->service.image = strdup(from->image);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = strings_copy(to[i], *source[i]);
	return e->service.image ? r : -ENOMEM;
}

int service_catalogue_new(struct service_catalogue **ret, struct err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_set(err, -ENOMEM, "catalogue of services");
}

static void entries_free(struct entry *entry, size_t count)
{
	for (size_t i = 0; i < count; i++)
		entry_deinit(&entry[i]);
	free(entry);
}

struct service_catalogue *service_catalogue_free(struct service_catalogue *sc)
{
	if (sc) {
		entries_free(sc->entry, sc->count);
		free(sc);
	}
	return NULL;
}

static const struct entry *entry_find(const struct service_catalogue *sc, const char *name)
{
	for (size_t i = 0; i < sc->count; i++) {
		if (name_equal(sc->entry[i].service.name, name))
			return &sc->entry[i];
	}
	return NULL;
}

int service_catalogue_offer(struct service_catalogue *sc, const struct container_service *service,
			    size_t count, struct err *err)
{
	struct service_catalogue next = { .count = 0 };
	int r = 0;

	if (count > SERVICE_CATALOGUE_MAX)
		return err_set(err, -E2BIG, "%zu services, at most %d", count,
			       SERVICE_CATALOGUE_MAX);
	next.entry = calloc(SERVICE_CATALOGUE_MAX, sizeof(*next.entry));
	if (!next.entry)
		return err_set(err, -ENOMEM, "catalogue of services");
	for (size_t i = 0; r == 0 && i < count; i++)
		r = entry_init(&next.entry[next.count++], &service[i], true);
	for (size_t i = 0; r == 0 && i < sc->count && next.count < SERVICE_CATALOGUE_MAX; i++) {
		if (!entry_find(&next, sc->entry[i].service.name))
			r = entry_init(&next.entry[next.count++], &sc->entry[i].service, false);
	}
	if (r < 0) {
		entries_free(next.entry, next.count);
		return err_set(err, r, "catalogue of services");
	}
	entries_free(sc->entry, sc->count);
	*sc = next;
	return 0;
}

const struct container_service *service_catalogue_find(const struct service_catalogue *sc,
						       const char *name)
{
	const struct entry *e = entry_find(sc, name);

	return e ? &e->service : NULL;
}

bool service_catalogue_offers(const struct service_catalogue *sc, const char *name)
{
	const struct entry *e = entry_find(sc, name);

	return e && e->offered;
}
