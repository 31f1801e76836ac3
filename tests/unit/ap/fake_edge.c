/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "codec/codec.h"
#include "core/es/answer_cache.h"
#include "core/es/node.h"
#include "core/common/policy.h"
#include "core/common/replay_buffer.h"
#include "net/crypto.h"
#include "net/link.h"
#include "net/tls.h"

#define EDGES      4
#define LINKS      8
#define CONTAINERS 8
#define JOBS       256
#define KEPT       4

enum job_kind {
	JOB_CREATED,
	JOB_REMOVED,
	JOB_EXECUTE,
	JOB_OFFER,
	JOB_CUT,
	JOB_CANCEL,
};

/* What the node asked for: done in the next turn of the loop, for it must not be entered again */
struct job {
	enum job_kind kind;
	uint64_t session;
	uint32_t epoch;
	uint64_t number;
	char *bytes;
	size_t len;
	size_t preamble;
	enum wire_segment segment;
	uint32_t connection;
};

/* A long answer, of which the user has not got everything */
struct kept {
	uint64_t number;
	size_t sent;
	size_t len;
};

struct container {
	bool present;
	uint64_t session;
	uint32_t epoch;
	uint64_t executed; /* requests, also those that are but parts */
	uint64_t served;
	size_t collected; /* of a long request */
	uint32_t collects;
	struct kept kept[KEPT];
	uint8_t chain[CRYPTO_SHA256_SIZE];
};

struct fake_edge {
	uv_loop_t *loop;
	const char *name;
	char address[32];
	struct es_node *node;
	struct listener *listener;
	struct link *link[LINKS];
	struct container container[CONTAINERS];
	struct job job[JOBS];
	size_t first, count;
	bool paused;
	struct job parked[CONTAINERS];
	size_t parked_count;
	struct es_migration_order order;
	struct container snapshot;
	struct buf cache;
	uint64_t cut;
	uv_idle_t idle; /* runs while there are jobs */
	uv_timer_t timer;
	uv_prepare_t prepare;
	int handles;
};

static struct fake_edge *all[EDGES];

static void give_up(const char *what)
{
	(void)fprintf(stderr, "fake edge server: %s\n", what);
	abort();
}

/* ---- containers ---- */

static struct container *find(struct fake_edge *e, uint64_t session, uint32_t epoch)
{
	for (size_t i = 0; i < CONTAINERS; i++) {
		struct container *c = &e->container[i];

		if (c->present && c->session == session && c->epoch == epoch)
			return c;
	}
	return NULL;
}

static struct container *add(struct fake_edge *e, uint64_t session, uint32_t epoch)
{
	for (size_t i = 0; i < CONTAINERS; i++) {
		struct container *c = &e->container[i];

		if (c->present)
			continue;
		*c = (struct container){ .present = true, .session = session, .epoch = epoch };
		return c;
	}
	give_up("too many containers");
	return NULL;
}

static void digest(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct crypto_sha256 *sha;

	if (crypto_sha256_new(&sha, NULL) < 0 || crypto_sha256_update(sha, a, a_len) < 0 ||
	    crypto_sha256_update(sha, b, b_len) < 0 || crypto_sha256_final(sha, out) < 0)
		give_up("digest");
	crypto_sha256_free(sha);
}

/* What a service named as a codec answers. Return: length, 0 for other services */
static int answer_in_codec(char *to, size_t size, const char *service, const struct container *c,
			   const struct job *j)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%llu %zu %zu", (unsigned long long)c->served,
			 j->preamble, j->len - j->preamble);

	if (strcmp(service, "line") == 0)
		return snprintf(to, size, "%s\n", text);
	if (strcmp(service, "resp") == 0)
		return snprintf(to, size, "+%s\r\n", text);
	if (strcmp(service, "http") == 0)
		return snprintf(to, size, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n,
				text);
	if (strcmp(service, "udp") == 0 || strcmp(service, "frame") == 0)
		return snprintf(to, size, "%s", text);
	return 0;
}

static void answered(struct fake_edge *e, const struct job *j, enum wire_status status,
		     const void *bytes, size_t len)
{
	struct wire_data d = {
		.number = j->number, .status = status, .bytes = bytes ? bytes : "", .len = len
	};

	d.digest = replay_digest(&d);
	es_node_executed(e->node, uv_now(e->loop), j->session, j->epoch, &d);
}

