/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Containers, checkpoints and transfers - slow, failing, interrupted, but never dishonest
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "core/common/replay_buffer.h"
#include "world.h"

#define FREEZE_US 20000 /* what a cut is said to take */

/* an operation's context is the edge; the world is found through it */
struct here {
	struct world *world;
	int edge;
	bool dying; /* of its last words none is heard */
};

static struct here here(void *ctx)
{
	struct es_ctx {
		struct world *world;
		int edge;
	} *c = ctx;

	return (struct here){ c->world, c->edge, c->world->edge[c->edge].dying };
}

struct container *engine_find(struct world *w, int edge, uint64_t session, uint32_t epoch)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct container *c = &w->edge[edge].container[i];

		if (c->present && c->session == session && c->epoch == epoch)
			return c;
	}
	return NULL;
}

static struct container *container_add(struct world *w, int edge, uint64_t session, uint32_t epoch)
{
	if (engine_find(w, edge, session, epoch)) {
		violated(w, "two containers of session %llx epoch %u at %s",
			 (unsigned long long)session, epoch, w->edge[edge].es_name);
	}
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct container *c = &w->edge[edge].container[i];

		if (c->present)
			continue;
		*c = (struct container){ .present = true,
					 .serial = ++w->next_serial,
					 .session = session,
					 .epoch = epoch,
					 .state = { .chain = session } };
		return c;
	}
	violated(w, "too many containers at %s: something leaks", w->edge[edge].es_name);
	return NULL;
}

/* What an edge server wrote down of a session. Return: borrowed, or NULL */
static const struct es_record *record_of(struct world *w, int edge, uint64_t session)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct record_slot *r = &w->edge[edge].record[i];

		if (r->used && r->record.session == session)
			return &r->record;
	}
	return NULL;
}

/* What the edge server wrote down of the container's session; NONE if it is another container's. */
static enum wire_es_state record_state(struct world *w, int edge, const struct container *c)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct record_slot *r = &w->edge[edge].record[i];

		if (r->used && r->record.session == c->session &&
		    r->record.container_epoch == c->epoch)
			return r->record.state;
	}
	return WIRE_ES_NONE;
}

/* --- what is under way, and for whom ----------------------------------------------------------- */

struct job {
	int edge;
	uint32_t life;
	uint64_t session;
	uint32_t epoch;
	uint64_t number;
	uint64_t serial;
	bool failed;
	struct transfer *transfer;
};

static struct job *job_new(struct world *w, int edge, uint64_t session, uint32_t epoch)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		abort();
	j->edge = edge;
	j->life = w->edge[edge].es_life;
	j->session = session;
	j->epoch = epoch;
	return j;
}

static struct es_node *daemon_of(struct world *w, const struct job *j)
{
	return w->edge[j->edge].es_life == j->life ? w->edge[j->edge].es : NULL;
}

/* --- containers -------------------------------------------------------------------------------- */

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct here h = here(ctx);
	int to = edge_by_ap(h.world, ap);
	if (h.dying)
		return;

	if (to >= 0)
		network_send(h.world, node_es(h.edge), node_ap(to), m);
	else
		check_stranger(h.world, h.world->edge[h.edge].es_name, ap, m);
}

static bool service_known(void *ctx, const char *service)
{
	(void)ctx;
	return strcmp(service, "replay") == 0 || strcmp(service, "hold") == 0 ||
	       strcmp(service, "auto") == 0 || protected_service(service);
}

static bool hold(void *ctx, const char *service, bool diverged)
{
	(void)ctx;
	return strcmp(service, "hold") == 0 || (strcmp(service, "auto") == 0 && diverged);
}

/* Something that was done, and whose answer is lost. */
static bool answer_lost(struct world *w, uint64_t permille)
{
	return w->plan.device_faults && w->now < w->plan.faults_until && chance(w, permille);
}

static bool may_start(void *ctx, const char *service, int exit_code, uint32_t tries)
{
	(void)ctx;
	(void)service;
	(void)exit_code;
	(void)tries;
	return true;
}

