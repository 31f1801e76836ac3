/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/links/link_rules.h"

#include <stdio.h>

#include "base/log.h"
#include "net/link.h"

void link_rules_refuse(struct link *l, const struct wire_message *m)
{
	const char *role = wire_role_name(link_peer_role(l));
	struct wire_message refusal = {
		.type = WIRE_REFUSAL,
		.refusal = { .status = WIRE_E_NOT_ALLOWED },
	};

	(void)snprintf(refusal.refusal.reason, sizeof(refusal.refusal.reason),
		       "role \"%s\" may not send %s here", role, wire_type_name(m->type));
	log_error("%s: link ended: %s", link_peer_name(l), refusal.refusal.reason);
	(void)link_send(l, &refusal);
	link_close(l);
}
