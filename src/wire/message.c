/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/message.h"

#include <string.h>

const char *wire_type_name(enum wire_type type)
{
	switch (type) {
	case WIRE_HELLO:
		return "HELLO";
	case WIRE_ASSOCIATION_REQUEST:
		return "ASSOCIATION REQUEST";
	case WIRE_ASSOCIATION_RESPONSE:
		return "ASSOCIATION RESPONSE";
	case WIRE_REASSOCIATION_REQUEST:
		return "REASSOCIATION REQUEST";
	case WIRE_REASSOCIATION_RESPONSE:
		return "REASSOCIATION RESPONSE";
	case WIRE_DISASSOCIATION:
		return "DISASSOCIATION";
	case WIRE_EDGE_NOTICE:
		return "EDGE NOTICE";
	case WIRE_REFUSAL:
		return "REFUSAL";
	case WIRE_MOVE_NOTIFY:
		return "MOVE NOTIFY";
	case WIRE_MOVE_RESPONSE:
		return "MOVE RESPONSE";
	case WIRE_USER_CLAIM:
		return "USER CLAIM";
	case WIRE_USER_CONTEXT:
		return "USER CONTEXT";
	case WIRE_USER_REQUEST:
		return "USER REQUEST";
	case WIRE_USER_END:
		return "USER END";
	case WIRE_USER_TAKEN:
		return "USER TAKEN";
	case WIRE_STATION_INQUIRY:
		return "STATION INQUIRY";
	case WIRE_STATION_USERS:
		return "STATION USERS";
	case WIRE_CREATE:
		return "CREATE";
	case WIRE_ATTACH:
		return "ATTACH";
	case WIRE_MIGRATE:
		return "MIGRATE";
	case WIRE_FENCE:
		return "FENCE";
	case WIRE_UNFENCE:
		return "UNFENCE";
	case WIRE_ACTIVATE:
		return "ACTIVATE";
	case WIRE_RETIRE:
		return "RETIRE";
	case WIRE_ABORT:
		return "ABORT";
	case WIRE_EDGE_STATE:
		return "EDGE STATE";
	case WIRE_STATUS:
		return "STATUS";
	case WIRE_CREATED:
		return "CREATED";
	case WIRE_CUT:
		return "CUT";
	case WIRE_READY:
		return "READY";
	case WIRE_FENCED:
		return "FENCED";
	case WIRE_UNFENCED:
		return "UNFENCED";
	case WIRE_ACTIVATED:
		return "ACTIVATED";
	case WIRE_RETIRED:
		return "RETIRED";
	case WIRE_ABORTED:
		return "ABORTED";
	case WIRE_FAILED:
		return "FAILED";
	case WIRE_LOST:
		return "LOST";
	case WIRE_REFUSED:
		return "REFUSED";
	case WIRE_REQUEST:
		return "REQUEST";
	case WIRE_ANSWER:
		return "ANSWER";
	case WIRE_STREAM:
		return "STREAM";
	case WIRE_EVENTS:
		return "EVENTS";
	case WIRE_CLOCK_PROBE:
		return "CLOCK PROBE";
	case WIRE_CLOCK_REPLY:
		return "CLOCK REPLY";
	case WIRE_INQUIRY:
		return "INQUIRY";
	case WIRE_INQUIRY_ANSWER:
		return "INQUIRY ANSWER";
	case WIRE_TRANSFER_OFFER:
		return "TRANSFER OFFER";
	case WIRE_TRANSFER_ACCEPT:
		return "TRANSFER ACCEPT";
	case WIRE_TRANSFER_CUT:
		return "TRANSFER CUT";
	case WIRE_TRANSFER_CHUNK:
		return "TRANSFER CHUNK";
	case WIRE_TRANSFER_END:
		return "TRANSFER END";
	case WIRE_TRANSFER_RESULT:
		return "TRANSFER RESULT";
	}
	return "unknown message";
}

const char *wire_status_name(enum wire_status status)
{
	switch (status) {
	case WIRE_OK:
		return "ok";
	case WIRE_E_UNKNOWN_SERVICE:
		return "unknown service";
	case WIRE_E_UNKNOWN_SESSION:
		return "unknown session";
	case WIRE_E_UNKNOWN_NODE:
		return "unknown node";
	case WIRE_E_NOT_ALLOWED:
		return "not allowed";
	case WIRE_E_BUSY:
		return "busy";
	case WIRE_E_SESSION_LOST:
		return "session lost";
	case WIRE_E_IN_DOUBT:
		return "outcome in doubt";
	case WIRE_E_PROTOCOL:
		return "protocol error";
	case WIRE_E_FAILED:
		return "failed";
	case WIRE_OK_MORE:
		return "ok, more follows";
	case WIRE_E_LASTING:
		return "failed, and will again";
	}
	return "unknown status";
}

const char *wire_role_name(enum wire_role role)
{
	switch (role) {
	case WIRE_ROLE_NONE:
		return "none";
	case WIRE_ROLE_MUD:
		return "mud";
	case WIRE_ROLE_AP:
		return "ap";
	case WIRE_ROLE_ES:
		return "es";
	case WIRE_ROLE_LOGREPO:
		return "logrepo";
	case WIRE_ROLE_OPERATOR:
		return "operator";
	}
	return "unknown role";
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
	switch (state) {
	case WIRE_ES_NONE:
		return "none";
	case WIRE_ES_CREATING:
		return "creating";
	case WIRE_ES_ACTIVE:
		return "active";
	case WIRE_ES_FENCED:
		return "fenced";
	case WIRE_ES_ARRIVING:
		return "arriving";
	case WIRE_ES_STANDBY:
		return "standby";
	case WIRE_ES_RETIRED:
		return "retired";
	case WIRE_ES_LOST:
		return "lost";
	}
	return "unknown state";
}
