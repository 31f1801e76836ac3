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
#include "core/es/node.h"

#define S       77 /* the session */
#define LOG_MAX 64
#define NOW     10    /* ms */
#define EVERY   30000 /* ms between two cuts that are kept */

/* what the node asked of the world, and its disk */
struct world {
	struct es_node *node;
	struct es_record record;
	struct wire_message last;
	struct wire_data answer; /* sent last */
	uint32_t executing_epoch;
	uint64_t executing;
	unsigned int keeps, cuts, recoveries, starts, cancelled, migrations, unprotected;
	unsigned int removed;
	uint32_t removed_epoch;
	struct es_migration_order order;
	bool kept;
	uint64_t cut;
	bool logged[LOG_MAX];
	struct es_logged how[LOG_MAX];
	bool log_full;
	bool disk_full;
	bool unprotectable;
	bool unreadable;
};

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct world *w = ctx;

	(void)ap;
	w->last = *m;
	if (m->type == WIRE_ANSWER)
		w->answer = m->data;
}

static bool service_known(void *ctx, const char *service)
{
	(void)ctx;
	(void)service;
	return true;
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	(void)ctx;
	(void)session;
	(void)epoch;
	(void)service;
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
	(void)ctx;
	(void)service;
	(void)exit_code;
	(void)tries;
	return true;
}

static void start_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	(void)session;
	(void)epoch;
	(void)service;
	((struct world *)ctx)->starts++;
}

static bool hold(void *ctx, const char *service, bool diverged)
{
	(void)ctx;
	(void)service;
	(void)diverged;
	return false;
}

static void resume_container(void *ctx, uint64_t session, uint32_t epoch)
{
	(void)ctx;
	(void)session;
	(void)epoch;
}

static void execute(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *request)
{
	struct world *w = ctx;

	(void)session;
	w->executing = request->number;
	w->executing_epoch = epoch;
}

static bool under_way(void *ctx, uint64_t session, uint32_t epoch)
{
	(void)ctx;
	(void)session;
	(void)epoch;
	return false;
}

static void migrate(void *ctx, const struct es_migration_order *order)
{
	struct world *w = ctx;

	w->migrations++;
	w->order = *order;
}

static void take_cut(void *ctx, uint64_t session, uint64_t number, const struct answer_cache *cache)
{
	(void)session;
	(void)number;
	(void)cache;
	((struct world *)ctx)->cuts++;
}

static void cut_delayed(void *ctx, uint64_t session, const char *reason)
{
	(void)ctx;
	(void)session;
	(void)reason;
}

static void cancel_migration(void *ctx, uint64_t session, const char *reason)
{
	(void)session;
	(void)reason;
	((struct world *)ctx)->cancelled++;
}

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	struct world *w = ctx;

	(void)cache;
	(void)what;
	if (w->disk_full)
		return err_set(err, -ENOSPC, "write a record");
	w->record = *record;
	return 0;
}

static void forget(void *ctx, uint64_t session)
{
	(void)ctx;
	(void)session;
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t n, const char *detail)
{
	(void)ctx;
	(void)session;
	(void)kind;
	(void)n;
	(void)detail;
}

static uint64_t protection(void *ctx, const char *service)
{
	(void)service;
	return ((struct world *)ctx)->unprotectable ? 0 : EVERY;
}

static void keep_cut(void *ctx, const struct es_migration_order *order)
{
	struct world *w = ctx;

	assert_string_equal(order->to_es, "ES-1");
	w->keeps++;
	w->order = *order;
}

static int kept_cut(void *ctx, uint64_t session, uint64_t done, uint64_t *number)
{
	const struct world *w = ctx;

	(void)session;
	for (uint64_t n = w->cut + 1; n <= done; n++)
		if (!w->logged[n])
			return 0;
	*number = w->cut;
	return w->unreadable ? -EMFILE : w->kept;
}

static int log_request(void *ctx, uint64_t session, const struct wire_data *request,
		       struct err *err)
{
	struct world *w = ctx;

	(void)session;
	if (w->log_full)
		return err_set(err, -ENOSPC, "log a request");
	w->logged[request->number] = true;
	w->how[request->number] = (struct es_logged){ .digest = 0 };
	return 0;
}

static void log_answer(void *ctx, uint64_t session, uint64_t number, struct es_logged how)
{
	(void)session;
	((struct world *)ctx)->how[number] = how;
}

