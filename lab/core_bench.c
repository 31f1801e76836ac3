/* SPDX-License-Identifier: Apache-2.0 */

/*
 * core_bench - processor time of a request in the cores of access point and edge server, beside idle sessions
 *
 *	core_bench IDLE ACTIVE MS BYTES
 *
 * One access point and one edge server, as the daemons link them, without sockets, files and containers: a message
 * is a call in the next turn. ACTIVE sessions send requests in turn, for MS of processor time; IDLE others do nothing. Each message is a turn of
 * a loop of its own, after which the loop asks for the next deadline, as the daemons do. Prints a JSON object.
 *
 * lab/bench_core compares builds with it.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/ap/node.h"
#include "core/es/node.h"
#include "wire/message.h"

#define QUEUE 16

/* One message or call under way; its bytes are borrowed, and stay until it was handled */
struct under_way {
	enum { TO_ES, TO_AP, CREATED, EXECUTED } kind;
	uint64_t session;
	uint32_t epoch;
	struct wire_message message;
};

struct world {
	struct ap_node *ap;
	struct es_node *es;
	uint64_t now;
	struct under_way queue[QUEUE];
	size_t first;
	size_t count;
	bool measuring; /* only then the loop looks for deadlines: with many sessions it takes long */
	uint64_t answers;
	uint64_t associated;
	uint8_t *bytes;
};

static struct under_way *enqueue(struct world *w)
{
	if (w->count == QUEUE) {
		(void)fprintf(stderr, "core_bench: too many messages at once\n");
		exit(1);
	}
	return &w->queue[(w->first + w->count++) % QUEUE];
}

/* --- operations of the access point ------------------------------------------------------------ */

static void to_mud(void *ctx, uint64_t link, const struct wire_message *m)
{
	struct world *w = ctx;

	(void)link;
	w->answers += m->type == WIRE_ANSWER;
	w->associated += m->type == WIRE_ASSOCIATION_RESPONSE;
}

static void to_es(void *ctx, const char *es, const struct wire_message *m)
{
	(void)es;
	*enqueue(ctx) = (struct under_way){ .kind = TO_ES, .message = *m };
}

static void fill_random(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	memset(bytes, 7, len);
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

static const struct ap_node_ops ap_ops = {
	.to_mud = to_mud,
	.to_es = to_es,
	.to_ap = to_es,
	.random = fill_random,
	.event = event,
};

/* --- operations of the edge server ------------------------------------------------------------- */

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	(void)ap;
	*enqueue(ctx) = (struct under_way){ .kind = TO_AP, .message = *m };
}

static bool service_known(void *ctx, const char *service)
{
	(void)ctx;
	(void)service;
	return true;
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	(void)service;
	*enqueue(ctx) = (struct under_way){ .kind = CREATED, .session = session, .epoch = epoch };
}

static void execute(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *request)
{
	*enqueue(ctx) = (struct under_way){ .kind = EXECUTED,
					    .session = session,
					    .epoch = epoch,
					    .message = { .data = *request } };
}

static uint64_t protection(void *ctx, const char *service)
{
	(void)ctx;
	(void)service;
	return 0;
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
	.to_ap = to_ap,
	.service_known = service_known,
	.create_container = create_container,
	.execute = execute,
	.protection = protection,
	.persist = persist,
	.event = event,
};

/* --- the loop ---------------------------------------------------------------------------------- */

static void prove(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	(void)secret;
	(void)session;
	(void)association;
	(void)ap;
	memset(proof, 1, WIRE_PROOF_SIZE);
}

static void answer(struct world *w, const struct under_way *u)
{
	const struct wire_data answer = {
		.number = u->message.data.number,
		.digest = 1,
		.bytes = w->bytes,
		.len = u->message.data.len,
	};

	es_node_executed(w->es, w->now, u->session, u->epoch, &answer);
}