/* The next part of a long answer, which is FAKE_EDGE_LONG and so on */
static void give_part(struct fake_edge *e, const struct job *j, struct kept *k)
{
	size_t left = k->len - k->sent;
	size_t len = left < WIRE_PAYLOAD_MAX ? left : WIRE_PAYLOAD_MAX;
	char *bytes = malloc(len);

	if (!bytes)
		give_up("memory");
	for (size_t i = 0; i < len; i++)
		bytes[i] = fake_edge_byte(k->len, k->sent + i);
	k->sent += len;
	if (k->sent == k->len)
		k->number = 0;
	answered(e, j, k->number ? WIRE_OK_MORE : WIRE_OK, bytes, len);
	free(bytes);
}

static struct kept *find_kept(struct container *c, uint64_t number)
{
	for (size_t i = 0; i < KEPT; i++) {
		if (c->kept[i].number == number)
			return &c->kept[i];
	}
	return NULL;
}

char fake_edge_byte(size_t len, size_t i)
{
	char head[64];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			 len - FAKE_EDGE_HEAD);

	if (n != FAKE_EDGE_HEAD)
		give_up("a long answer has from 1000000 to 9999999 bytes");
	return i < FAKE_EDGE_HEAD ? head[i] : (char)('a' + i / 3 % 26);
}

/* Parts of long requests, and of long answers. Return: whether there is nothing to execute */
static bool take_part(struct fake_edge *e, struct container *c, struct job *j)
{
	uint64_t about = j->len == WIRE_SEGMENT_NUMBER_SIZE ? get_be64((uint8_t *)j->bytes) : 0;
	struct kept *k = about ? find_kept(c, about) : NULL;
	size_t size;

	switch (j->segment) {
	case WIRE_SEGMENT_REST:
		if (k)
			give_part(e, j, k);
		else
			answered(e, j, WIRE_OK, NULL, 0);
		return true;
	case WIRE_SEGMENT_DROP:
		if (k)
			k->number = 0;
		if (!about)
			c->collects = 0;
		answered(e, j, WIRE_OK, NULL, 0);
		return true;
	case WIRE_SEGMENT_BEGIN:
		c->collects = j->connection;
		c->collected = 0;
		/* fall through */
	case WIRE_SEGMENT_MORE:
	case WIRE_SEGMENT_LAST:
		if (c->collects != j->connection) {
			es_node_in_doubt(e->node, uv_now(e->loop), j->session, j->epoch, j->number);
			return true;
		}
		c->collected += j->len - j->preamble;
		if (j->segment != WIRE_SEGMENT_LAST) {
			answered(e, j, WIRE_OK, NULL, 0);
			return true;
		}
		c->collects = 0;
		j->len = c->collected + j->preamble;
		return false;
	default:
		break;
	}
	if (sscanf(j->bytes, "GET /%zu HTTP", &size) != 1 || size < WIRE_PAYLOAD_MAX)
		return false;
	k = find_kept(c, 0);
	if (!k)
		give_up("too many long answers");
	*k = (struct kept){ .number = j->number, .len = size };
	c->served++;
	give_part(e, j, k);
	return true;
}

static void execute(struct fake_edge *e, struct job *j)
{
	char chain[2 * CRYPTO_SHA256_SIZE + 1], answer[256];
	struct container *c = find(e, j->session, j->epoch);
	const char *service = es_node_service(e->node, j->session);
	unsigned long long seq = 0;

	if (!c)
		return;
	c->executed++;
	if (take_part(e, c, j))
		return;
	c->served++;
	int n = answer_in_codec(answer, sizeof(answer), service, c, j);
	if (j->segment == WIRE_SEGMENT_WHOLE)
		digest(c->chain, c->chain, sizeof(c->chain), j->bytes, j->len);
	hex_encode(chain, c->chain, sizeof(c->chain));
	(void)sscanf(j->bytes, "{\"seq\":%llu", &seq);
	if (!n)
		n = snprintf(answer, sizeof(answer),
			     "{\"seq\":%llu,\"executed\":%llu,\"chain\":\"%s\"}", seq,
			     (unsigned long long)c->served, chain);
	answered(e, j, WIRE_OK, answer, (size_t)n);
}

/* ---- migration ---- */

static struct fake_edge *edge_named(const char *name)
{
	for (size_t i = 0; i < EDGES; i++) {
		if (all[i] && strcmp(all[i]->name, name) == 0)
			return all[i];
	}
	return NULL;
}

