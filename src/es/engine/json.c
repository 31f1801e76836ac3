/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/json.h"

#include <stdarg.h>
#include <stdint.h>

json_t *json_at(const json_t *json, ...)
{
	const json_t *at = json;
	const char *key;
	va_list ap;

	va_start(ap, json);
	while (at && (key = va_arg(ap, const char *)))
		at = json_object_get(at, key);
	va_end(ap);
	return (json_t *)(uintptr_t)at;
}

const char *json_text(const json_t *json, ...)
{
	const json_t *at = json;
	const char *key;
	va_list ap;

	va_start(ap, json);
	while (at && (key = va_arg(ap, const char *)))
		at = json_object_get(at, key);
	va_end(ap);
	return json_is_string(at) ? json_string_value(at) : "";
}
