/* SPDX-License-Identifier: Apache-2.0 */

/*
 * MUD Management - association, reassociation, and the context that follows the MUD
 */

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "core/ap/session.h"

/* --- claims, see ap/session.h ------------------------------------------------------------------ */

static const char too_many_claims[] = "too many devices claim this session";

/* Sessions and claims under one number: @own of the device that asks; @count without a proof */
struct claims {
	struct ap_session *proven;
	struct ap_session *own;
	size_t count;
};

static struct claims claims_of(const struct ap_node *node, uint64_t session, const char *mud)
{
	struct claims c = { 0 };

	for (struct ap_session *s = ap_session_next(node, session, NULL); s;
	     s = ap_session_next(node, session, s)) {
		if (name_equal(s->mud, mud))
			c.own = s;
		if (ap_session_proven(s))
			c.proven = s;
		else
			c.count++;
	}
	return c;
}

void ap_session_prove(struct ap_session *s, uint64_t now, const uint8_t *secret)
{
	s->has_secret = true;
	memcpy(s->secret, secret, WIRE_SECRET_SIZE);
	for (struct ap_session *other = ap_session_next(s->node, s->session, NULL); other;
	     other = ap_session_next(s->node, s->session, other)) {
		if (other != s)
			ap_mud_lost(other, now, WIRE_E_NOT_ALLOWED,
				    "the session is another device's");
	}
}

/* --- association ------------------------------------------------------------------------------- */

/* Whether a device may have one more session here (R9); if not, it is told why. */
static bool share_left(struct ap_node *node, uint64_t link, uint64_t session, const char *mud)
{
	uint32_t share = policy_device_share(&node->policy);
	char reason[WIRE_REASON_SIZE];
	uint32_t count = 0;

	list_for_each_safe(at, next, &node->sessions)
	{
		count += name_equal(list_entry(at, struct ap_session, link)->mud, mud);
	}
	if (count < share)
		return true;
	(void)snprintf(
		reason, sizeof(reason),
		"%s has %u sessions at %s, its share of sessions_max (%u): end some, or raise "
		"sessions_max",
		mud, count, node->name, node->policy.sessions_max);
	ap_mud_refuse(node, link, session, 0, WIRE_E_BUSY, reason);
	return false;
}

static void send_create(struct ap_session *s)
{
	struct wire_message m = ap_session_command(s, WIRE_CREATE);

	memcpy(m.create.mud, s->mud, NAME_SIZE);
	memcpy(m.create.service, s->service, NAME_SIZE);
	memcpy(m.create.ap, s->node->name, NAME_SIZE);
	memcpy(m.create.secret, s->secret, WIRE_SECRET_SIZE);
	s->asked |= !ap_place_down(s->node, ap_session_source(s)->name);
	ap_session_tell(s, ap_session_source(s), &m);
}

/* No edge server can take a session now. The device asks again. */
static void refuse_new(struct ap_node *node, uint64_t link, uint64_t session, enum ap_begin why)
{
	char reason[WIRE_REASON_SIZE];

	/* nothing new begins where an operator is about to stop everything */
	if (why == AP_BEGIN_DRAINED)
		(void)snprintf(reason, sizeof(reason),
			       "edge server %s is drained, and %s knows no other that is not",
			       node->home, node->name);
	else
		(void)snprintf(reason, sizeof(reason),
			       "%s has no link to edge server %s, nor to another that is not "
			       "drained",
			       node->name, node->home);
	ap_mud_refuse(node, link, session, 0, WIRE_E_BUSY, reason);
}

static const char gave_up[] = "the edge server went away while it made the container";

/*
 * The device has asked for this session before, by another link, and we have never heard of it: this program has
 * restarted since. An edge server that we do not know may have made the container, so the device takes
 * another session (R4).
 */
static void refuse_number(struct ap_node *node, uint64_t link, const struct wire_message *m)
{
	const struct wire_message answer = {
		.type = WIRE_ASSOCIATION_RESPONSE,
		.session = m->session,
		.association = m->association,
		.association_response = { .status = WIRE_E_UNKNOWN_SESSION,
					  .reason =
						  "asked for before this access point's restart" },
	};

	node->ops->to_mud(node->ctx, link, &answer);
}

/* It asks again for what we have ended. */
static void refuse_abandoned(struct ap_session *s, uint64_t link, uint32_t association)
{
	s->mud_association = association;
	s->mud_link = link;
	s->response_due = true;
	s->reassociating = false;
	ap_mud_respond(s, WIRE_E_UNKNOWN_SESSION, gave_up);
	s->mud_link = 0;
}

