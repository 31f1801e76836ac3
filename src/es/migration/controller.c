/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Migration Controller - the loop's side of migrations
 *
 * The loop's thread owns the list of migrations. A migration's thread never touches it: it asks
 * and tells through the loop queue, whose calls keep their order, and waits for answers on the
 * migration's own lock. Its last act is the note that it has ended; the loop then joins it, makes
 * the final callback and frees the migration.
 */

#include "es/migration/controller.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/shared_list.h"
#include "es/engine/docker_engine.h"
#include "es/image/expiry.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/migration.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/work.h"
#include "es/migration/destination/destination.h"
#include "es/migration/source/source.h"
#include "es/migration/stages.h"
#include "es/system/loop_queue.h"
#include "es/worker/file_worker.h"
#include "net/acceptor.h"
#include "net/crypto.h"
#include "net/tls_stream.h"

#define BACKLOG 16 /* connections that wait in the kernel */

const struct migration_metrics *migration_controller_metrics(const struct migration_controller *mc)
{
	return &mc->metrics;
}

const char *migration_controller_stage(const struct migration_controller *mc, size_t i)
{
	return migration_stage_name(mc->config.profile, i);
}

size_t migration_controller_running(const struct migration_controller *mc, bool source)
{
	return source ? mc->sources : mc->destinations;
}

/* --- the loop --------------------------------------------------------------------------------- */

/** migration_free() - Release a migration whose thread has ended or never began */
static void migration_free(struct migration *m)
{
	if (m->fd >= 0)
		close(m->fd);
	if (m->cancel_fd >= 0)
		close(m->cancel_fd);
	(void)tls_stream_free(m->stream);
	(void)docker_engine_free(m->engine);
	(void)file_worker_free(m->files);
	json_decref(m->inspect);
	json_decref(m->plan);
	json_decref(m->grant);
	file_sets_deinit(&m->sets);
	free(m->cache);
	(void)outgoing_free(m->out);
	(void)incoming_free(m->in);
	crypto_wipe(m->order.secret, sizeof(m->order.secret));
	crypto_wipe(m->offer.offer.secret, sizeof(m->offer.offer.secret));
	(void)pthread_mutex_destroy(&m->lock);
	(void)pthread_cond_destroy(&m->told);
	free(m);
}

/** migration_new() - Make a migration; it is not in the list and has no thread */
static struct migration *migration_new(struct migration_controller *mc, bool is_source,
				       struct err *err)
{
	struct migration *m = calloc(1, sizeof(*m));

	if (!m) {
		(void)err_set(err, -ENOMEM, "migration");
		return NULL;
	}
	m->mc = mc;
	m->is_source = is_source;
	m->fd = -EBADF;
	m->transfer_id = ++mc->next_id;
	list_init(&m->link);
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_cond_init(&m->told, NULL);
	m->out = is_source ? outgoing_new() : NULL;
	m->in = is_source ? NULL : incoming_new();
	m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->cancel_fd < 0 || (!m->out && !m->in)) {
		(void)err_set(err, m->cancel_fd < 0 ? -errno : -ENOMEM, "migration");
		migration_free(m);
		return NULL;
	}
	return m;
}

/** migration_begin() - Put a migration into the list and start its thread; consumed on failure */
static int migration_begin(struct migration *m, struct err *err)
{
	struct migration_controller *mc = m->mc;
	int r = pthread_create(&m->thread, NULL, migration_run, m);

	if (r) {
		migration_free(m);
		return err_set(err, -r, "start a thread");
	}
	list_append(&mc->migrations, &m->link);
	if (m->is_source)
		mc->sources++;
	return 0;
}

/** handshake_settled() - Give back the place among the connections without a proven certificate */
static void handshake_settled(struct migration *m)
{
	if (!m->is_source && !m->settled && m->mc->acceptor)
		acceptor_settled(m->mc->acceptor, &m->from_address);
	m->settled = true;
}

