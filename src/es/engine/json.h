/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Values in JSON by the keys that lead to them
 */

#include <jansson.h>

/** json_text() - String at a path of object keys ("State", "Status", NULL). Return: "" if none */
const char *json_text(const json_t *json, ...) __attribute__((sentinel));

/** json_at() - Value at a path of object keys, borrowed. Return: NULL if there is none */
json_t *json_at(const json_t *json, ...) __attribute__((sentinel));
