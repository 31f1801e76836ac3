/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "core/ap/node.h"
#include "core/common/replay_buffer.h"

/*
 * The device comes to AP-2, whose edge server is ES-2, from AP-1; its container CT-x is at ES-1 with
 * epoch 1, and moves to ES-2 as CT-y with epoch 2. Edge servers are played by the tests.
 */

#define LOG_MAX 1024
#define S       77 /* the session */
#define LINK    5

struct world {
	struct wire_message sent[LOG_MAX];
	char to[LOG_MAX][NAME_SIZE];
	size_t count;
	uint64_t now;
	struct ap_node *node;
	unsigned int given_up;
	unsigned int not_told; /* ends of sessions */
	unsigned int ended;    /* attempts */
	struct ap_moved moved;
	const char *unknown; /* edge server that is not in the configuration; NULL: all are */
	char reason[WIRE_REASON_SIZE];
	char detail[WIRE_REASON_SIZE];
};

static void record(struct world *w, const char *to, const struct wire_message *m)
{
	assert_true(w->count < LOG_MAX);
	w->sent[w->count] = *m;
	(void)snprintf(w->to[w->count++], NAME_SIZE, "%s", to);
}

static void to_mud(void *ctx, uint64_t link, const struct wire_message *m)
{
	char name[NAME_SIZE] = "mud";

	if (link != LINK)
		(void)snprintf(name, sizeof(name), "mud-%u", (unsigned int)link);
	record(ctx, name, m);
}

static void to_es(void *ctx, const char *es, const struct wire_message *m)
{
	record(ctx, es, m);
}

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	record(ctx, ap, m);
}

static void random_bytes(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	memset(bytes, 42, len);
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t n, const char *detail)
{
	struct world *w = ctx;

	(void)session;
	(void)n;
	w->not_told += strcmp(kind, "END NOT TOLD") == 0;
	if (strcmp(kind, "MIGRATION GIVEN UP") != 0)
		return;
	w->given_up++;
	(void)snprintf(w->detail, sizeof(w->detail), "%s", detail);
}

static void moved(void *ctx, const struct ap_moved *m)
{
	struct world *w = ctx;

	w->ended++;
	w->moved = *m;
	(void)snprintf(w->reason, sizeof(w->reason), "%s", m->reason);
}

static bool es_known(void *ctx, const char *es)
{
	const struct world *w = ctx;

	return !w->unknown || strcmp(es, w->unknown) != 0;
}

static const struct ap_node_ops ops = {
	to_mud, to_es, to_ap, random_bytes, event, moved, es_known
};

static void proof(uint8_t *to, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	memset(to, 0, WIRE_PROOF_SIZE);
	(void)snprintf((char *)to, WIRE_PROOF_SIZE, "%u %llu %u %s", secret[0],
		       (unsigned long long)session, association, ap);
}

/* --- short words ------------------------------------------------------------------------------- */

/* how many messages of a kind went to somebody since the log was @from long */
static size_t sent_since(const struct world *w, size_t from, const char *to, enum wire_type type)
{
	size_t n = 0;

	for (size_t i = from; i < w->count; i++)
		n += w->sent[i].type == type && strcmp(w->to[i], to) == 0;
	return n;
}

static size_t sent(const struct world *w, const char *to, enum wire_type type)
{
	return sent_since(w, 0, to, type);
}

static const struct wire_message *last(const struct world *w, const char *to, enum wire_type type)
{
	for (size_t i = w->count; i-- > 0;) {
		if (w->sent[i].type == type && strcmp(w->to[i], to) == 0)
			return &w->sent[i];
	}
	fail_msg("no such message to %s", to);
	return NULL;
}

static void take_view(void *ctx, const struct ap_session_view *v)
{
	*(struct ap_session_view *)ctx = *v;
}

static struct ap_session_view view(const struct world *w)
{
	struct ap_session_view v = { .state = AP_STATES };

	ap_node_each(w->node, take_view, &v);
	return v;
}

static void count_one(void *ctx, const struct ap_session_view *v)
{
	(void)v;
	++*(size_t *)ctx;
}

static size_t sessions(const struct world *w)
{
	size_t n = 0;

	ap_node_each(w->node, count_one, &n);
	return n;
}

static void assert_state(const struct world *w, enum ap_state state)
{
	if (view(w).state != state)
		fail_msg("the session is %s, not %s",
			 view(w).state < AP_STATES ? ap_state_name(view(w).state) : "gone",
			 ap_state_name(state));
}

static struct wire_message message(enum wire_type type, uint32_t association)
{
	return (struct wire_message){ .type = type, .session = S, .association = association };
}

static void start_with(struct world *w, struct policy policy)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000;
	assert_int_equal(ap_node_new(&w->node, "AP-2", "ES-2", &policy, proof, &ops, w, NULL), 0);
}

static void start(struct world *w)
{
	start_with(w, policy_default());
}

static void finish(struct world *w)
{
	w->node = ap_node_free(w->node);
}

static void from_mud(struct world *w, struct wire_message m)
{
	ap_node_mud_message(w->node, w->now, LINK, "USER", &m);
}

static void request(struct world *w, uint64_t number, uint64_t ack)
{
	struct wire_message m = message(WIRE_REQUEST, 0);

	m.data = (struct wire_data){
		.number = number, .ack = ack, .bytes = (const uint8_t *)"question", .len = 8
	};
	from_mud(w, m);
}

static void status(struct world *w, const char *es, enum wire_type type, enum wire_es_state state,
		   uint32_t epoch, uint64_t executed, uint64_t cut)
{
	struct wire_message m = message(type, 2);

	m.epoch = epoch;
	m.es_status = (struct wire_es_status){
		.state = state, .executed = executed, .cut = cut, .cut_association = cut ? 2 : 0
	};
	m.es_status.secret[0] = 42;
	(void)snprintf(m.es_status.service, NAME_SIZE, "offload");
	ap_node_es_message(w->node, w->now, es, &m);
}

/* Its container is gone, and with it the data */
static void data_gone(struct world *w, const char *es, uint32_t epoch, uint64_t executed)
{
	struct wire_message m = message(WIRE_LOST, 2);

	m.epoch = epoch;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_LOST,
					       .executed = executed,
					       .status = WIRE_E_LASTING };
	m.es_status.secret[0] = 42;
	ap_node_es_message(w->node, w->now, es, &m);
}

static void answer_as(struct world *w, const char *es, uint32_t epoch, uint64_t number,
		      const char *text)
{
	struct wire_message m = message(WIRE_ANSWER, 2);

	m.epoch = epoch;
	m.data = (struct wire_data){ .number = number,
				     .bytes = (const uint8_t *)text,
				     .len = strlen(text) };
	/* as of a service whose answers are not compared */
	m.data.digest = strncmp(text, "any", 3) == 0 ? 0 : replay_digest(&m.data);
	ap_node_es_message(w->node, w->now, es, &m);
}

static void answer(struct world *w, const char *es, uint32_t epoch, uint64_t number)
{
	answer_as(w, es, epoch, number, "answer");
}

static void reassociate(struct world *w, const char *old_ap, uint32_t association)
{
	struct wire_message m = message(WIRE_REASSOCIATION_REQUEST, association);
	uint8_t secret = 42;

	(void)snprintf(m.reassociation_request.mud, NAME_SIZE, "USER");
	(void)snprintf(m.reassociation_request.service, NAME_SIZE, "offload");
	(void)snprintf(m.reassociation_request.old_ap, NAME_SIZE, "%s", old_ap);
	m.reassociation_request.edges.count = 1;
	(void)snprintf(m.reassociation_request.edges.name[0], NAME_SIZE, "ES-1");
	proof(m.reassociation_request.proof, &secret, S, association, "AP-2");
	from_mud(w, m);
}

static void move_response(struct world *w, enum wire_status result)
{
	struct wire_message m = message(WIRE_MOVE_RESPONSE, 2);

	m.epoch = 1;
	m.move_response.status = result;
	m.move_response.command = 0x3432203737203220ull; /* "42 77 2 " */
	m.move_response.secret[0] = 42;
	(void)snprintf(m.move_response.service, NAME_SIZE, "offload");
	(void)snprintf(m.move_response.authority, NAME_SIZE, "ES-1");
	ap_node_ap_message(w->node, w->now, "AP-1", &m);
}

/* --- the way of a handoff, as far as each test wants it ------------------------------------------ */

static void tracing_with(struct world *w, struct policy policy)
{
	start_with(w, policy);
	reassociate(w, "AP-1", 2);
	assert_state(w, AP_MOVING);
	move_response(w, WIRE_OK);
	assert_state(w, AP_TRACING);
}

/* requests 1 to 4: CT-x answered all, the cut is at 2, CT-y is there */
static void replaying(struct world *w)
{
	tracing_with(w, policy_default());
	for (uint64_t n = 1; n <= 4; n++) {
		request(w, n, n - 1);
		answer(w, "ES-1", 1, n);
	}
	status(w, "ES-1", WIRE_CUT, WIRE_ES_ACTIVE, 1, 4, 2);
	status(w, "ES-2", WIRE_READY, WIRE_ES_STANDBY, 2, 2, 2);
	assert_state(w, AP_REPLAYING);
}

static void fencing(struct world *w)
{
	replaying(w);
	answer(w, "ES-2", 2, 3);
	answer(w, "ES-2", 2, 4);
	assert_state(w, AP_FENCING);
}

static void activating(struct world *w)
{
	fencing(w);
	status(w, "ES-1", WIRE_FENCED, WIRE_ES_FENCED, 1, 4, 2);
	assert_state(w, AP_ACTIVATING);
}

static void grace(struct world *w)
{
	activating(w);
	status(w, "ES-2", WIRE_ACTIVATED, WIRE_ES_ACTIVE, 2, 4, 2);
	assert_state(w, AP_GRACE);
}

/* --- how attempts end -------------------------------------------------------------------------- */

static void assert_ended(const struct world *w, enum ap_result result, const char *reason)
{
	assert_int_equal(w->ended, 1);
	assert_string_equal(ap_result_name(w->moved.result), ap_result_name(result));
	assert_string_equal(w->reason, reason);
}

/* What the switch took is told when CT-x is gone: until then authority could go back */
static void test_move_is_told(void **state)
{
	struct wire_message m = message(WIRE_CUT, 2);
	struct world w;

	(void)state;
	replaying(&w);
	m.epoch = 1;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_ACTIVE,
					       .executed = 4,
					       .cut = 2,
					       .cut_association = 2,
					       .freeze_us = 44700,
					       .secret = { 42 } };
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	answer(&w, "ES-2", 2, 3);
	answer(&w, "ES-2", 2, 4);
	request(&w, 5, 4);
	status(&w, "ES-1", WIRE_FENCED, WIRE_ES_FENCED, 1, 4, 2);
	w.now += 4800;
	status(&w, "ES-2", WIRE_ACTIVATED, WIRE_ES_ACTIVE, 2, 4, 2);
	w.now += 5000;
	assert_int_equal(w.ended, 0);
	ap_node_tick(w.node, w.now);
	status(&w, "ES-1", WIRE_RETIRED, WIRE_ES_RETIRED, 1, 4, 2);
	assert_state(&w, AP_SERVING);
	assert_ended(&w, AP_RESULT_MOVED, "");
	assert_int_equal(w.moved.total_ms, 4800);
	assert_int_equal(w.moved.freeze_us, 44700);
	assert_int_equal(w.moved.replayed, 2);
	assert_int_equal(w.moved.held, 1);
	assert_int_equal(w.moved.in_doubt, 0);
	assert_int_equal(ap_node_counts(w.node).requests, 5);
	assert_int_equal(ap_node_counts(w.node).answers, 4);
	finish(&w);
}

