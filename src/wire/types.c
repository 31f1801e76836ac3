/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/types.h"

#include <string.h>

#include "base/auto.h"
#include "wire/fields.h"

const char *wire_type_name(enum wire_type type)
{
	const struct wire_type_info *info = wire_type_info(type);

	return info ? info->name : "unknown message";
}

const char *wire_status_name(enum wire_status status)
{
	static const char *const names[] = {
		[WIRE_OK] = "ok",
		[WIRE_E_UNKNOWN_SERVICE] = "unknown service",
		[WIRE_E_UNKNOWN_SESSION] = "unknown session",
		[WIRE_E_UNKNOWN_NODE] = "unknown node",
		[WIRE_E_NOT_ALLOWED] = "not allowed",
		[WIRE_E_BUSY] = "busy",
		[WIRE_E_SESSION_LOST] = "session lost",
		[WIRE_E_IN_DOUBT] = "outcome in doubt",
		[WIRE_E_PROTOCOL] = "protocol error",
		[WIRE_E_FAILED] = "failed",
		[WIRE_OK_MORE] = "ok, more follows",
		[WIRE_E_LASTING] = "failed, and will again",
	};

	return status < ARRAY_SIZE(names) ? names[status] : "unknown status";
}

const char *wire_role_name(enum wire_role role)
{
	static const char *const names[] = {
		[WIRE_ROLE_NONE] = "none",       [WIRE_ROLE_MUD] = "mud",
		[WIRE_ROLE_AP] = "ap",           [WIRE_ROLE_ES] = "es",
		[WIRE_ROLE_LOGREPO] = "logrepo", [WIRE_ROLE_OPERATOR] = "operator",
	};

	return role < ARRAY_SIZE(names) ? names[role] : "unknown role";
}

enum wire_role wire_role_from_name(const char *name)
{
	for (enum wire_role r = WIRE_ROLE_MUD; r <= WIRE_ROLE_OPERATOR; r++) {
		if (strcmp(name, wire_role_name(r)) == 0)
			return r;
	}
	return WIRE_ROLE_NONE;
}

const char *wire_es_state_name(enum wire_es_state state)
{
	static const char *const names[] = {
		[WIRE_ES_NONE] = "none",         [WIRE_ES_CREATING] = "creating",
		[WIRE_ES_ACTIVE] = "active",     [WIRE_ES_FENCED] = "fenced",
		[WIRE_ES_ARRIVING] = "arriving", [WIRE_ES_STANDBY] = "standby",
		[WIRE_ES_RETIRED] = "retired",   [WIRE_ES_LOST] = "lost",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown state";
}
