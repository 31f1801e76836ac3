/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Events as JSON objects, in files and in answers alike
 *
 *     {"time": "2026-01-31T12:00:00.123456Z", "time_us": 1769860800123456, "node": "AP-1",
 *      "kind": "SVCQ", "session": "00c0ffee00c0ffee", "number": 50, "detail": "..."}
 *
 * session, number and detail are left out if they are 0 or empty. A session is text because JSON
 * numbers end at 2^53.
 */

#include <jansson.h>

#include "wire/message.h"

struct err;

/** event_json_pack() - Make the object. Return: new reference, or NULL without memory */
json_t *event_json_pack(const struct wire_event *e);

/**
 * event_json_unpack() - Read one line
 * @e:		Filled in on success
 * @line:	Text of one object
 * @len:	Its length
 * @err:	Filled in on failure
 *
 * Return: 0, or -EPROTO if it is no event
 */
int event_json_unpack(struct wire_event *e, const char *line, size_t len, struct err *err);