static void test_failed_move_is_told(void **state)
{
	struct world w;

	(void)state;
	replaying(&w); /* the copy answers otherwise */
	answer_as(&w, "ES-2", 2, 3, "something else");
	assert_state(&w, AP_SERVING);
	assert_ended(&w, AP_RESULT_DIVERGED, "the replica is not in sync");
	finish(&w);

	grace(&w); /* the copy dies after the switch */
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 4, 2);
	assert_int_equal(w.ended, 0);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 4, 2);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	assert_ended(&w, AP_RESULT_COPY_DIED, "the container died soon after the switch");
	finish(&w);
}

/* Who leaves in the grace time has been moved; who leaves before has not */
static void test_user_leaves_a_move(void **state)
{
	struct wire_message bye = message(WIRE_DISASSOCIATION, 2);
	struct world w;

	(void)state;
	grace(&w);
	from_mud(&w, bye);
	assert_ended(&w, AP_RESULT_MOVED, "");
	finish(&w);
	replaying(&w);
	from_mud(&w, bye);
	assert_ended(&w, AP_RESULT_USER_LEFT, "its user has ended the session");
	finish(&w);
}

/* --- where a container belongs ----------------------------------------------------------------- */

static void edge_state(struct world *w, const char *es, bool drained)
{
	struct wire_message m = { .type = WIRE_EDGE_STATE, .edge_state = { drained } };

	ap_node_es_message(w->node, w->now, es, &m);
}

static void associate(struct world *w)
{
	struct wire_message m = message(WIRE_ASSOCIATION_REQUEST, 1);

	(void)snprintf(m.association_request.mud, NAME_SIZE, "USER");
	(void)snprintf(m.association_request.service, NAME_SIZE, "offload");
	from_mud(w, m);
}

/* A session that began here, at ES-2, with its first association */
static void serving(struct world *w)
{
	struct wire_message m = message(WIRE_CREATED, 1);

	start(w);
	assert_int_equal(ap_node_add_place(w->node, "ES-1", NULL), 0);
	assert_int_equal(ap_node_add_place(w->node, "ES-3", NULL), 0);
	associate(w);
	m.epoch = 1;
	m.es_status.state = WIRE_ES_ACTIVE;
	m.es_status.secret[0] = 42;
	ap_node_es_message(w->node, w->now, "ES-2", &m);
	assert_state(w, AP_SERVING);
}

/* No other edge server than the one that made the session knows it by its access point's name alone (R11) */
static void test_drained(void **state)
{
	struct world w;
	uint8_t proven[WIRE_PROOF_SIZE], secret = 42;

	(void)state;
	serving(&w);
	edge_state(&w, "ES-1", true);
	assert_true(ap_node_deadline(w.node) > w.now);
	edge_state(&w, "ES-2", true);
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	const struct wire_message *m = last(&w, "ES-2", WIRE_MIGRATE);
	assert_string_equal(m->migrate.to_es, "ES-3");
	proof(proven, &secret, S, 1, "AP-2");
	assert_memory_equal(m->migrate.proof, proven, WIRE_PROOF_SIZE);
	assert_memory_equal(last(&w, "ES-3", WIRE_ATTACH)->attach.proof, proven, WIRE_PROOF_SIZE);
	/* the device hears of it before authority can be there (R7) */
	assert_string_equal(last(&w, "mud", WIRE_EDGE_NOTICE)->edges.name[1], "ES-3");
	/* before FENCE it need not go there, if it belongs elsewhere now */
	edge_state(&w, "ES-1", false);
	assert_state(&w, AP_SERVING);
	assert_ended(&w, AP_RESULT_PLACE, "an operator wants it elsewhere");
	w.now = ap_node_deadline(w.node);
	ap_node_tick(w.node, w.now);
	assert_string_equal(last(&w, "ES-2", WIRE_MIGRATE)->migrate.to_es, "ES-1");
	/* nor anywhere, if it may stay */
	edge_state(&w, "ES-2", false);
	assert_state(&w, AP_SERVING);
	assert_true(ap_node_deadline(w.node) > w.now + 60000);
	finish(&w);
}

static void test_begins_elsewhere(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(ap_node_add_place(w.node, "ES-1", NULL), 0);
	edge_state(&w, "ES-2", true);
	edge_state(&w, "ES-9", true); /* not one of ours */
	associate(&w);
	assert_int_equal(sent(&w, "ES-2", WIRE_CREATE), 0);
	assert_int_equal(sent(&w, "ES-1", WIRE_CREATE), 1);
	finish(&w);

	start(&w);
	edge_state(&w, "ES-2", true);
	associate(&w);
	const struct wire_message *m = last(&w, "mud", WIRE_REFUSAL);
	assert_int_equal(m->refusal.status, WIRE_E_BUSY);
	assert_string_equal(m->refusal.reason,
			    "edge server ES-2 is drained, and AP-2 knows no other that is not");
	finish(&w);
}

/* A user that comes finds its container at home in the next edge server, if the home one is drained */
static void test_comes_to_a_drained_one(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(ap_node_add_place(w.node, "ES-3", NULL), 0);
	edge_state(&w, "ES-2", true);
	reassociate(&w, "AP-1", 2);
	assert_string_equal(last(&w, "AP-1", WIRE_MOVE_NOTIFY)->move_notify.new_es, "ES-3");
	move_response(&w, WIRE_OK);
	assert_state(&w, AP_TRACING);
	assert_string_equal(view(&w).dest, "ES-3");
	finish(&w);
}

static void created(struct world *w, const char *es)
{
	struct wire_message m = message(WIRE_CREATED, 1);

	m.epoch = 1;
	m.es_status.state = WIRE_ES_ACTIVE;
	m.es_status.secret[0] = 42;
	ap_node_es_message(w->node, w->now, es, &m);
}

static void tick_at_deadline(struct world *w)
{
	w->now = ap_node_deadline(w->node);
	ap_node_tick(w->node, w->now);
}

/* R10: a user is served while the home edge server is down, and its container moves home when that is back */
static void test_home_is_down(void **state)
{
	struct policy policy = policy_default();
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(ap_node_add_place(w.node, "ES-1", NULL), 0);
	ap_node_es_down(w.node, w.now, "ES-2");
	w.now += policy.retry_ms;
	associate(&w);
	assert_int_equal(sent(&w, "ES-2", WIRE_CREATE), 0);
	assert_int_equal(sent(&w, "ES-1", WIRE_CREATE), 1);
	created(&w, "ES-1");
	assert_state(&w, AP_SERVING);
	for (int i = 0; i < 5; i++)
		tick_at_deadline(&w);
	assert_state(&w, AP_SERVING);
	assert_int_equal(sent(&w, "ES-1", WIRE_MIGRATE), 0);
	ap_node_es_up(w.node, w.now, "ES-2");
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	assert_string_equal(last(&w, "ES-1", WIRE_MIGRATE)->migrate.to_es, "ES-2");
	finish(&w);
}

/* A link that is just being made is waited for a moment, and not longer */
static void test_home_comes_up(void **state)
{
	struct world w;

	(void)state;
	for (int comes = 0; comes < 2; comes++) {
		start(&w);
		assert_int_equal(ap_node_add_place(w.node, "ES-1", NULL), 0);
		ap_node_es_down(w.node, w.now, "ES-2");
		associate(&w);
		assert_int_equal(sent(&w, "ES-1", WIRE_CREATE), 0);
		size_t before = sent(&w, "ES-2", WIRE_CREATE);
		if (comes)
			ap_node_es_up(w.node, w.now, "ES-2");
		tick_at_deadline(&w);
		assert_int_equal(sent(&w, "ES-1", WIRE_CREATE), !comes);
		assert_int_equal(sent(&w, "ES-2", WIRE_CREATE) - before, comes);
		created(&w, comes ? "ES-2" : "ES-1");
		assert_state(&w, AP_SERVING);
		finish(&w);
	}
}

/* R9: a user that no edge server can serve is told so, at once if that is known, and else soon */
static void test_all_are_down(void **state)
{
	static const char none[] =
		"AP-2 has no link to edge server ES-2, nor to another that is not drained";
	struct policy policy = policy_default();
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(ap_node_add_place(w.node, "ES-1", NULL), 0);
	ap_node_es_down(w.node, w.now, "ES-2");
	ap_node_es_down(w.node, w.now, "ES-1");
	associate(&w);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	tick_at_deadline(&w);
	assert_true(w.now <= 1000 + policy.move_ms);
	assert_string_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.reason, none);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
	assert_int_equal(sessions(&w), 0);
	associate(&w);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 2);
	assert_int_equal(sessions(&w), 0);
	/* one that leaves before anything was sent leaves nothing */
	ap_node_es_up(w.node, w.now, "ES-2");
	ap_node_es_down(w.node, w.now, "ES-2");
	associate(&w);
	assert_int_equal(sessions(&w), 1);
	from_mud(&w, message(WIRE_DISASSOCIATION, 1));
	assert_int_equal(sessions(&w), 0);
	finish(&w);
}

static void associate_again(struct world *w, uint32_t association)
{
	struct wire_message m = message(WIRE_ASSOCIATION_REQUEST, association);

	(void)snprintf(m.association_request.mud, NAME_SIZE, "USER");
	(void)snprintf(m.association_request.service, NAME_SIZE, "offload");
	from_mud(w, m);
}

/* R4: what an earlier program has begun, maybe elsewhere, does not begin here a second time */
static void test_asked_before_restart(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	associate_again(&w, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_CREATE), 0);
	const struct wire_message *r = last(&w, "mud", WIRE_ASSOCIATION_RESPONSE);
	assert_int_equal(r->association_response.status, WIRE_E_UNKNOWN_SESSION);
	assert_int_equal(r->association, 2);
	assert_int_equal(sessions(&w), 0);
	/* one that only lost its link is known here */
	associate(&w);
	associate_again(&w, 2);
	created(&w, "ES-2");
	r = last(&w, "mud", WIRE_ASSOCIATION_RESPONSE);
	assert_int_equal(r->association_response.status, WIRE_OK);
	assert_int_equal(r->association, 2);
	associate_again(&w, 1); /* was overtaken */
	assert_int_equal(sent(&w, "mud", WIRE_ASSOCIATION_RESPONSE), 2);
	associate_again(&w, 3);
	assert_int_equal(last(&w, "mud", WIRE_ASSOCIATION_RESPONSE)->association, 3);
	finish(&w);
}

static void tick_for(struct world *w, uint64_t ms)
{
	uint64_t until = w->now + ms;

	while (ap_node_deadline(w->node) <= until)
		tick_at_deadline(w);
	w->now = until;
}