/** arrived() - CT-y runs; its thread still removes the staged files */
static void arrived(struct migration *m)
{
	struct wire_cut cut = { .number = m->number, .cache = m->cache, .cache_len = m->cache_len };

	if (m->accepted)
		m->mc->ops->arrived(m->mc->ctx, m->transfer_id, m->session, &cut, &m->where);
	m->accepted = false;
}

/* Its destination reports the outcome, unless it was not reached. */
static void recovery_ended(const struct migration *m, const char *reason)
{
	if (!m->good)
		m->mc->ops->not_recovered(m->mc->ctx, m->session, outgoing_away(m->out), reason);
}

/** migration_ended() - The thread is done: last callback, release */
static void migration_ended(struct migration *m)
{
	struct migration_controller *mc = m->mc;
	const char *reason = m->good ? "" : m->err.text;

	(void)pthread_join(m->thread, NULL);
	list_remove(&m->link);
	handshake_settled(m);
	migration_metrics_ended(&mc->metrics, m);
	mc->sources -= m->is_source;
	mc->destinations -= m->slot;
	if (mc->closing)
		;
	else if (m->is_source && m->order.purpose == MIGRATION_RECOVER)
		recovery_ended(m, reason);
	else if (m->is_source)
		mc->ops->source_finished(mc->ctx, m->session, m->good, reason, m->err.lasting);
	else if (m->accepted)
		mc->ops->arrival_failed(mc->ctx, m->transfer_id, m->session, reason);
	else if (!m->announced && !m->good && mc->ops->connection_failed)
		mc->ops->connection_failed(mc->ctx, m->from, reason);
	migration_free(m);
	if (mc->closing)
		migration_controller_close_step(mc);
}

/** slots_of() - How many slots an edge server holds */
static size_t slots_of(const struct migration_controller *mc, const char *peer)
{
	size_t count = 0;

	list_for_each_safe(pos, tmp, &mc->migrations)
	{
		const struct migration *m = list_entry(pos, struct migration, link);

		count += m->slot && name_equal(m->slot_peer, peer);
	}
	return count;
}

/** proven() - An edge server has shown its certificate: a slot is its own from now on */
static void proven(struct migration *m)
{
	struct migration_controller *mc = m->mc;
	size_t share = incoming_share(mc->config.max_destinations);
	char reason[WIRE_REASON_SIZE] = "";

	handshake_settled(m);
	bool own = name_equal(m->slot_peer, mc->config.name); /* a recovery: sources are limited */
	if (own)
		;
	else if (mc->destinations >= mc->config.max_destinations)
		(void)snprintf(reason, sizeof(reason),
			       "no more migrations at a time here (migrations_max)");
	else if (slots_of(mc, m->slot_peer) >= share)
		(void)snprintf(reason, sizeof(reason),
			       "no more migrations at a time here from %s, which has %zu of %zu "
			       "places (migrations_max)",
			       m->slot_peer, share, (size_t)mc->config.max_destinations);
	m->slot = !*reason && !own;
	mc->destinations += m->slot;
	(void)migration_answer(m, *reason ? MIGRATION_TOLD_NO : MIGRATION_TOLD_YES, reason);
}

/* A thread's note, on the loop. */
static void note_take(void *arg)
{
	struct migration_note *note = arg;
	struct migration *m = note->m;
	struct migration_controller *mc = m->mc;

	if (note->kind == MIGRATION_NOTE_ENDED) {
		migration_ended(m);
	} else if (!mc->closing) {
		switch (note->kind) {
		case MIGRATION_NOTE_CUT_WANTED:
			mc->ops->cut_wanted(mc->ctx, m->session);
			break;
		case MIGRATION_NOTE_CUT_TAKEN:
			mc->ops->cut_taken(mc->ctx, m->session, note->taken, note->freeze_us,
					   note->text);
			break;
		case MIGRATION_NOTE_PROVEN:
			proven(m);
			break;
		case MIGRATION_NOTE_OFFERED:
			m->announced = true;
			mc->ops->offered(mc->ctx, m->transfer_id, &m->offer);
			break;
		case MIGRATION_NOTE_ARRIVED:
			arrived(m);
			break;
		default:
			mc->ops->stage(mc->ctx, m->session, note->event, note->time_us,
				       note->number, note->text);
			break;
		}
	}
	free(note);
}