static void offer(struct fake_edge *e)
{
	const struct es_migration_order *o = &e->order;
	struct fake_edge *to = edge_named(o->to_es);
	struct wire_message m = { .type = WIRE_TRANSFER_OFFER,
				  .session = o->session,
				  .association = o->association,
				  .epoch = o->epoch };
	const char *reason = "no such edge server";
	uint64_t now = uv_now(e->loop);

	memcpy(m.offer.mud, o->mud, NAME_SIZE);
	memcpy(m.offer.service, o->service, NAME_SIZE);
	memcpy(m.offer.ap, o->ap, NAME_SIZE);
	memcpy(m.offer.secret, o->secret, WIRE_SECRET_SIZE);
	(void)snprintf(m.offer.from_es, NAME_SIZE, "%s", e->name);
	if (to && es_node_offered(to->node, now, e->name, &m, &reason))
		es_node_cut_wanted(e->node, now, o->session);
	else
		es_node_source_finished(e->node, now, o->session, reason, false);
}

static void cut(struct fake_edge *e)
{
	const struct es_migration_order *o = &e->order;
	struct fake_edge *to = edge_named(o->to_es);
	struct wire_cut w = { .number = e->cut,
			      .cache = buf_bytes(&e->cache),
			      .cache_len = e->cache.len };
	uint64_t now = uv_now(e->loop);

	es_node_cut_taken(e->node, now, o->session, true);
	struct container *c = add(to, o->session, o->epoch + 1);
	c->executed = e->snapshot.executed;
	c->served = e->snapshot.served;
	memcpy(c->chain, e->snapshot.chain, sizeof(c->chain));
	if (es_node_arrived(to->node, now, o->session, &w, NULL) < 0)
		give_up("the cut was refused");
	es_node_source_finished(e->node, now, o->session, NULL, false);
}

/* The node has dropped a migration, to here or from here */
static void cancel(struct fake_edge *e, uint64_t session)
{
	const struct es_migration_order *o = &e->order;
	struct fake_edge *to = edge_named(o->to_es);
	uint64_t now = uv_now(e->loop);

	if (o->session == session) {
		es_node_source_finished(e->node, now, session, "cancelled", false);
		if (to)
			es_node_arrival_failed(to->node, now, session, "cancelled");
	}
	es_node_arrival_failed(e->node, now, session, "cancelled");
}

/* ---- what the node asks for ---- */

/* An execution that waits until the containers go on; each session has one at a time */
static void park(struct fake_edge *e, struct job j)
{
	if (e->parked_count == CONTAINERS)
		give_up("too many jobs parked");
	e->parked[e->parked_count++] = j;
}

static void on_idle(uv_idle_t *idle)
{
	struct fake_edge *e = idle->data;
	struct job j = e->job[e->first];
	struct container *c;

	e->first = (e->first + 1) % JOBS;
	if (--e->count == 0)
		(void)uv_idle_stop(&e->idle);
	switch (j.kind) {
	case JOB_CREATED:
		c = add(e, j.session, j.epoch);
		digest(c->chain, "baton", 5, "", 0);
		es_node_created(e->node, uv_now(e->loop), j.session, j.epoch, NULL);
		break;
	case JOB_REMOVED:
		c = find(e, j.session, j.epoch);
		if (c)
			c->present = false;
		es_node_removed(e->node, j.session, j.epoch);
		break;
	case JOB_EXECUTE:
		if (e->paused) {
			park(e, j);
			return;
		}
		execute(e, &j);
		break;
	case JOB_OFFER:
		offer(e);
		break;
	case JOB_CUT:
		cut(e);
		break;
	case JOB_CANCEL:
		cancel(e, j.session);
		break;
	}
	free(j.bytes);
}

static void queue(struct fake_edge *e, struct job j)
{
	if (e->count == JOBS)
		give_up("too many jobs");
	e->job[(e->first + e->count++) % JOBS] = j;
	(void)uv_idle_start(&e->idle, on_idle);
}

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	struct fake_edge *e = ctx;

	for (size_t i = 0; i < LINKS; i++) {
		if (e->link[i] && strcmp(link_peer_name(e->link[i]), ap) == 0) {
			(void)link_send(e->link[i], m);
			return;
		}
	}
}

static bool service_known(void *ctx, const char *service)
{
	(void)ctx;
	return strcmp(service, "offload") == 0 || codec_find(service);
}

static void create_container(void *ctx, uint64_t session, uint32_t epoch, const char *service)
{
	(void)service;
	queue(ctx, (struct job){ .kind = JOB_CREATED, .session = session, .epoch = epoch });
}