/*
 * R4: an edge server that went away after CREATE may have made the container, so the session begins nowhere
 * else. It is ended, so that the user can begin another one, and removed there when that edge server is back.
 */
static void test_goes_away_meanwhile(void **state)
{
	const struct policy policy = policy_default();
	struct wire_message m = message(WIRE_STATUS, 1);
	struct world w;

	(void)state;
	for (int made = 0; made < 2; made++) {
		start(&w);
		assert_int_equal(ap_node_add_place(w.node, "ES-1", NULL), 0);
		associate(&w);
		assert_int_equal(sent(&w, "ES-2", WIRE_CREATE), 1);
		ap_node_es_down(w.node, w.now, "ES-2");
		tick_for(&w, policy.move_ms - 1);
		assert_int_equal(sent(&w, "mud", WIRE_ASSOCIATION_RESPONSE), 0);
		tick_for(&w, 2 * policy.retry_ms);
		assert_int_equal(sent(&w, "ES-1", WIRE_CREATE), 0);
		const struct wire_message *r = last(&w, "mud", WIRE_ASSOCIATION_RESPONSE);
		assert_int_equal(r->association_response.status, WIRE_E_UNKNOWN_SESSION);
		/* the answer was lost */
		associate(&w);
		assert_int_equal(sent(&w, "mud", WIRE_ASSOCIATION_RESPONSE), 2);
		size_t creates = sent(&w, "ES-2", WIRE_CREATE);
		size_t attaches = sent(&w, "ES-2", WIRE_ATTACH);
		ap_node_es_up(w.node, w.now, "ES-2");
		tick_at_deadline(&w);
		assert_int_equal(sent(&w, "ES-2", WIRE_CREATE), creates);
		assert_int_equal(sent(&w, "ES-2", WIRE_ATTACH) - attaches, 1);
		m.epoch = 1;
		m.es_status.state = made ? WIRE_ES_ACTIVE : WIRE_ES_NONE;
		m.es_status.secret[0] = 42;
		ap_node_es_message(w.node, w.now, "ES-2", &m);
		assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), made);
		assert_int_equal(sessions(&w), 0);
		finish(&w);
	}
	/* there is no other: its user hears why it waits */
	start(&w);
	associate(&w);
	ap_node_es_down(w.node, w.now, "ES-2");
	tick_for(&w, policy.move_ms + policy.retry_ms);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 1);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
	assert_state(&w, AP_ASSOCIATING);
	ap_node_es_up(w.node, w.now, "ES-2");
	created(&w, "ES-2");
	assert_state(&w, AP_SERVING);
	finish(&w);
}

/* R9: an edge server that nothing can be asked of is no source of a move; its user is told what is missing */
static void test_unknown_edge_server(void **state)
{
	const struct policy policy = policy_default();
	struct world w;

	(void)state;
	start(&w);
	w.unknown = "ES-1";
	reassociate(&w, "AP-1", 2);
	move_response(&w, WIRE_OK);
	assert_state(&w, AP_FINDING);
	assert_int_equal(sent(&w, "ES-1", WIRE_MIGRATE), 0);
	assert_int_equal(sent(&w, "mud", WIRE_REASSOCIATION_RESPONSE), 0);
	tick_for(&w, policy.move_ms + policy.retry_ms);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
	assert_string_equal(
		last(&w, "mud", WIRE_REFUSAL)->refusal.reason,
		"edge server ES-1 may have the session, and is not in the configuration "
		"of AP-2");
	/* an operator adds it, and then starts it */
	w.unknown = NULL;
	assert_int_equal(
		ap_node_set_places(w.node, w.now, (const char *const[]){ "ES-1" }, 1, NULL), 0);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_NONE, 0, 0, 0);
	tick_for(&w, policy.move_ms + policy.retry_ms);
	assert_string_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.reason,
			    "edge server ES-1 may have the session, and does not answer AP-2");
	ap_node_es_up(w.node, w.now, "ES-1");
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 1, 0, 0);
	assert_state(&w, AP_TRACING);
	assert_int_equal(sent(&w, "ES-1", WIRE_MIGRATE), 1);
	finish(&w);
}

static void test_set_places(void **state)
{
	const struct policy policy = policy_default();
	struct world w;

	(void)state;
	serving(&w);
	edge_state(&w, "ES-1", true);
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-3", NULL), 0);
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	assert_int_equal(ap_node_sessions_at(w.node, "ES-3"), 1);
	/* a wish for one that is not there any more is over, and so is the way to it */
	assert_int_equal(
		ap_node_set_places(w.node, w.now, (const char *const[]){ "ES-4", "ES-1" }, 2, NULL),
		0);
	assert_state(&w, AP_SERVING);
	assert_int_equal(ap_node_sessions_at(w.node, "ES-3"), 0);
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-3", NULL), -EINVAL);
	/* what is known of the others is not forgotten, and the home one is always among them */
	assert_true(ap_node_drained(w.node, "ES-1"));
	assert_string_equal(ap_node_place(w.node), "ES-2");
	/* containers leave one that is gone from the configuration */
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-4", NULL), 0);
	tick_for(&w, policy.backoff_max_ms);
	assert_state(&w, AP_TRACING);
	assert_string_equal(view(&w).dest, "ES-4");
	assert_int_equal(ap_node_set_places(w.node, w.now, NULL, 0, NULL), 0);
	assert_state(&w, AP_SERVING);
	assert_int_equal(
		ap_node_set_places(w.node, w.now, (const char *const[]){ "no name" }, 1, NULL),
		-EINVAL);
	assert_string_equal(ap_node_place(w.node), "ES-2");
	finish(&w);
}

static void test_wish(void **state)
{
	struct err err = { 0 };
	struct world w;

	(void)state;
	serving(&w);
	assert_int_equal(ap_node_wish(w.node, w.now, S + 1, "ES-1", &err), -ENOENT);
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-9", &err), -EINVAL);
	assert_non_null(strstr(err.text, "ES-9 is not in the configuration of AP-2"));
	edge_state(&w, "ES-3", true);
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-3", &err), -EINVAL);
	assert_non_null(strstr(err.text, "baton undrain ES-3"));
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-1", &err), 0);
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	assert_string_equal(view(&w).dest, "ES-1");
	/* passed over while that edge server is drained, and in force again after that */
	edge_state(&w, "ES-1", true);
	assert_state(&w, AP_SERVING);
	assert_string_equal(view(&w).place, "ES-2");
	edge_state(&w, "ES-1", false);
	assert_string_equal(view(&w).place, "ES-1");
	/* back home: the wish is as good as none */
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-2", &err), 0);
	assert_true(ap_node_deadline(w.node) > w.now + 60000);
	finish(&w);
}

/* A wish in the middle of the switch waits until that is over */
static void test_wish_after_fence(void **state)
{
	struct world w;

	(void)state;
	activating(&w);
	assert_int_equal(ap_node_add_place(w.node, "ES-3", NULL), 0);
	assert_int_equal(ap_node_wish(w.node, w.now, S, "ES-3", NULL), 0);
	assert_state(&w, AP_ACTIVATING);
	status(&w, "ES-2", WIRE_ACTIVATED, WIRE_ES_ACTIVE, 2, 4, 2);
	w.now += 5000;
	ap_node_tick(w.node, w.now);
	status(&w, "ES-1", WIRE_RETIRED, WIRE_ES_RETIRED, 1, 4, 2);
	assert_ended(&w, AP_RESULT_MOVED, "");
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	assert_string_equal(last(&w, "ES-2", WIRE_MIGRATE)->migrate.to_es, "ES-3");
	finish(&w);
}

/* --- association ------------------------------------------------------------------------------- */

static void test_association(void **state)
{
	struct world w;
	struct wire_message m = message(WIRE_CREATED, 1);

	(void)state;
	start(&w);
	request(&w, 1, 0); /* too early */
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_UNKNOWN_SESSION);
	associate(&w);
	assert_state(&w, AP_ASSOCIATING);
	assert_string_equal(last(&w, "ES-2", WIRE_CREATE)->create.service, "offload");
	ap_node_tick(w.node, ap_node_deadline(w.node)); /* no answer: again */
	assert_int_equal(sent(&w, "ES-2", WIRE_CREATE), 2);
	m.epoch = 1;
	m.es_status.state = WIRE_ES_ACTIVE;
	m.es_status.secret[0] = 42;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_SERVING);
	const struct wire_message *r = last(&w, "mud", WIRE_ASSOCIATION_RESPONSE);
	assert_int_equal(r->association_response.status, WIRE_OK);
	assert_int_equal(r->association_response.secret[0], 42);
	assert_int_equal(r->association_response.edges.count, 1);
	assert_string_equal(r->association_response.edges.name[0], "ES-2");
	request(&w, 1, 0);
	assert_int_equal(last(&w, "ES-2", WIRE_REQUEST)->data.number, 1);
	finish(&w);
}

static void test_association_fails(void **state)
{
	struct world w;
	struct wire_message m = message(WIRE_FAILED, 1);

	(void)state;
	start(&w);
	associate(&w);
	m.es_status.status = WIRE_E_UNKNOWN_SERVICE;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_int_equal(last(&w, "mud", WIRE_ASSOCIATION_RESPONSE)->association_response.status,
			 WIRE_E_UNKNOWN_SERVICE);
	assert_state(&w, AP_STATES);
	finish(&w);
}

/* R11: the certificate decides who somebody is */
static void test_another_device(void **state)
{
	struct world w;
	struct wire_message m = message(WIRE_ASSOCIATION_REQUEST, 1);

	(void)state;
	start(&w);
	(void)snprintf(m.association_request.mud, NAME_SIZE, "SOMEBODY");
	from_mud(&w, m);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_NOT_ALLOWED);
	assert_state(&w, AP_STATES);
	finish(&w);
}

/* --- the handoff ------------------------------------------------------------------------------- */

/* R8: requests flow to CT-x at once, the migration is asked for at once */
static void test_reassociation(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-1", 2);
	const struct wire_message *m = last(&w, "AP-1", WIRE_MOVE_NOTIFY);
	assert_string_equal(m->move_notify.new_es, "ES-2");
	assert_string_equal((const char *)m->move_notify.proof, "42 77 2 AP-2");
	request(&w, 1, 0); /* held until it is known who has authority */
	assert_int_equal(sent(&w, "ES-1", WIRE_REQUEST), 0);
	move_response(&w, WIRE_OK);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 1);
	m = last(&w, "ES-1", WIRE_MIGRATE);
	assert_string_equal(m->migrate.to_es, "ES-2");
	assert_string_equal(m->migrate.ap, "AP-2");
	assert_int_equal(last(&w, "mud", WIRE_REASSOCIATION_RESPONSE)->association_response.status,
			 WIRE_OK);
	finish(&w);
}

/* R11: the old access point refuses: nothing happens here */
static void test_refused_move(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-1", 2);
	move_response(&w, WIRE_E_NOT_ALLOWED);
	assert_int_equal(last(&w, "mud", WIRE_REASSOCIATION_RESPONSE)->association_response.status,
			 WIRE_E_NOT_ALLOWED);
	assert_int_equal(sent(&w, "ES-1", WIRE_MIGRATE), 0);
	assert_state(&w, AP_STATES);
	finish(&w);
}