/** migration_of() - The session's migration on one side. Return: NULL if there is none */
static struct migration *migration_of(struct migration_controller *mc, uint64_t session,
				      bool is_source)
{
	list_for_each_safe(pos, tmp, &mc->migrations)
	{
		struct migration *m = list_entry(pos, struct migration, link);

		/* A destination's session is its thread's until it has announced itself. */
		if (m->is_source == is_source && (m->is_source || m->announced) &&
		    m->session == session)
			return m;
	}
	return NULL;
}

void migration_controller_limit(struct migration_controller *mc, uint32_t max)
{
	mc->config.max_sources = max;
	mc->config.max_destinations = max;
}

int migration_controller_start(struct migration_controller *mc, uint64_t session,
			       const struct migration_source *source, struct err *err)
{
	if (migration_of(mc, session, true))
		return err_set(err, -EALREADY, "migrate the session");
	/* users that move do not wait for a cut that is only kept */
	uint32_t left = source->purpose == MIGRATION_KEEP && mc->config.max_sources > 1;
	if (mc->closing || mc->sources + left >= mc->config.max_sources)
		return err_set(err, -EBUSY, "%u migrations from here", mc->sources);
	struct migration *m = migration_new(mc, true, err);
	if (!m)
		return -ENOMEM;
	m->session = session;
	m->order = *source;
	return migration_begin(m, err);
}

int migration_controller_cut(struct migration_controller *mc, uint64_t session, uint64_t number,
			     const void *cache, size_t cache_len, struct err *err)
{
	struct migration *m = migration_of(mc, session, true);
	bool waiting;
	void *copy;

	if (!m)
		return err_set(err, -ENOENT, "migration of the session");
	copy = malloc(cache_len + 1);
	if (!copy)
		return err_set(err, -ENOMEM, "take a cut");
	if (cache_len)
		memcpy(copy, cache, cache_len);
	(void)pthread_mutex_lock(&m->lock);
	waiting = m->question == MIGRATION_ASKS && !m->cancelled;
	if (waiting) {
		m->question = MIGRATION_TOLD_YES;
		m->cache = copy;
		m->cache_len = cache_len;
		m->number = number;
		(void)pthread_cond_signal(&m->told);
	}
	(void)pthread_mutex_unlock(&m->lock);
	if (!waiting)
		free(copy);
	return waiting ? 0 : err_set(err, -ENOENT, "migration to be cut");
}

void migration_controller_cut_delayed(struct migration_controller *mc, uint64_t session,
				      const char *reason)
{
	struct migration *m = migration_of(mc, session, true);

	if (m)
		(void)migration_answer(m, MIGRATION_TOLD_NO, reason);
}

void migration_controller_cancel(struct migration_controller *mc, uint64_t session,
				 const char *reason)
{
	list_for_each_safe(pos, tmp, &mc->migrations)
	{
		struct migration *m = list_entry(pos, struct migration, link);

		/* not an offer for which the session lets go of an older one */
		if ((m->is_source || m->accepted) && m->session == session)
			migration_cancel(m, reason);
	}
}

/** offered_find() - The migration whose offer waits for an answer. Return: NULL if it is gone */
static struct migration *offered_find(struct migration_controller *mc, uint64_t id)
{
	list_for_each_safe(pos, tmp, &mc->migrations)
	{
		struct migration *m = list_entry(pos, struct migration, link);

		if (!m->is_source && m->announced && m->transfer_id == id)
			return m;
	}
	return NULL;
}

