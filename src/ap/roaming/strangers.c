/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/strangers.h"

#include <stdbool.h>
#include <string.h>

#include "ap/users/table.h"
#include "base/log.h"
#include "report/log_reporter.h"

static bool is_reported(const struct users *u, const char *ap)
{
	for (size_t i = 0; i < u->strangers; i++) {
		if (name_equal(u->stranger[i], ap))
			return true;
	}
	return u->strangers >= USERS_STRANGERS_MAX;
}

void users_stranger(struct users *u, const char *ap)
{
	struct wire_message m = {
		.type = WIRE_USER_END,
		.user_end = { .claim = 1, .status = WIRE_E_UNKNOWN_NODE },
	};

	memcpy(m.user_end.user, u->ap, NAME_SIZE);
	u->ops->to_ap(u->ctx, ap, &m);
	if (is_reported(u, ap) || name_set(u->stranger[u->strangers], ap, NULL) < 0)
		return;
	u->strangers++;
	log_error("access point %s is not in the configuration here: users that move between it "
		  "and %s "
		  "are not handed over. Add peer \"%s\" { role = \"ap\" address = ... } here, or "
		  "remove "
		  "%s from its configuration",
		  ap, u->ap, ap, u->ap);
	log_reporter_event(u->session.reporter, "ACCESS POINT UNKNOWN", 0, 0, "ap=%s at=%s", ap,
			   u->ap);
}

/* @ap says that it does not have this access point in its configuration */
static void unknown_to(struct users *u, const char *ap, size_t place)
{
	if (u->foreign[place / 64] >> place % 64 & 1)
		return;
	u->foreign[place / 64] |= 1ull << place % 64;
	log_error("access point %s does not have %s in its configuration: users that move between "
		  "them "
		  "are not handed over. Add peer \"%s\" { role = \"ap\" address = ... } there, or "
		  "remove "
		  "%s from the configuration here",
		  ap, u->ap, u->ap, ap);
	log_reporter_event(u->session.reporter, "ACCESS POINT UNKNOWN", 0, 0, "ap=%s at=%s", u->ap,
			   ap);
}

bool users_strange(struct users *u, const char *ap, const struct wire_message *m)
{
	int place = users_place(u, ap);

	if (place < 0) {
		users_stranger(u, ap);
		return true;
	}
	if (m->type != WIRE_USER_END || m->user_end.status != WIRE_E_UNKNOWN_NODE) {
		u->foreign[place / 64] &= ~(1ull << place % 64);
		return false;
	}
	unknown_to(u, ap, (size_t)place);
	return true;
}