/* What the service had in memory is gone. That may not be if it could have been recovered (R15). */
static void start_without_memory(struct world *w, const struct job *j, struct container *c)
{
	struct mud *m = mud_by_session(w, c->session);
	const struct es_record *r = record_of(w, j->edge, c->session);

	if (!m || !protected_service(m->service))
		return;
	if (r && !m->diverges && kept_covers(kept_of(w, j->edge, c->session, false), r->executed))
		violated(w, "%s starts without its memory, and a cut is kept", m->name);
	c->state = (struct state){ .chain = c->session };
	m->unchecked_through = m->sent + 1;
	w->memory_lost++;
}

static void started(struct world *w, void *arg)
{
	const struct job *j = arg;
	struct container *c = engine_find(w, j->edge, j->session, j->epoch);
	struct es_node *es = daemon_of(w, j);
	enum es_start how = c ? ES_START_DONE : ES_START_GONE;

	if (c && w->plan.device_faults && w->now < w->plan.faults_until && chance(w, 200))
		how = ES_START_FAILED;
	if (c && how == ES_START_DONE) {
		w->restarts += c->stopped;
		if (c->stopped)
			start_without_memory(w, j, c);
		c->stopped = false;
	}
	if (how == ES_START_DONE && answer_lost(w, 100))
		how = ES_START_AWAY;
	if (es)
		(void)es_node_started(es, w->now, j->session, j->epoch, how, "it does not start");
}

static void start_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	struct here h = here(ctx);

	(void)service;
	if (!h.dying)
		agenda_add(h.world, 20 + roll(h.world, 100), started,
			   job_new(h.world, h.edge, session, epoch));
}

static void resume_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct here h = here(ctx);
	struct container *c = engine_find(h.world, h.edge, session, epoch);
	if (h.dying)
		return;

	if (c)
		c->frozen = false;
}

static void created(struct world *w, void *arg)
{
	const struct job *j = arg;
	struct es_node *es = daemon_of(w, j);
	struct mud *m = mud_by_session(w, j->session);

	if (!es)
		return;
	if (j->failed) {
		if (m)
			m->excused = true;
		es_node_created(es, w->now, j->session, j->epoch, "no such image");
		return;
	}
	container_add(w, j->edge, j->session, j->epoch);
	if (!answer_lost(w, 30)) {
		es_node_created(es, w->now, j->session, j->epoch, NULL);
		return;
	}
	if (m)
		m->excused = true;
	es_node_created(es, w->now, j->session, j->epoch, "the engine does not answer");
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	struct here h = here(ctx);
	struct job *j = job_new(h.world, h.edge, session, epoch);
	if (h.dying)
		return;

	(void)service;
	j->failed = h.world->plan.device_faults && chance(h.world, 30);
	agenda_add(h.world, 20 + roll(h.world, 200), created, j);
}

static void removed(struct world *w, void *arg)
{
	const struct job *j = arg;
	struct container *c = engine_find(w, j->edge, j->session, j->epoch);
	struct es_node *es = daemon_of(w, j);
	bool done = !answer_lost(w, 100);

	if (c && !done && chance(w, 500))
		c = NULL; /* it is not done either */
	if (!es && chance(w, 500))
		c = NULL; /* whoever asked for it has died */
	if (c)
		*c = (struct container){ 0 };
	if (es && done)
		es_node_removed(es, j->session, j->epoch);
	else if (es)
		es_node_not_removed(es, w->now, j->session, j->epoch, "no answer");
}

static void remove_container(void *ctx, uint64_t session, uint32_t epoch)
{
	struct here h = here(ctx);
	const struct container *c = engine_find(h.world, h.edge, session, epoch);
	if (h.dying)
		return;

	if (c)
		check_removal(h.world, h.edge, c);
	agenda_add(h.world, 2 + roll(h.world, 30), removed,
		   job_new(h.world, h.edge, session, epoch));
}

