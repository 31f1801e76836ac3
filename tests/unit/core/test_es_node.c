/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "core/es/node.h"

#define LOG_MAX (WIRE_WINDOW + 512)
#define S       77 /* the session */

/* what the node asked of the world */
struct world {
	struct wire_message sent[LOG_MAX];
	char to[LOG_MAX][NAME_SIZE];
	size_t sent_count;
	uint64_t executing[LOG_MAX];
	size_t executing_count;
	unsigned int created, removed, migrations, cuts, delayed, cancelled, forgotten, resumed;
	unsigned int starts;
	bool may_not_start;
	int exit_code;
	bool holds;
	bool under_way;
	uint32_t removed_epoch;
	struct es_migration_order order;
	uint64_t cut_number;
	size_t cut_cached;
	struct es_record record;
	struct buf cache;
	uint64_t started_when_executed;
	bool disk_full;
	unsigned int writes;
	enum es_persist written;
	struct es_node *node;
};

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct world *w = ctx;

	assert_true(w->sent_count < LOG_MAX);
	w->sent[w->sent_count] = *m;
	(void)snprintf(w->to[w->sent_count++], NAME_SIZE, "%s", ap);
}

static bool service_known(void *ctx, const char *service)
{
	(void)ctx;
	return strcmp(service, "offload") == 0;
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	(void)session;
	(void)epoch;
	(void)service;
	((struct world *)ctx)->created++;
}

static void remove_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct world *w = ctx;

	(void)session;
	w->removed++;
	w->removed_epoch = epoch;
}

static bool may_start(void *ctx, const char *service, int exit_code, uint32_t tries)
{
	struct world *w = ctx;

	(void)service;
	(void)tries;
	w->exit_code = exit_code;
	return !w->may_not_start;
}

static void start_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	(void)session;
	(void)epoch;
	assert_string_equal(service, "offload");
	((struct world *)ctx)->starts++;
}

/* R6: as the test says; a service that begins to differ */
static bool hold(void *ctx, const char *service, bool diverged)
{
	const struct world *w = ctx;

	(void)service;
	return w->holds || diverged;
}

static void resume_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct world *w = ctx;

	(void)session;
	(void)epoch;
	w->resumed++;
}

static void execute(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *request)
{
	struct world *w = ctx;

	(void)session;
	(void)epoch;
	w->executing[w->executing_count++] = request->number;
	w->started_when_executed = w->record.started;
}

static bool under_way(void *ctx, uint64_t session, uint32_t epoch)
{
	(void)session;
	(void)epoch;
	return ((struct world *)ctx)->under_way;
}

static void migrate(void *ctx, const struct es_migration_order *order)
{
	struct world *w = ctx;

	w->migrations++;
	w->order = *order;
}

static void take_cut(void *ctx, uint64_t session, uint64_t number, const struct answer_cache *cache)
{
	struct world *w = ctx;

	(void)session;
	w->cuts++;
	w->cut_number = number;
	w->cut_cached = answer_cache_count(cache);
}

static void cut_delayed(void *ctx, uint64_t session, const char *reason)
{
	(void)session;
	assert_non_null(reason);
	((struct world *)ctx)->delayed++;
}

static void cancel_migration(void *ctx, uint64_t session, const char *reason)
{
	(void)session;
	assert_non_null(reason);
	((struct world *)ctx)->cancelled++;
}

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	struct world *w = ctx;

	w->writes++;
	w->written = what;
	if (w->disk_full)
		return err_set(err, -ENOSPC, "append 24 bytes");
	/* as the journal does: it cannot append an answer that the user has confirmed */
	if (what == ES_PERSIST_ANSWER &&
	    answer_cache_get(cache, record->executed, &(struct wire_data){ 0 }))
		return err_set(err, -EINVAL, "the answer is not in the cache");
	w->record = *record;
	buf_consume(&w->cache, w->cache.len);
	assert_int_equal(answer_cache_encode(cache, &w->cache, NULL), 0);
	return 0;
}

static void forget(void *ctx, uint64_t session)
{
	(void)session;
	((struct world *)ctx)->forgotten++;
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t n, const char *detail)
{
	(void)ctx;
	(void)session;
	(void)kind;
	(void)n;
	(void)detail;
}

static const struct es_node_ops ops = {
	.to_ap = to_ap,
	.service_known = service_known,
	.hold = hold,
	.resume_container = resume_container,
	.create_container = create_container,
	.remove_container = remove_container,
	.may_start = may_start,
	.start_container = start_container,
	.execute = execute,
	.migrate = migrate,
	.under_way = under_way,
	.take_cut = take_cut,
	.cut_delayed = cut_delayed,
	.cancel_migration = cancel_migration,
	.persist = persist,
	.forget = forget,
	.event = event,
};

static void proof(uint8_t *to, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	memset(to, 0, WIRE_PROOF_SIZE);
	(void)snprintf((char *)to, WIRE_PROOF_SIZE, "%u %llu %u %s", secret[0],
		       (unsigned long long)session, association, ap);
}

/* --- short words for messages ------------------------------------------------------------------ */

static struct wire_message message(enum wire_type type, uint32_t association, uint32_t epoch)
{
	return (struct wire_message){
		.type = type, .session = S, .association = association, .epoch = epoch
	};
}

static void say(struct world *w, const char *ap, struct wire_message m)
{
	es_node_message(w->node, 0, ap, &m);
}

static void command(struct world *w, enum wire_type type, uint32_t epoch)
{
	say(w, "AP-1", message(type, 1, epoch));
}

static void request(struct world *w, uint32_t epoch, uint64_t number, uint64_t ack)
{
	struct wire_message m = message(WIRE_REQUEST, 1, epoch);

	m.data = (struct wire_data){
		.number = number, .ack = ack, .bytes = (const uint8_t *)"q", .len = 1
	};
	say(w, "AP-1", m);
}

static void executed(struct world *w, uint32_t epoch, uint64_t number)
{
	const struct wire_data answer = {
		.number = number, .digest = 1, .bytes = (const uint8_t *)"a", .len = 1
	};

	es_node_executed(w->node, 0, S, epoch, &answer);
}

static void attach(struct world *w, const char *ap, uint32_t association, uint8_t secret)
{
	struct wire_message m = message(WIRE_ATTACH, association, 0);

	(void)snprintf(m.attach.ap, NAME_SIZE, "%s", ap);
	proof(m.attach.proof, &secret, S, association, ap);
	say(w, ap, m);
}

static void order_migration(struct world *w, const char *to_es, const char *ap,
			    uint32_t association)
{
	struct wire_message m = message(WIRE_MIGRATE, association, 0);
	uint8_t secret = 42;

	(void)snprintf(m.migrate.to_es, NAME_SIZE, "%s", to_es);
	(void)snprintf(m.migrate.ap, NAME_SIZE, "%s", ap);
	proof(m.migrate.proof, &secret, S, association, ap);
	say(w, ap, m);
}

static const struct wire_message *last(const struct world *w)
{
	assert_true(w->sent_count > 0);
	return &w->sent[w->sent_count - 1];
}

static size_t count(const struct world *w, enum wire_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < w->sent_count; i++)
		n += w->sent[i].type == type;
	return n;
}

static void take_view(void *ctx, const struct es_session_view *v)
{
	*(struct es_session_view *)ctx = *v;
}

static struct es_session_view view(const struct world *w)
{
	struct es_session_view v = { 0 };

	es_node_each(w->node, take_view, &v);
	return v;
}

static void start(struct world *w)
{
	struct policy policy = policy_default();

	memset(w, 0, sizeof(*w));
	buf_init(&w->cache, 0);
	assert_int_equal(es_node_new(&w->node, "ES-1", &policy, proof, &ops, w, NULL), 0);
}

static void finish(struct world *w)
{
	w->node = es_node_free(w->node);
	buf_deinit(&w->cache);
}

static void create(struct world *w, const char *service)
{
	struct wire_message m = message(WIRE_CREATE, 1, 0);

	(void)snprintf(m.create.mud, NAME_SIZE, "USER");
	(void)snprintf(m.create.service, NAME_SIZE, "%s", service);
	(void)snprintf(m.create.ap, NAME_SIZE, "AP-1");
	m.create.secret[0] = 42;
	say(w, "AP-1", m);
}

static void active(struct world *w)
{
	start(w);
	create(w, "offload");
	es_node_created(w->node, 0, S, 1, NULL);
	assert_int_equal(last(w)->type, WIRE_CREATED);
}

/* --- creating ---------------------------------------------------------------------------------- */

static void test_create(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	create(&w, "other");
	assert_int_equal(last(&w)->type, WIRE_FAILED);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_UNKNOWN_SERVICE);
	create(&w, "offload");
	assert_int_equal(w.created, 1);
	assert_int_equal(w.record.state, WIRE_ES_CREATING);
	create(&w, "offload"); /* again: the answer was lost */
	assert_int_equal(w.created, 1);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	es_node_created(w.node, 0, S, 1, NULL);
	assert_int_equal(last(&w)->type, WIRE_CREATED);
	assert_int_equal(last(&w)->epoch, 1);
	assert_int_equal(w.record.state, WIRE_ES_ACTIVE);
	finish(&w);
}

