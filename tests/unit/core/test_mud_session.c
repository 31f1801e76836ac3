/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/mud/session.h"

#define LOG_MAX (WIRE_WINDOW + 256)

/* what the session asked of the world */
struct world {
	struct wire_message sent[LOG_MAX];
	char to[LOG_MAX][NAME_SIZE];
	size_t sent_count;
	uint64_t answered[LOG_MAX];
	size_t answered_count;
	uint64_t numbers;
	unsigned int lost;
	enum wire_status lost_status;
	struct mud_session *s;
};

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct world *w = ctx;

	assert_true(w->sent_count < LOG_MAX);
	w->sent[w->sent_count] = *m;
	(void)snprintf(w->to[w->sent_count++], NAME_SIZE, "%s", ap);
}

static void answer(void *ctx, const struct wire_data *d)
{
	struct world *w = ctx;

	w->answered[w->answered_count++] = d->number;
}

static uint64_t number(void *ctx)
{
	struct world *w = ctx;

	return ++w->numbers * 1000;
}

static void lost(void *ctx, enum wire_status status, const char *reason)
{
	struct world *w = ctx;

	assert_non_null(reason);
	w->lost++;
	w->lost_status = status;
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t n, const char *detail)
{
	(void)ctx;
	(void)session;
	(void)kind;
	(void)n;
	(void)detail;
}

static const struct mud_session_ops ops = {
	.to_ap = to_ap,
	.answer = answer,
	.number = number,
	.lost = lost,
	.event = event,
};

/* as much of a proof as the tests need: who, where, when */
static void proof(uint8_t *to, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	memset(to, 0, WIRE_PROOF_SIZE);
	(void)snprintf((char *)to, WIRE_PROOF_SIZE, "%u %llu %u %s", secret[0],
		       (unsigned long long)session, association, ap);
}

static size_t count(const struct world *w, enum wire_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < w->sent_count; i++)
		n += w->sent[i].type == type;
	return n;
}

static const struct wire_message *last(const struct world *w)
{
	assert_true(w->sent_count > 0);
	return &w->sent[w->sent_count - 1];
}

static void from_ap(struct world *w, const char *ap, struct wire_message m)
{
	m.session = mud_session_number(w->s);
	mud_session_message(w->s, 0, ap, &m);
}

static void answers(struct world *w, const char *ap, uint64_t n)
{
	from_ap(w, ap, (struct wire_message){ .type = WIRE_ANSWER, .data = { .number = n } });
}

static void responds(struct world *w, const char *ap, enum wire_type type, uint32_t association,
		     enum wire_status status)
{
	struct wire_message m = { .type = type,
				  .association = association,
				  .association_response = { .status = status } };

	m.association_response.secret[0] = 42;
	m.association_response.edges.count = 1;
	(void)snprintf(m.association_response.edges.name[0], NAME_SIZE, "ES-1");
	from_ap(w, ap, m);
}

static int request_of(struct world *w, size_t len, uint64_t *number)
{
	const struct wire_data d = { .bytes = (const uint8_t *)"question", .len = len };

	return mud_session_request(w->s, 0, &d, number, NULL);
}

static int request(struct world *w)
{
	uint64_t n;

	return request_of(w, 8, &n);
}

static void start(struct world *w)
{
	struct policy policy = policy_default();

	*w = (struct world){ 0 };
	assert_int_equal(mud_session_new(&w->s, "USER", "offload", &policy, proof, &ops, w, NULL),
			 0);
}

static void associated(struct world *w)
{
	start(w);
	mud_session_move(w->s, 0, "AP-1");
	mud_session_up(w->s, 0, "AP-1");
	responds(w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 1, WIRE_OK);
	assert_int_equal(mud_session_state(w->s), MUD_ASSOCIATED);
}

static void test_association(void **state)
{
	struct world w;
	struct policy policy = policy_default();
	struct mud_session *bad = NULL;

	(void)state;
	assert_int_equal(mud_session_new(&bad, "no name", "x", &policy, proof, &ops, &w, NULL),
			 -EINVAL);
	assert_null(bad);
	start(&w);
	assert_int_equal(mud_session_state(w.s), MUD_IDLE);
	assert_int_equal(mud_session_number(w.s), 0);
	assert_string_equal(mud_session_ap(w.s), "");
	assert_true(mud_session_deadline(w.s) == UINT64_MAX);
	mud_session_move(w.s, 0, "AP-1");
	assert_int_equal(w.sent_count, 0); /* the link is not up */
	mud_session_up(w.s, 0, "AP-1");
	assert_int_equal(last(&w)->type, WIRE_ASSOCIATION_REQUEST);
	assert_int_equal(last(&w)->association, 1);
	assert_int_equal(last(&w)->session, 1000);
	assert_string_equal(last(&w)->association_request.service, "offload");
	/* no answer: asked again */
	mud_session_tick(w.s, mud_session_deadline(w.s));
	assert_int_equal(count(&w, WIRE_ASSOCIATION_REQUEST), 2);
	responds(&w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 1, WIRE_OK);
	assert_int_equal(mud_session_state(w.s), MUD_ASSOCIATED);
	mud_session_free(w.s);
}