static int logged(void *ctx, uint64_t session, uint64_t number, struct wire_data *request,
		  struct es_logged *how, struct err *err)
{
	const struct world *w = ctx;

	(void)session;
	if (!w->logged[number])
		return err_set(err, -ENOENT, "it is not logged");
	*request = (struct wire_data){ .number = number, .bytes = (const uint8_t *)"q", .len = 1 };
	*how = w->how[number];
	return 0;
}

static void log_trim(void *ctx, uint64_t session, uint64_t through)
{
	struct world *w = ctx;

	(void)session;
	for (uint64_t n = 0; n <= through; n++)
		w->logged[n] = false;
}

static void recover(void *ctx, const struct es_migration_order *order)
{
	struct world *w = ctx;

	w->recoveries++;
	w->order = *order;
}

static void unprotect(void *ctx, uint64_t session)
{
	struct world *w = ctx;

	(void)session;
	w->unprotected++;
	w->kept = false;
	memset(w->logged, 0, sizeof(w->logged));
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
	.under_way = under_way,
	.protection = protection,
	.keep_cut = keep_cut,
	.kept_cut = kept_cut,
	.log_request = log_request,
	.log_answer = log_answer,
	.logged = logged,
	.log_trim = log_trim,
	.recover = recover,
	.unprotect = unprotect,
	.migrate = migrate,
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

/* --- short words ------------------------------------------------------------------------------- */

static struct wire_message message(enum wire_type type, uint32_t epoch)
{
	return (struct wire_message){
		.type = type, .session = S, .association = 1, .epoch = epoch
	};
}

static void say(struct world *w, uint64_t now, struct wire_message m)
{
	es_node_message(w->node, now, "AP-1", &m);
}

static void request(struct world *w, uint32_t epoch, uint64_t number)
{
	struct wire_message m = message(WIRE_REQUEST, epoch);

	m.data = (struct wire_data){ .number = number, .bytes = (const uint8_t *)"q", .len = 1 };
	say(w, NOW, m);
}

static void answer_with(struct world *w, uint32_t epoch, uint64_t number, uint64_t digest)
{
	const struct wire_data answer = {
		.number = number, .digest = digest, .bytes = (const uint8_t *)"a", .len = 1
	};

	es_node_executed(w->node, NOW, S, epoch, &answer);
}

static void serve(struct world *w, uint64_t number)
{
	request(w, 1, number);
	assert_int_equal(w->executing, number);
	answer_with(w, 1, number, 100 + number);
}

static void new_node(struct world *w)
{
	struct policy p = policy_default();

	assert_int_equal(es_node_new(&w->node, "ES-1", &p, proof, &ops, w, NULL), 0);
}

static void begin(struct world *w)
{
	struct wire_message m = message(WIRE_CREATE, 0);

	*w = (struct world){ .cut = 0 };
	new_node(w);
	(void)snprintf(m.create.mud, NAME_SIZE, "MUD");
	(void)snprintf(m.create.service, NAME_SIZE, "offload");
	m.create.secret[0] = 9;
	say(w, NOW, m);
	es_node_created(w->node, NOW, S, 1, NULL);
	assert_int_equal(w->last.type, WIRE_CREATED);
}

static void end(struct world *w)
{
	w->node = es_node_free(w->node);
}

/* A cut that is kept when its request @number was executed */
static void cut_is_kept(struct world *w, uint64_t now, uint64_t number)
{
	unsigned int before = w->keeps;

	es_node_tick(w->node, now);
	assert_int_equal(w->keeps, before + 1);
	es_node_cut_wanted(w->node, now, S);
	es_node_cut_taken(w->node, now, S, true);
	w->kept = true;
	w->cut = number;
	es_node_source_finished(w->node, now, S, NULL, false);
}

/* Five requests, a cut at the third, and the end of the container */
static void protected_until_its_end(struct world *w)
{
	begin(w);
	for (uint64_t n = 1; n <= 3; n++)
		serve(w, n);
	cut_is_kept(w, NOW, 3);
	serve(w, 4);
	serve(w, 5);
}

static void comes_back(struct world *w)
{
	struct wire_message m = message(WIRE_UNFENCE, 1);

	m.unfence.new_epoch = 2;
	say(w, 1000, m);
	assert_int_equal(w->last.type, WIRE_UNFENCED);
	assert_int_equal(w->recoveries, 1);
	assert_int_equal(w->starts, 0);
	assert_int_equal(w->order.epoch, 1);
}

static void restored(struct world *w)
{
	struct wire_message offer = message(WIRE_TRANSFER_OFFER, w->order.epoch);
	const struct wire_cut cut = { .number = w->cut };
	const char *reason = NULL;

	memcpy(offer.offer.from_es, w->order.to_es, NAME_SIZE);
	memcpy(offer.offer.secret, w->order.secret, WIRE_SECRET_SIZE);
	(void)snprintf(offer.offer.service, NAME_SIZE, "offload");
	assert_true(es_node_offered(w->node, 1000, "ES-1", &offer, &reason));
	assert_int_equal(es_node_arriving_epoch(w->node, S), 2);
	assert_int_equal(es_node_arrived(w->node, 1500, S, &cut, NULL), 0);
}

static void ends(struct world *w)
{
	es_node_container_died(w->node, 1000, S, 1, 137, "exit 137");
	assert_int_equal(w->last.type, WIRE_LOST);
}

/* --- tests ------------------------------------------------------------------------------------- */

/* The first cut follows the first request; further ones only if there were requests, and not too often */
static void test_when(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	es_node_tick(w.node, NOW);
	assert_int_equal(w.keeps, 0);
	serve(&w, 1);
	assert_false(w.logged[1]);
	cut_is_kept(&w, NOW, 1);
	es_node_tick(w.node, 2 * EVERY);
	assert_int_equal(w.keeps, 1);
	serve(&w, 2);
	assert_true(w.logged[2]);
	assert_int_equal(w.how[2].digest, 102);
	es_node_tick(w.node, NOW + EVERY - 1);
	assert_int_equal(w.keeps, 1);
	cut_is_kept(&w, NOW + EVERY, 2);
	assert_false(w.logged[2]);
	end(&w);
}

/* Requests after the instant of the cut are logged, also before it is kept */
static void test_logged_meanwhile(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 1);
	es_node_tick(w.node, NOW);
	es_node_cut_wanted(w.node, NOW, S);
	assert_int_equal(w.cuts, 1);
	request(&w, 1, 2);
	assert_int_equal(w.executing, 1);
	es_node_cut_taken(w.node, NOW, S, true);
	assert_int_equal(w.executing, 2);
	assert_true(w.logged[2]);
	end(&w);
}

