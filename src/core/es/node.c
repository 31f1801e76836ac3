/* SPDX-License-Identifier: Apache-2.0 */
#include "core/es/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "core/es/answer_cache.h"
#include "core/es/session.h"

int es_node_new(struct es_node **ret, const char *name, const struct policy *policy, proof_fn proof,
		const struct es_node_ops *ops, void *ctx, struct err *err)
{
	int r;

	AUTO(es_node) struct es_node *node = calloc(1, sizeof(*node));
	if (!node)
		return err_set(err, -ENOMEM, "create edge server");
	list_init(&node->sessions);
	list_init(&node->withheld);
	deadlines_init(&node->deadlines, es_session_deadline);
	r = name_set(node->name, name, err);
	if (r < 0)
		return err_wrap(err, r, "create edge server");
	node->policy = *policy;
	node->proof = proof;
	node->ops = ops;
	node->ctx = ctx;
	*ret = TAKE_PTR(node);
	return 0;
}

void es_node_drain(struct es_node *node, bool drained)
{
	node->drained = drained;
}

void es_node_full(struct es_node *node, const char *reason)
{
	(void)snprintf(node->full, sizeof(node->full), "%s", reason ? reason : "");
}

bool es_node_drained(const struct es_node *node)
{
	return node->drained;
}

void es_node_tell(const struct es_node *node, const char *ap)
{
	const struct wire_message m = {
		.type = WIRE_EDGE_STATE,
		.edge_state = { .drained = node->drained },
	};

	node->ops->to_ap(node->ctx, ap, &m);
}

void es_node_stop(struct es_node *node)
{
	node->stopping = true;
}

bool es_node_busy(const struct es_node *node)
{
	list_for_each_safe(at, next, &node->sessions)
	{
		const struct es_session *s = list_entry(at, struct es_session, link);

		if (s->record.started && s->record.state != WIRE_ES_LOST && !s->starting)
			return true;
	}
	return false;
}

void es_node_set_policy(struct es_node *node, const struct policy *policy)
{
	node->policy = *policy;
	list_for_each_safe(at, next, &node->sessions)
	{
		deadlines_touch(&node->deadlines,
				&list_entry(at, struct es_session, link)->deadline);
	}
}

struct es_node *es_node_free(struct es_node *node)
{
	if (node) {
		list_for_each_safe(at, next, &node->sessions)
			es_session_free(list_entry(at, struct es_session, link));
		es_withheld_free(node);
		number_table_deinit(&node->by_number);
		deadlines_deinit(&node->deadlines);
		free(node);
	}
	return NULL;
}

/* --- shares ------------------------------------------------------------------------------------ */

bool es_session_weightless(const struct es_session *s)
{
	const struct es_record *r = &s->record;

	return r->state == WIRE_ES_ARRIVING || r->state == WIRE_ES_STANDBY ||
	       (r->state == WIRE_ES_RETIRED && r->container_epoch > r->epoch);
}

bool es_node_share_left(struct es_node *node, const char *mud, const char *ap)
{
	uint32_t device_share = policy_device_share(&node->policy);
	uint32_t ap_share = policy_ap_share(&node->policy);
	uint32_t of_device = 0;
	uint32_t of_ap = 0;

	list_for_each_safe(at, next, &node->sessions)
	{
		const struct es_session *s = list_entry(at, struct es_session, link);

		if (es_session_weightless(s))
			continue;
		of_device += name_equal(s->record.mud, mud);
		of_ap += name_equal(s->record.ap, ap);
	}
	if (of_device < device_share && of_ap < ap_share)
		return true;
	(void)snprintf(
		node->refusal, sizeof(node->refusal),
		"%s has %u sessions at %s, its share of sessions_max (%u): end some, or raise "
		"sessions_max",
		of_device < device_share ? ap : mud, of_device < device_share ? of_ap : of_device,
		node->name, node->policy.sessions_max);
	return false;
}

/* --- sessions that are not here ---------------------------------------------------------------- */