/* R9: WIRE_WINDOW unanswered requests, then back-pressure */
static void test_window(void **state)
{
	struct world w;

	(void)state;
	associated(&w);
	for (unsigned int i = 0; i < WIRE_WINDOW; i++)
		assert_int_equal(request(&w), 0);
	assert_int_equal(request(&w), MUD_SESSION_E_FULL);
	assert_int_equal(mud_session_unanswered(w.s), WIRE_WINDOW);
	answers(&w, "AP-1", 2); /* out of order: the window begins at the oldest */
	assert_int_equal(request(&w), MUD_SESSION_E_FULL);
	answers(&w, "AP-1", 1);
	assert_int_equal(mud_session_unanswered(w.s), WIRE_WINDOW - 2);
	assert_int_equal(request(&w), 0);
	assert_int_equal(last(&w)->type, WIRE_REQUEST);
	assert_int_equal(last(&w)->data.number, WIRE_WINDOW + 1);
	assert_int_equal(last(&w)->data.ack, 2);
	mud_session_free(w.s);
}

static void test_too_long(void **state)
{
	struct world w;
	uint64_t n;

	(void)state;
	associated(&w);
	assert_int_equal(request_of(&w, WIRE_PAYLOAD_MAX + 1, &n), -EINVAL);
	assert_int_equal(mud_session_unanswered(w.s), 0);
	assert_int_equal(request_of(&w, 0, &n), 0);
	assert_int_equal(n, 1);
	mud_session_free(w.s);
}

/* R1: each answer is handed on once, whatever comes twice or from elsewhere */
static void test_answers_once(void **state)
{
	struct world w;

	(void)state;
	associated(&w);
	for (int i = 0; i < 3; i++)
		assert_int_equal(request(&w), 0);
	answers(&w, "AP-1", 2);
	answers(&w, "AP-1", 2);
	answers(&w, "AP-1", 1);
	answers(&w, "AP-1", 1);
	answers(&w, "AP-1", 9); /* was not asked */
	answers(&w, "AP-2", 3); /* not where the device is */
	assert_int_equal(w.answered_count, 2);
	assert_int_equal(w.answered[0], 2);
	assert_int_equal(w.answered[1], 1);
	assert_int_equal(mud_session_unanswered(w.s), 1);
	mud_session_free(w.s);
}

/* A request without an answer is sent again, with its own number */
static void test_retransmission(void **state)
{
	struct world w;

	(void)state;
	associated(&w);
	assert_int_equal(request(&w), 0);
	assert_int_equal(request(&w), 0);
	answers(&w, "AP-1", 1);
	size_t before = count(&w, WIRE_REQUEST);
	mud_session_tick(w.s, mud_session_deadline(w.s));
	assert_int_equal(count(&w, WIRE_REQUEST), before + 1);
	assert_int_equal(last(&w)->data.number, 2);
	assert_int_equal(last(&w)->data.ack, 1);
	answers(&w, "AP-1", 2);
	assert_true(mud_session_deadline(w.s) == UINT64_MAX); /* nothing to wait for */
	mud_session_free(w.s);
}