/* R1: copies up to the cut are dropped, and replay begins right after it */
static void test_replay_after_the_cut(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	assert_int_equal(view(&w).floor, 2);
	assert_int_equal(view(&w).highest, 4);
	assert_int_equal(sent(&w, "ES-2", WIRE_REQUEST), 2);
	assert_int_equal(last(&w, "ES-2", WIRE_REQUEST)->data.number, 4);
	assert_int_equal(last(&w, "ES-2", WIRE_REQUEST)->epoch, 2);
	assert_int_equal(sent(&w, "ES-1", WIRE_FENCE), 0);
	finish(&w);
}

/* R4: while it replays, the device hears CT-x only */
static void test_copies_answers_are_withheld(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	size_t before = sent(&w, "mud", WIRE_ANSWER);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 3);
	answer(&w, "ES-2", 2, 5);
	assert_int_equal(sent(&w, "mud", WIRE_ANSWER), before);
	answer(&w, "ES-1", 1, 5);
	assert_int_equal(sent(&w, "mud", WIRE_ANSWER), before + 1);
	finish(&w);
}

/* R4: the order of the switch: FENCE, FENCED, ACTIVATE, ACTIVATED, and only then CT-y's answers */
static void test_switch(void **state)
{
	struct world w;

	(void)state;
	fencing(&w);
	assert_int_equal(last(&w, "ES-1", WIRE_FENCE)->fence.after, 4);
	request(&w, 5, 4);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 4); /* no more to CT-x */
	assert_int_equal(last(&w, "ES-2", WIRE_REQUEST)->data.number, 5);
	answer(&w, "ES-2", 2, 5);
	size_t before = sent(&w, "mud", WIRE_ANSWER);
	assert_int_equal(sent(&w, "ES-2", WIRE_ACTIVATE), 0);
	status(&w, "ES-1", WIRE_FENCED, WIRE_ES_FENCED, 1, 4, 2);
	assert_state(&w, AP_ACTIVATING);
	assert_int_equal(last(&w, "ES-2", WIRE_ACTIVATE)->epoch, 2);
	assert_int_equal(sent(&w, "mud", WIRE_ANSWER), before);
	status(&w, "ES-2", WIRE_ACTIVATED, WIRE_ES_ACTIVE, 2, 5, 2);
	assert_state(&w, AP_GRACE);
	assert_int_equal(sent(&w, "mud", WIRE_ANSWER), before + 1);
	assert_int_equal(last(&w, "mud", WIRE_ANSWER)->data.number, 5);
	finish(&w);
}

/* The user comes back to where a container was left behind: it is told to retire, or the copy could not come */
static void test_left_behind(void **state)
{
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	assert_int_equal(sent(&w, "ES-2", WIRE_ATTACH), 1);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 4, 0, 0);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_FENCED, 5, 0, 0); /* of later than we know of */
	assert_int_equal(sent(&w, "ES-2", WIRE_RETIRE), 0);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_FENCED, 2, 0, 0);
	assert_int_equal(sent(&w, "ES-2", WIRE_RETIRE), 1);
	assert_int_equal(last(&w, "ES-2", WIRE_RETIRE)->epoch, 2);
	assert_state(&w, AP_TRACING);
	status(&w, "ES-2", WIRE_RETIRED, WIRE_ES_RETIRED, 2, 0, 0);
	assert_int_equal(sent(&w, "ES-2", WIRE_RETIRE), 1);
	finish(&w);
}

/* R3: CT-x is retired after the grace time, and the copies are kept until then */
static void test_late_stop(void **state)
{
	struct world w;
	uint64_t switched;

	(void)state;
	grace(&w);
	switched = w.now;
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	assert_int_equal(view(&w).floor, 2);
	ap_node_tick(w.node, switched + policy_default().grace_ms - 1);
	assert_int_equal(sent(&w, "ES-1", WIRE_RETIRE), 0);
	w.now = switched + policy_default().grace_ms;
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_RETIRING);
	assert_int_equal(sent(&w, "ES-1", WIRE_RETIRE), 1);
	ap_node_tick(w.node, w.now + policy_default().retry_ms); /* no answer: again */
	assert_int_equal(sent(&w, "ES-1", WIRE_RETIRE), 2);
	status(&w, "ES-1", WIRE_RETIRED, WIRE_ES_RETIRED, 1, 4, 2);
	assert_state(&w, AP_SERVING);
	assert_string_equal(view(&w).source, "ES-2");
	assert_string_equal(view(&w).dest, "");
	finish(&w);
}

/* --- R5 ---------------------------------------------------------------------------------------- */

static void test_divergence(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	answer_as(&w, "ES-2", 2, 3, "another answer");
	assert_state(&w, AP_SERVING);
	assert_int_equal(sent(&w, "ES-2", WIRE_ABORT), 1);
	assert_int_equal(sent(&w, "ES-1", WIRE_FENCE), 0);
	assert_string_equal(view(&w).source, "ES-1");
	finish(&w);
}

/* R5: a copy that answered otherwise does not get authority when it comes to us again */
static void test_divergence_while_fencing(void **state)
{
	struct world w;

	(void)state;
	fencing(&w);
	request(&w, 5, 4);
	answer(&w, "ES-1", 1, 5);
	answer_as(&w, "ES-2", 2, 5, "another answer");
	assert_state(&w, AP_GOING_BACK);
	assert_int_equal(sent(&w, "ES-2", WIRE_ABORT), 1);
	assert_int_equal(sent(&w, "ES-1", WIRE_UNFENCE), 0); /* is it fenced yet? */
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 1, 5, 2);
	w.now += 1;
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	status(&w, "ES-2", WIRE_READY, WIRE_ES_STANDBY, 2, 5, 2); /* the ABORT got lost */
	status(&w, "ES-1", WIRE_FENCED, WIRE_ES_FENCED, 1, 5, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_ACTIVATE), 0);
	finish(&w);
}

static unsigned int held_migrations(const struct world *w)
{
	unsigned int count = 0;

	for (size_t i = 0; i < w->count; i++)
		count += w->sent[i].type == WIRE_MIGRATE && w->sent[i].migrate.hold;
	return count;
}

/* R6: after a difference the next attempt holds, and follows at once */
static void test_hold_after_a_difference(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	assert_int_equal(held_migrations(&w), 0);
	answer_as(&w, "ES-2", 2, 3, "another answer");
	w.now += 1;
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	assert_int_equal(held_migrations(&w), 1);
	finish(&w);
}

/* CT-x holds since its cut at 2; requests 3 and 4 are here only */
static void held(struct world *w)
{
	struct wire_message m = message(WIRE_CUT, 2);

	tracing_with(w, policy_default());
	for (uint64_t n = 1; n <= 4; n++)
		request(w, n, n < 3 ? n - 1 : 2);
	answer(w, "ES-1", 1, 1);
	answer(w, "ES-1", 1, 2);
	m.epoch = 1;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_FENCED,
					       .executed = 2,
					       .cut = 2,
					       .cut_association = 2,
					       .migration = WIRE_MIGRATION_SENDING,
					       .holding = true,
					       .secret = { 42 } };
	(void)snprintf(m.es_status.service, NAME_SIZE, "offload");
	ap_node_es_message(w->node, w->now, "ES-1", &m);
	assert_state(w, AP_TRACING);
}

/* R6: nothing is left to compare, so CT-y gets authority as soon as it is there */
static void test_hold(void **state)
{
	struct world w;

	(void)state;
	held(&w);
	status(&w, "ES-2", WIRE_READY, WIRE_ES_STANDBY, 2, 2, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_ACTIVATE), 1);
	assert_int_equal(sent(&w, "ES-2", WIRE_REQUEST), 0);
	status(&w, "ES-2", WIRE_ACTIVATED, WIRE_ES_ACTIVE, 2, 2, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_REQUEST), 2);
	finish(&w);
}

/* A cut that holds, but that nobody here has asked for: authority is looked for, as after any loss */
static void test_held_by_another(void **state)
{
	struct wire_message m = message(WIRE_CUT, 2);
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	request(&w, 1, 0);
	answer(&w, "ES-1", 1, 1);
	status(&w, "ES-1", WIRE_FAILED, WIRE_ES_ACTIVE, 1, 1, 0);
	assert_state(&w, AP_SERVING);
	m.epoch = 1;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_FENCED,
					       .executed = 1,
					       .cut = 1,
					       .cut_association = 2,
					       .migration = WIRE_MIGRATION_SENDING,
					       .holding = true,
					       .secret = { 42 } };
	(void)snprintf(m.es_status.service, NAME_SIZE, "offload");
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_state(&w, AP_FINDING);
	finish(&w);
}

/* R10: CT-y never was there, and could not be active: CT-x has it back without waiting for ES-2 */
static void test_hold_fails(void **state)
{
	struct wire_message m = message(WIRE_FAILED, 2);
	struct world w;

	(void)state;
	held(&w);
	m.epoch = 1;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_FENCED,
					       .executed = 2,
					       .cut = 2,
					       .cut_association = 2,
					       .holding = true,
					       .secret = { 42 } };
	(void)snprintf(m.es_status.service, NAME_SIZE, "offload");
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_state(&w, AP_GOING_BACK);
	assert_int_equal(sent(&w, "ES-1", WIRE_UNFENCE), 1);
	finish(&w);
}

/* a service may say that its answers are not to be compared */
static void test_not_compared(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	answer_as(&w, "ES-2", 2, 3, "any answer");
	assert_int_equal(sent(&w, "ES-2", WIRE_ABORT), 0);
	assert_true(view(&w).state == AP_REPLAYING || view(&w).state == AP_FENCING);
	finish(&w);
}

/* what CT-x answered is not known here: not in sync, so no ACTIVATE */
static void test_sync_is_not_assumed(void **state)
{
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	for (uint64_t n = 1; n <= 3; n++)
		request(&w, n, 0);
	answer(&w, "ES-1", 1, 1);
	status(&w, "ES-1", WIRE_CUT, WIRE_ES_ACTIVE, 1, 1, 1);
	status(&w, "ES-2", WIRE_READY, WIRE_ES_STANDBY, 2, 1, 1);
	answer(&w, "ES-2", 2, 2);
	answer(&w, "ES-2", 2, 3);
	assert_state(&w, AP_FENCING);
	/* CT-x executed 2 and 3, but its answers were lost on the way */
	status(&w, "ES-1", WIRE_FENCED, WIRE_ES_FENCED, 1, 3, 1);
	assert_int_equal(sent(&w, "ES-2", WIRE_ACTIVATE), 0);
	answer(&w, "ES-1", 1, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_ACTIVATE), 0);
	answer(&w, "ES-1", 1, 3);
	assert_int_equal(sent(&w, "ES-2", WIRE_ACTIVATE), 1);
	finish(&w);
}

/* --- going back: R3, R4, R10 ------------------------------------------------------------------- */