/* A session that a device wants here. Return: NULL if there is no room for it, which the device is told */
static struct ap_session *begin(struct ap_node *node, uint64_t now, uint64_t link,
				const struct wire_message *m, enum ap_state state)
{
	struct ap_session *s = ap_session_new(node, m->session, state, now);

	if (!s) {
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_BUSY,
			      "limit of sessions reached at this access point");
		return NULL;
	}
	s->association = m->association;
	s->mud_association = m->association;
	s->mud_link = link;
	s->response_due = true;
	return s;
}

static void on_association(struct ap_node *node, uint64_t now, uint64_t link,
			   const struct claims *claims, const struct wire_message *m)
{
	struct ap_session *s = claims->own;

	if ((claims->proven && claims->proven != s) || (s && s->association != 1)) {
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_NOT_ALLOWED,
			      "a session with this number exists");
		return;
	}
	if (!s && claims->count >= AP_CLAIMS_MAX) {
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_BUSY, too_many_claims);
		return;
	}
	if (s && m->association < s->mud_association)
		return; /* overtaken by a later one */
	if (s && s->abandoned) {
		refuse_abandoned(s, link, m->association);
		return;
	}
	if (!s && m->association != 1) {
		refuse_number(node, link, m);
		return;
	}
	if (s) { /* the MUD asks again: it lost the answer, or the link */
		if (s->leaving)
			s->since = now;
		s->mud_association = m->association;
		s->mud_link = link;
		s->response_due = true;
		s->reassociating = false;
		s->leaving = false;
		if (s->state != AP_ASSOCIATING)
			ap_mud_respond(s, WIRE_OK, "");
		return;
	}
	if (!share_left(node, link, m->session, m->association_request.mud))
		return;
	const struct ap_place *place = NULL;
	enum ap_begin how = ap_place_begin(node, now, &place);
	if (how == AP_BEGIN_AWAY || how == AP_BEGIN_DRAINED) {
		refuse_new(node, link, m->session, how);
		return;
	}
	s = begin(node, now, link, m, AP_ASSOCIATING);
	if (!s)
		return;
	s->has_secret = true;
	memcpy(s->mud, m->association_request.mud, NAME_SIZE);
	memcpy(s->service, m->association_request.service, NAME_SIZE);
	node->ops->random(node->ctx, s->secret, WIRE_SECRET_SIZE);
	s->source = ap_session_edge(s, place->name);
	ap_session_say(s, "ASSOCIATION REQUEST", 0, "mud=%s service=%s", s->mud, s->service);
	send_create(s);
}

/* --- reassociation ----------------------------------------------------------------------------- */

static void send_move_notify(struct ap_session *s)
{
	const char *place = ap_session_place(s);
	struct wire_message m = ap_session_command(s, WIRE_MOVE_NOTIFY);

	memcpy(m.move_notify.mud, s->mud, NAME_SIZE);
	memcpy(m.move_notify.new_ap, s->node->name, NAME_SIZE);
	(void)name_set(m.move_notify.new_es, place ? place : s->node->home, NULL);
	memcpy(m.move_notify.proof, s->proof, WIRE_PROOF_SIZE);
	s->node->ops->to_ap(s->node->ctx, s->old_ap, &m);
}

static void start_finding(struct ap_session *s, uint64_t now)
{
	ap_session_move(s, AP_FINDING, now);
	s->displaced = 0;
	/* the nearest one may know more than a MUD that was long out of reach */
	(void)ap_session_edge(s, s->node->home);
	for (int i = 0; i < AP_EDGES_MAX; i++) {
		s->edge[i].heard = false;
		if (s->edge[i].name[0])
			ap_session_attach(s, &s->edge[i]);
	}
	ap_handoff_find(s, now);
}

static bool proof_holds(const struct ap_session *s, uint32_t association, const uint8_t *proof)
{
	uint8_t expected[WIRE_PROOF_SIZE];

	s->node->proof(expected, s->secret, s->session, association, s->node->name);
	return proof_equal(expected, proof);
}

/* The link broke, or the MUD restarted its radio: copies and migration are still good. */
static void come_back(struct ap_session *s, uint64_t link, const struct wire_message *m)
{
	const struct wire_reassociation_request *w = &m->reassociation_request;

	s->mud_link = link;
	s->mud_association = m->association;
	s->response_due = true;
	s->reassociating = true;
	s->leaving = false;
	s->resume = w->resume;
	if (s->acked < w->ack)
		s->acked = w->ack;
	if (s->state == AP_MOVING || s->state == AP_FINDING || s->state == AP_ASSOCIATING)
		return; /* answered when that is over */
	if (s->resume)  /* the edge server's last word may be old */
		ap_session_attach(s, ap_session_source(s));
	ap_mud_respond(s, WIRE_OK, "");
}

