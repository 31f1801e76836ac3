/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Nodes - the deployment as the operator's configuration describes it
 */

#include <stddef.h>

#include <jansson.h>

#include "base/auto.h"
#include "wire/message.h"

struct conf;
struct err;
struct inquiry;
struct nodes; /* opaque */

/** struct node - One program of the deployment; strings are valid as long as the nodes */
struct node {
	const char *name;
	enum wire_role role;
	const char *address;
};

/**
 * nodes_load() - Read the configuration and our identity
 * @ret:	Set on success only; the caller owns it, see nodes_free()
 * @config:	Configuration file
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int nodes_load(struct nodes **ret, const char *config, struct err *err);

/** nodes_free() - Release; @n may be NULL. Return: NULL, always */
struct nodes *nodes_free(struct nodes *n);

AUTO_DEFINE(nodes)

/** nodes_count() - How many there are, the event log repository (the last one) included */
size_t nodes_count(const struct nodes *n);

/** nodes_get() - The @i-th. Return: valid as long as @n */
const struct node *nodes_get(const struct nodes *n, size_t i);

/** nodes_find() - The one with a name. Return: NULL if there is none */
const struct node *nodes_find(const struct nodes *n, const char *name);

/** nodes_logrepo() - The event log repository. Return: NULL if there is none */
const struct node *nodes_logrepo(const struct nodes *n);

/** nodes_connect() - Connect to one. Return: as inquiry_open() */
int nodes_connect(const struct nodes *n, const struct node *node, struct inquiry **ret,
		  struct err *err);

/** nodes_print_json() - Print a node's answer as one line of JSON */
void nodes_print_json(const json_t *answer);

/** nodes_ask() - Connect, ask once, disconnect; otherwise as inquiry_ask() */
int nodes_ask(const struct nodes *n, const struct node *node, const char *text, json_t **ret,
	      struct err *err);