static void test_copy_dies_while_replaying(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_RETIRED, 1, 2, 2);
	assert_state(&w, AP_SERVING);
	assert_string_equal(view(&w).source, "ES-1");
	request(&w, 5, 4);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 5);
	/* tried again later */
	size_t before = sent(&w, "ES-1", WIRE_MIGRATE);
	w.now += policy_default().backoff_ms;
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_TRACING);
	assert_int_equal(sent(&w, "ES-1", WIRE_MIGRATE), before + 1);
	finish(&w);
}

static void test_migration_fails(void **state)
{
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	status(&w, "ES-1", WIRE_FAILED, WIRE_ES_ACTIVE, 1, 0, 0);
	assert_state(&w, AP_SERVING);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	finish(&w);
}

/* R4: UNFENCE only once the other is known not to be active */
static void test_unfence_waits(void **state)
{
	struct world w;

	(void)state;
	activating(&w);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_RETIRED, 1, 4, 2);
	assert_state(&w, AP_GOING_BACK);
	assert_int_equal(sent(&w, "ES-1", WIRE_UNFENCE), 0); /* what it said may be out of date */
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_STANDBY, 2, 4, 2);
	assert_int_equal(sent(&w, "ES-1", WIRE_UNFENCE), 0);
	status(&w, "ES-2", WIRE_ABORTED, WIRE_ES_RETIRED, 1, 4, 2);
	assert_true(last(&w, "ES-1", WIRE_UNFENCE)->unfence.new_epoch > 1);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	assert_string_equal(view(&w).source, "ES-1");
	request(&w, 5, 4);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->epoch, 3);
	finish(&w);
}

/* R4: ACTIVATE had come through after all */
static void test_active_after_all(void **state)
{
	struct world w;

	(void)state;
	activating(&w);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_RETIRED, 1, 4, 2);
	assert_state(&w, AP_GOING_BACK);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_ACTIVE, 2, 4, 2);
	assert_state(&w, AP_SERVING);
	assert_string_equal(view(&w).source, "ES-2");
	assert_int_equal(sent(&w, "ES-1", WIRE_UNFENCE), 0);
	finish(&w);
}

/* R3: CT-y dies in the grace time: CT-x gets what CT-y alone executed */
static void test_back_in_grace(void **state)
{
	struct world w;

	(void)state;
	grace(&w);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	request(&w, 6, 5);
	answer(&w, "ES-2", 2, 6);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 6, 2);
	assert_state(&w, AP_GOING_BACK);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 6, 2);
	size_t before = w.count;
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	assert_int_equal(sent_since(&w, before, "ES-1", WIRE_REQUEST), 2);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 6);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	finish(&w);
}

/* R1: and CT-x's edge server dies over one that the user has the answer of: nobody could tell the user */
static void test_doubt_in_grace(void **state)
{
	struct wire_message m = message(WIRE_ANSWER, 2);
	struct world w;

	(void)state;
	grace(&w);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	data_gone(&w, "ES-2", 2, 5);
	data_gone(&w, "ES-2", 2, 5);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	m.epoch = 3;
	m.data = (struct wire_data){ .number = 5, .status = WIRE_E_IN_DOUBT };
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_SESSION_LOST);
	finish(&w);
}

/* R1, R4, R15: but if CT-y's data are there, it has executed that request: it goes on, when CT-x is fenced */
static void test_doubt_and_kept(void **state)
{
	struct wire_message m = message(WIRE_ANSWER, 2);
	struct world w;

	(void)state;
	grace(&w);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	m.epoch = 3;
	m.data = (struct wire_data){ .number = 5, .status = WIRE_E_IN_DOUBT };
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_state(&w, AP_FINDING);
	size_t before = w.count;
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 3, 5, 2);
	assert_int_equal(sent_since(&w, before, "ES-1", WIRE_FENCE), 1);
	assert_int_equal(sent_since(&w, before, "ES-2", WIRE_UNFENCE), 0);
	m = message(WIRE_FENCED, 2);
	m.epoch = 3;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_FENCED, .executed = 5 };
	m.es_status.secret[0] = 42;
	(void)snprintf(m.es_status.peer, NAME_SIZE, "ES-2");
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_state(&w, AP_GOING_BACK);
	m.type = WIRE_STATUS;
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_int_equal(last(&w, "ES-2", WIRE_UNFENCE)->unfence.new_epoch, 4);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	finish(&w);
}

/* R1: its edge server tells first that it has executed the request, and the doubt after that */
static void test_doubt_after_status(void **state)
{
	struct wire_message m = message(WIRE_ANSWER, 2);
	struct world w;

	(void)state;
	grace(&w);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 5, 2);
	assert_state(&w, AP_SERVING);
	for (int i = 0; i < 6; i++) /* of earlier inquiries, all within a round trip */
		status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 3, 5, 2);
	m.epoch = 3;
	m.data = (struct wire_data){ .number = 5, .status = WIRE_E_IN_DOUBT };
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	assert_state(&w, AP_FINDING);
	finish(&w);
}

/* R4: the doubt shows when UNFENCE is on its way to CT-x: it is fenced again before CT-y gets authority */
static void test_doubt_while_unfencing(void **state)
{
	struct wire_message m = message(WIRE_ANSWER, 2);
	struct world w;

	(void)state;
	grace(&w);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	status(&w, "ES-1", WIRE_LOST, WIRE_ES_LOST, 3, 5, 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	assert_state(&w, AP_GOING_BACK);
	uint32_t epoch = last(&w, "ES-1", WIRE_UNFENCE)->unfence.new_epoch;
	m.epoch = 3;
	m.data = (struct wire_data){ .number = 5, .status = WIRE_E_IN_DOUBT };
	size_t before = w.count;
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	/* answers to older inquiries */
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_LOST, 3, 5, 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	assert_int_equal(sent_since(&w, before, "ES-2", WIRE_UNFENCE), 0);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, epoch, 5, 2);
	assert_state(&w, AP_FINDING);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, epoch, 5, 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	assert_int_equal(sent_since(&w, before, "ES-1", WIRE_FENCE), 1);
	assert_int_equal(sent_since(&w, before, "ES-2", WIRE_UNFENCE), 0);
	finish(&w);
}

static void test_both_gone(void **state)
{
	struct world w;

	(void)state;
	grace(&w);
	data_gone(&w, "ES-1", 1, 4);
	data_gone(&w, "ES-2", 2, 4);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_SESSION_LOST);
	assert_state(&w, AP_STATES);
	finish(&w);
}

/* R15: both have ended, with their data there: the copies are here, so the first one goes on, and starts again */
static void test_both_ended(void **state)
{
	struct world w;

	(void)state;
	grace(&w);
	request(&w, 5, 4);
	answer(&w, "ES-2", 2, 5);
	status(&w, "ES-1", WIRE_LOST, WIRE_ES_LOST, 1, 4, 2);
	status(&w, "ES-2", WIRE_LOST, WIRE_ES_LOST, 2, 5, 2);
	assert_state(&w, AP_GOING_BACK);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	assert_int_equal(last(&w, "ES-1", WIRE_UNFENCE)->unfence.new_epoch, 3);
	status(&w, "ES-1", WIRE_UNFENCED, WIRE_ES_ACTIVE, 3, 4, 2);
	assert_state(&w, AP_SERVING);
	/* until it has caught up, the other is the only one that has executed all the user has answers to */
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_RETIRE), 0);
	answer(&w, "ES-1", 3, 5);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_LOST, 2, 5, 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_RETIRE), 1);
	finish(&w);
}

/* R15: a container that has ended gets authority back, and starts again; its user is told as long as it may not */
static void test_ended(void **state)
{
	struct wire_message m = message(WIRE_LOST, 1);
	struct world w;

	(void)state;
	serving(&w);
	m.epoch = 1;
	m.es_status.state = WIRE_ES_LOST;
	m.es_status.secret[0] = 42;
	(void)snprintf(m.es_status.reason, WIRE_REASON_SIZE, "exit 137");
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_GOING_BACK);
	assert_int_equal(last(&w, "ES-2", WIRE_UNFENCE)->unfence.new_epoch, 2);
	assert_int_equal(last(&w, "ES-2", WIRE_UNFENCE)->epoch, 1);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	m.type = WIRE_STATUS;
	for (int i = 0; i < 10; i++) /* R9: each answer is not another order */
		ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_int_equal(sent(&w, "ES-2", WIRE_UNFENCE), 1);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 1);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
	assert_string_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.reason, "exit 137");
	m.type = WIRE_LOST; /* something has changed: an operator allows it */
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_int_equal(sent(&w, "ES-2", WIRE_UNFENCE), 2);
	m.type = WIRE_UNFENCED;
	m.epoch = 2;
	m.es_status.state = WIRE_ES_ACTIVE;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_SERVING);
	assert_int_equal(w.ended, 0); /* nothing was to move */
	finish(&w);
}

/* --- R7: a restarted access point asks ---------------------------------------------------------- */

static void test_finding(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-2", 2);
	assert_state(&w, AP_FINDING);
	assert_int_equal(sent(&w, "ES-1", WIRE_ATTACH), 1);
	assert_int_equal(sent(&w, "ES-2", WIRE_ATTACH), 1);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_NONE, 0, 0, 0);
	assert_state(&w, AP_FINDING);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 4, 9, 0);
	assert_state(&w, AP_TRACING);
	assert_string_equal(view(&w).source, "ES-1");
	finish(&w);
}

/* R15: an edge server may have the session, but cannot read its record. The user hears why it waits */
static void test_finding_withheld(void **state)
{
	struct wire_message m = message(WIRE_REFUSED, 2);
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-2", 2);
	m.es_status.status = WIRE_E_BUSY;
	m.es_status.command = get_be64(last(&w, "ES-1", WIRE_ATTACH)->attach.proof);
	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason), "an error of the disk");
	for (int i = 0; i < 20; i++) {
		status(&w, "ES-2", WIRE_STATUS, WIRE_ES_NONE, 0, 0, 0);
		ap_node_es_message(w.node, w.now, "ES-1", &m);
		assert_string_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.reason,
				    "an error of the disk");
		assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
		w.now += policy_default().retry_ms;
		ap_node_tick(w.node, w.now);
		assert_state(&w, AP_FINDING);
		assert_string_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.reason,
				    "an error of the disk");
	}
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 4, 9, 0);
	assert_string_equal(view(&w).source, "ES-1");
	finish(&w);
}

/* R15: more edge servers have had the session than are remembered at a time; the one that has it is found */
static void test_finding_by_many_traces(void **state)
{
	struct wire_message m = message(WIRE_STATUS, 2);
	char es[NAME_SIZE];
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-2", 2);
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_NONE, 0, 0, 0);
	m.es_status.state = WIRE_ES_RETIRED;
	m.es_status.secret[0] = 42;
	(void)snprintf(m.es_status.service, NAME_SIZE, "offload");
	for (unsigned int i = 1; i < 24; i += i == 1 ? 2 : 1) {
		m.epoch = i;
		(void)snprintf(es, sizeof(es), "ES-%u", i);
		(void)snprintf(m.es_status.peer, NAME_SIZE, "ES-%u", i + (i == 1 ? 2 : 1));
		ap_node_es_message(w.node, w.now, es, &m);
		assert_state(&w, AP_FINDING);
	}
	assert_int_equal(sent(&w, "ES-24", WIRE_ATTACH), 1);
	status(&w, "ES-24", WIRE_STATUS, WIRE_ES_ACTIVE, 30, 9, 0);
	assert_string_equal(view(&w).source, "ES-24");
	finish(&w);
}