static void executed(struct world *w, void *arg)
{
	const struct job *j = arg;
	struct container *c = engine_find(w, j->edge, j->session, j->epoch);
	uint8_t answer[32];

	if (!c || c->serial != j->serial || c->running != j->number)
		return; /* it died, or the request never reached it */
	if (c->frozen) {
		violated(w, "request %llu ran inside a cut", (unsigned long long)j->number);
		return;
	}
	if (record_state(w, j->edge, c) == WIRE_ES_FENCED)
		violated(w, "request %llu ran in a fenced container",
			 (unsigned long long)j->number);
	c->running = 0;
	c->since_restore++;
	c->state = state_after(c->state, c->session, j->number);
	const struct mud *m = mud_by_session(w, c->session);
	enum wire_segment segment = m ? part_of(m, j->number) : WIRE_SEGMENT_WHOLE;
	bool begun =
		segment == WIRE_SEGMENT_BEGIN || (segment == WIRE_SEGMENT_MORE && c->collecting);
	c->collecting = begun ? w->now : 0;
	if (c->diverged)
		c->state.chain ^= 1;
	put_be64(answer, j->number);
	put_be64(answer + 8, c->state.count);
	put_be64(answer + 16, c->state.chain);
	put_be64(answer + 24, c->state.lines);
	struct wire_data d = { .number = j->number, .bytes = answer, .len = sizeof(answer) };
	d.digest = replay_digest(&d);
	if (daemon_of(w, j))
		es_node_executed(w->edge[j->edge].es, w->now, j->session, j->epoch, &d);
}

static void execute(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *request)
{
	uint64_t number = request->number;
	struct here h = here(ctx);
	struct container *c = engine_find(h.world, h.edge, session, epoch);
	if (h.dying)
		return;

	if (!c || c->stopped)
		return; /* killed: the daemon will hear of it */
	if (c->frozen || c->running)
		violated(h.world, "request %llu handed to a container that is %s",
			 (unsigned long long)number, c->frozen ? "being cut" : "busy");
	if (request->len != 8 || get_be64(request->bytes) != number)
		violated(h.world, "request %llu has the payload of another",
			 (unsigned long long)number);
	const struct mud *m = mud_by_session(h.world, session);
	if (m && request->segment != part_of(m, number))
		violated(h.world, "request %llu is another part than it was",
			 (unsigned long long)number);
	c->running = number;
	struct job *j = job_new(h.world, h.edge, session, epoch);
	j->number = number;
	j->serial = c->serial;
	uint64_t takes = 1 + roll(h.world, 8);
	if (h.world->plan.slow_requests && chance(h.world, 20))
		takes = 200 + roll(h.world, 900);
	agenda_add(h.world, takes, executed, j);
}

static bool under_way(void *ctx, uint64_t session, uint32_t epoch)
{
	struct here h = here(ctx);
	const struct container *c = engine_find(h.world, h.edge, session, epoch);

	return c && c->collecting;
}

static void died(struct world *w, void *arg)
{
	const struct job *j = arg;

	if (daemon_of(w, j))
		es_node_container_died(w->edge[j->edge].es, w->now, j->session, j->epoch, 137,
				       "exit 137");
}

struct grace {
	uint64_t session;
	const char *dest;
	bool found;
};

static void is_in_grace(void *ctx, const struct ap_session_view *v)
{
	struct grace *g = ctx;

	g->found |=
		v->session == g->session && v->state == AP_GRACE && strcmp(v->dest, g->dest) == 0;
}

bool engine_in_grace(struct world *w, int edge, const struct container *c)
{
	const struct mud *m = mud_by_session(w, c->session);
	struct grace g = { .session = c->session, .dest = w->edge[edge].es_name };

	if (!c->present || !c->authority_since || !m || !w->edge[m->at].ap)
		return false;
	if (w->now + 100 > c->authority_since + w->policy.grace_ms ||
	    w->policy.copies_max < REQUESTS_MAX * 2 ||
	    !pipe_between(w, node_es(edge), node_ap(m->at))->up)
		return false;
	ap_node_each(w->edge[m->at].ap, is_in_grace, &g);
	return g.found;
}