/* A session unknown here is surely not active here: NONE is an answer others may rely on (R4). */
static void send_absent(struct es_node *node, const char *ap, const struct wire_message *asked,
			enum wire_type type, enum wire_status status, const char *reason)
{
	struct wire_message m = {
		.type = type,
		.session = asked->session,
		.association = asked->association,
		.es_status = { .state = WIRE_ES_NONE, .status = status },
	};

	(void)snprintf(m.es_status.reason, sizeof(m.es_status.reason), "%s", reason);
	node->ops->to_ap(node->ctx, ap, &m);
}

static void on_create_new(struct es_node *node, uint64_t now, const char *ap,
			  const struct wire_message *m)
{
	const struct wire_create *w = &m->create;

	if (!node->ops->service_known(node->ctx, w->service)) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason),
			       "service \"%s\" is not in the catalogue of %s", w->service,
			       node->name);
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_UNKNOWN_SERVICE, reason);
		return;
	}
	if (node->full[0]) {
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY, node->full);
		return;
	}
	if (!es_node_share_left(node, w->mud, ap)) {
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY, node->refusal);
		return;
	}
	struct es_session *s = es_session_new(node, m->session, now);
	if (!s) {
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY,
			    "limit of sessions reached at this edge server");
		return;
	}
	s->record.association = m->association;
	s->record.epoch = 1;
	s->record.container_epoch = 1;
	memcpy(s->record.mud, w->mud, NAME_SIZE);
	memcpy(s->record.service, w->service, NAME_SIZE);
	(void)name_set(s->record.ap, ap, NULL);
	(void)name_set(s->record.creator, ap, NULL);
	memcpy(s->record.secret, w->secret, WIRE_SECRET_SIZE);
	es_session_move(s, WIRE_ES_CREATING);
	/* after a crash the container would be nobody's */
	if (!es_session_persist(s, ES_PERSIST_ALL)) {
		char reason[WIRE_REASON_SIZE];

		(void)snprintf(reason, sizeof(reason), "%s cannot write: %.200s", node->name,
			       s->why_unwritten);
		es_session_move(s, WIRE_ES_NONE);
		es_session_free(s);
		send_absent(node, ap, m, WIRE_FAILED, WIRE_E_BUSY, reason);
		return;
	}
	node->ops->create_container(node->ctx, m->session, 1, w->service);
}

/*
 * A repeated CREATE: the access point lost its memory or our answer. The secret goes again only to the
 * access point that made the session, for the same device and while that is still there (R11).
 */
static void on_create_again(struct es_session *s, uint64_t now, const char *ap,
			    const struct wire_message *m)
{
	bool same = name_equal(s->record.mud, m->create.mud) && name_equal(s->record.creator, ap) &&
		    name_equal(s->record.ap, ap) && s->record.association == m->association;

	if (!same) {
		send_absent(s->node, ap, m, WIRE_REFUSED, WIRE_E_NOT_ALLOWED,
			    "a session with this number exists");
		return;
	}
	s->heard = now;
	es_session_send(s, ap, s->record.state == WIRE_ES_ACTIVE ? WIRE_CREATED : WIRE_STATUS);
}

static void on_absent(struct es_node *node, uint64_t now, const char *ap,
		      const struct wire_message *m)
{
	switch (m->type) {
	case WIRE_CREATE:
		on_create_new(node, now, ap, m);
		break;
	case WIRE_ABORT:
		send_absent(node, ap, m, WIRE_ABORTED, WIRE_OK, "");
		break;
	case WIRE_RETIRE:
		send_absent(node, ap, m, WIRE_RETIRED, WIRE_OK, "");
		break;
	default:
		send_absent(node, ap, m, WIRE_STATUS, WIRE_OK, "");
	}
}

void es_node_message(struct es_node *node, uint64_t now, const char *ap,
		     const struct wire_message *m)
{
	struct es_session *s = es_session_find(node, m->session);

	node->now = now;
	if (m->session == 0)
		return;
	if (!s && es_withheld_message(node, ap, m))
		return;
	if (!s)
		on_absent(node, now, ap, m);
	else if (m->type == WIRE_CREATE)
		on_create_again(s, now, ap, m);
	else
		es_session_message(s, now, ap, m);
}