static void test_old_ap_is_silent(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-1", 2);
	w.now += policy_default().move_ms;
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_FINDING);
	finish(&w);
}

/* --- R9 ---------------------------------------------------------------------------------------- */

static void test_full_buffer(void **state)
{
	struct world w;
	struct policy policy = policy_default();

	(void)state;
	policy.copies_max = 8;
	tracing_with(&w, policy);
	for (uint64_t n = 1; n <= 8; n++)
		request(&w, n, 0);
	assert_int_equal(view(&w).highest, 8);
	request(&w, 9, 0); /* not taken: the device sends it again */
	request(&w, 10, 0);
	assert_int_equal(view(&w).highest, 8);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 8);
	status(&w, "ES-1", WIRE_CUT, WIRE_ES_ACTIVE, 1, 5, 5);
	request(&w, 9, 0); /* the cut made room */
	assert_int_equal(view(&w).highest, 9);
	finish(&w);
}

/*
 * A small buffer after a restart: what the device had answers to already did not fit in when it sent all
 * again, and will not come any more. That gap must not stop what comes behind it.
 */
static void test_answered_elsewhere(void **state)
{
	struct world w;
	struct policy policy = policy_default();

	(void)state;
	policy.copies_max = 8;
	tracing_with(&w, policy);
	for (uint64_t n = 1; n <= 8; n++)
		request(&w, n, 0);
	request(&w, 13, 12); /* not surely executed there: not taken */
	assert_int_equal(view(&w).highest, 8);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 1, 12, 0);
	request(&w, 14, 12); /* 13 is neither here nor answered */
	assert_int_equal(view(&w).highest, 8);
	request(&w, 13, 12);
	assert_int_equal(view(&w).floor, 12);
	assert_int_equal(view(&w).highest, 13);
	/* a copy from before the gap cannot be brought in sync: dropped, and tried again */
	status(&w, "ES-2", WIRE_READY, WIRE_ES_STANDBY, 2, 5, 5);
	assert_state(&w, AP_SERVING);
	assert_int_equal(sent(&w, "ES-2", WIRE_ABORT), 1);
	finish(&w);
}

/* --- leaving: R8, R11 -------------------------------------------------------------------------- */

static void move_notify(struct world *w, const char *claimed_by, const char *ap,
			uint32_t association, uint8_t secret)
{
	struct wire_message m = message(WIRE_MOVE_NOTIFY, association);

	(void)snprintf(m.move_notify.mud, NAME_SIZE, "USER");
	(void)snprintf(m.move_notify.new_ap, NAME_SIZE, "%s", ap);
	(void)snprintf(m.move_notify.new_es, NAME_SIZE, "ES-3");
	proof(m.move_notify.proof, &secret, S, association, ap);
	ap_node_ap_message(w->node, w->now, claimed_by, &m);
}

/* before FENCE the running migration is dropped and the source told where to go now */
static void test_leaving_early(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	move_notify(&w, "AP-3", "AP-3", 3, 42);
	assert_int_equal(sent(&w, "ES-2", WIRE_ABORT), 1);
	assert_string_equal(last(&w, "ES-1", WIRE_MIGRATE)->migrate.to_es, "ES-3");
	assert_string_equal(last(&w, "AP-3", WIRE_MOVE_RESPONSE)->move_response.authority, "ES-1");
	assert_state(&w, AP_STATES);
	finish(&w);
}

/* after FENCE the switch finishes first */
static void test_leaving_late(void **state)
{
	struct world w;

	(void)state;
	fencing(&w);
	move_notify(&w, "AP-3", "AP-3", 3, 42);
	assert_int_equal(sent(&w, "AP-3", WIRE_MOVE_RESPONSE), 0);
	assert_state(&w, AP_FENCING);
	status(&w, "ES-1", WIRE_FENCED, WIRE_ES_FENCED, 1, 4, 2);
	assert_int_equal(sent(&w, "AP-3", WIRE_MOVE_RESPONSE), 0);
	status(&w, "ES-2", WIRE_ACTIVATED, WIRE_ES_ACTIVE, 2, 4, 2);
	assert_string_equal(last(&w, "AP-3", WIRE_MOVE_RESPONSE)->move_response.authority, "ES-2");
	assert_int_equal(last(&w, "AP-3", WIRE_MOVE_RESPONSE)->epoch, 2);
	assert_state(&w, AP_STATES);
	finish(&w);
}

static void test_rogue_move(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	move_notify(&w, "AP-9", "AP-9", 3, 13); /* no proof */
	move_notify(&w, "AP-9", "AP-3", 3, 42); /* a proof for another */
	move_notify(&w, "AP-9", "AP-9", 2, 42); /* an association of the past */
	assert_int_equal(sent(&w, "AP-9", WIRE_MOVE_RESPONSE), 3);
	for (size_t i = 0; i < w.count; i++) {
		if (w.sent[i].type != WIRE_MOVE_RESPONSE)
			continue;
		assert_int_equal(w.sent[i].move_response.status, WIRE_E_NOT_ALLOWED);
		assert_int_equal(w.sent[i].move_response.secret[0], 0);
	}
	assert_state(&w, AP_REPLAYING);
	finish(&w);
}

static void claim(struct world *w, uint64_t link, const char *mud, uint32_t association,
		  uint8_t secret)
{
	struct wire_message m = message(WIRE_REASSOCIATION_REQUEST, association);

	(void)snprintf(m.reassociation_request.mud, NAME_SIZE, "%s", mud);
	(void)snprintf(m.reassociation_request.service, NAME_SIZE, "offload");
	m.reassociation_request.edges.count = 1;
	(void)snprintf(m.reassociation_request.edges.name[0], NAME_SIZE, "ES-1");
	proof(m.reassociation_request.proof, &secret, S, association, "AP-2");
	ap_node_mud_message(w->node, w->now, link, mud, &m);
}

/* R11: another device claims the session: what is here of it is not touched */
static void test_rogue_device(void **state)
{
	struct world w;

	(void)state;
	replaying(&w);
	claim(&w, 6, "ROGUE", 2, 13);
	claim(&w, 6, "ROGUE", 9, 13);
	assert_int_equal(sessions(&w), 1);
	assert_state(&w, AP_REPLAYING);
	assert_int_equal(view(&w).highest, 4);
	assert_int_equal(last(&w, "mud-6", WIRE_REFUSAL)->refusal.status, WIRE_E_NOT_ALLOWED);
	request(&w, 5, 4);
	assert_int_equal(view(&w).highest, 5);
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	/* and a wrong number of the device itself changes nothing either */
	claim(&w, LINK, "USER", 3, 13);
	assert_state(&w, AP_REPLAYING);
	finish(&w);
}

/* R11: a device that has proven nothing ends its claim, not the session that it claimed */
static void test_rogue_device_leaves(void **state)
{
	struct wire_message m = message(WIRE_DISASSOCIATION, 2);
	struct world w;

	(void)state;
	start(&w);
	claim(&w, 6, "ROGUE", 2, 13);
	ap_node_mud_message(w.node, w.now, 6, "ROGUE", &m);
	assert_int_equal(sessions(&w), 0);
	assert_int_equal(sent(&w, "ES-1", WIRE_DISASSOCIATION), 0);
	assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), 0);
	finish(&w);
}

/* R15: a session that is not here ends at its edge servers, by a proof of its user */
static void test_ends_one_that_is_away(void **state)
{
	struct ap_ended ended = { .session = 77, .association = 5, .edges = { .count = 2 } };
	uint8_t proof_of_it[WIRE_PROOF_SIZE];
	struct world w;

	(void)state;
	start(&w);
	ended.secret[0] = 7;
	(void)snprintf(ended.edges.name[0], NAME_SIZE, "ES-1");
	(void)snprintf(ended.edges.name[1], NAME_SIZE, "ES-2");
	ap_node_end(w.node, &ended);
	proof(proof_of_it, ended.secret, 77, 5, "AP-2");
	for (int i = 1; i <= 2; i++) {
		const char *es = i == 1 ? "ES-1" : "ES-2";
		const struct wire_message *attach = last(&w, es, WIRE_ATTACH);
		const struct wire_message *end = last(&w, es, WIRE_DISASSOCIATION);

		assert_int_equal(sent(&w, es, WIRE_ATTACH),
				 2); /* the second one asks whether it is over */
		assert_true(end < attach);
		assert_true(w.sent[i == 1 ? 0 : 3].type == WIRE_ATTACH);
		assert_memory_equal(attach->attach.proof, proof_of_it, WIRE_PROOF_SIZE);
		assert_int_equal(end->session, 77);
		assert_int_equal(end->association, 5);
	}
	assert_int_equal(sessions(&w), 0);
	finish(&w);
}

/* R15: an edge server that does not confirm the end is told again when its link comes up */
static void test_end_is_told_again(void **state)
{
	struct ap_ended ended = { .session = 77, .association = 5, .edges = { .count = 2 } };
	struct wire_message m = { .type = WIRE_STATUS, .session = 77, .association = 5 };
	struct world w;

	(void)state;
	start(&w);
	(void)snprintf(ended.edges.name[0], NAME_SIZE, "ES-1");
	(void)snprintf(ended.edges.name[1], NAME_SIZE, "ES-2");
	ap_node_end(w.node, &ended);
	m.es_status.state = WIRE_ES_ACTIVE; /* from before the end */
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	m.es_status.state = WIRE_ES_NONE;
	m.association = 4; /* to an older inquiry */
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	m.association = 5;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	ap_node_es_up(w.node, w.now, "ES-1");
	ap_node_es_up(w.node, w.now, "ES-2");
	assert_int_equal(sent(&w, "ES-1", WIRE_DISASSOCIATION), 2);
	assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), 1);
	m.type = WIRE_REFUSED; /* its user is elsewhere (R11) */
	m.es_status.status = WIRE_E_NOT_ALLOWED;
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	ap_node_es_up(w.node, w.now, "ES-1");
	assert_int_equal(sent(&w, "ES-1", WIRE_DISASSOCIATION), 2);
	finish(&w);
}

/* What is owed has a limit: the oldest end is given up, and said */
static void test_ends_have_a_limit(void **state)
{
	struct ap_ended ended = { .association = 5, .edges = { .count = 1 } };
	struct world w;

	(void)state;
	start(&w);
	(void)snprintf(ended.edges.name[0], NAME_SIZE, "ES-1");
	ended.session = 5000; /* of another edge server: it stays */
	ap_node_end(w.node, &ended);
	(void)snprintf(ended.edges.name[0], NAME_SIZE, "ES-2");
	for (ended.session = 1; ended.session <= 1025; ended.session++) {
		assert_int_equal(w.not_told, 0);
		ap_node_end(w.node, &ended);
		w.count = 0;
	}
	assert_int_equal(w.not_told, 1);
	ap_node_es_up(w.node, w.now, "ES-1");
	assert_int_equal(sent(&w, "ES-1", WIRE_DISASSOCIATION), 1);
	w.unknown = "ES-1"; /* one that is not in the configuration is told once */
	(void)snprintf(ended.edges.name[0], NAME_SIZE, "ES-1");
	ap_node_end(w.node, &ended);
	assert_int_equal(sent(&w, "ES-1", WIRE_DISASSOCIATION), 2);
	ap_node_es_up(w.node, w.now, "ES-1");
	assert_int_equal(sent(&w, "ES-1", WIRE_DISASSOCIATION), 3);
	finish(&w);
}