/* Nothing here is ever frozen */
static void resume_container(void *ctx, uint64_t session, uint32_t epoch)
{
	(void)ctx;
	(void)session;
	(void)epoch;
}

static void remove_container(void *ctx, uint64_t session, uint32_t epoch)
{
	queue(ctx, (struct job){ .kind = JOB_REMOVED, .session = session, .epoch = epoch });
}

static bool hold(void *ctx, const char *service, bool diverged)
{
	(void)ctx;
	(void)service;
	(void)diverged;
	return false;
}

static bool under_way(void *ctx, uint64_t session, uint32_t epoch)
{
	const struct container *c = find(ctx, session, epoch);
	bool any = c && c->collects;

	for (size_t i = 0; c && i < KEPT; i++)
		any |= c->kept[i].number != 0;
	return any;
}

static void hand_in(void *ctx, uint64_t session, uint32_t epoch, const struct wire_data *request)
{
	struct job j = { .kind = JOB_EXECUTE,
			 .session = session,
			 .epoch = epoch,
			 .number = request->number,
			 .bytes = malloc(request->len + 1),
			 .len = request->len,
			 .preamble = request->preamble,
			 .segment = request->segment,
			 .connection = request->connection };

	if (!j.bytes)
		give_up("memory");
	memcpy(j.bytes, request->bytes, request->len);
	j.bytes[request->len] = '\0';

	queue(ctx, j);
}

static void migrate(void *ctx, const struct es_migration_order *order)
{
	struct fake_edge *e = ctx;

	e->order = *order;
	queue(e, (struct job){ .kind = JOB_OFFER });
}

static void take_cut(void *ctx, uint64_t session, uint64_t number, const struct answer_cache *cache)
{
	struct fake_edge *e = ctx;

	buf_deinit(&e->cache);
	if (answer_cache_encode(cache, &e->cache, NULL) < 0)
		give_up("answer cache");
	for (size_t i = 0; i < CONTAINERS; i++) {
		struct container *c = &e->container[i];

		if (!c->present || c->session != session || c->executed != number)
			continue;
		c->collects = 0;
		memset(c->kept, 0, sizeof(c->kept));
		e->snapshot = *c;
	}
	e->cut = number;
	queue(e, (struct job){ .kind = JOB_CUT });
}

static void cut_delayed(void *ctx, uint64_t session, const char *reason)
{
	struct fake_edge *e = ctx;

	(void)reason;
	es_node_cut_wanted(e->node, uv_now(e->loop), session);
}