/* Half of the requests on their way into a container are executed all the same. */
static void stop(struct world *w, struct container *c)
{
	if (c->running && chance(w, 500))
		c->state = state_after(c->state, c->session, c->running);
	c->running = 0;
	c->collecting = 0;
	c->frozen = false;
	c->stopped = true;
}

void engine_kill(struct world *w, int edge, struct container *c)
{
	if (c->stopped)
		return;
	stop(w, c);
	agenda_add(w, 1 + roll(w, 20), died, job_new(w, edge, c->session, c->epoch));
}

/* --- migrations -------------------------------------------------------------------------------- */

static void go_on(struct world *w, struct transfer *t, uint64_t after, event_fn fn)
{
	struct job *j = job_new(w, t->from, t->order.session, t->order.epoch);

	j->transfer = t;
	agenda_add(w, after, fn, j);
}

static struct es_node *source_of(struct world *w, const struct transfer *t)
{
	return w->edge[t->from].es_life == t->from_life ? w->edge[t->from].es : NULL;
}

static struct es_node *destination_of(struct world *w, const struct transfer *t)
{
	return w->edge[t->to].es_life == t->to_life ? w->edge[t->to].es : NULL;
}

/* CRIU, as it ends, may freeze once more what was thawed: then it is for the edge server to see to it. */
static void thaw(struct world *w, struct transfer *t, bool failed)
{
	t->frozen = false;
	if (failed && w->plan.device_faults && chance(w, 300))
		return;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct container *c = &w->edge[t->from].container[i];

		if (c->present && c->session == t->order.session)
			c->frozen = false;
	}
}

static void source_failed(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;

	if (t->source_done)
		return;
	t->source_done = true;
	if (t->frozen)
		thaw(w, t, true);
	if (source_of(w, t) && t->recover)
		es_node_not_recovered(source_of(w, t), w->now, t->order.session, chance(w, 500),
				      "transfer failed");
	else if (source_of(w, t))
		es_node_source_finished(source_of(w, t), w->now, t->order.session,
					"transfer failed", false);
}

static void arrival_failed(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;

	if (!t->offered)
		return;
	t->offered = false;
	struct container *c = engine_find(w, t->to, t->order.session, t->order.epoch + 1);
	if (c && destination_of(w, t))
		*c = (struct container){ 0 };
	if (destination_of(w, t))
		es_node_arrival_failed(destination_of(w, t), w->now, t->order.session,
				       "transfer failed");
}

static void fail(struct world *w, struct transfer *t)
{
	if (t->step == STEP_ENDED)
		return;
	/* a container that is being cut stays frozen until the source has cleared up */
	t->step = STEP_ENDED;
	go_on(w, t, 1 + roll(w, 20), source_failed);
	go_on(w, t, 1 + roll(w, 20), arrival_failed);
}

static bool fails_here(struct world *w, struct transfer *t, uint64_t permille)
{
	if (!w->plan.device_faults || !chance(w, permille))
		return false;
	fail(w, t);
	return true;
}

static void result_came(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;

	if (t->step != STEP_RESULT || t->source_done)
		return;
	t->step = STEP_ENDED;
	t->source_done = true;
	if (source_of(w, t) && !t->recover)
		es_node_source_finished(source_of(w, t), w->now, t->order.session, NULL, false);
}

static void restored(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;
	struct container *c = engine_find(w, t->to, t->order.session, t->order.epoch + 1);
	const struct mud *m = mud_by_session(w, t->order.session);
	struct wire_cut cut = { .number = t->cut_number,
				.cache = buf_bytes(&t->cache),
				.cache_len = t->cache.len };
	struct err err;

	if (t->step != STEP_RESTORE || !destination_of(w, t) || fails_here(w, t, 80))
		return;
	if (!c || c->stopped) { /* killed before it lived */
		fail(w, t);
		return;
	}
	c->state = t->snapshot;
	c->diverged = m && m->diverges;
	if (c->state.lines != c->state.count)
		violated(w, "the cut is not consistent: %llu in memory, %llu on disk",
			 (unsigned long long)c->state.count, (unsigned long long)c->state.lines);
	t->offered = false;
	t->step = STEP_RESULT;
	w->migrations += !t->recover;
	w->recovered += t->recover;
	if (es_node_arrived(destination_of(w, t), w->now, t->order.session, &cut, &err) < 0)
		violated(w, "a good cut was refused: %s", err.text);
	go_on(w, t, network_delay(w, node_es(t->to), node_es(t->from)), result_came);
}

