/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mud/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/state_table.h"
#include "core/common/request.h"

/* a request on its way; the slot of number n is n % WIRE_WINDOW */
struct outstanding {
	struct request *request; /* NULL: the slot is free */
	bool answered;           /* but one before it is not */
};

struct mud_session {
	uint64_t session;
	uint32_t association;
	uint32_t epoch;
	enum mud_state state;
	char mud[NAME_SIZE];
	char service[NAME_SIZE];
	char ap[NAME_SIZE];
	char old_ap[NAME_SIZE];
	bool up;
	bool asked; /* this access point was, for a session that is not known yet */
	bool known; /* an access point answered once: there is a session to come back to */
	uint8_t secret[WIRE_SECRET_SIZE];
	struct wire_edges edges;
	struct outstanding slot[WIRE_WINDOW];
	uint64_t next;
	uint64_t import_next; /* of the context, until all of its requests are here */
	bool resuming;        /* the edge server has to tell the numbers */
	uint64_t ack;         /* every answer up to this number is here */
	size_t bytes;         /* of the requests after it */
	uint64_t retry_at;
	struct policy policy;
	proof_fn proof;
	const struct mud_session_ops *ops;
	void *ctx;
};

#define MAY(state) STATE_BIT(MUD_##state)

static const struct state_row rows[] = {
	[MUD_IDLE] = { "idle", MAY(ASSOCIATING) | MAY(REASSOCIATING) | MAY(LOST) },
	[MUD_ASSOCIATING] = { "associating", MAY(ASSOCIATING) | MAY(ASSOCIATED) | MAY(LOST) },
	[MUD_REASSOCIATING] = { "reassociating", MAY(REASSOCIATING) | MAY(ASSOCIATED) | MAY(LOST) },
	[MUD_ASSOCIATED] = { "associated", MAY(REASSOCIATING) | MAY(LOST) },
	[MUD_LOST] = { "lost", 0 },
};

static const struct state_table table = { "session at a device", ARRAY_SIZE(rows), rows };

int mud_session_new(struct mud_session **ret, const char *mud, const char *service,
		    const struct policy *policy, proof_fn proof, const struct mud_session_ops *ops,
		    void *ctx, struct err *err)
{
	int r;

	AUTO(mud_session) struct mud_session *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "create session");
	r = name_set(s->mud, mud, err);
	if (r == 0)
		r = name_set(s->service, service, err);
	if (r < 0)
		return err_wrap(err, r, "create session");
	s->policy = *policy;
	s->proof = proof;
	s->ops = ops;
	s->ctx = ctx;
	s->next = 1;
	s->retry_at = UINT64_MAX;
	*ret = TAKE_PTR(s);
	return 0;
}

struct mud_session *mud_session_free(struct mud_session *s)
{
	if (s) {
		for (size_t i = 0; i < WIRE_WINDOW; i++)
			request_free(s->slot[i].request);
		explicit_bzero(s->secret, sizeof(s->secret));
		free(s);
	}
	return NULL;
}

