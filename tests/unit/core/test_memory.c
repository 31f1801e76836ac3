/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory that runs out at a device and at an access point: a request may have to be sent again, and
 * nothing else comes of it (R9). Of an edge server there is only what is offered to it; the rest is in
 * tests/unit/es/test_session_faults.c.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/ap/node.h"
#include "core/es/node.h"
#include "core/mud/session.h"
#include "core/common/replay_buffer.h"
#include "faults.h"

#define LINK     5
#define REQUESTS 5

/* One device at AP-2, and a container at ES-1 that answers at once; messages go in one turn later. */
struct world {
	struct mud_session *mud;
	struct ap_node *ap;
	uint64_t now;
	struct wire_message to_ap[64], to_mud[64], to_es[64];
	size_t to_ap_count, to_mud_count, to_es_count;
	uint64_t sent, answered, executed;
	bool lost;
};

static const uint8_t answer_bytes[] = "answer";

static void proof(uint8_t *to, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	memset(to, 0, WIRE_PROOF_SIZE);
	(void)snprintf((char *)to, WIRE_PROOF_SIZE, "%u %llu %u %s", secret[0],
		       (unsigned long long)session, association, ap);
}

static void keep(struct wire_message *to, size_t *count, const struct wire_message *m)
{
	if (*count < 64) /* what is too much is lost, as on a link that breaks */
		to[(*count)++] = *m;
}

static void mud_to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct world *w = ctx;

	(void)ap;
	keep(w->to_ap, &w->to_ap_count, m);
}

static void mud_answer(void *ctx, const struct wire_data *answer)
{
	struct world *w = ctx;

	(void)answer;
	w->answered++;
}

static uint64_t mud_number(void *ctx)
{
	(void)ctx;
	return 77;
}

static void mud_lost(void *ctx, enum wire_status status, const char *reason)
{
	(void)status;
	(void)reason;
	((struct world *)ctx)->lost = true;
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		  const char *detail)
{
	(void)ctx;
	(void)session;
	(void)kind;
	(void)number;
	(void)detail;
}

static const struct mud_session_ops mud_ops = {
	.to_ap = mud_to_ap,
	.answer = mud_answer,
	.number = mud_number,
	.lost = mud_lost,
	.event = event,
};

static void ap_to_mud(void *ctx, uint64_t link, const struct wire_message *m)
{
	struct world *w = ctx;

	assert_int_equal(link, LINK);
	keep(w->to_mud, &w->to_mud_count, m);
}

static void ap_to_es(void *ctx, const char *es, const struct wire_message *m)
{
	struct world *w = ctx;

	(void)es;
	keep(w->to_es, &w->to_es_count, m);
}

static void ap_to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	(void)ctx;
	(void)ap;
	(void)m;
}

static void random_bytes(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	memset(bytes, 42, len);
}

static const struct ap_node_ops ap_ops = { ap_to_mud, ap_to_es, ap_to_ap, random_bytes, event };

static void edge_server_answers(struct world *w, const struct wire_message *m)
{
	struct wire_message a = {
		.type = WIRE_STATUS,
		.session = m->session,
		.association = m->association,
		.epoch = 1,
		.es_status = { .state = WIRE_ES_ACTIVE, .executed = w->executed, .secret = { 42 } }
	};

	if (m->type == WIRE_REQUEST) {
		if (m->data.number == w->executed + 1)
			w->executed++;
		if (m->data.number > w->executed)
			return;
		a.type = WIRE_ANSWER;
		a.data = (struct wire_data){ .number = m->data.number,
					     .bytes = answer_bytes,
					     .len = sizeof(answer_bytes) };
		a.data.digest = replay_digest(&a.data);
	} else {
		memset(a.es_status.secret, 42, WIRE_SECRET_SIZE);
	}
	ap_node_es_message(w->ap, w->now, "ES-2", &a);
}