/* The cut is on disk: from now on it is the one to recover from. */
static void keep(struct world *w, struct transfer *t)
{
	struct kept_slot *k;

	if (w->now < w->edge[t->from].full_until || !source_of(w, t)) {
		fail(w, t);
		return;
	}
	k = kept_of(w, t->from, t->order.session, true);
	k->whole = true;
	k->cut = t->cut_number;
	k->state = t->snapshot;
	w->cuts_kept++;
	t->step = STEP_ENDED;
	t->source_done = true;
	es_node_source_finished(source_of(w, t), w->now, t->order.session, NULL, false);
}

static void sent(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;

	if (t->step != STEP_SEND || fails_here(w, t, 50))
		return;
	if (t->keep) {
		keep(w, t);
		return;
	}
	t->step = STEP_RESTORE;
	go_on(w, t, 10 + roll(w, 150), restored);
}

static void cut_ended(struct world *w, void *arg)
{
	struct job *j = arg;
	struct transfer *t = j->transfer;
	struct container *c = engine_find(w, t->from, t->order.session, j->epoch);
	bool good = c && c->serial == j->serial && !c->stopped &&
		    !(w->plan.device_faults && chance(w, 80));

	if (t->step != STEP_CUT)
		return;
	/* one that holds stays frozen, until whoever told to cut says otherwise */
	if (t->order.hold && good && source_of(w, t)) {
		t->frozen = false;
		w->held++;
	} else {
		thaw(w, t, !good);
	}
	if (!source_of(w, t))
		return;
	t->step = STEP_SEND;
	es_node_frozen(source_of(w, t), t->order.session, FREEZE_US);
	es_node_cut_taken(source_of(w, t), w->now, t->order.session, good);
	if (!good)
		fail(w, t);
	else
		go_on(w, t, 10 + roll(w, 4 * w->plan.wan_ms), sent);
}

static struct transfer *transfer_from(struct world *w, int edge, uint64_t session)
{
	for (struct transfer *t = w->transfers; t; t = t->next) {
		if (t->from == edge && t->order.session == session && !t->source_done &&
		    t->from_life == w->edge[edge].es_life)
			return t;
	}
	return NULL;
}

static void take_cut(void *ctx, uint64_t session, uint64_t number, const struct answer_cache *cache)
{
	struct here h = here(ctx);
	struct world *w = h.world;
	struct transfer *t = transfer_from(w, h.edge, session);
	struct container *c;
	if (h.dying)
		return;

	if (!t || t->step != STEP_WAIT_CUT)
		return; /* it failed, the end of it is on its way */
	c = engine_find(w, h.edge, session, t->order.container_epoch);
	if (!c || c->stopped) {
		fail(w, t);
		return;
	}
	if (c->running)
		violated(w, "cut while request %llu runs", (unsigned long long)c->running);
	if (c->collecting && w->now < c->collecting + w->policy.drain_ms)
		violated(w, "cut while a request is there in part only");
	c->collecting = 0;
	t->step = STEP_CUT;
	t->cut_number = number;
	t->snapshot = c->state;
	c->frozen = true;
	c->frozen_since = w->now;
	t->frozen = true;
	if (answer_cache_encode(cache, &t->cache, NULL) < 0)
		abort();
	struct job *j = job_new(w, h.edge, session, c->epoch);
	j->transfer = t;
	j->serial = c->serial;
	agenda_add(w, 1 + roll(w, 40), cut_ended, j);
}

static void cut_wanted(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;

	if (t->step != STEP_WAIT_CUT || !source_of(w, t))
		return;
	es_node_cut_wanted(source_of(w, t), w->now, t->order.session);
}

