/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Service catalogue - the services of an edge server, which may change while it runs
 *
 * A service that is no longer offered takes no new sessions. Its present sessions continue, and their
 * containers move: its description is kept as long as the program runs, unless too many services come
 * and go.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"
#include "es/container/management.h"

struct err;
struct service_catalogue; /* opaque */

#define SERVICE_CATALOGUE_MAX                                                                      \
	256 /* offered or not; beyond that, the ones not offered are forgotten */

/** service_catalogue_new() - Make an empty one. Return: 0, or -ENOMEM */
int service_catalogue_new(struct service_catalogue **ret, struct err *err);

/** service_catalogue_free() - Release it; @sc may be NULL. Return: NULL, always */
struct service_catalogue *service_catalogue_free(struct service_catalogue *sc);

AUTO_DEFINE(service_catalogue)

/**
 * service_catalogue_offer() - Offer these services, and no others
 * @sc:		Catalogue
 * @service:	They, copied with all their strings
 * @count:	How many, at most SERVICE_CATALOGUE_MAX
 * @err:	Filled in on failure; then the catalogue is unchanged
 *
 * A new description of a known service replaces the old one. Pointers into the catalogue are no longer
 * valid.
 *
 * Return: 0, or negative error code
 */
int service_catalogue_offer(struct service_catalogue *sc, const struct container_service *service,
			    size_t count, struct err *err);

/**
 * service_catalogue_find() - A service, offered or not
 *
 * Return: NULL if it is not known; borrowed
 */
const struct container_service *service_catalogue_find(const struct service_catalogue *sc,
						       const char *name);

/** service_catalogue_offers() - Whether a service takes new sessions */
bool service_catalogue_offers(const struct service_catalogue *sc, const char *name);