void migration_controller_accept(struct migration_controller *mc, uint64_t transfer_id,
				 json_t *grant)
{
	struct migration *m = offered_find(mc, transfer_id);

	if (!m) {
		json_decref(grant);
		return;
	}
	m->accepted = true;
	(void)pthread_mutex_lock(&m->lock);
	json_decref(m->grant);
	m->grant = grant;
	(void)pthread_mutex_unlock(&m->lock);
	(void)migration_answer(m, MIGRATION_TOLD_YES, "");
}

void migration_controller_refuse(struct migration_controller *mc, uint64_t transfer_id,
				 const char *reason, bool lasting)
{
	struct migration *m = offered_find(mc, transfer_id);

	if (m)
		(void)migration_answer(m, lasting ? MIGRATION_TOLD_NEVER : MIGRATION_TOLD_NO,
				       reason);
}

static void on_not_accepted(void *ctx, const char *who, const char *reason)
{
	struct migration_controller *mc = ctx;

	if (mc->ops->connection_failed)
		mc->ops->connection_failed(mc->ctx, who, reason);
}

/* Somebody connects to our listener: a thread of its own shakes hands. */
static void on_accepted(void *ctx, int fd, const struct sockaddr_storage *from)
{
	struct migration_controller *mc = ctx;
	struct err err = { 0 };
	struct migration *m = migration_new(mc, false, &err);
	int r = m ? 0 : -ENOMEM;

	if (m) {
		m->fd = fd;
		m->from_address = *from;
		address_format(m->from, (const struct sockaddr *)from);
		r = migration_begin(m, &err);
	} else {
		(void)close(fd);
	}
	if (r < 0) {
		acceptor_settled(mc->acceptor, from);
		on_not_accepted(mc, "a connection", err.text);
	}
}

static const struct acceptor_ops acceptor_ops = {
	.accepted = on_accepted,
	.refused = on_not_accepted,
};

/* --- beginning and end ------------------------------------------------------------------------ */

/** directory_prepare() - Make a directory of root's, mode 0700, and empty it */
static int directory_prepare(const struct migration_config *config, const char *path,
			     struct err *err)
{
	const struct dirent *entry;
	struct stat st;
	int r = files_directory(path);

	if (r < 0)
		return err_set(err, r, "create %s", path);
	DIR *dir = opendir(path);
	if (!dir || fstat(dirfd(dir), &st) < 0)
		r = err_set(err, -errno, "open %s", path);
	else if (st.st_uid != geteuid() || (st.st_mode & 077))
		r = err_set(err, -EINVAL, "%s must be ours alone (mode 0700)", path);
	while (r == 0 && (entry = readdir(dir))) {
		char below[PATH_MAX + 256];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		(void)snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		r = migration_work_clean(config, below, err);
		if (r == -ETIMEDOUT) {
			log_error("%s stays: %s", below, err->text);
			r = 0;
		}
	}
	if (dir)
		(void)closedir(dir);
	return r;
}

/** listener_start() - Take connections of other edge servers */
static int listener_start(struct migration_controller *mc, struct err *err)
{
	struct address at;
	int r;

	if (!mc->config.listen)
		return 0;
	const struct acceptor_setup setup = {
		.loop = mc->loop,
		.ops = &acceptor_ops,
		.ctx = mc,
		.backlog = BACKLOG,
		.handshakes = INCOMING_HANDSHAKES,
	};
	r = address_parse(&at, mc->config.listen, err);
	if (r == 0)
		r = acceptor_new(&mc->acceptor, &setup, &at, err);
	return r < 0 ? err_wrap(err, r, "listen at %s", mc->config.listen) : 0;
}