static void cut_delayed(void *ctx, uint64_t session, const char *reason)
{
	struct here h = here(ctx);
	struct transfer *t = transfer_from(h.world, h.edge, session);
	if (h.dying)
		return;

	(void)reason;
	if (!t || t->step != STEP_WAIT_CUT)
		return;
	if (++t->delays > 20)
		fail(h.world, t);
	else
		go_on(h.world, t, 50 + roll(h.world, 100), cut_wanted);
}

static void offer_came(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;
	const struct es_migration_order *o = &t->order;
	struct wire_message m = { .type = WIRE_TRANSFER_OFFER,
				  .session = o->session,
				  .association = o->association,
				  .epoch = o->epoch };
	const char *reason;

	if (t->step != STEP_OFFER)
		return;
	t->to_life = w->edge[t->to].es_life;
	if (!w->edge[t->to].es) {
		fail(w, t);
		return;
	}
	memcpy(m.offer.mud, o->mud, NAME_SIZE);
	memcpy(m.offer.service, o->service, NAME_SIZE);
	memcpy(m.offer.from_es, w->edge[t->from].es_name, NAME_SIZE);
	memcpy(m.offer.ap, o->ap, NAME_SIZE);
	memcpy(m.offer.secret, o->secret, WIRE_SECRET_SIZE);
	if (!es_node_offered(w->edge[t->to].es, w->now, w->edge[t->from].es_name, &m, &reason)) {
		trace(w, "%s refuses the offer: %s", w->edge[t->to].es_name, reason);
		fail(w, t);
		return;
	}
	t->offered = true;
	container_add(w, t->to, o->session, o->epoch + 1);
	if (t->recover) {
		t->step = STEP_RESTORE;
		go_on(w, t, 10 + roll(w, 150), restored);
		return;
	}
	t->step = STEP_WAIT_CUT;
	go_on(w, t, network_delay(w, node_es(t->to), node_es(t->from)), cut_wanted);
}

static void prepared(struct world *w, void *arg)
{
	struct transfer *t = ((struct job *)arg)->transfer;

	if (t->step != STEP_PREPARE || fails_here(w, t, 50))
		return;
	if (t->keep) {
		t->step = STEP_WAIT_CUT;
		go_on(w, t, 1, cut_wanted);
		return;
	}
	if (t->to != t->from && !pipe_between(w, node_es(t->from), node_es(t->to))->up) {
		fail(w, t);
		return;
	}
	t->step = STEP_OFFER;
	go_on(w, t, t->to == t->from ? 1 : network_delay(w, node_es(t->from), node_es(t->to)),
	      offer_came);
}

static struct transfer *transfer_new(struct here h, const struct es_migration_order *order)
{
	struct world *w = h.world;
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->order = *order;
	t->from = h.edge;
	t->from_life = w->edge[h.edge].es_life;
	t->to = edge_by_es(w, order->to_es);
	t->step = STEP_PREPARE;
	t->next = w->transfers;
	w->transfers = t;
	buf_init(&t->cache, 0);
	go_on(w, t, 5 + roll(w, 40), prepared);
	return t;
}

static void migrate(void *ctx, const struct es_migration_order *order)
{
	struct here h = here(ctx);

	if (!h.dying)
		(void)transfer_new(h, order);
}

/* --- protection -------------------------------------------------------------------------------- */

static uint64_t protection(void *ctx, const char *service)
{
	(void)ctx;
	return protected_service(service) ? 300 : 0;
}

static void keep_cut(void *ctx, const struct es_migration_order *order)
{
	struct here h = here(ctx);

	if (!h.dying)
		transfer_new(h, order)->keep = true;
}

static int kept_cut(void *ctx, uint64_t session, uint64_t done, uint64_t *number)
{
	struct here h = here(ctx);
	const struct kept_slot *k = kept_of(h.world, h.edge, session, false);

	if (!kept_covers(k, done))
		return 0;
	*number = k->cut;
	return 1;
}

static int log_request(void *ctx, uint64_t session, const struct wire_data *request,
		       struct err *err)
{
	struct here h = here(ctx);