/* R10, R11: who leaves before the container is there leaves none behind, and ends nobody else's session */
static void test_leaves_while_associating(void **state)
{
	struct wire_message leave = message(WIRE_DISASSOCIATION, 1);
	struct wire_message m = message(WIRE_CREATED, 1);
	struct world w;

	(void)state;
	start(&w);
	associate(&w);
	from_mud(&w, leave);
	assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), 0);
	m.epoch = 1;
	m.es_status.state = WIRE_ES_ACTIVE;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), 1);
	assert_int_equal(sent(&w, "mud", WIRE_ASSOCIATION_RESPONSE), 0);
	assert_int_equal(sessions(&w), 0);
	associate(&w);
	from_mud(&w, leave);
	m = message(WIRE_REFUSED, 1);
	m.es_status.status = WIRE_E_NOT_ALLOWED;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), 1);
	assert_int_equal(sessions(&w), 0);
	finish(&w);
}

/* R10: the same if the container comes later than anybody would have waited for it */
static void test_leaves_and_container_is_late(void **state)
{
	struct wire_message m = message(WIRE_CREATED, 1);
	struct policy policy = policy_default();
	struct world w;

	(void)state;
	start(&w);
	associate(&w);
	from_mud(&w, message(WIRE_DISASSOCIATION, 1));
	w.now += policy.associate_ms;
	ap_node_tick(w.node, w.now);
	associate(&w); /* it has changed its mind, and waits as long as anybody */
	w.now += policy.associate_ms - 1;
	ap_node_tick(w.node, w.now);
	assert_state(&w, AP_ASSOCIATING);
	from_mud(&w, message(WIRE_DISASSOCIATION, 1));
	m.epoch = 1;
	m.es_status.state = WIRE_ES_ACTIVE;
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_int_equal(sent(&w, "ES-2", WIRE_DISASSOCIATION), 1);
	assert_int_equal(sessions(&w), 0);
	associate(&w);
	from_mud(&w, message(WIRE_DISASSOCIATION, 1));
	w.now += policy.idle_ms;
	ap_node_tick(w.node, w.now);
	assert_int_equal(sessions(&w), 0);
	finish(&w);
}

/* R11: nobody here knows the secret: claims stand side by side until an edge server tells it */
static void test_claims_side_by_side(void **state)
{
	struct wire_message m = message(WIRE_REFUSED, 2);
	struct world w;

	(void)state;
	start(&w);
	claim(&w, 6, "ROGUE", 2, 13);
	claim(&w, LINK, "USER", 2, 42);
	assert_int_equal(sessions(&w), 2);
	request(&w, 1, 0);
	/* the refusal of one is not that of the other */
	m.es_status = (struct wire_es_status){ .status = WIRE_E_NOT_ALLOWED,
					       .command = 0x3133203737203220ull }; /* "13 77 2 " */
	for (int i = 0; i < 4; i++) {
		ap_node_es_message(w.node, w.now, "ES-1", &m);
		status(&w, "ES-2", WIRE_STATUS, WIRE_ES_NONE, 0, 0, 0);
	}
	assert_int_equal(sessions(&w), 1);
	assert_int_equal(
		last(&w, "mud-6", WIRE_REASSOCIATION_RESPONSE)->association_response.status,
		WIRE_E_NOT_ALLOWED);
	claim(&w, 7, "ROGUE-2", 2, 14);
	assert_int_equal(sessions(&w), 2);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 4, 0, 0);
	assert_int_equal(sessions(&w), 1);
	assert_state(&w, AP_TRACING);
	assert_string_equal(view(&w).mud, "USER");
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 1);
	assert_int_equal(
		last(&w, "mud-7", WIRE_REASSOCIATION_RESPONSE)->association_response.status,
		WIRE_E_NOT_ALLOWED);
	finish(&w);
}

/* R11: the old access point refuses one of two claims; the other one's answer is yet to come */
static void test_refused_move_of_another(void **state)
{
	struct wire_message m = message(WIRE_MOVE_RESPONSE, 2);
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-1", 2);
	m.move_response.status = WIRE_E_NOT_ALLOWED;
	m.move_response.command = 0x3133203737203220ull; /* "13 77 2 " */
	ap_node_ap_message(w.node, w.now, "AP-1", &m);
	assert_state(&w, AP_MOVING);
	m.move_response.command = 0; /* of a proof that begins so */
	ap_node_ap_message(w.node, w.now, "AP-1", &m);
	assert_state(&w, AP_MOVING);
	move_response(&w, WIRE_OK);
	assert_state(&w, AP_TRACING);
	finish(&w);
}

/* R9: they are not many */
static void test_claims_have_a_limit(void **state)
{
	struct world w;
	char name[NAME_SIZE];

	(void)state;
	start(&w);
	for (unsigned int i = 0; i < 9; i++) {
		(void)snprintf(name, sizeof(name), "ROGUE-%u", i);
		claim(&w, 100 + i, name, 2, 13);
	}
	assert_int_equal(sessions(&w), 4);
	assert_int_equal(last(&w, "mud-108", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
	finish(&w);
}

/* R9: one device does not get all sessions; what it has goes on */
static void test_share_of_a_device(void **state)
{
	struct policy policy = policy_default();
	struct world w;

	(void)state;
	policy.sessions_max = 32;
	start_with(&w, policy);
	for (unsigned int i = 0; i < 5; i++) {
		struct wire_message m = message(WIRE_ASSOCIATION_REQUEST, 1);

		m.session = 1000 + i;
		(void)snprintf(m.association_request.mud, NAME_SIZE, "ROGUE");
		(void)snprintf(m.association_request.service, NAME_SIZE, "offload");
		ap_node_mud_message(w.node, w.now, 100 + i, "ROGUE", &m);
	}
	assert_int_equal(sessions(&w), 4);
	assert_int_equal(last(&w, "mud-104", WIRE_REFUSAL)->refusal.status, WIRE_E_BUSY);
	assert_string_equal(last(&w, "mud-104", WIRE_REFUSAL)->refusal.reason,
			    "ROGUE has 4 sessions at AP-2, its share of sessions_max (32): end "
			    "some, or raise sessions_max");
	/* nor by sessions that it says to have had elsewhere; another device gets its own */
	claim(&w, 105, "ROGUE", 2, 13);
	assert_int_equal(sessions(&w), 4);
	claim(&w, 106, "USER", 2, 42);
	assert_int_equal(sessions(&w), 5);
	finish(&w);
}

/* R11: an edge server that never had the session says that it has authority, and what the epoch is */
static void test_edge_server_lies(void **state)
{
	struct wire_message m = message(WIRE_STATUS, 2);
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-2", 2);
	m.epoch = UINT32_MAX;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_ACTIVE, .secret = { 13 } };
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_FINDING);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 4, 9, 0);
	assert_string_equal(view(&w).source, "ES-1");
	assert_state(&w, AP_TRACING);
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_TRACING);
	assert_string_equal(view(&w).source, "ES-1");
	/* nor is it the one to say that the user is elsewhere */
	m.type = WIRE_REFUSED;
	m.es_status = (struct wire_es_status){ .cut_association = 99 };
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_TRACING);
	finish(&w);
}

/* R11: nor is one that is asked where a session is; who has it is believed before who says it is elsewhere */
static void test_edge_server_displaces(void **state)
{
	struct wire_message m = message(WIRE_REFUSED, 2);
	struct world w;

	(void)state;
	m.es_status = (struct wire_es_status){ .cut_association = 99,
					       .command = 0x3432203737203220ull }; /* "42 77 2 " */
	start(&w);
	reassociate(&w, "AP-2", 2);
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_FINDING);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_ACTIVE, 4, 9, 0);
	assert_state(&w, AP_TRACING);
	finish(&w);
	/* what is fenced may be what the user left behind: nobody goes back to it then */
	start(&w);
	reassociate(&w, "AP-2", 2);
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	status(&w, "ES-1", WIRE_STATUS, WIRE_ES_FENCED, 4, 9, 0);
	assert_state(&w, AP_STATES);
	finish(&w);
}

/* R11: a refusal is told to the claim whose proof it names; one that names none must not be another's */
static void test_claim_without_proof(void **state)
{
	struct wire_message m = message(WIRE_REASSOCIATION_REQUEST, 2);
	struct world w;

	(void)state;
	start(&w);
	(void)snprintf(m.reassociation_request.mud, NAME_SIZE, "USER");
	(void)snprintf(m.reassociation_request.old_ap, NAME_SIZE, "AP-1");
	from_mud(&w, m);
	assert_int_equal(last(&w, "mud", WIRE_REFUSAL)->refusal.status, WIRE_E_NOT_ALLOWED);
	assert_int_equal(sent(&w, "AP-1", WIRE_MOVE_NOTIFY), 0);
	finish(&w);
}

/* A fenced CT-x at ES-1 whose copy went to ES-2, asked for by an access point that was not there then. */
static void fenced_to(struct world *w, const char *peer)
{
	struct wire_message m = message(WIRE_STATUS, 2);

	start(w);
	reassociate(w, "AP-2", 2);
	m.epoch = 4;
	m.es_status =
		(struct wire_es_status){ .state = WIRE_ES_FENCED, .executed = 9, .secret = { 42 } };
	(void)snprintf(m.es_status.service, NAME_SIZE, "offload");
	(void)snprintf(m.es_status.peer, NAME_SIZE, "%s", peer);
	ap_node_es_message(w->node, w->now, "ES-1", &m);
	assert_state(w, AP_FINDING);
}

/* R4: ES-2 knows nothing any more, so authority may have gone on from there: nobody goes back */
static void test_successor_forgot(void **state)
{
	struct wire_message m = message(WIRE_STATUS, 2);
	struct world w;

	(void)state;
	fenced_to(&w, "ES-2");
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_NONE };
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_FINDING);
	assert_int_equal(sent(&w, "ES-1", WIRE_UNFENCE), 0);
	finish(&w);
	/* one that still undoes the arrival, or knows that it came to nothing, never had authority */
	fenced_to(&w, "ES-2");
	(void)snprintf(m.es_status.peer, NAME_SIZE, "ES-1");
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_GOING_BACK);
	finish(&w);
	fenced_to(&w, "ES-2");
	status(&w, "ES-2", WIRE_STATUS, WIRE_ES_RETIRED, 4, 0, 0);
	assert_state(&w, AP_GOING_BACK);
	finish(&w);
	/* nor had one where a stranger's session took the place of the arrival (R11) */
	fenced_to(&w, "ES-2");
	m.type = WIRE_REFUSED;
	m.es_status = (struct wire_es_status){ .command = 0x3432203737203220ull }; /* "42 77 2 " */
	ap_node_es_message(w.node, w.now, "ES-2", &m);
	assert_state(&w, AP_GOING_BACK);
	finish(&w);
}