static void on_reassociation(struct ap_node *node, uint64_t now, uint64_t link,
			     const struct claims *claims, const struct wire_message *m)
{
	const struct wire_reassociation_request *w = &m->reassociation_request;
	struct ap_session *s = claims->own;

	if (s && m->association < s->mud_association)
		return; /* overtaken by a later one */
	/* answers name a claim by its proof; 0 stands for no claim */
	if (!get_be64(w->proof)) {
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_NOT_ALLOWED, "the proof is none");
		return;
	}
	if (claims->proven && !proof_holds(claims->proven, m->association, w->proof)) {
		ap_session_say(claims->proven, "REASSOCIATION REFUSED", 0, "wrong proof of %s",
			       w->mud);
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_NOT_ALLOWED,
			      "the proof does not fit the session");
		return;
	}
	if (s && (m->association == s->mud_association || name_equal(w->old_ap, node->name))) {
		come_back(s, link, m);
		return;
	}
	if (!claims->proven && !s && claims->count >= AP_CLAIMS_MAX) {
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_BUSY, too_many_claims);
		return;
	}
	if (!claims->proven && !s && !share_left(node, link, m->session, w->mud))
		return;
	if (claims->proven) { /* it was elsewhere in between: our state of it is out of date */
		ap_attempt_end(claims->proven, now, "");
		ap_session_free(claims->proven);
	}
	if (s && s != claims->proven)
		ap_session_free(s);
	s = begin(node, now, link, m, AP_MOVING);
	if (!s)
		return;
	s->reassociating = true;
	s->resume = w->resume;
	s->acked = w->ack;
	memcpy(s->mud, w->mud, NAME_SIZE);
	memcpy(s->service, w->service, NAME_SIZE);
	memcpy(s->old_ap, w->old_ap, NAME_SIZE);
	memcpy(s->proof, w->proof, WIRE_PROOF_SIZE);
	for (uint32_t i = 0; i < w->edges.count && i < WIRE_EDGES_MAX; i++)
		(void)ap_session_edge(s, w->edges.name[i]);
	ap_session_say(s, "REASSOCIATION REQUEST", 0, "mud=%s old_ap=%s", s->mud, s->old_ap);
	if (!s->old_ap[0] || name_equal(s->old_ap, node->name))
		start_finding(s, now);
	else
		send_move_notify(s);
}

void ap_mud_move_response(struct ap_session *s, uint64_t now, const struct wire_message *m)
{
	const struct wire_move_response *w = &m->move_response;

	if (w->status == WIRE_E_NOT_ALLOWED) {
		ap_mud_lost(s, now, WIRE_E_NOT_ALLOWED, "the old access point refused the proof");
		return;
	}
	/* an access point that never had the session does not send its user anywhere (R11) */
	bool good = w->status == WIRE_OK && ap_session_fits(s, w->secret);
	int index = good ? ap_session_edge(s, w->authority) : -1;
	if (index < 0) {
		start_finding(s, now);
		return;
	}
	ap_session_prove(s, now, w->secret);
	memcpy(s->service, w->service, NAME_SIZE);
	s->edge[index].epoch = m->epoch;
	if (!ap_edge_known(s->node, w->authority)) {
		/* nothing can be asked of it, so nothing may wait for its answer but the search */
		ap_session_say(s, "EDGE SERVER UNKNOWN", 0, "%s has the container of %s",
			       w->authority, s->mud);
		start_finding(s, now);
		return;
	}
	ap_session_say(s, "MOVE RESPONSE", 0, "from=%s authority=%s", s->old_ap, w->authority);
	/* the attach is first on the same link, so requests may follow without waiting */
	ap_session_attach(s, &s->edge[index]);
	ap_handoff_adopt(s, now, index);
}

static void on_disassociation(struct ap_session *s, uint64_t now)
{
	ap_session_say(s, "DISASSOCIATION", 0, "mud=%s", s->mud);
	if (s->state == AP_ASSOCIATING && !s->asked) {
		ap_session_move(s, AP_ENDED, now);
		return;
	}
	if (s->state == AP_ASSOCIATING) {
		s->leaving = true;
		s->response_due = false;
		s->mud_link = 0;
		s->left_at = now;
		return;
	}
	/* a claim ends itself and nothing else: the session may be another device's (R11) */
	if (ap_session_proven(s))
		ap_leave_end(s, now);
	else
		ap_session_move(s, AP_ENDED, now);
}