	if (h.dying || h.world->now < h.world->edge[h.edge].full_until)
		return err_set(err, -ENOSPC, "log a request");
	return kept_log(kept_of(h.world, h.edge, session, true), request, err);
}

static void log_answer(void *ctx, uint64_t session, uint64_t number, struct es_logged how)
{
	struct here h = here(ctx);
	struct kept_slot *k = kept_of(h.world, h.edge, session, false);

	if (k && !h.dying)
		k->how[number % KEPT_MAX] = how;
}

static int logged(void *ctx, uint64_t session, uint64_t number, struct wire_data *request,
		  struct es_logged *how, struct err *err)
{
	struct here h = here(ctx);

	return kept_read(kept_of(h.world, h.edge, session, false), number, request, how, err);
}

static void log_trim(void *ctx, uint64_t session, uint64_t through)
{
	struct here h = here(ctx);
	struct kept_slot *k = kept_of(h.world, h.edge, session, false);

	for (size_t i = 0; k && !h.dying && i < KEPT_MAX; i++) {
		if (k->logged[i] <= through)
			k->logged[i] = 0;
	}
}

static void recover(void *ctx, const struct es_migration_order *order)
{
	struct here h = here(ctx);
	const struct kept_slot *k = kept_of(h.world, h.edge, order->session, false);

	if (h.dying)
		return;
	if (!k || !k->whole) {
		violated(h.world, "a recovery without a cut that is kept");
		return;
	}
	struct transfer *t = transfer_new(h, order);
	t->recover = true;
	t->cut_number = k->cut;
	t->snapshot = k->state;
}

static void unprotect(void *ctx, uint64_t session)
{
	struct here h = here(ctx);
	struct kept_slot *k = kept_of(h.world, h.edge, session, false);

	if (k && !h.dying)
		*k = (struct kept_slot){ .used = false };
}

static void cancel_migration(void *ctx, uint64_t session, const char *reason)
{
	struct here h = here(ctx);
	if (h.dying)
		return;

	(void)reason;
	for (struct transfer *t = h.world->transfers; t; t = t->next) {
		if (t->order.session != session || t->step == STEP_ENDED)
			continue;
		if ((t->from == h.edge && !t->source_done) || (t->to == h.edge && t->offered))
			fail(h.world, t);
	}
}

/* --- what outlives a crash --------------------------------------------------------------------- */

static struct record_slot *slot_of(struct world *w, int edge, uint64_t session)
{
	struct record_slot *free_slot = NULL;

	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct record_slot *r = &w->edge[edge].record[i];

		if (r->used && r->record.session == session)
			return r;
		if (!r->used && !free_slot)
			free_slot = r;
	}
	return free_slot;
}

/* Whether source and copy both executed a request after the cut, so that they could be compared. */
static bool both_executed(struct world *w, const struct es_record *copy, const struct container *c)
{
	for (unsigned int i = 0; i < w->plan.edges; i++) {
		for (int k = 0; k < SESSIONS_MAX; k++) {
			const struct record_slot *r = &w->edge[i].record[k];

			if (r->used && r->record.session == copy->session &&
			    r->record.state == WIRE_ES_FENCED &&
			    r->record.epoch + 1 == copy->epoch &&
			    r->record.executed > copy->executed - c->since_restore)
				return true;
		}
	}
	return false;
}

