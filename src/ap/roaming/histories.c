/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/roaming/histories.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "ap/users/table.h"
#include "base/log.h"
#include "core/mud/session.h"
#include "net/crypto.h"
#include "report/log_reporter.h"

#define EDGES_TEXT 256

/* Requests that it has acknowledged. One whose holder restarted does not know; it was confirmed, so it counts */
static uint64_t acknowledged(const struct mud_context *c)
{
	return c->next ? c->ack : UINT64_MAX;
}

/* Whether @a goes on rather than @b, which is here */
static bool better(const struct mud_context *a, const struct mud_context *b)
{
	if (!acknowledged(a) || !acknowledged(b))
		return acknowledged(a) > acknowledged(b);
	if (a->epoch && b->epoch && a->epoch != b->epoch)
		return a->epoch > b->epoch;
	return acknowledged(a) > acknowledged(b);
}

static void name_edges(char text[EDGES_TEXT], const struct wire_edges *edges)
{
	int len = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < edges->count && len >= 0 && len < EDGES_TEXT; i++)
		len += snprintf(text + len, (size_t)(EDGES_TEXT - len), "%s%s", len ? "," : "",
				edges->name[i]);
}

static void set_aside(const struct user *user, const char *service, const struct mud_context *lost,
		      const struct mud_context *kept)
{
	char edges[EDGES_TEXT], answered[32] = "some";

	name_edges(edges, &lost->edges);
	if (lost->next)
		(void)snprintf(answered, sizeof(answered), "%" PRIu64, lost->ack);
	log_error(
		"%s has two sessions with %s: %016" PRIx64 " (epoch %u) goes on, %016" PRIx64
		" (epoch %u, %s requests acknowledged) is set aside; its edge server (%s) keeps it",
		user->name, service, kept->session, kept->epoch, lost->session, lost->epoch,
		answered, edges);
	log_reporter_event(
		user->users->session.reporter, "HISTORY SET ASIDE", lost->session, 0,
		"mud=%s service=%s epoch=%u acknowledged=%s edges=%s goes_on=%016" PRIx64,
		user->name, service, lost->epoch, answered, edges, kept->session);
}

static bool compare(const struct user *user, const char *service, const struct mud_context *here,
		    const struct mud_context *comes)
{
	if (here->session == comes->session)
		return user->state == USER_CLAIMING ? comes->association >= here->association
						    : comes->association > here->association;
	bool goes_on = better(comes, here);
	if (goes_on)
		set_aside(user, service, here, comes);
	else
		set_aside(user, service, comes, here);
	return goes_on;
}

bool user_history_goes_on(struct user *user, const char *service, const struct mud_context *c)
{
	const struct user_entry *e = user_find_session(user, service);
	struct mud_context here = { 0 };

	if (!e || !user_session_export(e->session, &here)) {
		if (e && user_session_number(
				 e->session)) /* it has only begun: nothing was acknowledged */
			user_session_end(e->session);
		return true;
	}
	bool goes_on = compare(user, service, &here, c);
	crypto_wipe(here.secret, sizeof(here.secret));
	return goes_on;
}