/* A user that moves does not wait for a cut that is only kept */
static void test_moves_meanwhile(void **state)
{
	struct wire_message m = message(WIRE_MIGRATE, 1);
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 1);
	es_node_tick(w.node, NOW);
	assert_int_equal(w.keeps, 1);
	(void)snprintf(m.migrate.ap, NAME_SIZE, "AP-1");
	(void)snprintf(m.migrate.to_es, NAME_SIZE, "ES-2");
	say(&w, NOW, m);
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.migrations, 0);
	es_node_source_finished(w.node, NOW, S, "the user moves", false);
	assert_int_equal(w.migrations, 1);
	assert_string_equal(w.order.to_es, "ES-2");
	end(&w);
}

static void test_recovered(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	assert_int_equal(w.last.es_status.executed, 5);
	comes_back(&w);
	restored(&w);
	assert_int_equal(w.executing, 4);
	assert_int_equal(w.executing_epoch, 2);
	answer_with(&w, 2, 4, 104);
	assert_int_equal(w.executing, 5);
	assert_int_equal(w.record.container_epoch, 1);
	assert_int_equal(w.removed, 0);
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.record.container_epoch, 2);
	assert_int_equal(w.record.executed, 5);
	assert_int_equal(w.removed, 1);
	assert_int_equal(w.removed_epoch, 1);
	request(&w, 2, 6);
	assert_int_equal(w.executing, 6);
	assert_int_equal(w.executing_epoch, 2);
	end(&w);
}

/* The request that was under way is not in doubt: it is executed in the history that goes on (R1) */
static void test_under_way(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	request(&w, 1, 6);
	ends(&w);
	assert_int_equal(w.last.es_status.executed, 6);
	comes_back(&w);
	assert_int_equal(w.record.started, 6);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.executing, 6);
	answer_with(&w, 2, 6, 106);
	assert_int_equal(w.answer.number, 6);
	assert_int_equal(w.answer.status, WIRE_OK);
	assert_int_equal(w.record.executed, 6);
	assert_int_equal(w.record.started, 0);
	request(&w, 2, 6);
	assert_int_equal(w.executing, 6);
	assert_int_equal(w.answer.status, WIRE_OK);
	end(&w);
}