static void test_create_fails(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	create(&w, "offload");
	es_node_created(w.node, 0, S, 1, "no such image");
	assert_int_equal(last(&w)->type, WIRE_FAILED);
	assert_string_equal(last(&w)->es_status.reason, "no such image");
	assert_int_equal(w.removed, 1); /* it may be there all the same */
	es_node_removed(w.node, S, 1);
	assert_int_equal(w.forgotten, 1);
	assert_int_equal(view(&w).record.session, 0); /* R10: nothing is left */
	finish(&w);
}

static void fenced(struct world *w);

/* R10: a removal that failed, or whose answer got lost, is tried again until it succeeded */
static void test_removal_fails(void **state)
{
	struct policy p = policy_default();
	struct world w;

	(void)state;
	fenced(&w);
	command(&w, WIRE_RETIRE, 1);
	for (unsigned int i = 1; i < 9; i++) {
		assert_int_equal(w.removed, i);
		es_node_not_removed(w.node, i * 60000, S, 1, "the engine does not answer");
		uint64_t due = es_node_deadline(w.node);
		assert_true(due > i * 60000 && due <= i * 60000 + p.backoff_max_ms);
		es_node_tick(w.node, due);
	}
	es_node_removed(w.node, S, 1);
	assert_true(es_node_deadline(w.node) >= p.idle_ms);
	finish(&w);
}

/* R11: a repeated CREATE tells the secret to its creator only */
static void test_create_by_another(void **state)
{
	struct world w;
	struct wire_message m = message(WIRE_CREATE, 1, 0);

	(void)state;
	active(&w);
	(void)snprintf(m.create.mud, NAME_SIZE, "USER");
	say(&w, "AP-9", m);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	assert_int_equal(last(&w)->es_status.secret[0], 0);
	finish(&w);
}

/* R9: a limit on sessions, with a clear answer */
static void test_too_many(void **state)
{
	struct world w = { 0 };
	struct policy policy = policy_default();

	(void)state;
	policy.sessions_max = 1;
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	create(&w, "offload");
	struct wire_message m = message(WIRE_CREATE, 1, 0);
	m.session = S + 1;
	(void)snprintf(m.create.service, NAME_SIZE, "offload");
	say(&w, "AP-1", m);
	assert_int_equal(last(&w)->type, WIRE_FAILED);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_BUSY);
	finish(&w);
}

static void create_as(struct world *w, uint64_t session, const char *mud, const char *ap)
{
	struct wire_message m = message(WIRE_CREATE, 1, 0);

	m.session = session;
	(void)snprintf(m.create.mud, NAME_SIZE, "%s", mud);
	(void)snprintf(m.create.service, NAME_SIZE, "offload");
	w->sent_count = 0;
	say(w, ap, m);
}

static bool refused_as_busy(const struct world *w)
{
	return w->sent_count && w->sent[w->sent_count - 1].type == WIRE_FAILED &&
	       w->sent[w->sent_count - 1].es_status.status == WIRE_E_BUSY;
}

/* R9: no device and no access point gets all sessions; who is refused is told what, how many, and what to do */
static void test_shares(void **state)
{
	struct world w = { 0 };
	struct policy policy = policy_default();
	struct wire_message m = message(WIRE_TRANSFER_OFFER, 1, 1);
	const char *reason;
	char mud[NAME_SIZE];

	(void)state;
	policy.sessions_max = 64;
	assert_int_equal(policy_device_share(&policy), 8);
	assert_int_equal(policy_ap_share(&policy), 48);
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	for (uint64_t i = 0; i < 8; i++) {
		create_as(&w, 1000 + i, "MUD-1", "AP-1");
		assert_false(refused_as_busy(&w));
	}
	create_as(&w, 1999, "MUD-1", "AP-2");
	assert_true(refused_as_busy(&w));
	assert_string_equal(last(&w)->es_status.reason,
			    "MUD-1 has 8 sessions at ES-1, its share of sessions_max (64): end "
			    "some, or raise sessions_max");
	/* nor do others bring it more: but what they bring counts only when it has authority */
	m.session = 1999;
	(void)snprintf(m.offer.mud, NAME_SIZE, "MUD-1");
	(void)snprintf(m.offer.service, NAME_SIZE, "offload");
	(void)snprintf(m.offer.from_es, NAME_SIZE, "ES-9");
	(void)snprintf(m.offer.ap, NAME_SIZE, "AP-3");
	assert_false(es_node_offered(w.node, 0, "ES-9", &m, &reason));
	assert_non_null(strstr(reason, "MUD-1 has 8 sessions"));
	for (uint64_t i = 0; i < 8; i++) {
		m.session = 5000 + i;
		(void)snprintf(m.offer.mud, NAME_SIZE, "MUD-9");
		assert_true(es_node_offered(w.node, 0, "ES-9", &m, &reason));
	}
	create_as(&w, 5999, "MUD-9", "AP-3");
	assert_false(refused_as_busy(&w));
	for (uint64_t i = 8; i < 48; i++) {
		(void)snprintf(mud, sizeof(mud), "MUD-%u", (unsigned int)(100 + i));
		create_as(&w, 1000 + i, mud, "AP-1");
		assert_false(refused_as_busy(&w));
	}
	create_as(&w, 2000, "MUD-2", "AP-1");
	assert_true(refused_as_busy(&w));
	assert_non_null(strstr(last(&w)->es_status.reason, "AP-1 has 48 sessions at ES-1"));
	create_as(&w, 2000, "MUD-2", "AP-2");
	assert_false(refused_as_busy(&w));
	finish(&w);
	/* a small node has no shares to speak of */
	policy.sessions_max = 2;
	assert_int_equal(policy_device_share(&policy), 2);
	assert_int_equal(policy_ap_share(&policy), 2);
}

/* --- executing --------------------------------------------------------------------------------- */

/* R1: in number order, one at a time, written down before the container sees it */
static void test_order(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, 0);
	request(&w, 1, 1, 0);
	assert_int_equal(w.executing_count, 1);
	assert_int_equal(w.executing[0], 1);
	assert_int_equal(w.started_when_executed, 1);
	executed(&w, 1, 1);
	assert_int_equal(w.executing_count, 2);
	assert_int_equal(w.executing[1], 2);
	assert_int_equal(w.record.executed, 1);
	executed(&w, 1, 2);
	assert_int_equal(count(&w, WIRE_ANSWER), 2);
	assert_int_equal(last(&w)->data.number, 2);
	finish(&w);
}

/* R1: what was executed is answered from the cache, never executed again */
static void test_duplicates(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	request(&w, 1, 1, 0); /* while it runs */
	executed(&w, 1, 1);
	request(&w, 1, 1, 0);
	assert_int_equal(w.executing_count, 1);
	assert_int_equal(count(&w, WIRE_ANSWER), 2);
	assert_int_equal(last(&w)->data.number, 1);
	assert_int_equal(last(&w)->data.len, 1);
	request(&w, 1, 2, 1); /* the device has the answer to 1: it may be forgotten */
	executed(&w, 1, 2);
	size_t before = w.sent_count;
	request(&w, 1, 1, 1);
	assert_int_equal(w.sent_count, before);
	assert_int_equal(w.executing_count, 2);
	finish(&w);
}

/* R9: no more than the window is kept */
static void test_beyond_the_window(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, WIRE_WINDOW + 1, 0);
	assert_int_equal(view(&w).queued, 0);
	for (uint64_t n = 2; n <= WIRE_WINDOW; n++)
		request(&w, 1, n, 0);
	assert_int_equal(view(&w).queued, WIRE_WINDOW - 1);
	finish(&w);
}

static void test_wrong_epoch(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 2, 1, 0);
	request(&w, 0, 1, 0);
	assert_int_equal(w.executing_count, 0);
	request(&w, 1, 1, 0);
	executed(&w, 2, 1); /* of another container */
	assert_int_equal(count(&w, WIRE_ANSWER), 0);
	assert_int_equal(w.record.executed, 0);
	finish(&w);
}

/* What is no request for the service has a number all the same, and is not judged twice. */
static void test_refused(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	es_node_refused(w.node, 0, S, 1, 1, "no newline");
	assert_int_equal(last(&w)->type, WIRE_ANSWER);
	assert_int_equal(last(&w)->data.status, WIRE_E_PROTOCOL);
	assert_int_equal(last(&w)->data.len, 10);
	request(&w, 1, 1, 0);
	assert_int_equal(w.executing_count, 1);
	assert_int_equal(last(&w)->data.status, WIRE_E_PROTOCOL);
	assert_int_equal(last(&w)->data.len, 10);
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, 2);
	assert_string_equal(es_node_service(w.node, S + 1), "");
	finish(&w);
}

/* R1: a broken connection to the container leaves doubt, and no second try */
static void test_in_doubt(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	es_node_in_doubt(w.node, 0, S, 1, 1);
	assert_int_equal(last(&w)->type, WIRE_ANSWER);
	assert_int_equal(last(&w)->data.status, WIRE_E_IN_DOUBT);
	request(&w, 1, 1, 0);
	assert_int_equal(w.executing_count, 1);
	assert_int_equal(last(&w)->data.status, WIRE_E_IN_DOUBT);
	finish(&w);
}

/** A program about to stop finishes what a container has, and begins nothing (R1) */
static void test_stop(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	assert_false(es_node_busy(w.node));
	request(&w, 1, 1, 0);
	request(&w, 1, 2, 0);
	assert_true(es_node_busy(w.node));
	es_node_stop(w.node);
	assert_true(es_node_busy(w.node));
	executed(&w, 1, 1);
	assert_false(es_node_busy(w.node));
	assert_int_equal(w.record.executed, 1);
	assert_int_equal(w.record.started, 0);
	request(&w, 1, 3, 1);
	assert_false(es_node_busy(w.node));
	finish(&w);
}