/* --- containers -------------------------------------------------------------------------------- */

/** in_use() - Whether a session has the container of an epoch */
static bool in_use(const struct es_session *s, uint32_t epoch)
{
	return s && s->record.container_epoch == epoch && es_session_has_container(s);
}

void es_node_created(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
		     const char *reason)
{
	struct es_session *s = es_session_find(node, session);

	node->now = now;
	if (!s || s->record.state != WIRE_ES_CREATING || s->record.container_epoch != epoch) {
		/* its session ended meanwhile, and its removal may have come before it was there (R10) */
		if (!reason && !in_use(s, epoch))
			node->ops->remove_container(node->ctx, session, epoch);
		return;
	}
	s->heard = now;
	if (!reason) {
		es_session_move(s, WIRE_ES_ACTIVE);
		(void)es_session_persist(s, ES_PERSIST_ALL);
		es_session_say(s, "CONTAINER CREATED", 0, "service=%s", s->record.service);
		es_session_notify(s, WIRE_CREATED);
		return;
	}
	struct wire_message asked = { .session = session, .association = s->record.association };
	send_absent(node, s->record.ap, &asked, WIRE_FAILED, WIRE_E_FAILED, reason);
	es_session_say(s, "CONTAINER FAILED", 0, "%s", reason);
	/* it may be there all the same: the engine's answer got lost (R10) */
	es_session_move(s, WIRE_ES_NONE);
	(void)es_session_persist(s, ES_PERSIST_ALL);
	es_session_drop_container(s);
}

void es_node_removed(struct es_node *node, uint64_t session, uint32_t epoch)
{
	struct es_session *s = es_session_find(node, session);

	if (!s || !s->removing || s->removing_epoch != epoch)
		return;
	s->removing = false;
	s->remove_at = 0;
	s->remove_failures = 0;
	if (s->record.state == WIRE_ES_NONE) {
		es_session_forget(s);
		es_session_free(s);
	}
}

void es_node_not_removed(struct es_node *node, uint64_t now, uint64_t session, uint32_t epoch,
			 const char *reason)
{
	struct es_session *s = es_session_find(node, session);
	uint64_t pause = node->policy.backoff_ms;

	node->now = now;
	if (!s || !s->removing || s->removing_epoch != epoch)
		return;
	if (!s->remove_failures)
		es_session_say(s, "CONTAINER NOT REMOVED", s->record.executed, "%s", reason);
	for (uint32_t i = 0; i < s->remove_failures && pause < node->policy.backoff_max_ms; i++)
		pause *= 2;
	if (pause > node->policy.backoff_max_ms)
		pause = node->policy.backoff_max_ms;
	s->remove_failures++;
	s->remove_at = now + pause;
}

/* --- queries ----------------------------------------------------------------------------------- */

const char *es_node_service(const struct es_node *node, uint64_t session)
{
	const struct es_session *s = es_session_find(node, session);

	return s ? s->record.service : "";
}

void es_node_each(const struct es_node *node,
		  void (*fn)(void *ctx, const struct es_session_view *view), void *ctx)
{
	list_for_each_safe(at, next, (struct list *)&node->sessions)
	{
		const struct es_session *s = list_entry(at, struct es_session, link);
		struct es_session_view view = {
			.record = s->record,
			.migration = s->migration,
			.cut = s->cut,
			.queued = s->pending_count,
			.cached = answer_cache_count(s->cache),
			.held = s->held,
			.removing = s->removing,
			.starting = s->starting,
			.gone = s->gone,
			.restarts = s->restarts,
			.memory_from = s->memory_from,
			.kept = s->protect.kept,
			.kept_cut = s->protect.cut,
			.silent_ms = node->now > s->heard ? node->now - s->heard : 0,
			.reason = s->reason,
			.unwritten = s->unwritten ? s->why_unwritten : NULL,
		};

		fn(ctx, &view);
	}
}