/* Requests and answers here are constants, so messages may be kept beyond the call that brought them. */
static void turn(struct world *w)
{
	static const struct wire_data request = { .bytes = answer_bytes, .len = 3 };
	uint64_t number;

	w->now += 500;
	if (w->sent < REQUESTS && mud_session_request(w->mud, w->now, &request, &number, NULL) == 0)
		w->sent++;
	mud_session_tick(w->mud, w->now);
	for (size_t i = 0; i < w->to_ap_count; i++) {
		if (w->to_ap[i].type == WIRE_REQUEST)
			w->to_ap[i].data.bytes = answer_bytes;
		ap_node_mud_message(w->ap, w->now, LINK, "USER", &w->to_ap[i]);
	}
	w->to_ap_count = 0;
	ap_node_tick(w->ap, w->now);
	for (size_t i = 0; i < w->to_es_count; i++)
		edge_server_answers(w, &w->to_es[i]);
	w->to_es_count = 0;
	for (size_t i = 0; i < w->to_mud_count; i++)
		mud_session_message(w->mud, w->now, "AP-2", &w->to_mud[i]);
	w->to_mud_count = 0;
}

static void test_each_allocation_fails(void **state)
{
	struct policy policy = policy_default();
	bool struck = true;

	(void)state;
	for (unsigned int n = 1; struck; n++) {
		struct world w = { .now = 1000 };

		assert_true(n < 1000);
		faults_memory(n);
		int r = mud_session_new(&w.mud, "USER", "offload", &policy, proof, &mud_ops, &w,
					NULL);
		if (r == 0)
			r = ap_node_new(&w.ap, "AP-2", "ES-2", &policy, proof, &ap_ops, &w, NULL);
		if (r == 0) {
			mud_session_move(w.mud, w.now, "AP-2");
			mud_session_up(w.mud, w.now, "AP-2");
			for (int i = 0; i < 60 && w.answered < REQUESTS; i++)
				turn(&w);
			assert_false(w.lost);
			assert_int_equal(w.answered, REQUESTS);
			assert_int_equal(w.executed, REQUESTS);
		}
		struck = faults_off();
		ap_node_free(w.ap);
		mud_session_free(w.mud);
	}
}

/* --- an offer to an edge server ---------------------------------------------------------------- */

static bool service_known(void *ctx, const char *service)
{
	(void)ctx;
	(void)service;
	return true;
}

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	(void)ctx;
	(void)record;
	(void)cache;
	(void)what;
	(void)err;
	return 0;
}

static const struct es_node_ops es_ops = {
	.service_known = service_known,
	.persist = persist,
	.event = event,
};

static void take_state(void *ctx, const struct es_session_view *v)
{
	*(enum wire_es_state *)ctx = v->record.state;
}

/* A node that knows of a session where it went */
static struct es_node *knows_of_one(const struct policy *policy)
{
	const struct es_record record = {
		.session = 77,
		.association = 1,
		.epoch = 1,
		.container_epoch = 1,
		.state = WIRE_ES_RETIRED,
		.service = "offload",
		.ap = "AP-1",
		.peer = "ES-2",
	};
	struct es_node *node = NULL;

	assert_int_equal(es_node_new(&node, "ES-1", policy, proof, &es_ops, NULL, NULL), 0);
	assert_int_equal(es_node_restore(node, 0, &record, "", 0, ES_CONTAINER_RUNS, NULL), 0);
	return node;
}

/* R7: an offer that is refused leaves what was known of the session */
static void test_offer_without_memory(void **state)
{
	const struct wire_message offer = {
		.type = WIRE_TRANSFER_OFFER,
		.session = 77,
		.association = 2,
		.epoch = 2,
		.offer = { .service = "offload", .from_es = "ES-2", .ap = "AP-1" },
	};
	struct policy policy = policy_default();
	unsigned int refused = 0;
	bool accepted = false;

	(void)state;
	for (unsigned int n = 1; !accepted; n++) {
		struct es_node *node = knows_of_one(&policy);
		enum wire_es_state now = WIRE_ES_NONE;
		const char *reason;

		faults_memory(n);
		accepted = es_node_offered(node, 1, "ES-2", &offer, &reason);
		assert_int_equal(faults_off(), !accepted);
		es_node_each(node, take_state, &now);
		assert_int_equal(now, accepted ? WIRE_ES_ARRIVING : WIRE_ES_RETIRED);
		refused += !accepted;
		es_node_free(node);
	}
	assert_true(refused >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_offer_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