static void test_container_dies(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	es_node_container_died(w.node, 0, S, 1, 137, "exit 137");
	assert_int_equal(last(&w)->type, WIRE_LOST);
	assert_string_equal(last(&w)->es_status.reason, "exit 137");
	assert_int_equal(last(&w)->es_status.status, WIRE_OK);
	assert_string_equal(last(&w)->es_status.peer, "");
	assert_int_equal(w.record.state, WIRE_ES_LOST);
	assert_int_equal(w.removed, 0); /* R15: its data stay */
	assert_int_equal(
		w.starts,
		0); /* a replica elsewhere may be the better one: its access point decides */
	finish(&w);
}

/* --- a container that has ended comes back ------------------------------------------------------- */

static void unfence(struct world *w, uint32_t new_epoch)
{
	struct wire_message m = message(WIRE_UNFENCE, 1, new_epoch - 1);

	m.unfence.new_epoch = new_epoch;
	say(w, "AP-1", m);
}

/* R1, R15: the numbers go on; what was under way is in doubt, and nobody executes it again */
static void test_comes_back(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	executed(&w, 1, 1);
	request(&w, 1, 2, 0);
	es_node_container_died(w.node, 1000, S, 1, 137, "exit 137");
	assert_int_equal(w.record.started, 2);
	assert_false(es_node_busy(w.node));
	unfence(&w, 2);
	assert_int_equal(last(&w)->type, WIRE_UNFENCED);
	assert_int_equal(w.exit_code, 137);
	assert_int_equal(w.starts, 1);
	assert_true(view(&w).starting);
	assert_int_equal(w.record.executed, 2);
	assert_int_equal(w.record.started, 0);
	size_t before = w.executing_count;
	request(&w, 2, 3, 0);
	assert_int_equal(w.executing_count, before);
	assert_int_equal(last(&w)->type,
			 WIRE_REFUSED); /* its user does not wait without a word (R9) */
	assert_non_null(strstr(last(&w)->es_status.reason, "exit 137"));
	es_node_started(w.node, 1500, S, 1, ES_START_DONE, NULL);
	assert_int_equal(w.executing_count, before + 1);
	assert_int_equal(view(&w).restarts, 1);
	assert_int_equal(view(&w).memory_from, 2);
	executed(&w, 1, 3);
	request(&w, 2, 2, 0);
	assert_int_equal(last(&w)->data.status, WIRE_E_IN_DOUBT);
	finish(&w);
}

/* R15: one that ends at once is started after pauses that grow; an engine that is away is asked again soon */
static void test_start_pauses(void **state)
{
	struct policy p = policy_default();
	struct world w;

	(void)state;
	active(&w);
	es_node_container_died(w.node, 0, S, 1, 1, "exit 1");
	unfence(&w, 2);
	assert_int_equal(w.starts, 1);
	es_node_started(w.node, 10, S, 1, ES_START_AWAY, "no engine");
	assert_int_equal(es_node_deadline(w.node), 10 + p.retry_ms);
	es_node_tick(w.node, 10 + p.retry_ms);
	assert_int_equal(w.starts, 2);
	es_node_started(w.node, 1000, S, 1, ES_START_FAILED, "exit 1");
	es_node_tick(w.node, 1000 + p.backoff_ms);
	es_node_started(w.node, 2000, S, 1, ES_START_AWAY,
			"no engine"); /* it was the engine's end */
	es_node_tick(w.node, 2000 + p.retry_ms);
	es_node_started(w.node, 3000, S, 1, ES_START_FAILED, "exit 1");
	assert_int_equal(es_node_deadline(w.node), 3000 + p.backoff_ms);
	es_node_tick(w.node, 3000 + p.backoff_ms);
	es_node_started(w.node, 4000, S, 1, ES_START_DONE, NULL);
	es_node_container_died(w.node, 5000, S, 1, 1,
			       "exit 1"); /* soon: the pause goes on growing */
	unfence(&w, 3);
	assert_int_equal(w.starts, 5);
	assert_int_equal(es_node_deadline(w.node),
			 2 * p.backoff_ms); /* the test's messages come at 0 */
	finish(&w);
}

/* R15: a service that does not want it stays where it is, with its data, until somebody says otherwise */
static void test_may_not_start(void **state)
{
	struct world w;
	struct err err = { 0 };

	(void)state;
	active(&w);
	w.may_not_start = true;
	assert_int_equal(es_node_allow_start(w.node, S, &err), -EALREADY);
	es_node_container_died(w.node, 0, S, 1, 0, "exit 0");
	unfence(&w, 2);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_LOST);
	assert_int_equal(w.starts + w.removed, 0);
	assert_int_equal(es_node_allow_start(w.node, 5, &err), -ENOENT);
	assert_int_equal(es_node_allow_start(w.node, S, &err), 0);
	unfence(&w, 2);
	assert_int_equal(w.starts, 1);
	es_node_started(w.node, 10, S, 1, ES_START_FAILED, "exit 0");
	assert_int_equal(w.record.state, WIRE_ES_LOST);
	assert_int_equal(w.removed, 0);
	finish(&w);
}

/* A container that starts is fenced and retired: what becomes of the start is of no interest */
static void test_retired_while_it_starts(void **state)
{
	struct world w;
	struct wire_message fence = message(WIRE_FENCE, 1, 2);

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	executed(&w, 1, 1);
	es_node_container_died(w.node, 0, S, 1, 137, "exit 137");
	unfence(&w, 2);
	assert_int_equal(w.starts, 1);
	say(&w, "AP-1", fence);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	command(&w, WIRE_RETIRE, 2);
	assert_int_equal(w.removed, 1);
	assert_false(es_node_started(w.node, 10, S, 1, ES_START_GONE, "no such container"));
	assert_int_equal(w.record.state, WIRE_ES_RETIRED);
	es_node_tick(w.node, 60000);
	assert_int_equal(w.starts, 1);
	finish(&w);
}

/* R15: if the data are gone, it is told to be lost, and nobody tries to start it */
static void test_data_gone(void **state)
{
	struct world w;
	struct err err = { 0 };

	(void)state;
	active(&w);
	es_node_container_died(w.node, 0, S, 1, 137, "exit 137");
	unfence(&w, 2);
	es_node_started(w.node, 10, S, 1, ES_START_GONE, "no such container");
	assert_int_equal(last(&w)->type, WIRE_LOST);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_LASTING);
	unfence(&w, 3);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_LOST);
	assert_int_equal(w.starts, 1);
	assert_int_equal(es_node_allow_start(w.node, S, &err), -ENODATA);
	assert_int_equal(es_node_discard(w.node, 20, S, "operator", &err), 0);
	assert_int_equal(w.removed, 0);
	assert_int_equal(view(&w).record.session, 0);
	finish(&w);
}

/* An operator's word: the record stays until the container is gone, or a crash would leave a container of nobody */
static void test_discard(void **state)
{
	struct world w;
	struct err err = { 0 };

	(void)state;
	active(&w);
	assert_int_equal(es_node_discard(w.node, 0, S + 1, "operator", &err), -ENOENT);
	assert_int_equal(es_node_discard(w.node, 0, S, "operator", &err), 0);
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.record.state, WIRE_ES_NONE);
	assert_int_equal(w.forgotten, 0);
	es_node_removed(w.node, S, 1);
	assert_int_equal(w.forgotten, 1);
	finish(&w);
}

/* R4: a container that has ended after its cut names where its replica may be; one that never had a cut does not */
static void test_ended_after_cut(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-1", 1);
	assert_false(w.record.handed);
	es_node_cut_wanted(w.node, 0, S);
	es_node_cut_taken(w.node, 0, S, true);
	assert_true(w.record.handed);
	es_node_container_died(w.node, 0, S, 1, 137, "exit 137");
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_LOST);
	assert_string_equal(last(&w)->es_status.peer, "ES-2");
	command(&w, WIRE_RETIRE, 1);
	assert_int_equal(w.removed, 1);
	finish(&w);
}

/* --- authority --------------------------------------------------------------------------------- */

/* R4: FENCED only when nothing runs any more, and nothing above @after ever runs */
static void test_fence(void **state)
{
	struct world w;
	struct wire_message fence = message(WIRE_FENCE, 1, 1);

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	request(&w, 1, 2, 0);
	request(&w, 1, 3, 0);
	fence.fence.after = 2;
	say(&w, "AP-1", fence);
	assert_int_equal(count(&w, WIRE_FENCED), 0);
	executed(&w, 1, 1);
	executed(&w, 1, 2);
	assert_int_equal(w.executing_count, 2);
	assert_int_equal(last(&w)->type, WIRE_FENCED);
	assert_int_equal(last(&w)->es_status.executed, 2);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	request(&w, 1, 3, 0);
	assert_int_equal(w.executing_count, 2);
	request(&w, 1, 2, 0); /* answers are still there */
	assert_int_equal(last(&w)->type, WIRE_ANSWER);
	say(&w, "AP-1", fence); /* again: it is said again */
	assert_int_equal(last(&w)->type, WIRE_FENCED);
	finish(&w);
}

static void test_fence_of_another_epoch(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	command(&w, WIRE_FENCE, 2);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_int_equal(w.record.state, WIRE_ES_ACTIVE);
	finish(&w);
}

