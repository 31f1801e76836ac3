/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Exactly once, whatever becomes of the disk and of memory (R1, R4)
 *
 * The session logic and its journal, together, serve a device whose container counts how often it
 * executed each request. One scenario is run again and again: in each run another write or another
 * allocation fails, or the program ends there and is started again.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "core/es/node.h"
#include "es/journal/session_store.h"
#include "faults.h"

#define SESSION  0x1234abcd5678ef01ull
#define REQUESTS 12
#define FENCED   4 /* before request FENCED + 1 authority goes away and comes back */

static char dir[64];

/* The container and the device outlive the program. */
struct world {
	struct es_node *node;
	struct session_store *store;
	uint64_t now;
	bool created; /* there is a container */
	bool removed; /* there was one, and the node does not know yet that it is gone */
	unsigned int executed[REQUESTS + 1];
	uint64_t has; /* the request that the container has now */
	bool answered[REQUESTS + 1];
	bool in_doubt[REQUESTS + 1];
	bool active; /* the access point was told so */
	uint32_t epoch;
	bool told_fenced, unfencing, back;
	uint32_t fenced_epoch;
	unsigned int told_waiting;
	bool struck;
};

static void proof(uint8_t *to, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	memset(to, 0, WIRE_PROOF_SIZE);
	(void)snprintf((char *)to, WIRE_PROOF_SIZE, "%u %llu %u %s", secret[0],
		       (unsigned long long)session, association, ap);
}

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct world *w = ctx;

	(void)ap;
	if (faults_crashed())
		return;
	if (m->type == WIRE_ANSWER) {
		w->answered[m->data.number] = true;
		w->in_doubt[m->data.number] |= m->data.status == WIRE_E_IN_DOUBT;
		return;
	}
	if (m->type == WIRE_REFUSED) {
		w->told_waiting += m->es_status.status == WIRE_E_BUSY;
		return;
	}
	w->active = m->es_status.state == WIRE_ES_ACTIVE;
	w->epoch = m->epoch;
	if (m->es_status.state == WIRE_ES_FENCED) {
		w->told_fenced = true;
		w->fenced_epoch = m->epoch;
	}
	w->back = w->active && w->told_fenced && m->epoch > w->fenced_epoch;
}

static bool yes(void *ctx, const char *service)
{
	(void)ctx;
	(void)service;
	return true;
}

static bool no_hold(void *ctx, const char *service, bool diverged)
{
	(void)ctx;
	(void)service;
	(void)diverged;
	return false;
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	struct world *w = ctx;

	(void)session;
	(void)epoch;
	(void)service;
	if (!faults_crashed())
		w->created = true;
}

static void remove_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct world *w = ctx;

	(void)session;
	(void)epoch;
	if (faults_crashed())
		return;
	if (w->executed[1])
		fail_msg("a container that was in use is removed");
	w->created = false;
	w->removed = true;
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
	(void)epoch;
	if (faults_crashed())
		return;
	assert_int_equal(w->has, 0);
	w->has = request->number;
	w->executed[request->number]++;
}

static bool under_way(void *ctx, uint64_t session, uint32_t epoch)
{
	(void)ctx;
	(void)session;
	(void)epoch;
	return false;
}

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	struct world *w = ctx;

	return session_store_persist(w->store, record, cache, what, err);
}