/* R8, R11: each move is a new association with its own proof; what is unanswered goes along */
static void test_move(void **state)
{
	struct world w;
	static const struct wire_message nothing;
	const struct wire_message *m = &nothing;

	(void)state;
	associated(&w);
	assert_int_equal(request(&w), 0);
	assert_int_equal(request(&w), 0);
	answers(&w, "AP-1", 1);
	mud_session_move(w.s, 0, "AP-2");
	assert_int_equal(mud_session_state(w.s), MUD_REASSOCIATING);
	mud_session_up(w.s, 0, "AP-2");
	for (size_t i = 0; i < w.sent_count; i++) {
		if (w.sent[i].type == WIRE_REASSOCIATION_REQUEST)
			m = &w.sent[i];
	}
	assert_int_equal(m->association, 2);
	assert_int_equal(m->session, 1000);
	assert_string_equal(m->reassociation_request.old_ap, "AP-1");
	assert_string_equal((const char *)m->reassociation_request.proof, "42 1000 2 AP-2");
	assert_int_equal(m->reassociation_request.ack, 1);
	assert_int_equal(m->reassociation_request.edges.count, 1);
	assert_int_equal(last(&w)->type, WIRE_REQUEST);
	assert_int_equal(last(&w)->data.number, 2);
	assert_string_equal(w.to[w.sent_count - 1], "AP-2");
	responds(&w, "AP-2", WIRE_REASSOCIATION_RESPONSE, 1, WIRE_OK); /* of an older one */
	assert_int_equal(mud_session_state(w.s), MUD_REASSOCIATING);
	responds(&w, "AP-2", WIRE_REASSOCIATION_RESPONSE, 2, WIRE_OK);
	assert_int_equal(mud_session_state(w.s), MUD_ASSOCIATED);
	/* a broken link at the same place is an association, too */
	mud_session_down(w.s, 0, "AP-2");
	mud_session_up(w.s, 0, "AP-2");
	assert_int_equal(last(&w)->association, 3);
	mud_session_free(w.s);
}

static void refusal(struct world *w, enum wire_status status, uint64_t n)
{
	from_ap(w, "AP-1",
		(struct wire_message){ .type = WIRE_REFUSAL,
				       .refusal = { .status = status, .number = n } });
}

/* R7: an access point that forgot us is told again; R11: a refused proof ends it */
static void test_refusals(void **state)
{
	struct world w;

	(void)state;
	associated(&w);
	refusal(&w, WIRE_E_UNKNOWN_SESSION, 0);
	assert_int_equal(mud_session_state(w.s), MUD_REASSOCIATING);
	assert_int_equal(last(&w)->type, WIRE_REASSOCIATION_REQUEST);
	assert_string_equal(last(&w)->reassociation_request.old_ap, "AP-1");
	assert_int_equal(w.lost, 0);
	refusal(&w, WIRE_E_NOT_ALLOWED, 0);
	assert_int_equal(mud_session_state(w.s), MUD_LOST);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.lost_status, WIRE_E_NOT_ALLOWED);
	mud_session_free(w.s);
}

static void test_lost(void **state)
{
	struct world w;

	(void)state;
	associated(&w);
	refusal(&w, WIRE_E_SESSION_LOST, 0);
	refusal(&w, WIRE_E_SESSION_LOST, 0);
	assert_int_equal(w.lost, 1);
	assert_int_equal(request(&w), MUD_SESSION_E_LOST);
	size_t before = w.sent_count;
	mud_session_move(w.s, 0, "AP-2");
	mud_session_up(w.s, 0, "AP-2");
	mud_session_tick(w.s, 1000000);
	assert_int_equal(w.sent_count, before);
	assert_true(mud_session_deadline(w.s) == UINT64_MAX);
	mud_session_free(w.s);
}

static void test_unknown_service(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	mud_session_move(w.s, 0, "AP-1");
	mud_session_up(w.s, 0, "AP-1");
	responds(&w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 1, WIRE_E_UNKNOWN_SERVICE);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.lost_status, WIRE_E_UNKNOWN_SERVICE);
	mud_session_free(w.s);
}

/*
 * R4: an access point that has restarted knows nothing of what it was asked for. A device that asks again by another
 * link says so, and takes another session if it is told.
 */
static void test_asks_again(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	mud_session_move(w.s, 0, "AP-1");
	mud_session_up(w.s, 0, "AP-1");
	mud_session_tick(w.s, mud_session_deadline(w.s));
	assert_int_equal(last(&w)->association, 1); /* the same link */
	mud_session_down(w.s, 0, "AP-1");
	mud_session_up(w.s, 0, "AP-1");
	assert_int_equal(last(&w)->session, 1000);
	assert_int_equal(last(&w)->association, 2);
	responds(&w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 2, WIRE_E_UNKNOWN_SESSION);
	assert_int_equal(last(&w)->session, 2000);
	assert_int_equal(last(&w)->association, 1);
	responds(&w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 1, WIRE_OK);
	assert_int_equal(mud_session_state(w.s), MUD_ASSOCIATED);
	assert_int_equal(w.lost, 0);
	mud_session_free(w.s);
}