void ap_mud_message(struct ap_node *node, uint64_t now, uint64_t link, const char *mud,
		    const struct wire_message *m)
{
	const struct claims claims = claims_of(node, m->session, mud);
	bool right_mud = true;

	if (m->type == WIRE_ASSOCIATION_REQUEST)
		right_mud = name_equal(mud, m->association_request.mud);
	else if (m->type == WIRE_REASSOCIATION_REQUEST)
		right_mud = name_equal(mud, m->reassociation_request.mud);
	if (!right_mud) {
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_NOT_ALLOWED,
			      "the certificate belongs to another device");
		return;
	}
	switch (m->type) {
	case WIRE_ASSOCIATION_REQUEST:
		on_association(node, now, link, &claims, m);
		break;
	case WIRE_REASSOCIATION_REQUEST:
		on_reassociation(node, now, link, &claims, m);
		break;
	case WIRE_DISASSOCIATION:
		if (claims.own && claims.own->mud_link == link)
			on_disassociation(claims.own, now);
		break;
	default:
		ap_mud_refuse(node, link, m->session, 0, WIRE_E_PROTOCOL,
			      "message does not belong here");
	}
}

/*
 * The device begins another session elsewhere, and has lost nothing. When the edge server is back it is
 * asked whether it has made the container, and told to remove it.
 */
static void abandon(struct ap_session *s, uint64_t now)
{
	ap_session_say(s, "BEGINS ELSEWHERE", 0, "%s: %s", ap_session_source(s)->name, gave_up);
	ap_mud_respond(s, WIRE_E_UNKNOWN_SESSION, gave_up);
	s->node->proof(s->proof, s->secret, s->session, s->association, s->node->name);
	s->abandoned = true;
	s->leaving = true;
	s->mud_link = 0;
	s->left_at = now;
}

/*
 * CREATE was sent, so the container may exist there. The same session must not begin elsewhere: two containers
 * of one epoch would have authority (R4).
 */
static void while_away(struct ap_session *s, uint64_t now)
{
	const struct ap_place *p = ap_place_find(s->node, ap_session_source(s)->name);
	const struct ap_place *other = NULL;
	uint64_t patience = s->node->policy.move_ms;

	if (now < p->down_at + patience || now < s->since_asked + patience)
		return;
	s->since_asked = now;
	if (ap_place_begin(s->node, now, &other) == AP_BEGIN_NOW)
		abandon(s, now);
	else
		refuse_new(s->node, s->mud_link, s->session, AP_BEGIN_AWAY);
}

/* Nothing was sent yet: it may begin elsewhere. */
static void begin_elsewhere(struct ap_session *s, uint64_t now)
{
	const struct ap_place *place = NULL;
	enum ap_begin how = ap_place_begin(s->node, now, &place);

	if (how == AP_BEGIN_AWAY || how == AP_BEGIN_DRAINED) {
		refuse_new(s->node, s->mud_link, s->session, how);
		ap_session_move(s, AP_ENDED, now);
		return;
	}
	*ap_session_source(s) = (struct ap_edge){ 0 };
	s->source = ap_session_edge(s, place->name);
	send_create(s);
}

static void associating_repeat(struct ap_session *s, uint64_t now)
{
	bool down = ap_place_down(s->node, ap_session_source(s)->name);

	if (s->abandoned) {
		ap_session_attach(s, ap_session_source(s));
	} else if (down && !s->asked && !s->leaving) {
		begin_elsewhere(s, now);
	} else {
		send_create(s);
		if (down && !s->leaving)
			while_away(s, now);
	}
}

void ap_mud_tick(struct ap_session *s, uint64_t now)
{
	const struct policy *p = &s->node->policy;

	s->next_retry = now + p->retry_ms;
	if (s->state == AP_ASSOCIATING) {
		/* of a device that has left a container may still come: idle_ms ends the wait for that */
		if (!s->leaving && now >= s->since + p->associate_ms)
			ap_mud_lost(s, now, WIRE_E_FAILED,
				    "the edge server did not answer in time");
		else
			associating_repeat(s, now);
		return;
	}
	if (now >= s->since + p->move_ms)
		start_finding(s, now);
	else
		send_move_notify(s);
}