/* R9: an edge server cannot write, so requests wait: the device is told which and why */
static void test_edge_server_waits(void **state)
{
	struct wire_message m = message(WIRE_REFUSED, 2);
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	request(&w, 1, 0);
	m.es_status = (struct wire_es_status){ .status = WIRE_E_BUSY,
					       .cut_association = 2,
					       .reason = "no room" };
	ap_node_es_message(w.node, w.now, "ES-2", &m); /* nobody waits for that one */
	assert_int_equal(sent(&w, "mud", WIRE_REFUSAL), 0);
	ap_node_es_message(w.node, w.now, "ES-1", &m);
	const struct wire_refusal *r = &last(&w, "mud", WIRE_REFUSAL)->refusal;
	assert_int_equal(r->status, WIRE_E_BUSY);
	assert_int_equal(r->number, 1);
	assert_string_equal(r->reason, "no room");
	assert_state(&w, AP_TRACING);
	finish(&w);
}

static void failed(struct world *w, uint32_t epoch, enum wire_status why, const char *reason)
{
	struct wire_message m = message(WIRE_FAILED, 2);

	m.epoch = epoch;
	m.es_status =
		(struct wire_es_status){ .state = WIRE_ES_ACTIVE, .status = why, .secret = { 42 } };
	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason), "%s", reason);
	ap_node_es_message(w->node, w->now, "ES-1", &m);
	assert_state(w, AP_SERVING);
}

/* Time goes on until the next attempt, at most an hour. Return: whether there was one */
static bool tried_again(struct world *w)
{
	uint64_t end = w->now + 3600000;

	while (view(w).state == AP_SERVING && w->now < end) {
		w->now = ap_node_deadline(w->node);
		ap_node_tick(w->node, w->now);
	}
	return view(w).state == AP_TRACING;
}

/* R10: what cannot change by itself is not tried for ever; it is said once, whole */
static void test_equal_reasons_end_it(void **state)
{
	struct policy p = policy_default();
	struct world w;

	(void)state;
	p.idle_ms = 7200000;
	tracing_with(&w, p);
	for (int i = 0; i < 6; i++) { /* what may pass is tried again and again */
		failed(&w, 1, WIRE_E_FAILED, "the link broke");
		assert_true(tried_again(&w));
	}
	failed(&w, 1, WIRE_E_LASTING, "it is privileged");
	assert_true(tried_again(&w));
	failed(&w, 1, WIRE_E_LASTING, "no such image");
	assert_true(tried_again(&w));
	failed(&w, 1, WIRE_E_LASTING, "it is privileged");
	assert_true(tried_again(&w));
	failed(&w, 1, WIRE_E_LASTING, "it is privileged");
	assert_true(tried_again(&w));
	assert_int_equal(w.given_up, 0);
	failed(&w, 1, WIRE_E_LASTING, "it is privileged");
	assert_int_equal(w.given_up, 1);
	assert_string_equal(w.detail, "it is privileged");
	assert_false(tried_again(&w));
	assert_int_equal(w.given_up, 1);
	/* the user moves: that is another association, and another three attempts */
	reassociate(&w, "AP-1", 3);
	assert_state(&w, AP_MOVING);
	finish(&w);
}

/* A cut that held, then authority back at ES-1, which names another edge server each time. */
static void comes_back_from(struct world *w, unsigned int round)
{
	struct wire_message m = message(WIRE_STATUS, 2);

	m.epoch = 1 + round;
	m.es_status = (struct wire_es_status){
		.state = WIRE_ES_FENCED, .cut_association = 2, .holding = true, .secret = { 42 }
	};
	ap_node_es_message(w->node, w->now, "ES-1", &m);
	status(w, "ES-2", WIRE_STATUS, WIRE_ES_NONE, 0, 0, 0);
	assert_state(w, AP_GOING_BACK);
	m.epoch = 2 + round;
	m.es_status = (struct wire_es_status){ .state = WIRE_ES_ACTIVE, .secret = { 42 } };
	(void)snprintf(m.es_status.peer, NAME_SIZE, "ES-%u", 10 + round);
	ap_node_es_message(w->node, w->now, "ES-1", &m);
	assert_state(w, AP_SERVING);
}

/* No entry for the destination is free: the next attempt is later, and not again and again at once */
static void test_no_room_for_a_destination(void **state)
{
	struct policy p = policy_default();
	struct world w;
	unsigned int round = 0;

	(void)state;
	tracing_with(&w, p);
	do {
		assert_true(round < 10);
		uint64_t before = w.now;
		comes_back_from(&w, round++);
		unsigned int ticks = 0;
		while (view(&w).state == AP_SERVING && ticks++ < 40) {
			w.now = ap_node_deadline(w.node);
			ap_node_tick(w.node, w.now);
		}
		assert_true(view(&w).state == AP_TRACING || w.now > before + 10 * p.backoff_max_ms);
	} while (view(&w).state == AP_TRACING);
	assert_int_equal(round, 7); /* and ES-1 is the eighth */
	finish(&w);
}

/* R11: an access point that never had the session sends its user nowhere: edge servers are asked */
static void test_old_ap_lies(void **state)
{
	struct wire_message m = message(WIRE_MOVE_RESPONSE, 2);
	struct world w;

	(void)state;
	start(&w);
	reassociate(&w, "AP-1", 2);
	m.move_response.command = 0x3432203737203220ull; /* "42 77 2 " */
	m.move_response.secret[0] = 13;
	(void)snprintf(m.move_response.service, NAME_SIZE, "offload");
	(void)snprintf(m.move_response.authority, NAME_SIZE, "ES-rogue");
	ap_node_ap_message(w.node, w.now, "AP-1", &m);
	assert_state(&w, AP_FINDING);
	assert_int_equal(sent(&w, "ES-rogue", WIRE_ATTACH), 0);
	finish(&w);
}

/* --- links ------------------------------------------------------------------------------------- */

/* The edge server's link broke: what was not answered is sent again, on the new one */
static void test_link_is_back(void **state)
{
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	request(&w, 1, 0);
	request(&w, 2, 0);
	answer(&w, "ES-1", 1, 1);
	size_t before = w.count;
	ap_node_es_up(w.node, w.now, "ES-1");
	assert_int_equal(sent_since(&w, before, "ES-1", WIRE_ATTACH), 1);
	assert_int_equal(sent_since(&w, before, "ES-1", WIRE_REQUEST), 1);
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 2);
	finish(&w);
}

static void test_device_gone(void **state)
{
	struct world w;

	(void)state;
	tracing_with(&w, policy_default());
	request(&w, 1, 0);
	ap_node_mud_gone(w.node, w.now, LINK);
	answer(&w, "ES-1", 1, 1);
	assert_int_equal(sent(&w, "mud", WIRE_ANSWER), 0);
	reassociate(&w, "AP-2", 3);
	request(&w, 1, 0); /* it asks again: its answer is had from the edge server's cache */
	assert_int_equal(last(&w, "ES-1", WIRE_REQUEST)->data.number, 1);
	answer(&w, "ES-1", 1, 1);
	assert_int_equal(sent(&w, "mud", WIRE_ANSWER), 1);
	ap_node_mud_gone(w.node, w.now, LINK);
	ap_node_tick(w.node, w.now + policy_default().idle_ms);
	assert_state(&w, AP_STATES);
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_association),
		cmocka_unit_test(test_association_fails),
		cmocka_unit_test(test_another_device),
		cmocka_unit_test(test_reassociation),
		cmocka_unit_test(test_refused_move),
		cmocka_unit_test(test_replay_after_the_cut),
		cmocka_unit_test(test_copies_answers_are_withheld),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_late_stop),
		cmocka_unit_test(test_divergence),
		cmocka_unit_test(test_divergence_while_fencing),
		cmocka_unit_test(test_not_compared),
		cmocka_unit_test(test_hold_after_a_difference),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_hold_fails),
		cmocka_unit_test(test_held_by_another),
		cmocka_unit_test(test_sync_is_not_assumed),
		cmocka_unit_test(test_copy_dies_while_replaying),
		cmocka_unit_test(test_migration_fails),
		cmocka_unit_test(test_unfence_waits),
		cmocka_unit_test(test_active_after_all),
		cmocka_unit_test(test_back_in_grace),
		cmocka_unit_test(test_doubt_in_grace),
		cmocka_unit_test(test_doubt_and_kept),
		cmocka_unit_test(test_doubt_after_status),
		cmocka_unit_test(test_doubt_while_unfencing),
		cmocka_unit_test(test_both_gone),
		cmocka_unit_test(test_both_ended),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_finding),
		cmocka_unit_test(test_finding_withheld),
		cmocka_unit_test(test_finding_by_many_traces),
		cmocka_unit_test(test_old_ap_is_silent),
		cmocka_unit_test(test_full_buffer),
		cmocka_unit_test(test_answered_elsewhere),
		cmocka_unit_test(test_leaving_early),
		cmocka_unit_test(test_leaving_late),
		cmocka_unit_test(test_rogue_move),
		cmocka_unit_test(test_rogue_device),
		cmocka_unit_test(test_rogue_device_leaves),
		cmocka_unit_test(test_ends_one_that_is_away),
		cmocka_unit_test(test_end_is_told_again),
		cmocka_unit_test(test_ends_have_a_limit),
		cmocka_unit_test(test_leaves_while_associating),
		cmocka_unit_test(test_leaves_and_container_is_late),
		cmocka_unit_test(test_claims_side_by_side),
		cmocka_unit_test(test_refused_move_of_another),
		cmocka_unit_test(test_claims_have_a_limit),
		cmocka_unit_test(test_share_of_a_device),
		cmocka_unit_test(test_edge_server_lies),
		cmocka_unit_test(test_edge_server_displaces),
		cmocka_unit_test(test_claim_without_proof),
		cmocka_unit_test(test_successor_forgot),
		cmocka_unit_test(test_old_ap_lies),
		cmocka_unit_test(test_edge_server_waits),
		cmocka_unit_test(test_equal_reasons_end_it),
		cmocka_unit_test(test_no_room_for_a_destination),
		cmocka_unit_test(test_link_is_back),
		cmocka_unit_test(test_move_is_told),
		cmocka_unit_test(test_failed_move_is_told),
		cmocka_unit_test(test_user_leaves_a_move),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_begins_elsewhere),
		cmocka_unit_test(test_home_is_down),
		cmocka_unit_test(test_home_comes_up),
		cmocka_unit_test(test_asked_before_restart),
		cmocka_unit_test(test_all_are_down),
		cmocka_unit_test(test_goes_away_meanwhile),
		cmocka_unit_test(test_unknown_edge_server),
		cmocka_unit_test(test_set_places),
		cmocka_unit_test(test_comes_to_a_drained_one),
		cmocka_unit_test(test_wish),
		cmocka_unit_test(test_wish_after_fence),
		cmocka_unit_test(test_device_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