/* The session cannot begin where it was asked for: another begins, with all requests, and nothing is lost */
static void test_begins_elsewhere(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	mud_session_move(w.s, 0, "AP-1");
	mud_session_up(w.s, 0, "AP-1");
	assert_int_equal(request(&w), 0);
	assert_int_equal(count(&w, WIRE_REQUEST), 0);
	responds(&w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 1, WIRE_E_UNKNOWN_SESSION);
	assert_int_equal(w.lost, 0);
	assert_int_equal(last(&w)->type, WIRE_ASSOCIATION_REQUEST);
	assert_int_equal(last(&w)->session, 2000);
	responds(&w, "AP-1", WIRE_ASSOCIATION_RESPONSE, 1, WIRE_OK);
	assert_int_equal(last(&w)->type, WIRE_REQUEST);
	assert_int_equal(last(&w)->session, 2000);
	assert_int_equal(last(&w)->data.number, 1);
	/* one that has begun is never exchanged for another */
	mud_session_move(w.s, 0, "AP-2");
	mud_session_up(w.s, 0, "AP-2");
	responds(&w, "AP-2", WIRE_REASSOCIATION_RESPONSE, 2, WIRE_E_UNKNOWN_SESSION);
	assert_int_equal(w.lost, 1);
	mud_session_free(w.s);
}

static void test_end(void **state)
{
	struct world w;

	(void)state;
	associated(&w);
	mud_session_end(w.s, 0);
	assert_int_equal(last(&w)->type, WIRE_DISASSOCIATION);
	assert_int_equal(request(&w), MUD_SESSION_E_LOST);
	assert_int_equal(w.lost, 0); /* it was asked for */
	mud_session_free(w.s);
}

/* --- another holder goes on with the session ---------------------------------------------------- */

static void hand_on(void *ctx, const struct wire_data *d, bool answered)
{
	struct world *to = ctx;

	assert_int_equal(mud_session_import_request(to->s, d, answered, NULL), 0);
}

/* The epoch of its container goes on with it, and never goes back (R15 compares histories by it) */
static void test_epoch(void **state)
{
	struct world w;
	struct mud_context c;
	struct wire_message m = { .type = WIRE_ASSOCIATION_RESPONSE, .association = 1, .epoch = 1 };

	(void)state;
	start(&w);
	mud_session_move(w.s, 0, "AP-1");
	mud_session_up(w.s, 0, "AP-1");
	from_ap(&w, "AP-1", m);
	assert_true(mud_session_export(w.s, &c));
	assert_int_equal(c.epoch, 1);
	m = (struct wire_message){ .type = WIRE_EDGE_NOTICE, .association = 1, .epoch = 3 };
	from_ap(&w, "AP-1", m);
	m.epoch = 2; /* overtaken */
	from_ap(&w, "AP-1", m);
	assert_true(mud_session_export(w.s, &c));
	assert_int_equal(c.epoch, 3);
	mud_session_free(w.s);
}

/* R1, R11: numbers, unanswered requests and the proof go on where the other holder stopped */
static void test_export(void **state)
{
	struct mud_context c;
	struct world w, other;

	(void)state;
	start(&w);
	assert_false(mud_session_export(w.s, &c)); /* there is nothing yet */
	mud_session_free(w.s);
	associated(&w);
	for (int i = 0; i < 4; i++)
		assert_int_equal(request(&w), 0);
	answers(&w, "AP-1", 1);
	answers(&w, "AP-1", 3);
	assert_true(mud_session_export(w.s, &c));
	assert_int_equal(c.ack, 1);
	assert_int_equal(c.next, 5);
	assert_int_equal(c.secret[0], 42);
	start(&other);
	assert_int_equal(mud_session_import(other.s, &c, NULL), 0);
	assert_false(mud_session_whole(other.s));
	mud_session_each(w.s, hand_on, &other);
	assert_true(mud_session_whole(other.s));
	mud_session_free(w.s);
	mud_session_move(other.s, 0, "AP-2");
	mud_session_up(other.s, 0, "AP-2");
	assert_int_equal(other.sent[0].type, WIRE_REASSOCIATION_REQUEST);
	assert_int_equal(other.sent[0].association, 2);
	assert_string_equal(other.sent[0].reassociation_request.old_ap, "AP-1");
	assert_string_equal((char *)other.sent[0].reassociation_request.proof, "42 1000 2 AP-2");
	assert_int_equal(other.sent_count, 4); /* and requests 2, 3, 4 */
	responds(&other, "AP-2", WIRE_REASSOCIATION_RESPONSE, 2, WIRE_OK);
	answers(&other, "AP-2", 2);
	answers(&other, "AP-2", 3); /* was told by the one before */
	answers(&other, "AP-2", 4);
	assert_int_equal(other.answered_count, 2);
	assert_int_equal(request(&other), 0);
	assert_int_equal(last(&other)->data.number, 5);
	mud_session_free(other.s);
}