/* R5: one that answers otherwise is no recovery. The container starts without its memory */
static void test_answers_otherwise(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	restored(&w);
	answer_with(&w, 2, 4, 999);
	assert_int_equal(w.removed_epoch, 2);
	assert_int_equal(w.unprotected, 1);
	es_node_tick(w.node, 1500);
	assert_int_equal(w.starts, 1);
	assert_true(es_node_started(w.node, 2000, S, 1, ES_START_DONE, NULL));
	assert_int_equal(w.record.container_epoch, 1);
	assert_int_equal(w.record.executed, 5);
	end(&w);
}

/* A recovery that fails is tried again, until an operator does not want to wait */
static void test_fails(void **state)
{
	struct world w;
	uint64_t now = 1000;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	for (unsigned int i = 1; i < 20; i++) {
		es_node_not_recovered(w.node, now, S, ES_RECOVERY_FAILED, "CRIU: no");
		es_node_tick(w.node, now);
		assert_int_equal(w.recoveries, i);
		now += 3600000;
		es_node_tick(w.node, now);
		assert_int_equal(w.recoveries, i + 1);
	}
	assert_int_equal(w.starts, 0);
	assert_int_equal(es_node_allow_start(w.node, S, NULL), 0);
	es_node_tick(w.node, now);
	assert_int_equal(w.starts, 1);
	assert_int_equal(w.unprotected, 1);
	end(&w);
}

/* Nobody reports the end of a try twice, or of another one */
static void test_one_try_at_a_time(void **state)
{
	struct wire_message offer;
	const char *reason = NULL;
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	offer = message(WIRE_TRANSFER_OFFER, w.order.epoch);
	memcpy(offer.offer.from_es, w.order.to_es, NAME_SIZE);
	memcpy(offer.offer.secret, w.order.secret, WIRE_SECRET_SIZE);
	(void)snprintf(offer.offer.service, NAME_SIZE, "offload");
	assert_true(es_node_offered(w.node, 1000, "ES-1", &offer, &reason));
	assert_false(es_node_offered(w.node, 1000, "ES-1", &offer, &reason));
	es_node_not_recovered(w.node, 1000, S, ES_RECOVERY_FAILED, "the source has failed, too");
	es_node_tick(w.node, 3600000);
	assert_int_equal(w.recoveries, 1);
	es_node_arrival_failed(w.node, 3600000, S, "CRIU: no");
	es_node_tick(w.node, 7200000);
	assert_int_equal(w.recoveries, 2);
	end(&w);
}

/* The request that was under way is the one that ends the container: it is left out, and in doubt */
static void test_poison(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	request(&w, 1, 6);
	ends(&w);
	comes_back(&w);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.executing, 6);
	es_node_container_died(w.node, 1600, S, 2, 137, "exit 137");
	assert_int_equal(w.record.executed, 6);
	assert_true(w.how[6].in_doubt);
	es_node_removed(w.node, S, 2);
	es_node_tick(w.node, 3600000);
	assert_int_equal(w.recoveries, 2);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	w.executing = 0;
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.executing, 0);
	assert_int_equal(w.record.container_epoch, 2);
	request(&w, 2, 6);
	assert_int_equal(w.answer.status, WIRE_E_IN_DOUBT);
	request(&w, 2, 7);
	assert_int_equal(w.executing, 7);
	end(&w);
}

/* A request in doubt is left out, unless later answers show that it had been executed (R1, R5) */
static void test_doubts(void **state)
{
	for (int executed = 0; executed < 2; executed++) {
		struct world w;

		(void)state;
		protected_until_its_end(&w);
		request(&w, 1, 6);
		es_node_in_doubt(w.node, NOW, S, 1, 6);
		serve(&w, 7);
		ends(&w);
		comes_back(&w);
		restored(&w);
		answer_with(&w, 2, 4, 104);
		answer_with(&w, 2, 5, 105);
		assert_int_equal(w.executing, 7);
		answer_with(&w, 2, 7, executed ? 999 : 107);
		if (executed) {
			assert_int_equal(w.unprotected, 0);
			es_node_removed(w.node, S, 2);
			es_node_tick(w.node, 3600000);
			restored(&w);
			answer_with(&w, 2, 4, 104);
			answer_with(&w, 2, 5, 105);
			assert_int_equal(w.executing, 6);
			answer_with(&w, 2, 6, 106);
			answer_with(&w, 2, 7, 107);
		}
		assert_int_equal(w.record.container_epoch, 2);
		assert_int_equal(w.record.executed, 7);
		end(&w);
	}
}

