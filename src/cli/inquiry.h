/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inquiry - ask a node and wait for its answer
 *
 * The operator's command has nothing else to do meanwhile, so it needs no event loop.
 */

#include <jansson.h>

#include "base/auto.h"
#include "wire/message.h"

struct err;
struct inquiry; /* opaque: a connection to one node */
struct tls_context;

#define INQUIRY_TIMEOUT_MS 5000

/**
 * inquiry_open() - Connect to a node
 * @ret:	Set on success only; the caller owns it, see inquiry_free()
 * @tls:	Our identity
 * @name:	Name of the node
 * @role:	Its role
 * @address:	"IP:PORT"
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int inquiry_open(struct inquiry **ret, struct tls_context *tls, const char *name,
		 enum wire_role role, const char *address, struct err *err);

/** inquiry_free() - Disconnect; @q may be NULL. Return: NULL, always */
struct inquiry *inquiry_free(struct inquiry *q);

AUTO_DEFINE(inquiry)

/**
 * inquiry_ask() - Ask one thing
 * @q:		Connection
 * @text:	Inquiry
 * @ret:	Set on success only: the answer, a new reference
 * @err:	Filled in on failure: the node's own words if it refuses
 *
 * Return: 0, -EINVAL if the node refuses, or another negative error code
 */
int inquiry_ask(struct inquiry *q, const char *text, json_t **ret, struct err *err);