static void fenced(struct world *w)
{
	active(w);
	request(w, 1, 1, 0);
	executed(w, 1, 1);
	command(w, WIRE_FENCE, 1);
	assert_int_equal(last(w)->type, WIRE_FENCED);
}

/* R3, R4: authority comes back under a higher epoch only */
static void test_unfence(void **state)
{
	struct world w;
	struct wire_message m = message(WIRE_UNFENCE, 1, 1);

	(void)state;
	fenced(&w);
	m.unfence.new_epoch = 1;
	say(&w, "AP-1", m);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	m.unfence.new_epoch = UINT32_MAX; /* no move brings it there, and none could follow */
	say(&w, "AP-1", m);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	m.unfence.new_epoch = 3;
	say(&w, "AP-1", m);
	assert_int_equal(last(&w)->type, WIRE_UNFENCED);
	assert_int_equal(w.record.epoch, 3);
	assert_int_equal(w.record.container_epoch, 1); /* the container keeps its name */
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, 1);
	request(&w, 3, 2, 0);
	assert_int_equal(w.executing_count, 2);
	executed(&w, 1, 2);
	assert_int_equal(w.record.executed, 2);
	finish(&w);
}

/* R3: only a fenced container is stopped */
static void test_retire(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	command(&w, WIRE_RETIRE, 1);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_int_equal(w.removed, 0);
	finish(&w);
	fenced(&w);
	command(&w, WIRE_RETIRE, 1);
	assert_int_equal(last(&w)->type, WIRE_RETIRED);
	assert_int_equal(w.removed, 1);
	command(&w, WIRE_RETIRE, 1);
	assert_int_equal(last(&w)->type, WIRE_RETIRED);
	assert_int_equal(w.removed, 1);
	finish(&w);
}

/* --- R11 --------------------------------------------------------------------------------------- */

static void test_proof(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	attach(&w, "AP-rogue", 2, 13);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	assert_int_equal(last(&w)->es_status.secret[0], 0);
	assert_string_equal(w.record.ap, "AP-1");
	attach(&w, "AP-2", 3, 42);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_string_equal(w.record.ap, "AP-2");
	attach(&w, "AP-1", 2, 42); /* a proof of an older association */
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	assert_int_equal(last(&w)->es_status.cut_association, 3);
	attach(&w, "AP-3", 3, 42); /* the number is in use by another */
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	request(&w, 1, 1, 0); /* AP-1 is not in charge any more */
	command(&w, WIRE_RETIRE, 1);
	command(&w, WIRE_FENCE, 1);
	command(&w, WIRE_DISASSOCIATION, 1);
	assert_int_equal(w.executing_count, 0);
	assert_int_equal(w.record.state, WIRE_ES_ACTIVE);
	finish(&w);
}

/* --- cutting: R2, R12 -------------------------------------------------------------------------- */

static struct wire_message migrate_message(const char *ap, uint32_t association, uint8_t secret)
{
	struct wire_message m = message(WIRE_MIGRATE, association, 0);

	(void)snprintf(m.migrate.to_es, NAME_SIZE, "ES-2");
	(void)snprintf(m.migrate.ap, NAME_SIZE, "%s", ap);
	proof(m.migrate.proof, &secret, S, association, ap);
	return m;
}

static const uint8_t no_secret[WIRE_SECRET_SIZE];

static void assert_not_told(const struct world *w, const char *ap)
{
	for (size_t i = 0; i < w->sent_count; i++) {
		if (strcmp(w->to[i], ap) == 0)
			assert_memory_equal(w->sent[i].es_status.secret, no_secret,
					    WIRE_SECRET_SIZE);
	}
}

/* R11: who has a valid certificate, and names the access point in charge, is not that one */
static void test_names_another(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	say(&w, "AP-rogue", migrate_message("AP-1", 1, 13));
	assert_int_equal(w.migrations, 0);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	attach(&w, "AP-2", 2, 42);
	say(&w, "AP-rogue", migrate_message("AP-2", 2, 13));
	say(&w, "AP-1", migrate_message("AP-2", 2, 42)); /* overtaken by AP-2's own word */
	assert_int_equal(w.migrations, 0);
	assert_not_told(&w, "AP-rogue");
	/* a proof that was overheard is of no use to another */
	say(&w, "AP-rogue", migrate_message("AP-3", 3, 42));
	assert_int_equal(w.migrations, 0);
	assert_string_equal(w.record.ap, "AP-2");
	assert_not_told(&w, "AP-rogue");
	finish(&w);
}

/* R11: the one in charge hands over, and is told nothing more from then on */
static void test_hands_over(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	size_t before = w.sent_count;
	say(&w, "AP-1", migrate_message("AP-2", 2, 42));
	assert_int_equal(w.migrations, 1);
	assert_string_equal(w.record.ap, "AP-2");
	assert_true(w.sent_count > before);
	for (size_t i = before; i < w.sent_count; i++) {
		if (strcmp(w.to[i], "AP-1") == 0)
			assert_memory_equal(w.sent[i].es_status.secret, no_secret,
					    WIRE_SECRET_SIZE);
	}
	finish(&w);
}

/* R11: a lie under the number in force does not pass by naming oneself: the proof is looked at */
static void test_proof_under_the_known_number(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	attach(&w, "AP-2", 2, 42);
	attach(&w, "AP-2", 2, 13); /* of a device that claims another's session there */
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	assert_int_equal(last(&w)->es_status.command >> 56, '1'); /* says which: "13 77 ..." */
	finish(&w);
}

/* R11: the maker of a session asks for its secret after the user has left it */
static void test_created_and_gone(void **state)
{
	struct world w;
	struct wire_message m = message(WIRE_CREATE, 2, 0);

	(void)state;
	active(&w);
	attach(&w, "AP-2", 2, 42);
	(void)snprintf(m.create.mud, NAME_SIZE, "USER");
	(void)snprintf(m.create.service, NAME_SIZE, "offload");
	size_t before = w.sent_count;
	say(&w, "AP-1", m);
	assert_int_equal(w.sent_count, before + 1);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	assert_memory_equal(last(&w)->es_status.secret, no_secret, WIRE_SECRET_SIZE);
	finish(&w);
}

static void test_cut(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-2", 2);
	assert_int_equal(w.migrations, 1);
	assert_string_equal(w.order.to_es, "ES-2");
	assert_string_equal(w.order.ap, "AP-2");
	assert_int_equal(w.order.epoch, 1);
	struct wire_message m = message(WIRE_REQUEST, 2, 1);
	for (m.data.number = 1; m.data.number <= 3; m.data.number++)
		say(&w, "AP-2", m);
	es_node_cut_wanted(w.node, 0, S);
	assert_int_equal(w.cuts, 0); /* request 1 runs */
	executed(&w, 1, 1);
	assert_int_equal(w.cuts, 1);
	assert_int_equal(w.cut_number, 1);
	assert_int_equal(w.cut_cached, 1);
	assert_int_equal(w.executing_count, 1); /* nothing runs inside */
	es_node_frozen(w.node, S, 44700);
	es_node_cut_taken(w.node, 0, S, true);
	assert_int_equal(count(&w, WIRE_CUT), 1);
	assert_int_equal(last(&w)->es_status.freeze_us, 44700);
	assert_int_equal(w.executing_count, 2);
	executed(&w, 1, 2);
	es_node_source_finished(w.node, 0, S, NULL, false);
	assert_int_equal(view(&w).migration, WIRE_MIGRATION_NONE);
	assert_int_equal(view(&w).cut, 1);
	assert_int_equal(w.executing_count, 3); /* CT-x serves on */
	finish(&w);
}

/* What an operator wants of the edge server is said, and nothing is refused for it */
static void test_drained(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_false(es_node_drained(w.node));
	es_node_drain(w.node, true);
	es_node_tell(w.node, "AP-1");
	assert_int_equal(last(&w)->type, WIRE_EDGE_STATE);
	assert_true(last(&w)->edge_state.drained);
	create(&w, "offload");
	assert_int_equal(w.created, 1);
	es_node_drain(w.node, false);
	es_node_tell(w.node, "AP-1");
	assert_false(last(&w)->edge_state.drained);
	finish(&w);
}

static void test_drain_limit(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-1", 1);
	request(&w, 1, 1, 0);
	request(&w, 1, 2, 0);
	es_node_cut_wanted(w.node, 0, S);
	assert_true(es_node_deadline(w.node) == policy_default().drain_ms);
	es_node_tick(w.node, policy_default().drain_ms - 1);
	assert_int_equal(w.delayed, 0);
	es_node_tick(w.node, policy_default().drain_ms);
	assert_int_equal(w.delayed, 1);
	assert_int_equal(w.cuts, 0);
	executed(&w, 1, 1); /* it was not cut in two, and the next one follows */
	assert_int_equal(w.cuts, 0);
	assert_int_equal(w.executing_count, 2);
	executed(&w, 1, 2);
	es_node_cut_wanted(w.node, 0, S);
	assert_int_equal(w.cuts, 1);
	finish(&w);
}

/* R12: what is there in part only comes to its end before a cut, new requests or not. */
static void test_parts_delay_a_cut(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-1", 1);
	request(&w, 1, 1, 0);
	executed(&w, 1, 1);
	w.under_way = true;
	es_node_cut_wanted(w.node, 0, S);
	request(&w, 1, 2, 1);
	request(&w, 1, 3, 1);
	executed(&w, 1, 2);
	assert_int_equal(w.executing_count, 3);
	w.under_way = false;
	executed(&w, 1, 3);
	assert_int_equal(w.cuts, 1);
	assert_int_equal(w.cut_number, 3);
	finish(&w);
}