/* An operator switches protection off: nothing is logged any more, nothing stays */
static void test_switched_off(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	w.unprotectable = true;
	es_node_tick(w.node, NOW + EVERY);
	assert_int_equal(w.keeps, 1);
	assert_int_equal(w.unprotected, 1);
	serve(&w, 6);
	assert_false(w.logged[6]);
	ends(&w);
	struct wire_message m = message(WIRE_UNFENCE, 1);
	m.unfence.new_epoch = 2;
	say(&w, 1000, m);
	assert_int_equal(w.starts, 1);
	end(&w);
}

/* The catalogue does not protect it any more, or has a mistake: a container that ended is recovered all the same */
static void test_unprotected_meanwhile(void **state)
{
	struct es_record record;
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	record = w.record;
	w.node = es_node_free(w.node);
	w.unprotectable = true;
	new_node(&w);
	assert_int_equal(es_node_restore(w.node, NOW, &record, "", 0, ES_CONTAINER_STOPPED, NULL),
			 0);
	comes_back(&w);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.record.container_epoch, 2);
	end(&w);
}

/* A cut that cannot be read at the moment is not taken for none, and not removed (R15) */
static void test_unreadable(void **state)
{
	for (int there = 0; there < 2; there++) {
		struct es_record record;
		struct world w;

		(void)state;
		protected_until_its_end(&w);
		record = w.record;
		w.node = es_node_free(w.node);
		w.unreadable = true;
		new_node(&w);
		assert_int_equal(
			es_node_restore(w.node, NOW, &record, "", 0, ES_CONTAINER_STOPPED, NULL),
			0);
		assert_int_equal(w.unprotected, 0);
		comes_back(&w);
		if (there) {
			restored(&w);
			answer_with(&w, 2, 4, 104);
			answer_with(&w, 2, 5, 105);
			assert_int_equal(w.record.container_epoch, 2);
		} else {
			es_node_not_recovered(w.node, 1500, S, ES_RECOVERY_NO_CUT, "no cut");
			es_node_tick(w.node, 1500);
			assert_int_equal(w.starts, 1);
		}
		end(&w);
	}
}

/* Too many cuts are being taken: that is no failure */
static void test_waits_for_its_turn(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	serve(&w, 1);
	for (unsigned int i = 1; i < 5; i++) {
		es_node_tick(w.node, NOW + 10000ull * i);
		assert_int_equal(w.keeps, i);
		es_node_not_kept(w.node, NOW + 10000ull * i, S);
	}
	/* a user that moves in that moment does */
	struct wire_message m = message(WIRE_MIGRATE, 1);
	es_node_tick(w.node, NOW + 60000);
	(void)snprintf(m.migrate.ap, NAME_SIZE, "AP-1");
	(void)snprintf(m.migrate.to_es, NAME_SIZE, "ES-2");
	say(&w, NOW + 60000, m);
	assert_int_equal(w.migrations, 0);
	es_node_not_kept(w.node, NOW + 60000, S);
	assert_int_equal(w.migrations, 1);
	end(&w);
}

/* An engine that does not answer is asked without end: it took the container along, and brings it back */
static void test_engine_is_away(void **state)
{
	struct world w;
	uint64_t now = 1000;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	for (unsigned int i = 1; i < 100; i++) {
		es_node_not_recovered(w.node, now, S, ES_RECOVERY_AWAY,
				      "the engine does not answer");
		now += 10000;
		es_node_tick(w.node, now);
		assert_int_equal(w.recoveries, i + 1);
	}
	assert_int_equal(w.starts, 0);
	end(&w);
}

/* The restored container ends while it executes the log: the cut is there still */
static void test_ends_again(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	restored(&w);
	es_node_container_died(w.node, 1600, S, 2, 137, "exit 137");
	assert_int_equal(w.removed_epoch, 2);
	es_node_tick(w.node, 3600000);
	assert_int_equal(w.recoveries, 1);               /* the next one has the same name */
	assert_true(es_node_deadline(w.node) > 3600000); /* nor is it looked at all the time */
	es_node_removed(w.node, S, 2);
	es_node_tick(w.node, 3600000);
	assert_int_equal(w.recoveries, 2);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.record.container_epoch, 2);
	end(&w);
}