/* A crash in the middle of a write: what was written is torn, and cut off at the next start. */
static bool dies_here(struct here h)
{
	struct world *w = h.world;

	if (!w->plan.disk_faults || w->now >= w->plan.faults_until || !chance(w, 1))
		return false;
	w->edge[h.edge].dying = true;
	return true;
}

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	struct here h = here(ctx);
	struct record_slot *r = slot_of(h.world, h.edge, record->session);
	struct container *c;

	if (!r) {
		violated(h.world, "too many records at %s", h.world->edge[h.edge].es_name);
		return 0;
	}
	if (!r->used && what != ES_PERSIST_ALL)
		return 0; /* a copy without authority: nothing of it is kept */
	if (h.dying || dies_here(h))
		return err_set(err, -EIO, "write a record");
	if (h.world->now < h.world->edge[h.edge].full_until)
		return err_set(err, -ENOSPC, "write a record");
	if (what == ES_PERSIST_ANSWER &&
	    answer_cache_get(cache, record->executed, &(struct wire_data){ 0 }) != 0)
		return err_set(err, -EINVAL, "answer %" PRIu64 " is not in the cache",
			       record->executed); /* as the journal does */
	h.world->records_changed = true;
	r->used = true;
	if (what == ES_PERSIST_ALL)
		r->record = *record;
	r->record.started = record->started;
	r->record.executed = record->executed;
	r->record.handed |= record->handed;
	if (what != ES_PERSIST_STARTED) {
		buf_consume(&r->cache, r->cache.len);
		if (answer_cache_encode(cache, &r->cache, NULL) < 0)
			abort();
	}
	c = engine_find(h.world, h.edge, record->session, record->container_epoch);
	if (c && record->state == WIRE_ES_ACTIVE) {
		struct mud *m = mud_by_session(h.world, record->session);

		if (c->diverged && !c->authority && both_executed(h.world, record, c))
			violated(h.world, "a copy that answered otherwise got authority");
		else if (c->diverged && !c->authority && c->since_restore && m)
			m->unchecked_through = record->executed; /* nobody could compare these */
		if (!c->authority && record->container_epoch > 1)
			c->authority_since = h.world->now;
		c->authority = true;
		c->diverged = false;
	}
	return 0;
}

static void forget(void *ctx, uint64_t session)
{
	struct here h = here(ctx);
	struct record_slot *r = slot_of(h.world, h.edge, session);
	if (h.dying)
		return;

	if (!r || !r->used)
		return;
	h.world->records_changed = true;
	buf_deinit(&r->cache);
	*r = (struct record_slot){ 0 };
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		  const char *detail)
{
	struct here h = here(ctx);

	trace(h.world, "%s: %s %llu %s (%llx)", h.world->edge[h.edge].es_name, kind,
	      (unsigned long long)number, detail, (unsigned long long)session);
}

const struct es_node_ops engine_ops = {
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

/* --- crashes ----------------------------------------------------------------------------------- */

void engine_daemon_died(struct world *w, int edge)
{
	for (struct transfer *t = w->transfers; t; t = t->next) {
		if (t->step == STEP_ENDED || (t->from != edge && t->to != edge))
			continue;
		fail(w, t);
	}
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct container *c = &w->edge[edge].container[i];

		/* half of the requests on their way into a container are executed all the same */
		if (c->present && c->running && chance(w, 500))
			c->state = state_after(c->state, c->session, c->running);
		c->running = 0;
		c->collecting = 0;
		c->frozen = false; /* the daemon that comes back thaws what it finds */
	}
}

void engine_host_died(struct world *w, int edge, bool disk)
{
	engine_daemon_died(w, edge);
	for (int i = 0; i < SESSIONS_MAX; i++)
		w->edge[edge].container[i].stopped = w->edge[edge].container[i].present;
	if (!disk)
		return;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct container *c = &w->edge[edge].container[i];
		struct record_slot *r = &w->edge[edge].record[i];
		struct mud *m = c->present ? mud_by_session(w, c->session) : NULL;
		struct mud *known = r->used ? mud_by_session(w, r->record.session) : NULL;

		/* the container is gone, or what led to it */
		if (m)
			m->excused = true;
		if (known)
			known->excused = true;
		*c = (struct container){ 0 };
		buf_deinit(&r->cache);
		*r = (struct record_slot){ 0 };
	}
	memset(w->edge[edge].kept, 0, sizeof(w->edge[edge].kept));
}

void engine_transfers_broken(struct world *w, int a, int b)
{
	for (struct transfer *t = w->transfers; t; t = t->next) {
		bool pair = (t->from == a && t->to == b) || (t->from == b && t->to == a);

		if (pair && t->step != STEP_ENDED && t->step != STEP_PREPARE)
			fail(w, t);
	}
}