/* Parts of which the rest does not come: a cut waits for drain_ms, and no longer. */
static void test_parts_that_do_not_go_on(void **state)
{
	const uint64_t drain_ms = policy_default().drain_ms;
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-1", 1);
	request(&w, 1, 1, 0);
	w.under_way = true;
	es_node_cut_wanted(w.node, 0, S);
	struct wire_data answer = { .number = 1 };
	es_node_executed(w.node, 1, S, 1, &answer);
	es_node_tick(w.node, drain_ms); /* they went on not so long ago */
	assert_int_equal(w.delayed, 1);
	assert_int_equal(w.cuts, 0);
	es_node_cut_wanted(w.node, drain_ms, S);
	es_node_tick(w.node, 2 * drain_ms - 1);
	assert_int_equal(w.cuts, 0);
	es_node_tick(w.node, 2 * drain_ms);
	assert_int_equal(w.cuts, 1);
	assert_int_equal(w.delayed, 1);
	finish(&w);
}

/* A migration that holds, after its cut at 1 */
static void holding(struct world *w)
{
	active(w);
	w->holds = true;
	order_migration(w, "ES-2", "AP-1", 1);
	assert_true(w->order.hold);
	request(w, 1, 1, 0);
	executed(w, 1, 1);
	es_node_cut_wanted(w->node, 0, S);
	request(w, 1, 2, 0);
	es_node_cut_taken(w->node, 0, S, true);
	assert_int_equal(last(w)->type, WIRE_CUT);
	assert_int_equal(last(w)->es_status.state, WIRE_ES_FENCED);
	assert_true(last(w)->es_status.holding);
	assert_int_equal(w->record.state, WIRE_ES_FENCED);
	assert_int_equal(w->executing_count, 1);
}

/* R4, R6: nothing executes after a cut that holds; if CT-y takes over, CT-x is never resumed */
static void test_hold(void **state)
{
	struct world w;

	(void)state;
	holding(&w);
	es_node_source_finished(w.node, 0, S, NULL, false);
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, 1);
	say(&w, "AP-1", message(WIRE_RETIRE, 1, 1));
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.resumed, 0);
	finish(&w);
}

/* R10: ES-y failed while requests were held: CT-x goes on where it was */
static void test_hold_fails(void **state)
{
	struct wire_message m = message(WIRE_UNFENCE, 1, 1);
	struct world w;

	(void)state;
	holding(&w);
	es_node_source_finished(w.node, 0, S, "ES-2 is gone", false);
	assert_int_equal(last(&w)->type, WIRE_FAILED);
	assert_true(last(&w)->es_status.holding);
	m.unfence.new_epoch = 2;
	say(&w, "AP-1", m);
	assert_int_equal(last(&w)->type, WIRE_UNFENCED);
	assert_int_equal(w.resumed, 1);
	request(&w, 2, 2, 0);
	assert_int_equal(w.executing_count, 2);
	finish(&w);
}

/* R8: while the cut that would hold was taken, the user moved on */
static void test_hold_is_cancelled(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	w.holds = true;
	order_migration(&w, "ES-2", "AP-1", 1);
	es_node_cut_wanted(w.node, 0, S);
	say(&w, "AP-1", message(WIRE_ABORT, 1, 1));
	es_node_cut_taken(w.node, 0, S, true);
	assert_int_equal(w.resumed, 1);
	request(&w, 1, 1, 0);
	assert_int_equal(w.executing_count, 1);
	finish(&w);
}

/* R8: the user went on to where the container is, before the migration that was to follow began */
static void test_no_migration_of_old(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-2", 2);
	order_migration(&w, "ES-3", "AP-3", 3); /* waits for the end of the first one */
	assert_int_equal(w.cancelled, 1);
	attach(&w, "AP-1", 4, 42);
	es_node_source_finished(w.node, 0, S, "cancelled", false);
	assert_int_equal(w.migrations, 1);
	finish(&w);
}

/* R4: what was on its way before authority went and came back is not younger than its source, so it goes anew */
static void test_no_migration_of_an_older_epoch(void **state)
{
	struct wire_message fence = message(WIRE_FENCE, 1, 1);
	struct wire_message unfence = message(WIRE_UNFENCE, 1, 1);
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-1", 1);
	order_migration(&w, "ES-2", "AP-1", 1); /* it is on its way */
	assert_int_equal(w.cancelled, 0);
	say(&w, "AP-1", fence);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	unfence.unfence.new_epoch = 2;
	say(&w, "AP-1", unfence);
	assert_int_equal(w.record.epoch, 2);
	order_migration(&w, "ES-2", "AP-1", 1);
	assert_int_equal(w.cancelled, 1);
	es_node_source_finished(w.node, 0, S, "cancelled", false);
	assert_int_equal(w.migrations, 2);
	assert_int_equal(w.order.epoch, 2);
	finish(&w);
}

/* R6: an access point that saw a copy answer otherwise asks for a migration that holds */
static void test_hold_after_a_difference(void **state)
{
	struct wire_message m = message(WIRE_MIGRATE, 1, 1);
	struct world w;
	uint8_t secret = 42;

	(void)state;
	active(&w);
	(void)snprintf(m.migrate.to_es, NAME_SIZE, "ES-2");
	(void)snprintf(m.migrate.ap, NAME_SIZE, "AP-1");
	proof(m.migrate.proof, &secret, S, 1, "AP-1");
	m.migrate.hold = true;
	say(&w, "AP-1", m);
	assert_int_equal(w.migrations, 1);
	assert_true(w.order.hold);
	finish(&w);
}

/* R10: a migration that fails leaves the service */
static void test_migration_fails(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-1", 1);
	es_node_cut_wanted(w.node, 0, S);
	es_node_cut_taken(w.node, 0, S, false);
	assert_int_equal(count(&w, WIRE_CUT), 0);
	assert_int_equal(w.resumed, 1); /* R17: whatever the cut has left of it */
	es_node_source_finished(w.node, 0, S, "disk full", false);
	assert_int_equal(w.resumed, 2); /* and whatever froze it after that */
	assert_int_equal(last(&w)->es_status.status, WIRE_E_FAILED);
	assert_int_equal(last(&w)->type, WIRE_FAILED);
	assert_string_equal(last(&w)->es_status.reason, "disk full");
	request(&w, 1, 1, 0);
	assert_int_equal(w.executing_count, 1);
	order_migration(&w, "ES-2", "AP-1", 1);
	assert_int_equal(w.migrations, 2);
	es_node_source_finished(w.node, 0, S, "it is privileged", true);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_LASTING);
	order_migration(&w, "ES-2", "AP-1", 1);
	assert_int_equal(last(&w)->es_status.status, WIRE_OK);
	finish(&w);
}

/* R8: to another place in the middle: the first one is dropped, then the second begins */
static void test_moves_on(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-2", "AP-2", 2);
	order_migration(&w, "ES-3", "AP-3", 3);
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.migrations, 1);
	es_node_source_finished(w.node, 0, S, "cancelled", false);
	assert_int_equal(w.migrations, 2);
	assert_string_equal(w.order.to_es, "ES-3");
	order_migration(&w, "ES-1", "AP-1", 4); /* and back home */
	assert_int_equal(w.cancelled, 2);
	es_node_source_finished(w.node, 0, S, "cancelled", false);
	assert_int_equal(w.migrations, 2);
	finish(&w);
}

/* --- arriving ---------------------------------------------------------------------------------- */

/* An offer that comes from @from, and says that it comes from @says */
static bool offer_as(struct world *w, const char *from, const char *says, uint32_t association,
		     uint32_t epoch, const char **reason)
{
	struct wire_message m = message(WIRE_TRANSFER_OFFER, association, epoch);

	(void)snprintf(m.offer.mud, NAME_SIZE, "USER");
	(void)snprintf(m.offer.service, NAME_SIZE, "offload");
	(void)snprintf(m.offer.from_es, NAME_SIZE, "%s", says);
	(void)snprintf(m.offer.ap, NAME_SIZE, "AP-1");
	m.offer.secret[0] = 42;
	return es_node_offered(w->node, 0, from, &m, reason);
}

static bool offer_of(struct world *w, const char *from, uint32_t association, uint32_t epoch,
		     const char **reason)
{
	return offer_as(w, from, from, association, epoch, reason);
}

static bool offer(struct world *w, const char *from, uint32_t association, uint32_t epoch,
		  const char **reason)
{
	return offer_as(w, from, "ES-9", association, epoch, reason);
}

static void standby(struct world *w)
{
	static const uint8_t cache[] = { 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0,  0,
					 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 'a' };
	struct wire_cut cut = { .number = 5, .cache = cache, .cache_len = sizeof(cache) };
	const char *reason;

	start(w);
	assert_true(offer(w, "ES-9", 1, 1, &reason));
	assert_int_equal(es_node_arrived(w->node, 0, S, &cut, NULL), 0);
	assert_int_equal(last(w)->type, WIRE_READY);
	assert_int_equal(last(w)->epoch, 2);
	assert_int_equal(last(w)->es_status.cut, 5);
}

