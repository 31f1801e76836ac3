/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/json.h"

#include <stdarg.h>
#include <stdint.h>

/** at() - The value at a path of keys that ends with NULL */
static const json_t *at(const json_t *json, va_list keys)
{
	const char *key;

	while (json && (key = va_arg(keys, const char *)))
		json = json_object_get(json, key);
	return json;
}

json_t *json_at(const json_t *json, ...)
{
	va_list keys;

	va_start(keys, json);
	const json_t *found = at(json, keys);
	va_end(keys);
	return (json_t *)(uintptr_t)found;
}

const char *json_text(const json_t *json, ...)
{
	va_list keys;

	va_start(keys, json);
	const json_t *found = at(json, keys);
	va_end(keys);
	return json_is_string(found) ? json_string_value(found) : "";
}