static void settle(struct world *w)
{
	while (w->count) {
		const struct under_way u = w->queue[w->first];

		w->first = (w->first + 1) % QUEUE;
		w->count--;
		switch (u.kind) {
		case TO_ES:
			es_node_message(w->es, w->now, "AP", &u.message);
			break;
		case TO_AP:
			ap_node_es_message(w->ap, w->now, "ES", &u.message);
			break;
		case CREATED:
			es_node_created(w->es, w->now, u.session, u.epoch, NULL);
			break;
		case EXECUTED:
			answer(w, &u);
			break;
		}
		if (w->measuring &&
		    (ap_node_deadline(w->ap) < w->now || es_node_deadline(w->es) < w->now)) {
			(void)fprintf(stderr, "core_bench: a deadline has passed\n");
			exit(1);
		}
	}
}

static uint64_t number_of(uint64_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15u;
}

static void associate(struct world *w, uint64_t i)
{
	char mud[NAME_SIZE] = { 0 };
	struct wire_message m = { .type = WIRE_ASSOCIATION_REQUEST,
				  .session = number_of(i),
				  .association = 1 };

	(void)snprintf(mud, sizeof(mud), "MUD-%" PRIu64, i);
	memcpy(m.association_request.mud, mud, NAME_SIZE);
	(void)snprintf(m.association_request.service, NAME_SIZE, "service");
	ap_node_mud_message(w->ap, w->now, i + 1, mud, &m);
	settle(w);
}

static void request(struct world *w, uint64_t i, uint64_t number, const uint8_t *bytes, size_t len)
{
	const struct wire_message m = {
		.type = WIRE_REQUEST,
		.session = number_of(i),
		.association = 1,
		.data = { .number = number, .ack = number - 1, .bytes = bytes, .len = len },
	};

	ap_node_mud_message(w->ap, w->now, i + 1, "MUD", &m);
	settle(w);
}

static double cpu_seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct world w = { .now = 1000 };
	struct policy policy = policy_default();

	if (argc != 5) {
		(void)fprintf(stderr, "usage: core_bench IDLE ACTIVE MS BYTES\n");
		return 2;
	}
	uint64_t idle = strtoull(argv[1], NULL, 10);
	uint64_t active = strtoull(argv[2], NULL, 10);
	double enough = strtod(argv[3], NULL) / 1e3;
	uint64_t requests = 0;
	size_t len = strtoull(argv[4], NULL, 10);
	uint8_t *bytes = calloc(len + 1, 1);
	w.bytes = bytes;

	policy.sessions_max = (uint32_t)(2 * (idle + active) + 8);
	if (!bytes || !active ||
	    ap_node_new(&w.ap, "AP", "ES", &policy, prove, &ap_ops, &w, NULL) < 0 ||
	    es_node_new(&w.es, "ES", &policy, prove, &es_ops, &w, NULL) < 0)
		return 1;
	for (uint64_t i = 0; i < active + idle; i++)
		associate(&w, i);
	w.measuring = true;
	(void)ap_node_deadline(w.ap);
	(void)es_node_deadline(w.es);
	double begin = cpu_seconds();
	double seconds = 0;
	for (uint64_t n = 1; seconds < enough; n++) {
		for (uint64_t i = 0; i < active; i++)
			request(&w, i, n, bytes, len);
		requests += active;
		seconds = cpu_seconds() - begin;
	}
	if (w.associated != active + idle || w.answers != requests) {
		(void)fprintf(stderr, "core_bench: %" PRIu64 " associations, %" PRIu64 " answers\n",
			      w.associated, w.answers);
		return 1;
	}
	(void)printf("{\"idle\": %" PRIu64 ", \"active\": %" PRIu64 ", \"requests\": %" PRIu64
		     ", \"bytes\": %zu, \"us_per_request\": %.3f}\n",
		     idle, active, requests, len, seconds * 1e6 / (double)requests);
	es_node_free(w.es);
	ap_node_free(w.ap);
	free(bytes);
	return 0;
}