static void test_offers_refused(void **state)
{
	struct world w;
	const char *reason;

	(void)state;
	start(&w);
	assert_false(offer(&w, "ES-8", 1, 1, &reason)); /* not who the certificate says */
	assert_non_null(reason);
	finish(&w);
	active(&w);
	assert_false(offer(&w, "ES-9", 1, 1, &reason)); /* R4: it is active here */
	assert_string_equal(reason, "the session is active here");
	finish(&w);
	start(&w);
	assert_true(offer(&w, "ES-9", 5, 1, &reason));
	assert_null(reason);
	assert_false(offer(&w, "ES-9", 4, 1, &reason)); /* R8: the user moved on since */
	finish(&w);
}

/* An offer clears nothing away for somebody who never had the session, and epochs do not run out */
static void test_offers_that_lie(void **state)
{
	struct wire_message m = message(WIRE_TRANSFER_OFFER, 9, 7);
	const char *reason;
	struct world w;

	(void)state;
	fenced(&w);
	(void)snprintf(m.offer.mud, NAME_SIZE, "USER");
	(void)snprintf(m.offer.service, NAME_SIZE, "offload");
	(void)snprintf(m.offer.from_es, NAME_SIZE, "ES-rogue");
	m.offer.secret[0] = 13;
	assert_false(es_node_offered(w.node, 0, "ES-rogue", &m, &reason));
	assert_int_equal(w.removed, 0);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	finish(&w);
	start(&w);
	m.epoch = UINT32_MAX;
	assert_false(es_node_offered(w.node, 0, "ES-rogue", &m, &reason));
	assert_non_null(strstr(reason, "epoch"));
	finish(&w);
}

/* A fenced container goes only for whom it was handed to, or on the access point's word (R3, R11) */
static void test_offer_to_fenced(void **state)
{
	const char *reason;
	struct world w;

	(void)state;
	active(&w);
	order_migration(&w, "ES-9", "AP-1", 1);
	command(&w, WIRE_FENCE, 1);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	/* ES-8 has had the session once, and knows its secret */
	assert_false(offer_of(&w, "ES-8", 9, 7, &reason));
	assert_non_null(strstr(reason, "waits for its access point's word to retire"));
	assert_int_equal(w.removed, 0);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	assert_false(offer_of(&w, "ES-9", 1, 1, &reason)); /* authority was not there */
	assert_int_equal(w.removed, 0);
	assert_false(offer_of(&w, "ES-9", 1, 2, &reason));
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.record.state, WIRE_ES_RETIRED);
	es_node_removed(w.node, S, 1);
	assert_true(offer_of(&w, "ES-9", 1, 2, &reason));
	finish(&w);
	fenced(&w);
	assert_false(offer_of(&w, "ES-8", 9, 7, &reason));
	command(&w, WIRE_RETIRE, 1);
	assert_int_equal(w.removed, 1);
	es_node_removed(w.node, S, 1);
	assert_true(offer_of(&w, "ES-8", 9, 7, &reason));
	finish(&w);
}

/* A copy that the access point in charge vouches for is not cleared away by a peer with another secret */
static void test_vouched_copy(void **state)
{
	struct wire_message m = message(WIRE_TRANSFER_OFFER, 9, 7);
	const char *reason;
	struct world w;

	(void)state;
	(void)snprintf(m.offer.mud, NAME_SIZE, "USER");
	(void)snprintf(m.offer.service, NAME_SIZE, "offload");
	(void)snprintf(m.offer.from_es, NAME_SIZE, "ES-rogue");
	m.offer.secret[0] = 13;
	standby(&w);
	attach(&w, "AP-1", 1, 42);
	assert_false(es_node_offered(w.node, 0, "ES-rogue", &m, &reason));
	assert_string_equal(reason, "the session that was here has another secret");
	assert_int_equal(w.removed, 0);
	assert_int_equal(view(&w).record.state, WIRE_ES_STANDBY);
	/* one with the secret may: what was here came to nothing */
	assert_false(offer(&w, "ES-9", 2, 5, &reason));
	assert_int_equal(w.removed, 1);
	/* which is remembered: whoever looks for the session here is told whence it came (R7) */
	es_node_removed(w.node, S, 2);
	assert_false(es_node_offered(w.node, 0, "ES-rogue", &m, &reason));
	assert_string_equal(view(&w).record.peer, "ES-9");
	finish(&w);
	/* so is that of an arrival where the session has been before */
	fenced(&w);
	command(&w, WIRE_RETIRE, 1);
	es_node_removed(w.node, S, 1);
	assert_true(offer(&w, "ES-9", 1, 1, &reason));
	es_node_arrival_failed(w.node, 0, S, "the link broke");
	assert_false(es_node_offered(w.node, 0, "ES-rogue", &m, &reason));
	finish(&w);
	/* a lie that was here first is cleared away: nobody can vouch for it */
	start(&w);
	assert_true(es_node_offered(w.node, 0, "ES-rogue", &m, &reason));
	attach(&w, "AP-1", 9, 42);
	assert_false(offer(&w, "ES-9", 1, 1, &reason));
	assert_string_equal(reason, "an older arrival of this session is still being undone");
	finish(&w);
}

/* R1: the cache that came along answers; R4: nothing has authority before ACTIVATE */
static void test_standby(void **state)
{
	struct world w;

	(void)state;
	standby(&w);
	request(&w, 2, 5, 0);
	assert_int_equal(last(&w)->type, WIRE_ANSWER);
	assert_int_equal(w.executing_count, 0);
	request(&w, 2, 6, 0);
	assert_int_equal(w.executing[0], 6);
	executed(&w, 2, 6);
	command(&w, WIRE_ACTIVATE, 1); /* not its epoch */
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_STANDBY);
	command(&w, WIRE_ACTIVATE, 2);
	assert_int_equal(last(&w)->type, WIRE_ACTIVATED);
	assert_int_equal(w.record.state, WIRE_ES_ACTIVE);
	assert_int_equal(w.record.executed, 6);
	finish(&w);
}

static void test_bad_cut(void **state)
{
	struct world w;
	struct err err = { 0 };
	struct wire_cut cut = { .number = 5, .cache = (const uint8_t *)"xyz", .cache_len = 3 };
	const char *reason;

	(void)state;
	start(&w);
	assert_true(offer(&w, "ES-9", 1, 1, &reason));
	assert_int_equal(es_node_arrived(w.node, 0, S, &cut, &err), -EPROTO);
	assert_int_equal(w.removed, 1);
	assert_int_equal(count(&w, WIRE_READY), 0);
	finish(&w);
}

/* R10: a copy nobody asks for goes away, and says whom it came from */
static void test_standby_lease(void **state)
{
	struct world w;

	(void)state;
	standby(&w);
	es_node_tick(w.node, policy_default().standby_ms - 1);
	assert_int_equal(w.removed, 0);
	es_node_tick(w.node, policy_default().standby_ms);
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.removed_epoch, 2);
	command(&w, WIRE_ACTIVATE, 2); /* too late, and it says so */
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_RETIRED);
	assert_string_equal(last(&w)->es_status.peer, "ES-9");
	finish(&w);
}

static void test_abort(void **state)
{
	struct world w;

	(void)state;
	standby(&w);
	command(&w, WIRE_ABORT, 2);
	assert_int_equal(last(&w)->type, WIRE_ABORTED);
	assert_int_equal(w.removed, 1);
	finish(&w);
}

/* --- ending ------------------------------------------------------------------------------------ */

static void test_idle(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	attach(&w, "AP-1", 1, 42);
	assert_int_equal(es_node_deadline(w.node),
			 policy_default().idle_ms); /* it was never used */
	request(&w, 1, 1, 0);
	executed(&w, 1, 1);
	es_node_tick(w.node, policy_default().keep_ms - 1);
	assert_int_equal(w.removed, 0);
	es_node_tick(w.node, policy_default().keep_ms);
	assert_int_equal(w.forgotten, 0);
	assert_int_equal(w.removed, 1);
	es_node_removed(w.node, S, 1);
	assert_int_equal(w.forgotten, 1);
	assert_int_equal(view(&w).record.session, 0);
	assert_true(es_node_deadline(w.node) == UINT64_MAX);
	finish(&w);
}

static void test_disassociation(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	command(&w, WIRE_DISASSOCIATION, 1);
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.record.state, WIRE_ES_NONE);
	assert_int_equal(w.forgotten, 0);
	es_node_removed(w.node, S, 1);
	assert_int_equal(w.forgotten, 1);
	command(&w, WIRE_RETIRE, 1); /* unknown here is surely not active here */
	assert_int_equal(last(&w)->type, WIRE_RETIRED);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_NONE);
	finish(&w);
}

/* --- restart ----------------------------------------------------------------------------------- */

/* the program dies and starts again with what it wrote down */
static int restart(struct world *w, enum es_container container)
{
	struct policy policy = policy_default();
	struct es_record record = w->record;
	struct buf cache = w->cache;
	int r;

	es_node_free(w->node);
	buf_init(&w->cache, 0);
	assert_int_equal(es_node_new(&w->node, "ES-1", &policy, proof, &ops, w, NULL), 0);
	r = es_node_restore(w->node, 0, &record, buf_bytes(&cache), cache.len, container, NULL);
	buf_deinit(&cache);
	return r;
}