static void cancel_migration(void *ctx, uint64_t session, const char *reason)
{
	struct job j = { .kind = JOB_CANCEL, .session = session };

	(void)reason;
	queue(ctx, j);
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

static void forget(void *ctx, uint64_t session)
{
	(void)ctx;
	(void)session;
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

static const struct es_node_ops node_ops = {
	.to_ap = to_ap,
	.service_known = service_known,
	.hold = hold,
	.create_container = create_container,
	.remove_container = remove_container,
	.resume_container = resume_container,
	.execute = hand_in,
	.migrate = migrate,
	.under_way = under_way,
	.take_cut = take_cut,
	.cut_delayed = cut_delayed,
	.cancel_migration = cancel_migration,
	.persist = persist,
	.forget = forget,
	.event = event,
};

static void prove(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	if (crypto_proof(proof, secret, session, association, ap) < 0)
		give_up("proof");
}

/* ---- links and time ---- */

static void on_up(void *ctx, struct link *l)
{
	struct fake_edge *e = ctx;

	for (size_t i = 0; i < LINKS; i++) {
		if (e->link[i])
			continue;
		e->link[i] = l;
		return;
	}
	give_up("too many links");
}

static void on_message(void *ctx, struct link *l, const struct wire_message *m)
{
	struct fake_edge *e = ctx;

	es_node_message(e->node, uv_now(e->loop), link_peer_name(l), m);
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	struct fake_edge *e = ctx;

	(void)reason;
	for (size_t i = 0; i < LINKS; i++) {
		if (e->link[i] == l)
			e->link[i] = NULL;
	}
}

static const struct link_ops link_ops = {
	.up = on_up,
	.message = on_message,
	.down = on_down,
};

static void on_timer(uv_timer_t *timer)
{
	struct fake_edge *e = timer->data;

	es_node_tick(e->node, uv_now(e->loop));
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct fake_edge *e = prepare->data;
	uint64_t now = uv_now(e->loop);
	uint64_t at = es_node_deadline(e->node);

	if (at == UINT64_MAX)
		(void)uv_timer_stop(&e->timer);
	else
		(void)uv_timer_start(&e->timer, on_timer, at > now ? at - now : 0, 0);
}

/* ---- life ---- */

struct fake_edge *fake_edge_new(struct uv_loop_s *loop, struct tls_context *tls)
{
	const struct policy policy = policy_default();
	struct fake_edge *e = calloc(1, sizeof(*e));

	if (!e)
		give_up("memory");
	const struct link_setup setup = { .loop = loop, .tls = tls, .ops = &link_ops, .ctx = e };
	e->loop = loop;
	e->name = tls_context_name(tls);
	if (es_node_new(&e->node, e->name, &policy, prove, &node_ops, e, NULL) < 0 ||
	    listener_new(&e->listener, &setup, "127.0.0.1:0", LINK_ROLE(WIRE_ROLE_AP), NULL) < 0)
		give_up("cannot start");
	(void)snprintf(e->address, sizeof(e->address), "127.0.0.1:%u", listener_port(e->listener));
	(void)uv_idle_init(loop, &e->idle);
	(void)uv_timer_init(loop, &e->timer);
	(void)uv_prepare_init(loop, &e->prepare);
	e->idle.data = e;
	e->timer.data = e;
	e->prepare.data = e;
	e->handles = 3;
	(void)uv_prepare_start(&e->prepare, on_prepare);
	for (size_t i = 0; i < EDGES; i++) {
		if (all[i])
			continue;
		all[i] = e;
		return e;
	}
	give_up("too many edge servers");
	return NULL;
}

const char *fake_edge_address(const struct fake_edge *e)
{
	return e->address;
}

static void take_record(void *ctx, const struct es_session_view *view)
{
	*(struct es_record *)ctx = view->record;
}

enum wire_es_state fake_edge_state(const struct fake_edge *e)
{
	struct es_record r = { .state = WIRE_ES_NONE };

	es_node_each(e->node, take_record, &r);
	return r.state;
}

bool fake_edge_under_way(struct fake_edge *e)
{
	bool any = false;

	for (size_t i = 0; i < CONTAINERS; i++)
		any |= e->container[i].present &&
		       under_way(e, e->container[i].session, e->container[i].epoch);
	return any;
}

uint64_t fake_edge_executed(const struct fake_edge *e)
{
	struct es_record r = { 0 };

	es_node_each(e->node, take_record, &r);
	return r.executed;
}

static void count_active(void *ctx, const struct es_session_view *view)
{
	*(size_t *)ctx += view->record.state == WIRE_ES_ACTIVE;
}

size_t fake_edge_sessions(const struct fake_edge *e)
{
	size_t n = 0;

	es_node_each(e->node, count_active, &n);
	return n;
}

static void take_received(void *ctx, const struct es_session_view *view)
{
	*(uint64_t *)ctx = view->record.executed + view->queued;
}

uint64_t fake_edge_received(const struct fake_edge *e)
{
	uint64_t n = 0;

	es_node_each(e->node, take_received, &n);
	return n;
}

void fake_edge_pause(struct fake_edge *e, bool paused)
{
	e->paused = paused;
	for (size_t i = 0; !paused && i < e->parked_count; i++)
		queue(e, e->parked[i]);
	e->parked_count = paused ? e->parked_count : 0;
}

void fake_edge_say(struct fake_edge *e, const struct wire_message *m)
{
	for (size_t i = 0; i < LINKS; i++) {
		if (e->link[i])
			(void)link_send(e->link[i], m);
	}
}

void fake_edge_hang_up(struct fake_edge *e)
{
	for (size_t i = 0; i < LINKS; i++) {
		struct link *l = e->link[i];

		e->link[i] = NULL;
		if (l)
			link_close(l);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct fake_edge *e = handle->data;

	if (--e->handles == 0)
		free(e);
}

void fake_edge_close(struct fake_edge *e)
{
	for (size_t i = 0; i < EDGES; i++) {
		if (all[i] == e)
			all[i] = NULL;
	}
	listener_close(e->listener);
	es_node_free(e->node);
	for (; e->count; e->count--, e->first = (e->first + 1) % JOBS)
		free(e->job[e->first].bytes);
	for (size_t i = 0; i < e->parked_count; i++)
		free(e->parked[i].bytes);
	buf_deinit(&e->cache);
	uv_close((uv_handle_t *)&e->idle, on_closed);
	uv_close((uv_handle_t *)&e->timer, on_closed);
	uv_close((uv_handle_t *)&e->prepare, on_closed);
}