/* The container ends while a cut of it is taken: its recovery waits for the end of that */
static void test_ends_in_a_cut(void **state)
{
	struct wire_message m = message(WIRE_UNFENCE, 1);
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	es_node_tick(w.node, NOW + EVERY);
	assert_int_equal(w.keeps, 2);
	es_node_container_died(w.node, NOW + EVERY, S, 1, 137, "exit 137");
	assert_int_equal(w.cancelled, 1);
	m.unfence.new_epoch = 2;
	say(&w, NOW + EVERY, m);
	es_node_tick(w.node, NOW + EVERY);
	assert_int_equal(w.recoveries, 0);
	assert_true(es_node_deadline(w.node) > NOW + EVERY);
	es_node_source_finished(w.node, NOW + EVERY, S, "the container died", false);
	assert_int_equal(w.recoveries, 1);
	end(&w);
}

/* The container that ended keeps its data until the record names the new one */
static void test_record_not_written(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	w.disk_full = true;
	answer_with(&w, 2, 5, 105);
	assert_int_equal(w.removed, 0);
	w.disk_full = false;
	es_node_tick(w.node, 3600000);
	es_node_tick(w.node, 3600000);
	assert_int_equal(w.record.container_epoch, 2);
	assert_int_equal(w.removed_epoch, 1);
	end(&w);
}

/* A request that cannot be logged ends the protection, not the service */
static void test_log_full(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	w.log_full = true;
	serve(&w, 6);
	assert_int_equal(w.unprotected, 1);
	ends(&w);
	struct wire_message m = message(WIRE_UNFENCE, 1);
	m.unfence.new_epoch = 2;
	say(&w, 1000, m);
	assert_int_equal(w.recoveries, 0);
	assert_int_equal(w.starts, 1);
	end(&w);
}

/* The program ends, too: what is on its disk is enough */
static void test_program_restarts(void **state)
{
	struct es_record record;
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	request(&w, 1, 6);
	record = w.record;
	w.node = es_node_free(w.node);
	new_node(&w);
	assert_int_equal(es_node_restore(w.node, NOW, &record, "", 0, ES_CONTAINER_STOPPED, NULL),
			 0);
	assert_int_equal(w.last.es_status.executed, 6);
	comes_back(&w);
	restored(&w);
	answer_with(&w, 2, 4, 104);
	answer_with(&w, 2, 5, 105);
	answer_with(&w, 2, 6, 106);
	assert_int_equal(w.record.executed, 6);
	assert_int_equal(w.record.container_epoch, 2);
	end(&w);
}

/* A session that leaves takes nothing of it along, and leaves nothing */
static void test_retired(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	say(&w, NOW, message(WIRE_FENCE, 1));
	say(&w, NOW, message(WIRE_RETIRE, 1));
	assert_int_equal(w.last.type, WIRE_RETIRED);
	assert_int_equal(w.unprotected, 1);
	assert_false(w.kept);
	end(&w);
}

/* Its user ends the session while it is recovered: nothing of it stays */
static void test_ended_meanwhile(void **state)
{
	struct world w;

	(void)state;
	protected_until_its_end(&w);
	ends(&w);
	comes_back(&w);
	restored(&w);
	say(&w, 1500, message(WIRE_DISASSOCIATION, 2));
	assert_int_equal(w.removed, 2);
	assert_int_equal(w.unprotected, 1);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_when),
		cmocka_unit_test(test_logged_meanwhile),
		cmocka_unit_test(test_moves_meanwhile),
		cmocka_unit_test(test_recovered),
		cmocka_unit_test(test_under_way),
		cmocka_unit_test(test_answers_otherwise),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_one_try_at_a_time),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_doubts),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_unprotected_meanwhile),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_waits_for_its_turn),
		cmocka_unit_test(test_engine_is_away),
		cmocka_unit_test(test_ends_again),
		cmocka_unit_test(test_ends_in_a_cut),
		cmocka_unit_test(test_record_not_written),
		cmocka_unit_test(test_log_full),
		cmocka_unit_test(test_program_restarts),
		cmocka_unit_test(test_retired),
		cmocka_unit_test(test_ended_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