/* R1: what ran when the program died is in doubt, and not executed again */
static void test_restart_in_doubt(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	executed(&w, 1, 1);
	request(&w, 1, 2, 0);
	assert_int_equal(restart(&w, ES_CONTAINER_RUNS), 0);
	assert_int_equal(w.record.executed, 2);
	assert_int_equal(w.record.started, 0);
	size_t before = w.executing_count;
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, before);
	assert_int_equal(last(&w)->data.status, WIRE_E_IN_DOUBT);
	request(&w, 1, 1, 0);
	assert_int_equal(last(&w)->data.status, WIRE_OK);
	request(&w, 1, 3, 0);
	assert_int_equal(w.executing_count, before + 1);
	finish(&w);
}

static void test_restart_without_container(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	assert_int_equal(restart(&w, ES_CONTAINER_STOPPED), 0);
	assert_int_equal(w.record.state, WIRE_ES_LOST);
	assert_false(view(&w).gone);
	assert_int_equal(restart(&w, ES_CONTAINER_STOPPED),
			 0); /* again, before anybody asked for it */
	unfence(&w, 2);
	assert_int_equal(w.starts, 1);
	assert_int_equal(restart(&w, ES_CONTAINER_RESTARTED),
			 0); /* R15: it runs, but its memory is gone */
	assert_int_equal(w.record.state, WIRE_ES_LOST);
	assert_int_equal(restart(&w, ES_CONTAINER_GONE), 0);
	assert_true(view(&w).gone);
	assert_int_equal(w.removed, 0);
	finish(&w);
}

/*
 * R15: its record cannot be read at the moment. Nobody hears that there is no such session, nobody else takes its
 * number, and it goes on when the record can be read.
 */
static void test_record_cannot_be_read(void **state)
{
	struct policy policy = policy_default();
	struct es_record record;
	const char *reason;
	struct world w;

	(void)state;
	active(&w);
	record = w.record;
	es_node_free(w.node);
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	assert_int_equal(es_node_withhold(w.node, S, "an error of the disk", NULL), 0);
	unsigned int created = w.created;
	size_t executing = w.executing_count;
	size_t before = w.sent_count;
	attach(&w, "AP-1", 1, 42);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_BUSY);
	assert_int_not_equal(last(&w)->es_status.command, 0);
	assert_string_equal(last(&w)->es_status.reason, "an error of the disk");
	create(&w, "offload");
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	command(&w, WIRE_RETIRE, 1);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	command(&w, WIRE_UNFENCE, 2);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	request(&w, 1, 1, 0);
	assert_int_equal(last(&w)->type, WIRE_REFUSED);
	request(&w, 1, 1, 0);
	assert_int_equal(w.sent_count, before + 6);
	assert_false(offer(&w, "ES-9", 2, 7, &reason));
	assert_string_equal(reason, "an error of the disk");
	assert_int_equal(w.created, created);
	assert_int_equal(w.executing_count, executing);
	assert_int_equal(es_node_restore(w.node, 0, &record, buf_bytes(&w.cache), w.cache.len,
					 ES_CONTAINER_RUNS, NULL),
			 0);
	assert_null(es_node_withheld(w.node, S));
	attach(&w, "AP-1", 1, 42);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_ACTIVE);
	finish(&w);
}

/* ... or an operator decides that its user is to begin anew */
static void test_record_is_given_up(void **state)
{
	struct world w;

	(void)state;
	start(&w);
	assert_int_equal(es_node_withhold(w.node, S, "its record is lost", NULL), 0);
	assert_int_equal(es_node_withhold(w.node, S + 1, "its record is lost", NULL), 0);
	assert_int_equal(es_node_withhold(w.node, S, "it is lost for good", NULL), 0);
	assert_string_equal(es_node_withheld(w.node, S), "it is lost for good");
	assert_true(es_node_concede(w.node, S));
	assert_false(es_node_concede(w.node, S));
	attach(&w, "AP-1", 1, 42);
	assert_int_equal(last(&w)->type, WIRE_STATUS);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_NONE);
	finish(&w);
}

/* A full disk: nothing new is taken, with the reason; what is here goes on */
static void test_full(void **state)
{
	const char *reason;
	struct world w;

	(void)state;
	active(&w);
	es_node_full(w.node, "the disk is full");
	request(&w, 1, 1, 0);
	executed(&w, 1, 1);
	assert_int_equal(last(&w)->type, WIRE_ANSWER);
	assert_null(view(&w).unwritten);
	w.disk_full = true;
	request(&w, 1, 2, 1);
	assert_string_equal(view(&w).unwritten, "append 24 bytes: No space left on device");
	w.disk_full = false;
	finish(&w);
	start(&w);
	es_node_full(w.node, "the disk is full");
	create(&w, "offload");
	assert_int_equal(last(&w)->type, WIRE_FAILED);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_BUSY);
	assert_string_equal(last(&w)->es_status.reason, "the disk is full");
	assert_false(offer(&w, "ES-9", 1, 1, &reason));
	assert_string_equal(reason, "the disk is full");
	assert_int_equal(w.created, 0);
	es_node_full(w.node, NULL);
	assert_true(offer(&w, "ES-9", 1, 1, &reason));
	finish(&w);
}

/* A removal that a crash interrupted is begun again */
static void test_restart_while_removing(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	command(&w, WIRE_DISASSOCIATION, 1);
	w.removed = 0;
	assert_int_equal(restart(&w, ES_CONTAINER_STOPPED), 0);
	assert_int_equal(w.removed, 1);
	es_node_removed(w.node, S, 1);
	assert_int_equal(w.forgotten, 1);
	finish(&w);
}

/* R7: who knows of this place only is sent on to where the copy came from */
static void test_restart_arriving(void **state)
{
	const char *reason = NULL;
	struct world w;

	(void)state;
	start(&w);
	assert_true(offer(&w, "ES-9", 2, 5, &reason));
	assert_int_equal(w.record.state, WIRE_ES_ARRIVING);
	assert_int_equal(restart(&w, ES_CONTAINER_GONE), 0);
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.record.state, WIRE_ES_RETIRED);
	assert_int_equal(w.record.epoch, 5);
	attach(&w, "AP-3", 3, 42);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_RETIRED);
	assert_string_equal(last(&w)->es_status.peer, "ES-9");
	finish(&w);
}

/* R4: a fenced one stays fenced */
static void test_restart_fenced(void **state)
{
	struct world w;

	(void)state;
	fenced(&w);
	assert_int_equal(restart(&w, ES_CONTAINER_RUNS), 0);
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, 1);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	finish(&w);
}

static void test_bad_record(void **state)
{
	struct world w;
	struct err err = { 0 };
	struct es_record record = { .session = 5, .state = WIRE_ES_ACTIVE };

	(void)state;
	start(&w);
	assert_int_equal(es_node_restore(w.node, 0, &record, "rubbish", 7, ES_CONTAINER_RUNS, &err),
			 -EPROTO);
	assert_int_equal(view(&w).record.session, 0);
	record.session = 0;
	assert_int_equal(es_node_restore(w.node, 0, &record, NULL, 0, ES_CONTAINER_RUNS, &err),
			 -EPROTO);
	finish(&w);
}

/* --- a disk that is full ----------------------------------------------------------------------- */

static void tick_until(struct world *w, uint64_t now)
{
	while (es_node_deadline(w->node) <= now)
		es_node_tick(w->node, es_node_deadline(w->node));
}

/* R1, R9: what cannot be written to have begun does not begin; who waits is told, and served later */
static void test_start_not_written(void **state)
{
	struct world w;
	struct policy p = policy_default();

	(void)state;
	active(&w);
	w.disk_full = true;
	request(&w, 1, 1, 0);
	request(&w, 1, 2, 0);
	assert_int_equal(w.executing_count, 0);
	tick_until(&w, p.write_ms / 2);
	assert_int_equal(w.executing_count, 0);
	assert_true(w.writes < 5 + p.write_ms / p.retry_ms); /* tried again, but not all the time */
	assert_int_equal(count(&w, WIRE_REFUSED), 0);
	tick_until(&w, p.write_ms);
	assert_int_equal(count(&w, WIRE_REFUSED), 1);
	assert_int_equal(last(&w)->es_status.status, WIRE_E_BUSY);
	assert_int_equal(last(&w)->es_status.executed, 0);
	assert_non_null(strstr(last(&w)->es_status.reason, "nothing of it was executed"));
	assert_non_null(strstr(last(&w)->es_status.reason, "No space left"));
	command(&w, WIRE_ABORT, 1); /* the session is not silent meanwhile: its record is true */
	assert_int_equal(last(&w)->type, WIRE_ABORTED);
	w.disk_full = false;
	tick_until(&w, p.write_ms + 2 * p.retry_ms);
	assert_int_equal(w.executing_count, 1);
	assert_int_equal(w.started_when_executed, 1);
	executed(&w, 1, 1);
	executed(&w, 1, 2);
	assert_int_equal(count(&w, WIRE_ANSWER), 2);
	assert_int_equal(es_node_deadline(w.node), p.keep_ms);
	finish(&w);
}

/* R1: the answer goes out, but nothing more is executed or said before it is written */
static void test_answer_not_written(void **state)
{
	struct world w;

	(void)state;
	active(&w);
	request(&w, 1, 1, 0);
	request(&w, 1, 2, 0);
	w.disk_full = true;
	executed(&w, 1, 1);
	assert_int_equal(last(&w)->type, WIRE_ANSWER);
	assert_int_equal(w.record.started,
			 1); /* so after a crash it would be in doubt, not repeated */
	assert_int_equal(w.executing_count, 1);
	size_t before = w.sent_count;
	attach(&w, "AP-1", 1, 42);
	assert_int_equal(w.sent_count, before);
	request(&w, 1, 3, 1); /* the user has the answer, so the cache has it no more */
	w.disk_full = false;
	tick_until(&w, policy_default().retry_ms);
	assert_int_equal(w.record.executed, 1);
	assert_int_equal(w.executing_count, 2);
	assert_int_equal(count(&w, WIRE_STATUS), 1);
	finish(&w);
}