static void test_bad_import(void **state)
{
	const struct mud_context good = { .session = 7, .association = 1, .ack = 3, .next = 6 };
	struct wire_data d = { .number = 4 };
	struct mud_context c;
	struct world w;

	(void)state;
	start(&w);
	c = good;
	c.session = 0;
	assert_int_equal(mud_session_import(w.s, &c, NULL), -EINVAL);
	c = good;
	c.next = 3;
	assert_int_equal(mud_session_import(w.s, &c, NULL), -EINVAL);
	c.next = 3 + WIRE_WINDOW + 2;
	assert_int_equal(mud_session_import(w.s, &c, NULL), -EINVAL);
	assert_int_equal(mud_session_import(w.s, &good, NULL), 0);
	d.number = 5;
	assert_int_equal(mud_session_import_request(w.s, &d, false, NULL), -EINVAL);
	d.number = 4;
	d.len = WIRE_PAYLOAD_MAX + 1;
	assert_int_equal(mud_session_import_request(w.s, &d, false, NULL), -EINVAL);
	d.len = 0;
	assert_int_equal(mud_session_import_request(w.s, &d, false, NULL), 0);
	d.number = 5;
	assert_int_equal(mud_session_import_request(w.s, &d, false, NULL), 0);
	d.number = 6;
	assert_int_equal(mud_session_import_request(w.s, &d, false, NULL), -EINVAL);
	mud_session_free(w.s);
	associated(&w);
	assert_int_equal(mud_session_import(w.s, &good, NULL), -EINVAL);
	mud_session_free(w.s);
}

/* R1: a part of a long request stays what it is, here and at the next holder. */
static void test_parts_are_handed_on(void **state)
{
	const struct wire_data d = { .connection = 3,
				     .segment = WIRE_SEGMENT_BEGIN,
				     .bytes = (const uint8_t *)"q",
				     .len = 1 };
	struct mud_context c;
	struct world w, other;
	uint64_t number;

	(void)state;
	associated(&w);
	assert_int_equal(mud_session_request(w.s, 0, &d, &number, NULL), 0);
	assert_int_equal(last(&w)->data.segment, WIRE_SEGMENT_BEGIN);
	assert_true(mud_session_export(w.s, &c));
	start(&other);
	assert_int_equal(mud_session_import(other.s, &c, NULL), 0);
	mud_session_each(w.s, hand_on, &other);
	mud_session_free(w.s);
	mud_session_move(other.s, 0, "AP-2");
	mud_session_up(other.s, 0, "AP-2");
	struct wire_message m = { .type = WIRE_REASSOCIATION_RESPONSE,
				  .session = c.session,
				  .association = last(&other)->association };
	mud_session_message(other.s, 0, "AP-2", &m);
	assert_int_equal(last(&other)->type, WIRE_REQUEST);
	assert_int_equal(last(&other)->data.segment, WIRE_SEGMENT_BEGIN);
	mud_session_free(other.s);
}

/* R7: a holder that restarted knows the secret, and the edge server tells it the numbers */
static void test_resume(void **state)
{
	struct mud_context c = { .session = 7, .association = 4, .ap = "AP-1" };
	struct wire_message m = { .type = WIRE_REASSOCIATION_RESPONSE,
				  .association = 5,
				  .association_response = { .received = 90 } };
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(mud_session_import(w.s, &c, NULL), 0);
	mud_session_move(w.s, 0, "AP-1"); /* the same access point */
	mud_session_up(w.s, 0, "AP-1");
	assert_int_equal(last(&w)->type, WIRE_REASSOCIATION_REQUEST);
	assert_int_equal(last(&w)->association, 5);
	assert_false(mud_session_takes(w.s, 1));
	assert_int_equal(request(&w), MUD_SESSION_E_FULL);
	from_ap(&w, "AP-1", m);
	assert_true(mud_session_takes(w.s, 1));
	assert_int_equal(request(&w), 0);
	assert_int_equal(last(&w)->data.number, 91);
	assert_int_equal(last(&w)->data.ack, 90);
	mud_session_free(w.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_association),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_answers_once),
		cmocka_unit_test(test_retransmission),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_unknown_service),
		cmocka_unit_test(test_asks_again),
		cmocka_unit_test(test_begins_elsewhere),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_epoch),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_bad_import),
		cmocka_unit_test(test_parts_are_handed_on),
		cmocka_unit_test(test_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