static void say(struct mud_session *s, const char *kind, uint64_t number, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(struct mud_session *s, const char *kind, uint64_t number, const char *fmt, ...)
{
	char detail[WIRE_REASON_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	s->ops->event(s->ctx, s->session, kind, number, detail);
}

static void go_to(struct mud_session *s, enum mud_state to)
{
	state_require_move(&table, s->state, to);
	s->state = to;
}

static struct wire_message message(const struct mud_session *s, enum wire_type type)
{
	return (struct wire_message){ .type = type,
				      .session = s->session,
				      .association = s->association };
}

static void send_association(struct mud_session *s)
{
	struct wire_message m = message(s, WIRE_ASSOCIATION_REQUEST);

	memcpy(m.association_request.mud, s->mud, NAME_SIZE);
	memcpy(m.association_request.service, s->service, NAME_SIZE);
	s->asked = true;
	s->ops->to_ap(s->ctx, s->ap, &m);
	say(s, "ASSOCIATION REQUEST", 0, "ap=%s", s->ap);
}

static void send_reassociation(struct mud_session *s)
{
	struct wire_message m = message(s, WIRE_REASSOCIATION_REQUEST);
	struct wire_reassociation_request *w = &m.reassociation_request;

	memcpy(w->mud, s->mud, NAME_SIZE);
	memcpy(w->service, s->service, NAME_SIZE);
	memcpy(w->old_ap, s->old_ap, NAME_SIZE);
	s->proof(w->proof, s->secret, s->session, s->association, s->ap);
	w->edges = s->edges;
	w->ack = s->ack;
	w->resume = s->resuming;
	s->ops->to_ap(s->ctx, s->ap, &m);
	say(s, "REASSOCIATION REQUEST", 0, "ap=%s old_ap=%s", s->ap, s->old_ap);
}

static void send_request(struct mud_session *s, const struct outstanding *o)
{
	struct wire_message m = message(s, WIRE_REQUEST);

	m.data = request_data(o->request);
	m.data.ack = s->ack;
	s->ops->to_ap(s->ctx, s->ap, &m);
}

/*
 * Sends all requests from the first unanswered one on, answered ones among them: a replay buffer
 * has no gaps, or it could not be replayed.
 */
static void send_unanswered(struct mud_session *s)
{
	for (uint64_t n = s->ack + 1; n < s->next; n++)
		send_request(s, &s->slot[n % WIRE_WINDOW]);
}

static void set_retry(struct mud_session *s, uint64_t now)
{
	bool waiting = s->state != MUD_ASSOCIATED || s->ack + 1 < s->next;

	s->retry_at = s->up && waiting ? now + 4 * s->policy.retry_ms : UINT64_MAX;
}

static void start_association(struct mud_session *s, uint64_t now)
{
	if (s->state == MUD_ASSOCIATING) {
		send_association(s);
	} else {
		/* the requests follow at once: the access point holds them until it has the context */
		send_reassociation(s);
		send_unanswered(s);
	}
	set_retry(s, now);
}

/* Another session than the one that was asked for: no request of that one has left */
static void take_number(struct mud_session *s)
{
	s->session = s->ops->number(s->ctx);
	s->association = 1;
	s->asked = false;
}

/* Each association has its own number and proof, the repetition of one on the same link has not. */
static void begin_association(struct mud_session *s)
{
	if (!s->known) {
		take_number(s);
		go_to(s, MUD_ASSOCIATING);
		return;
	}
	s->association++;
	go_to(s, MUD_REASSOCIATING);
}

void mud_session_move(struct mud_session *s, uint64_t now, const char *ap)
{
	/* a session that was imported may be where it is to go: its holder restarted */
	if (s->state == MUD_LOST || (s->state != MUD_IDLE && name_equal(ap, s->ap)))
		return;
	memcpy(s->old_ap, s->ap, NAME_SIZE);
	memcpy(s->ap, ap, strnlen(ap, NAME_SIZE - 1) + 1);
	s->up = false;
	begin_association(s);
	set_retry(s, now);
}

void mud_session_up(struct mud_session *s, uint64_t now, const char *ap)
{
	if (s->state == MUD_LOST || !name_equal(ap, s->ap))
		return;
	s->up = true;
	if (s->state == MUD_ASSOCIATED) { /* same place, new link */
		memcpy(s->old_ap, s->ap, NAME_SIZE);
		begin_association(s);
	} else if (s->state == MUD_ASSOCIATING && s->asked) {
		/* an access point that has restarted must not have it begin at another edge server (R4) */
		s->association++;
	}
	start_association(s, now);
}

void mud_session_down(struct mud_session *s, uint64_t now, const char *ap)
{
	if (!name_equal(ap, s->ap))
		return;
	s->up = false;
	if (s->state == MUD_ASSOCIATED) {
		memcpy(s->old_ap, s->ap, NAME_SIZE);
		begin_association(s);
	}
	set_retry(s, now);
}

bool mud_session_takes(const struct mud_session *s, size_t len)
{
	return !s->resuming && s->next - s->ack <= WIRE_WINDOW &&
	       s->bytes + len <= WIRE_WINDOW_BYTES;
}

/* Keeps @d as the next request. Return: 0, or -ENOMEM */
static int keep_request(struct mud_session *s, const struct wire_data *d, bool answered,
			struct err *err)
{
	struct request *request = d->number == s->next ? request_keep(d) : request_new(d, s->next);

	if (!request)
		return err_set(err, -ENOMEM, "keep a request of %zu bytes", d->len);
	s->slot[s->next++ % WIRE_WINDOW] = (struct outstanding){ request, answered };
	s->bytes += d->len;
	return 0;
}

int mud_session_request(struct mud_session *s, uint64_t now, const struct wire_data *d,
			uint64_t *number, struct err *err)
{
	if (s->state == MUD_LOST)
		return MUD_SESSION_E_LOST;
	if (d->len > WIRE_PAYLOAD_MAX)
		return err_set(err, -EINVAL, "request of %zu bytes: the limit is %u", d->len,
			       WIRE_PAYLOAD_MAX);
	if (d->preamble > d->len || d->preamble > WIRE_PREAMBLE_MAX)
		return err_set(err, -EINVAL, "preamble of %u bytes: the limit is %u", d->preamble,
			       WIRE_PREAMBLE_MAX);
	if (!mud_session_takes(s, d->len))
		return MUD_SESSION_E_FULL;
	*number = s->next;
	int r = keep_request(s, d, false, err);
	if (r < 0)
		return r;
	if (s->policy.request_events)
		say(s, "SVCQ", *number, "ap=%s", s->ap);
	if (s->up && (s->state == MUD_ASSOCIATED || s->state == MUD_REASSOCIATING))
		send_request(s, &s->slot[*number % WIRE_WINDOW]);
	if (s->retry_at == UINT64_MAX)
		set_retry(s, now);
	return 0;
}

static void on_answer(struct mud_session *s, uint64_t now, const struct wire_data *d)
{
	struct outstanding *o = &s->slot[d->number % WIRE_WINDOW];

	if (d->number <= s->ack || d->number >= s->next || o->answered)
		return; /* answered before */
	o->answered = true;
	while (s->ack + 1 < s->next && s->slot[(s->ack + 1) % WIRE_WINDOW].answered) {
		struct outstanding *done = &s->slot[++s->ack % WIRE_WINDOW];

		s->bytes -= done->request->len;
		request_free(done->request);
		*done = (struct outstanding){ 0 };
	}
	if (s->policy.request_events)
		say(s, "SVCR", d->number, "status=%s", wire_status_name(d->status));
	s->ops->answer(s->ctx, d);
	set_retry(s, now);
}

static void become_lost(struct mud_session *s, enum wire_status status, const char *reason)
{
	go_to(s, MUD_LOST);
	s->retry_at = UINT64_MAX;
	say(s, "SESSION LOST", 0, "%s", reason);
	s->ops->lost(s->ctx, status, reason);
}

static void on_response(struct mud_session *s, uint64_t now, const struct wire_message *m)
{
	const struct wire_association_response *w = &m->association_response;

	if (m->association != s->association ||
	    (s->state != MUD_ASSOCIATING && s->state != MUD_REASSOCIATING))
		return;
	if (w->status == WIRE_E_BUSY ||
	    (w->status == WIRE_E_FAILED && s->state == MUD_REASSOCIATING))
		return; /* a limit, or edge servers out of reach: asked again at retry_at */
	if (w->status == WIRE_E_UNKNOWN_SESSION && s->state == MUD_ASSOCIATING) {
		/* it cannot begin where it was asked for. No request has left, so any other will do. */
		take_number(s);
		send_association(s);
		set_retry(s, now);
		return;
	}
	if (w->status != WIRE_OK) {
		become_lost(s, w->status, w->reason);
		return;
	}
	if (s->state == MUD_ASSOCIATING)
		memcpy(s->secret, w->secret, WIRE_SECRET_SIZE);
	s->known = true;
	s->epoch = m->epoch;
	s->edges = w->edges;
	if (s->resuming) {
		s->resuming = false;
		s->ack = w->received;
		s->next = w->received + 1;
	}
	go_to(s, MUD_ASSOCIATED);
	say(s, wire_type_name(m->type), 0, "ap=%s", s->ap);
	send_unanswered(s);
	set_retry(s, now);
}

static void on_refusal(struct mud_session *s, const struct wire_refusal *w)
{
	if (w->status == WIRE_E_SESSION_LOST || w->status == WIRE_E_NOT_ALLOWED)
		become_lost(s, w->status, w->reason);
	else if (w->status == WIRE_E_UNKNOWN_SESSION && s->state == MUD_ASSOCIATED) {
		/* the access point forgot us; it finds the session again */
		memcpy(s->old_ap, s->ap, NAME_SIZE);
		begin_association(s);
		send_reassociation(s);
	} else {
		say(s, "NOT YET", w->number, "%s", w->reason); /* sent again at retry_at */
		if (s->ops->waiting && w->status == WIRE_E_BUSY)
			s->ops->waiting(s->ctx, w->reason);
	}
}

void mud_session_message(struct mud_session *s, uint64_t now, const char *ap,
			 const struct wire_message *m)
{
	if (s->state == MUD_LOST || m->session != s->session || !name_equal(ap, s->ap))
		return;
	switch (m->type) {
	case WIRE_ANSWER:
		on_answer(s, now, &m->data);
		break;
	case WIRE_STREAM:
		if (s->ops->stream)
			s->ops->stream(s->ctx, &m->stream);
		break;
	case WIRE_ASSOCIATION_RESPONSE:
	case WIRE_REASSOCIATION_RESPONSE:
		on_response(s, now, m);
		break;
	case WIRE_EDGE_NOTICE:
		if (m->edges.count)
			s->edges = m->edges;
		if (m->epoch > s->epoch)
			s->epoch = m->epoch;
		break;
	case WIRE_REFUSAL:
		on_refusal(s, &m->refusal);
		break;
	default:
		break; /* nothing else is for a MUD */
	}
}

void mud_session_end(struct mud_session *s, uint64_t now)
{
	struct wire_message m = message(s, WIRE_DISASSOCIATION);

	(void)now;
	if (s->state == MUD_LOST)
		return;
	s->ops->to_ap(s->ctx, s->ap, &m);
	say(s, "DISASSOCIATION", 0, "ap=%s", s->ap);
	go_to(s, MUD_LOST);
	s->retry_at = UINT64_MAX;
}

bool mud_session_export(const struct mud_session *s, struct mud_context *to)
{
	if (!s->known || s->state == MUD_LOST)
		return false;
	*to = (struct mud_context){
		.session = s->session,
		.association = s->association,
		.epoch = s->epoch,
		.edges = s->edges,
		.ack = s->ack,
		.next = s->resuming ? 0 : s->next,
	};
	memcpy(to->secret, s->secret, WIRE_SECRET_SIZE);
	memcpy(to->ap, s->ap, NAME_SIZE);
	return true;
}

void mud_session_each(const struct mud_session *s,
		      void (*fn)(void *ctx, const struct wire_data *d, bool answered), void *ctx)
{
	for (uint64_t n = s->ack + 1; n < s->next; n++) {
		const struct outstanding *o = &s->slot[n % WIRE_WINDOW];
		const struct wire_data d = request_data(o->request);

		fn(ctx, &d, o->answered);
	}
}

int mud_session_import(struct mud_session *s, const struct mud_context *from, struct err *err)
{
	bool numbers = from->next == 0 ||
		       (from->next > from->ack && from->next - from->ack <= WIRE_WINDOW + 1);

	if (s->state != MUD_IDLE || !from->session || !from->association || !numbers ||
	    from->association == UINT32_MAX)
		return err_set(err, -EINVAL, "context of session %016llx",
			       (unsigned long long)from->session);
	s->session = from->session;
	s->association = from->association;
	s->epoch = from->epoch;
	memcpy(s->secret, from->secret, WIRE_SECRET_SIZE);
	memcpy(s->ap, from->ap, NAME_SIZE);
	s->edges = from->edges;
	s->ack = from->next ? from->ack : 0;
	s->next = s->ack + 1;
	s->import_next = from->next ? from->next : s->next;
	s->resuming = from->next == 0;
	s->known = true;
	return 0;
}

int mud_session_import_request(struct mud_session *s, const struct wire_data *d, bool answered,
			       struct err *err)
{
	if (d->number != s->next || s->next >= s->import_next)
		return err_set(err, -EINVAL, "request %llu where %llu of %llu is due",
			       (unsigned long long)d->number, (unsigned long long)s->next,
			       (unsigned long long)s->import_next - 1);
	if (d->len > WIRE_PAYLOAD_MAX || d->preamble > d->len ||
	    s->bytes + d->len > WIRE_WINDOW_BYTES)
		return err_set(err, -EINVAL, "request %llu of %zu bytes",
			       (unsigned long long)d->number, d->len);
	return keep_request(s, d, answered, err);
}

bool mud_session_whole(const struct mud_session *s)
{
	return s->next >= s->import_next;
}

void mud_session_tick(struct mud_session *s, uint64_t now)
{
	if (now < s->retry_at)
		return;
	if (s->state == MUD_ASSOCIATED)
		send_unanswered(s);
	else if (s->state != MUD_LOST && s->state != MUD_IDLE)
		start_association(s, now);
	set_retry(s, now);
}

uint64_t mud_session_deadline(const struct mud_session *s)
{
	return s->retry_at;
}

enum mud_state mud_session_state(const struct mud_session *s)
{
	return s->state;
}

size_t mud_session_unanswered(const struct mud_session *s)
{
	return (size_t)(s->next - 1 - s->ack);
}

const char *mud_session_ap(const struct mud_session *s)
{
	return s->ap;
}

uint64_t mud_session_number(const struct mud_session *s)
{
	return s->session;
}