static void config_defaults(struct migration_config *c)
{
	c->max_sources = c->max_sources ? c->max_sources : 4;
	c->max_destinations = c->max_destinations ? c->max_destinations : 4;
	c->max_bytes = c->max_bytes ? c->max_bytes : 8ULL << 30;
	c->drain_tries = c->drain_tries ? c->drain_tries : 20;
	c->idle_ms = c->idle_ms ? c->idle_ms : 30000;
	c->restore_ms = c->restore_ms ? c->restore_ms : 120000;
	c->patience = c->patience ? c->patience : 1;
}

int migration_controller_new(struct migration_controller **ret, uv_loop_t *loop,
			     const struct migration_config *config, struct tls_context *tls,
			     const struct migration_controller_ops *ops, void *ctx, struct err *err)
{
	json_t *host = NULL;
	int r = directory_prepare(config, config->checkpoint_dir, err);

	if (r == 0)
		r = directory_prepare(config, config->staged_dir, err);
	if (r == 0)
		r = shared_list_write(config->staged_dir, config->shared, err);
	if (r == 0)
		r = migration_host_read(&host, config->prefix, -1, err);
	if (r < 0)
		return r;
	struct migration_controller *mc = calloc(1, sizeof(*mc));
	if (!mc) {
		json_decref(host);
		return err_set(err, -ENOMEM, "migration controller");
	}
	mc->config = *config;
	config_defaults(&mc->config);
	mc->host = host;
	mc->runc_remaps = migration_runc_remaps(mc->config.prefix);
	mc->tls = tls;
	mc->ops = ops;
	mc->ctx = ctx;
	mc->loop = loop;
	mc->note_take = note_take;
	list_init(&mc->migrations);
	image_rates_init(&mc->rates);
	r = loop_queue_new(&mc->queue, loop, err);
	if (r < 0) {
		json_decref(host);
		image_rates_deinit(&mc->rates);
		free(mc);
		return r;
	}
	r = image_expiry_new(&mc->expiry, loop, mc->config.image_dir, mc->config.docker_socket,
			     mc->config.workers, mc->config.arrival_ms, err);
	mc->expiring = r == 0;
	if (r == 0)
		r = listener_start(mc, err);
	if (r < 0) {
		migration_controller_close(mc, NULL, NULL);
		return r;
	}
	*ret = mc;
	return 0;
}

static void queue_closed(void *ctx)
{
	struct migration_controller *mc = ctx;
	void (*closed)(void *ctx) = mc->closed;
	void *closed_ctx = mc->closed_ctx;

	json_decref(mc->host);
	image_rates_deinit(&mc->rates);
	free(mc);
	if (closed)
		closed(closed_ctx);
}

/**
 * migration_controller_close_step() - The queue goes last, when no thread can post to it any more
 */
void migration_controller_close_step(struct migration_controller *mc)
{
	/* Once: a callback that closes us is followed by another call of this. */
	if (mc->closing && mc->queue && !mc->acceptor && !mc->expiring && !mc->checks &&
	    list_empty(&mc->migrations))
		loop_queue_close(TAKE_PTR(mc->queue), queue_closed, mc);
}

static void acceptor_closed(void *ctx)
{
	struct migration_controller *mc = ctx;

	mc->acceptor = NULL;
	migration_controller_close_step(mc);
}

static void expiry_closed(void *ctx)
{
	struct migration_controller *mc = ctx;

	mc->expiring = false;
	migration_controller_close_step(mc);
}

void migration_controller_close(struct migration_controller *mc, void (*closed)(void *ctx),
				void *ctx)
{
	mc->closing = true;
	mc->closed = closed;
	mc->closed_ctx = ctx;
	list_for_each_safe(pos, tmp, &mc->migrations)
		migration_cancel(list_entry(pos, struct migration, link), "the edge server stops");
	if (mc->expiry)
		image_expiry_close(TAKE_PTR(mc->expiry), expiry_closed, mc);
	if (mc->acceptor)
		acceptor_close(mc->acceptor, acceptor_closed, mc);
	else
		migration_controller_close_step(mc);
}