/* R4: nobody is told FENCED before that would outlive a crash */
static void test_fence_not_written(void **state)
{
	struct wire_message fence = message(WIRE_FENCE, 1, 1);
	struct world w;

	(void)state;
	active(&w);
	w.disk_full = true;
	say(&w, "AP-1", fence);
	say(&w, "AP-1", fence);
	attach(&w, "AP-1", 1, 42);
	assert_int_equal(count(&w, WIRE_FENCED), 0);
	assert_int_equal(count(&w, WIRE_STATUS), 0);
	assert_int_equal(w.record.state, WIRE_ES_ACTIVE);
	tick_until(&w, policy_default().write_ms);
	assert_int_equal(count(&w, WIRE_REFUSED),
			 0); /* no request waits, so nobody is told of one */
	request(&w, 1, 1, 0);
	tick_until(&w, policy_default().write_ms + 1);
	assert_int_equal(w.executing_count, 0);
	w.disk_full = false;
	tick_until(&w, 2 * policy_default().write_ms);
	assert_int_equal(w.written, ES_PERSIST_ALL);
	assert_int_equal(w.record.state, WIRE_ES_FENCED);
	assert_int_equal(last(&w)->es_status.state, WIRE_ES_FENCED);
	finish(&w);
}

/* R7, R10: an offer that could not be remembered is refused, and what is known here stays known */
static void test_offer_not_written(void **state)
{
	struct world w;
	const char *reason;

	(void)state;
	start(&w);
	w.disk_full = true;
	assert_false(offer(&w, "ES-9", 1, 1, &reason));
	assert_non_null(strstr(reason, "cannot write"));
	assert_int_equal(view(&w).record.session, 0);
	finish(&w);
	fenced(&w);
	command(&w, WIRE_RETIRE, 1);
	es_node_removed(w.node, S, 1);
	w.disk_full = true;
	assert_false(offer(&w, "ES-9", 1, 1, &reason));
	assert_int_equal(view(&w).record.state, WIRE_ES_RETIRED);
	assert_int_equal(view(&w).cached, 1);
	w.disk_full = false;
	assert_true(offer(&w, "ES-9", 1, 1, &reason));
	finish(&w);
}

static void count_by_number(void *ctx, const struct es_session_view *v)
{
	size_t *seen = ctx;

	if (v->record.session - 1000 < 2)
		seen[v->record.session - 1000]++;
	seen[2]++;
}

/* What a peer offers in vain takes its share of the sessions, not all of them. */
static void test_offers_in_vain(void **state)
{
	struct world w = { 0 };
	struct policy policy = policy_default();
	const char *reason;
	size_t seen[3] = { 0 };

	(void)state;
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	for (uint64_t i = 0; i <= policy.sessions_max; i++) {
		struct wire_message m = message(WIRE_TRANSFER_OFFER, 1, 1);

		m.session = 1000 + i;
		(void)snprintf(m.offer.mud, NAME_SIZE, "X");
		(void)snprintf(m.offer.service, NAME_SIZE, "offload");
		(void)snprintf(m.offer.from_es, NAME_SIZE, i ? "ES-9" : "ES-8");
		(void)snprintf(m.offer.ap, NAME_SIZE, "AP-1");
		assert_true(es_node_offered(w.node, i, m.offer.from_es, &m, &reason));
		es_node_arrival_failed(w.node, i, m.session, "the plan is nothing");
		w.sent_count = 0;
	}
	es_node_each(w.node, count_by_number, seen);
	assert_int_equal(seen[0], 1); /* ES-8 is another one */
	assert_int_equal(seen[1], 0); /* the oldest of ES-9 */
	assert_int_equal(seen[2], 1 + policy.sessions_max / 8);
	finish(&w);
}

/** offered_as() - An offer for a session with that number */
static bool offered_as(struct world *w, uint64_t session, const char *from, const char **reason)
{
	struct wire_message m = message(WIRE_TRANSFER_OFFER, 1, 1);

	m.session = session;
	(void)snprintf(m.offer.mud, NAME_SIZE, "X");
	(void)snprintf(m.offer.service, NAME_SIZE, "offload");
	(void)snprintf(m.offer.from_es, NAME_SIZE, "%s", from);
	(void)snprintf(m.offer.ap, NAME_SIZE, "AP-1");
	return es_node_offered(w->node, 0, from, &m, reason);
}

/* Nor does it get more while the containers of its share are being removed */
static void test_offers_being_undone(void **state)
{
	static const uint8_t cache[] = { 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0,  0,
					 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 'a' };
	const struct wire_cut cut = { .number = 5, .cache = cache, .cache_len = sizeof(cache) };
	struct world w = { 0 };
	struct policy policy = policy_default();
	const char *reason;

	(void)state;
	policy.sessions_max =
		1; /* a small host has no share to speak of, but takes the first one */
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	assert_true(offered_as(&w, 1, "ES-9", &reason));
	es_node_free(w.node);
	policy.sessions_max = 16;
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	for (uint64_t i = 1; i <= 2; i++) {
		assert_true(offered_as(&w, 1000 + i, "ES-9", &reason));
		assert_int_equal(es_node_arrived(w.node, 0, 1000 + i, &cut, NULL), 0);
		assert_false(offered_as(&w, 1000 + i, "ES-9",
					&reason)); /* the copy goes for a newer one */
	}
	assert_int_equal(w.removed, 2);
	assert_false(offered_as(&w, 2000, "ES-9", &reason));
	assert_string_equal(reason,
			    "too many arrivals from that edge server are still being undone");
	es_node_removed(w.node, 1001, 2);
	assert_true(offered_as(&w, 2000, "ES-9", &reason));
	finish(&w);
}

/* At the limit of sessions a newer arrival takes the place of the older one, and no other's */
static void test_offer_without_room(void **state)
{
	struct world w = { 0 };
	struct policy policy = policy_default();
	char from[NAME_SIZE];
	const char *reason;

	(void)state;
	policy.sessions_max = 16;
	assert_int_equal(es_node_new(&w.node, "ES-1", &policy, proof, &ops, &w, NULL), 0);
	for (unsigned int i = 0; i < 16; i++) {
		(void)snprintf(from, sizeof(from), "ES-%u", 100 + i);
		assert_true(offered_as(&w, 1000 + i, from, &reason));
		es_node_arrival_failed(w.node, 0, 1000 + i, "the plan is nothing");
		w.sent_count = 0;
	}
	assert_false(offered_as(&w, 2000, "ES-99", &reason));
	assert_non_null(strstr(reason, "limit of sessions"));
	assert_true(offered_as(&w, 1000, "ES-100", &reason));
	finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers_in_vain),
		cmocka_unit_test(test_offers_being_undone),
		cmocka_unit_test(test_offer_without_room),
		cmocka_unit_test(test_offer_to_fenced),
		cmocka_unit_test(test_vouched_copy),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_create_fails),
		cmocka_unit_test(test_create_by_another),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_beyond_the_window),
		cmocka_unit_test(test_wrong_epoch),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_in_doubt),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_container_dies),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_start_pauses),
		cmocka_unit_test(test_may_not_start),
		cmocka_unit_test(test_retired_while_it_starts),
		cmocka_unit_test(test_data_gone),
		cmocka_unit_test(test_discard),
		cmocka_unit_test(test_ended_after_cut),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_fence_of_another_epoch),
		cmocka_unit_test(test_unfence),
		cmocka_unit_test(test_no_migration_of_an_older_epoch),
		cmocka_unit_test(test_retire),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_names_another),
		cmocka_unit_test(test_hands_over),
		cmocka_unit_test(test_proof_under_the_known_number),
		cmocka_unit_test(test_created_and_gone),
		cmocka_unit_test(test_offers_that_lie),
		cmocka_unit_test(test_removal_fails),
		cmocka_unit_test(test_start_not_written),
		cmocka_unit_test(test_answer_not_written),
		cmocka_unit_test(test_fence_not_written),
		cmocka_unit_test(test_offer_not_written),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_drain_limit),
		cmocka_unit_test(test_parts_delay_a_cut),
		cmocka_unit_test(test_parts_that_do_not_go_on),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_hold_fails),
		cmocka_unit_test(test_hold_is_cancelled),
		cmocka_unit_test(test_no_migration_of_old),
		cmocka_unit_test(test_hold_after_a_difference),
		cmocka_unit_test(test_migration_fails),
		cmocka_unit_test(test_moves_on),
		cmocka_unit_test(test_offers_refused),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_bad_cut),
		cmocka_unit_test(test_standby_lease),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_disassociation),
		cmocka_unit_test(test_restart_in_doubt),
		cmocka_unit_test(test_restart_without_container),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_record_cannot_be_read),
		cmocka_unit_test(test_record_is_given_up),
		cmocka_unit_test(test_restart_while_removing),
		cmocka_unit_test(test_restart_arriving),
		cmocka_unit_test(test_restart_fenced),
		cmocka_unit_test(test_bad_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