static void forget(void *ctx, uint64_t session)
{
	struct world *w = ctx;

	session_store_forget(w->store, session);
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

static const struct es_node_ops ops = {
	.to_ap = to_ap,
	.service_known = yes,
	.hold = no_hold,
	.create_container = create_container,
	.remove_container = remove_container,
	.resume_container = resume_container,
	.execute = execute,
	.under_way = under_way,
	.persist = persist,
	.forget = forget,
	.event = event,
};

static void clear(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/1234abcd5678ef01.session", dir);
	(void)unlink(path);
	(void)strncat(path, ".new", sizeof(path) - strlen(path) - 1);
	(void)unlink(path);
}

/* --- the program ------------------------------------------------------------------------------- */

static void on_session(void *ctx, const struct es_record *record, const void *cache, size_t len)
{
	struct world *w = ctx;

	assert_int_equal(es_node_restore(w->node, w->now, record, cache, len,
					 w->created ? ES_CONTAINER_RUNS : ES_CONTAINER_GONE, NULL),
			 0);
}

static void on_bad(void *ctx, uint64_t session, const struct err *why)
{
	(void)ctx;
	fail_msg("%016llx: %s", (unsigned long long)session, why->text);
}

static void start(struct world *w)
{
	struct policy policy = policy_default();

	assert_int_equal(session_store_open(&w->store, dir, NULL), 0);
	assert_int_equal(es_node_new(&w->node, "ES-1", &policy, proof, &ops, w, NULL), 0);
	assert_int_equal(session_store_each(w->store, on_session, on_bad, w, NULL), 0);
}

static void end(struct world *w)
{
	w->node = es_node_free(w->node);
	w->store = session_store_free(w->store);
	w->has = 0; /* the connection into the container is gone */
}

/* --- the access point -------------------------------------------------------------------------- */

static struct wire_message message(const struct world *w, enum wire_type type)
{
	return (struct wire_message){
		.type = type, .session = SESSION, .association = 1, .epoch = w->epoch
	};
}

static void say(struct world *w, struct wire_message m)
{
	if (!faults_crashed())
		es_node_message(w->node, w->now, "AP-1", &m);
}

static void ask(struct world *w)
{
	struct wire_message m = message(w, WIRE_CREATE);

	(void)snprintf(m.create.mud, NAME_SIZE, "USER");
	(void)snprintf(m.create.service, NAME_SIZE, "offload");
	m.create.secret[0] = 42;
	say(w, m);
	if (!faults_crashed() && w->created)
		es_node_created(w->node, w->now, SESSION, 1, NULL);
	m = message(w, WIRE_ATTACH);
	(void)snprintf(m.attach.ap, NAME_SIZE, "AP-1");
	say(w, m);
}

static void request(struct world *w, uint64_t number)
{
	struct wire_message m = message(w, WIRE_REQUEST);

	m.data = (struct wire_data){ .number = number, .bytes = (const uint8_t *)"q", .len = 1 };
	say(w, m);
}

static void container_answers(struct world *w)
{
	const struct wire_data answer = {
		.number = w->has, .digest = 1, .bytes = (const uint8_t *)"answer", .len = 6
	};

	if (!w->has || faults_crashed())
		return;
	w->has = 0;
	es_node_executed(w->node, w->now, SESSION, 1, &answer);
}

static void fence(struct world *w)
{
	struct wire_message m = message(w, WIRE_FENCE);

	m.fence.after = FENCED;
	say(w, m);
}

static void unfence(struct world *w)
{
	struct wire_message m = message(w, WIRE_UNFENCE);

	w->unfencing = true;
	m.unfence.new_epoch = w->fenced_epoch + 2;
	say(w, m);
}

/* One retry_ms: whoever waits for an answer asks again. */
static void turn(struct world *w, void (*what)(struct world *w))
{
	w->now += policy_default().retry_ms;
	if (!faults_crashed())
		es_node_tick(w->node, w->now);
	if (!faults_crashed() && w->removed)
		es_node_removed(w->node, SESSION, 1);
	w->removed = false;
	what(w);
	container_answers(w);
}

static void ask_next(struct world *w)
{
	uint64_t n = 1;

	if (w->epoch == 0 || !w->active)
		ask(w);
	while (n <= REQUESTS && w->answered[n])
		n++;
	for (uint64_t k = n; k <= REQUESTS && k < n + 2; k++) {
		if (k <= FENCED || w->back)
			request(w, k);
	}
}

static bool done_through(const struct world *w, uint64_t last)
{
	for (uint64_t n = 1; n <= last; n++) {
		if (!w->answered[n])
			return false;
	}
	return true;
}

/* --- the scenario ------------------------------------------------------------------------------ */

#define TURNS 60

/* Whatever was told must be true after a crash. */
static void start_again(struct world *w)
{
	bool told_fenced = w->told_fenced && !w->back;

	w->struck |= faults_off();
	end(w);
	start(w);
	w->active = false;
	ask(w);
	if (told_fenced && w->active && !w->unfencing)
		fail_msg("a container that was fenced is active");
}

static void run(struct world *w)
{
	for (int i = 0; i < TURNS && !done_through(w, FENCED); i++) {
		turn(w, ask_next);
		if (faults_crashed())
			start_again(w);
	}
	for (int i = 0; i < TURNS && !w->told_fenced; i++) {
		turn(w, fence);
		if (faults_crashed())
			start_again(w);
	}
	for (int i = 0; i < TURNS && !w->back; i++) {
		turn(w, unfence);
		if (faults_crashed())
			start_again(w);
	}
	for (int i = 0; i < TURNS && !done_through(w, REQUESTS); i++) {
		turn(w, ask_next);
		if (faults_crashed())
			start_again(w);
	}
}

static void assert_exactly_once(const struct world *w, unsigned int n)
{
	for (uint64_t k = 1; k <= REQUESTS; k++) {
		if (!w->answered[k])
			fail_msg("fault %u: no answer to %u", n, (unsigned int)k);
		if (w->executed[k] > 1 || (!w->executed[k] && !w->in_doubt[k]))
			fail_msg("fault %u: request %u was executed %u times", n, (unsigned int)k,
				 w->executed[k]);
	}
}

/* Once more from the start: at the end all that was told must be in the files, too. */
static void finish(struct world *w, unsigned int n)
{
	assert_exactly_once(w, n);
	start_again(w);
	for (uint64_t k = 1; k <= REQUESTS; k++)
		request(w, k);
	container_answers(w);
	assert_exactly_once(w, n);
	end(w);
	clear();
}

/* Return: how many in doubt */
static unsigned int each_write(enum faults_how how, int code)
{
	unsigned int doubts = 0;
	bool struck = true;

	for (unsigned int n = 1; struck; n++) {
		struct world w = { 0 };

		clear();
		assert_true(n < 500);
		start(&w);
		faults_disk(n, how, code);
		run(&w);
		struck = faults_off() || w.struck;
		run(&w); /* a disk that was full has room again */
		for (int k = 1; k <= REQUESTS; k++)
			doubts += w.in_doubt[k];
		finish(&w, n);
	}
	return doubts;
}

static void test_write_fails(void **state)
{
	(void)state;
	assert_int_equal(each_write(FAULTS_ONCE, ENOSPC), 0);
	assert_int_equal(each_write(FAULTS_ONCE, EIO), 0);
	assert_int_equal(each_write(FAULTS_SHORT, ENOSPC), 0);
}

static void test_disk_stays_full(void **state)
{
	(void)state;
	assert_int_equal(each_write(FAULTS_FROM_HERE_ON, ENOSPC), 0);
}

static void test_crash_at_each_write(void **state)
{
	(void)state;
	assert_true(each_write(FAULTS_CRASH, EIO) > 0);
	assert_true(each_write(FAULTS_TORN, EIO) > 0);
}

/* A user that waits is told, and served when there is room again. */
static void test_told_to_wait(void **state)
{
	struct world w = { 0 };

	(void)state;
	clear();
	start(&w);
	turn(&w, ask_next);
	turn(&w, ask_next);
	faults_disk(1, FAULTS_FROM_HERE_ON, ENOSPC);
	for (int i = 0; i < TURNS; i++)
		turn(&w, ask_next);
	assert_true(w.told_waiting >= 2);
	assert_true(faults_off());
	run(&w);
	finish(&w, 0);
}

static void take_state(void *ctx, const struct es_session_view *v)
{
	*(enum wire_es_state *)ctx = v->record.state;
}

/* R15: a session at rest is there again although nothing can be written at the start, and tells its state */
static void test_started_while_full(void **state)
{
	enum wire_es_state is = WIRE_ES_NONE;
	struct world w = { 0 };

	(void)state;
	clear();
	start(&w);
	turn(&w, ask_next);
	turn(&w, ask_next);
	end(&w);
	faults_disk(1, FAULTS_FROM_HERE_ON, ENOSPC);
	start(&w);
	es_node_each(w.node, take_state, &is);
	assert_int_equal(is, WIRE_ES_ACTIVE);
	(void)faults_off();
	run(&w);
	finish(&w, 0);
}

static void test_memory_fails(void **state)
{
	bool struck = true;

	(void)state;
	for (unsigned int n = 1; struck; n++) {
		struct world w = { 0 };

		clear();
		assert_true(n < 5000);
		start(&w);
		faults_memory(n);
		run(&w);
		struck = faults_off();
		finish(&w, n);
	}
}

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/baton-faults-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	clear();
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_fails),         cmocka_unit_test(test_disk_stays_full),
		cmocka_unit_test(test_crash_at_each_write), cmocka_unit_test(test_told_to_wait),
		cmocka_unit_test(test_started_while_full),  cmocka_unit_test(test_memory_fails),
	};

	return cmocka_run_group_tests(tests, begin, remove_directory);
}
