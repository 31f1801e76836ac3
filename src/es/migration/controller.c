/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Migration Controller - the loop's side of migrations, and the table of their stages
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
#include "es/engine/containerd.h"
#include "es/engine/docker_engine.h"
#include "es/worker/file_worker.h"
#include "es/image/expiry.h"
#include "es/migration/incoming.h"
#include "es/system/loop_queue.h"
#include "es/migration/migration.h"
#include "es/migration/plan.h"
#include "es/system/process.h"
#include "net/acceptor.h"
#include "net/crypto.h"
#include "net/tls_stream.h"

#define TELL_S  2
#define BACKLOG 16 /* connections that wait in the kernel */

/*
 * Table 1 of the paper, T1 to T5. T6 to T8 are the access points' (core/).
 *
 *            source (CT-x runs on)                    destination
 */
static const struct migration_stage stages[] = {
	/* check, plan, copy the layer ahead, offer       compare, create CT-y, not started */
	{ "prepare", source_prepare, destination_prepare, source_prepare_undo,
	  destination_prepare_undo },
	/*
	 * the layer, most of which will still be the same keep it where CT-y's own layer will be
	 */
	{ "ahead", source_ahead, destination_ahead, source_image_undo, destination_ahead_undo },
	/* C-Migr: the image's layers missing there       load them, create CT-y; else nothing */
	{ "image", source_image, destination_image, source_image_undo, NULL },
	/* if it holds (R6): memory as it is             keep it for what will still be the same */
	{ "memory", source_memory, destination_memory, source_memory_undo, NULL },
	/* T1 memory, T3 files, at one instant (R2)       learn its number */
	{ "cut", source_cut, destination_cut, source_cut_undo, NULL },
	/* T2, T4                                         write and verify while it comes */
	{ "send", source_send, destination_receive, NULL, NULL },
	/* wait for the word that CT-y stands             T5; point of no return here */
	{ "restore", source_confirm, destination_restore, NULL, NULL },
};

/* The same as the paper does it; NULL: nothing to do meanwhile. */
static const struct migration_stage paper_stages[] = {
	{ "prepare", paper_source_prepare, paper_destination_prepare, paper_source_undo,
	  paper_destination_undo },
	{ "T1", paper_source_checkpoint, NULL, NULL, NULL },
	{ "T2", paper_source_send_checkpoint, paper_destination_checkpoint, NULL, NULL },
	{ "T3", paper_source_files, NULL, NULL, NULL },
	{ "T4", paper_source_send_files, paper_destination_files, NULL, NULL },
	{ "T5", source_confirm, paper_destination_restore, NULL, NULL },
};

/** struct way - A table of stages */
struct way {
	const char *name;
	const struct migration_stage *stage;
	size_t stages;
};

static_assert(ARRAY_SIZE(stages) <= MIGRATION_STAGES_MAX, "all have a place in the metrics");
static_assert(ARRAY_SIZE(paper_stages) <= MIGRATION_STAGES_MAX, "likewise");

static const struct way ways[] = {
	[PROFILE_BATON] = { "baton", stages, ARRAY_SIZE(stages) },
	[PROFILE_PAPER] = { "paper", paper_stages, ARRAY_SIZE(paper_stages) },
};

const char *migration_profile_name(enum migration_profile profile)
{
	return ways[profile].name;
}

const struct migration_metrics *migration_controller_metrics(const struct migration_controller *mc)
{
	return &mc->metrics;
}

const char *migration_controller_stage(const struct migration_controller *mc, size_t i)
{
	const struct way *way = &ways[mc->config.profile];

	return i < way->stages ? way->stage[i].name : NULL;
}

size_t migration_controller_running(const struct migration_controller *mc, bool source)
{
	return source ? mc->sources : mc->destinations;
}

const char *migration_method_name(enum migration_method method)
{
	static const char *const names[] = {
		[METHOD_AUTO] = "auto",
		[METHOD_COMPLETE] = "complete",
		[METHOD_PARTIAL] = "partial",
	};

	return names[method];
}

/** enum note_kind - What a thread tells the loop */
enum note_kind {
	NOTE_CUT_WANTED,
	NOTE_CUT_TAKEN,
	NOTE_PROVEN,
	NOTE_OFFERED,
	NOTE_STAGE,
	NOTE_ARRIVED,
	NOTE_ENDED,
};

/** struct note - One thing a thread tells the loop */
struct note {
	struct migration *m;
	enum note_kind kind;
	bool taken;
	uint32_t freeze_us;
	uint64_t time_us;
	uint64_t number;
	char event[32];
	char text[ERR_TEXT_MAX];
};

/* --- a migration's thread --------------------------------------------------------------------- */

static void note_take(void *arg);

/** note_new() - Begin a note; waits for memory, since a note that is lost would stall a session */
static struct note *note_new(struct migration *m, enum note_kind kind)
{
	static const struct timespec nap = { .tv_nsec = 10000000 };
	struct note *note;

	while (!(note = calloc(1, sizeof(*note))))
		(void)nanosleep(&nap, NULL);
	note->m = m;
	note->kind = kind;
	note->time_us = realtime_us();
	return note;
}

static void note_send(struct note *note)
{
	static const struct timespec nap = { .tv_nsec = 10000000 };

	while (loop_queue_post(note->m->mc->queue, note_take, note) < 0)
		(void)nanosleep(&nap, NULL);
}

void migration_stage_done(struct migration *m, const char *event, const char *fmt, ...)
{
	struct note *note = note_new(m, NOTE_STAGE);
	va_list ap;

	(void)snprintf(note->event, sizeof(note->event), "%s", event);
	note->number = m->number;
	va_start(ap, fmt);
	(void)vsnprintf(note->text, sizeof(note->text), fmt, ap);
	va_end(ap);
	note_send(note);
}

/** ask() - Put a question to the loop and wait. Return: what it was told, or -ECANCELED */
static int ask(struct migration *m, enum note_kind kind, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&m->lock);
	m->question = MIGRATION_ASKS;
	(void)pthread_mutex_unlock(&m->lock);
	note_send(note_new(m, kind));
	(void)pthread_mutex_lock(&m->lock);
	/* An answer counts even if a cancellation came after it: what it began must be ended. */
	while (m->question == MIGRATION_ASKS && !m->cancelled)
		(void)pthread_cond_wait(&m->told, &m->lock);
	r = m->question == MIGRATION_ASKS ? -ECANCELED : (int)m->question;
	m->question = MIGRATION_ASKS_NOTHING;
	(void)pthread_mutex_unlock(&m->lock);
	return r < 0 ? err_set(err, r, "wait for the session") : r;
}

int migration_ask_cut(struct migration *m, struct err *err)
{
	int r = ask(m, NOTE_CUT_WANTED, err);

	return r < 0 ? r : r == MIGRATION_TOLD_YES ? 0 : 1;
}

void migration_cut_taken(struct migration *m, bool taken, const char *reason)
{
	struct note *note = note_new(m, NOTE_CUT_TAKEN);

	note->taken = taken;
	note->freeze_us = m->cut.freeze_us > UINT32_MAX ? UINT32_MAX : (uint32_t)m->cut.freeze_us;
	(void)snprintf(note->text, sizeof(note->text), "%s", reason ? reason : "");
	note_send(note);
}

/**
 * ask_leave() - Ask the loop whether the migration may go on
 *
 * Return: 0, -EPERM, or another code
 */
static int ask_leave(struct migration *m, enum note_kind kind, struct err *err)
{
	int r = ask(m, kind, err);

	if (r < 0 || r == MIGRATION_TOLD_YES)
		return r < 0 ? r : 0;
	(void)err_set(err, -EPROTO, "refused: %s", m->answer_reason);
	if (err)
		err->code = -EPERM;
	return r == MIGRATION_TOLD_NEVER ? err_lasting(err, -EPERM) : -EPERM;
}

int migration_ask_slot(struct migration *m, struct err *err)
{
	return ask_leave(m, NOTE_PROVEN, err);
}

int migration_ask_offer(struct migration *m, struct err *err)
{
	return ask_leave(m, NOTE_OFFERED, err);
}

int migration_tell_until(struct migration *m, pthread_mutex_t *lock, pthread_cond_t *changed,
			 const bool *ended, int (*tell)(struct migration *m, struct err *err),
			 struct err *err)
{
	int r = 0;

	while (!*ended) {
		struct timespec until;
		bool now;

		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += TELL_S;
		now = pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT &&
		      !*ended;
		(void)pthread_mutex_unlock(lock);
		if (now && tell && r == 0) {
			r = tell(m, err);
			if (r <
			    0) /* nobody wants it any more: what the thread waits for ends now */
				(void)eventfd_write(m->cancel_fd, 1);
		}
		(void)pthread_mutex_lock(lock);
	}
	return r;
}

int migration_rest(struct migration *m, int ms, struct err *err)
{
	struct pollfd p = { .fd = m->cancel_fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0 ? err_set(err, -ECANCELED, "wait for the session") : 0;
}

/**
 * mounted_upper() - UpperDir of a container that runs, by the mount of its root
 *
 * Return: whether it has one
 */
static bool mounted_upper(char to[PATH_MAX], int pid)
{
	char path[64];
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	auto_fclose FILE *mounts = pid > 0 ? fopen(path, "re") : NULL;
	auto_free char *line = NULL;
	while (mounts && getline(&line, &size, mounts) > 0) {
		const char *option = strstr(line, "upperdir=");
		char at[3];

		/*
		 * ID, parent, device, what of it, where: other overlays may be mounted elsewhere in
		 * it
		 */
		if (option && sscanf(line, "%*s %*s %*s %*s %2s", at) == 1 && !strcmp(at, "/")) {
			(void)snprintf(to, PATH_MAX, "%.*s", (int)strcspn(option + 9, ",\n"),
				       option + 9);
			return true;
		}
	}
	return false;
}

int migration_upper(char to[PATH_MAX], const json_t *inspect, const char *exec_root,
		    struct err *err)
{
	const char *upper = json_text(inspect, "GraphDriver", "Data", "UpperDir", NULL);
	int pid = (int)json_integer_value(json_at(inspect, "State", "Pid", NULL));

	if (*upper) {
		(void)snprintf(to, PATH_MAX, "%s", upper);
		return 0;
	}
	/* With containerd's image store the engine does not tell. */
	if (mounted_upper(to, pid))
		return 0;
	int r = containerd_upper(to, exec_root, json_text(inspect, "Id", NULL), err);
	if (r < 0)
		r = err_wrap(err, r, "find the container's layer, which must be an overlay");
	/* One that ran may just have ended. */
	return r == -ENOTSUP && pid > 0 ? err_lasting(err, r) : r;
}

/** stages_run() - Run all stages, then undo. Return: 0, or negative error code */
static int stages_run(struct migration *m)
{
	const struct way *way = &ways[m->mc->config.profile];
	size_t i;
	int r = 0;

	for (i = 0; i < way->stages && r == 0; i++) {
		const struct migration_stage *stage = &way->stage[i];
		int (*act)(struct migration *, struct err *) =
			m->is_source ? stage->source : stage->destination;
		uint64_t began = monotonic_us();

		m->stage = i;
		r = act ? act(m, &m->err) : 0;
		if (r < 0)
			r = err_wrap(&m->err, r, "%s", stage->name);
		m->stage_us[i] = monotonic_us() - began;
	}
	m->good = r == 0;
	(void)pthread_mutex_lock(&m->lock);
	if (!m->good && m->cancelled)
		(void)snprintf(m->err.text, sizeof(m->err.text), "%s", m->cancel_reason);
	(void)pthread_mutex_unlock(&m->lock);
	/* The source keeps nothing in either case, the destination what it has restored. */
	while (i-- > 0) {
		void (*undo)(struct migration *) =
			m->is_source ? way->stage[i].source_undo
				     : (m->good ? NULL : way->stage[i].destination_undo);

		if (undo)
			undo(m);
	}
	return r;
}

/* A migration's thread. */
static void *migration_run(void *arg)
{
	struct migration *m = arg;

	m->began_us = monotonic_us();
	if (m->is_source)
		migration_stage_done(m, "MIGRATION START", "to=%s container=%s", m->source.to_es,
				     m->source.container);
	(void)stages_run(m);
	if (!m->good && (m->is_source || m->session))
		migration_stage_done(m, "MIGRATION FAILED", "side=%s reason=%s",
				     m->is_source ? "source" : "destination", m->err.text);
	if (!m->is_source) {
		/*
		 * What came ahead goes first: the container would see it in the number of a file's
		 * links.
		 */
		if (m->good) {
			destination_ahead_undo(m);
			/* A user may be waiting: both sides are told before the checkpoint goes. */
			note_send(note_new(m, NOTE_ARRIVED));
		}
		destination_report(m);
		destination_clean(m);
	}
	note_send(note_new(m, NOTE_ENDED));
	return NULL;
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
	json_decref(m->ulimits);
	json_decref(m->grant);
	migration_trees_deinit(&m->trees);
	free(m->cache);
	free(m->forgotten);
	free(m->offer_plan);
	crypto_wipe(m->source.secret, sizeof(m->source.secret));
	crypto_wipe(m->offer.offer.secret, sizeof(m->offer.offer.secret));
	(void)pthread_mutex_destroy(&m->lock);
	(void)pthread_cond_destroy(&m->told);
	free(m);
}

/** migration_new() - Make a migration; it is not in the list and has no thread */
static struct migration *migration_new(struct migration_controller *mc, struct err *err)
{
	struct migration *m = calloc(1, sizeof(*m));

	if (!m) {
		(void)err_set(err, -ENOMEM, "migration");
		return NULL;
	}
	m->mc = mc;
	m->fd = -EBADF;
	m->transfer_id = ++mc->next_id;
	list_init(&m->link);
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_cond_init(&m->told, NULL);
	m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->cancel_fd < 0) {
		(void)err_set(err, -errno, "eventfd");
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

/** handshake_settled() - Give back the place among the strangers at the door */
static void handshake_settled(struct migration *m)
{
	if (!m->is_source && !m->settled && m->mc->acceptor)
		acceptor_settled(m->mc->acceptor, &m->from_address);
	m->settled = true;
}

/** arrived() - CT-y runs; its thread still removes what it was made of */
static void arrived(struct migration *m)
{
	struct wire_cut cut = { .number = m->number, .cache = m->cache, .cache_len = m->cache_len };

	if (m->announced)
		m->mc->ops->arrived(m->mc->ctx, m->transfer_id, m->session, &cut, &m->where);
	m->announced = false;
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
	else if (m->is_source)
		mc->ops->source_finished(mc->ctx, m->session, m->good, reason, m->err.lasting);
	else if (m->announced)
		mc->ops->arrival_failed(mc->ctx, m->transfer_id, m->session, reason);
	else if (!m->good && mc->ops->connection_failed)
		mc->ops->connection_failed(mc->ctx, m->from, reason);
	migration_free(m);
	if (mc->closing)
		migration_controller_close_step(mc);
}

static bool tell(struct migration *m, enum migration_question answer, const char *reason);

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
	if (mc->destinations >= mc->config.max_destinations)
		(void)snprintf(reason, sizeof(reason),
			       "no more migrations at a time here (migrations_max)");
	else if (slots_of(mc, m->slot_peer) >= share)
		(void)snprintf(reason, sizeof(reason),
			       "no more migrations at a time here from %s, which has %zu of %zu "
			       "places (migrations_max)",
			       m->slot_peer, share, (size_t)mc->config.max_destinations);
	m->slot = !*reason;
	mc->destinations += m->slot;
	(void)tell(m, m->slot ? MIGRATION_TOLD_YES : MIGRATION_TOLD_NO, reason);
}

/* A thread's note, on the loop. */
static void note_take(void *arg)
{
	struct note *note = arg;
	struct migration *m = note->m;
	struct migration_controller *mc = m->mc;

	if (note->kind == NOTE_ENDED) {
		migration_ended(m);
	} else if (!mc->closing) {
		switch (note->kind) {
		case NOTE_CUT_WANTED:
			mc->ops->cut_wanted(mc->ctx, m->session);
			break;
		case NOTE_CUT_TAKEN:
			mc->ops->cut_taken(mc->ctx, m->session, note->taken, note->freeze_us,
					   note->text);
			break;
		case NOTE_PROVEN:
			proven(m);
			break;
		case NOTE_OFFERED:
			m->announced = true;
			mc->ops->offered(mc->ctx, m->transfer_id, &m->offer);
			break;
		case NOTE_ARRIVED:
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

/** tell() - Answer a migration's question. Return: whether it was waiting for one */
static bool tell(struct migration *m, enum migration_question answer, const char *reason)
{
	bool waiting;

	(void)pthread_mutex_lock(&m->lock);
	waiting = m->question == MIGRATION_ASKS && !m->cancelled;
	if (waiting) {
		m->question = answer;
		(void)snprintf(m->answer_reason, sizeof(m->answer_reason), "%s", reason);
		(void)pthread_cond_signal(&m->told);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return waiting;
}

/** cancel() - Have a migration end soon */
static void cancel(struct migration *m, const char *reason)
{
	(void)pthread_mutex_lock(&m->lock);
	if (!m->cancelled) {
		m->cancelled = true;
		(void)snprintf(m->cancel_reason, sizeof(m->cancel_reason), "%s", reason);
		(void)eventfd_write(m->cancel_fd, 1);
		(void)pthread_cond_signal(&m->told);
	}
	(void)pthread_mutex_unlock(&m->lock);
}

int migration_controller_start(struct migration_controller *mc, uint64_t session,
			       const struct migration_source *source, struct err *err)
{
	if (migration_of(mc, session, true))
		return err_set(err, -EALREADY, "migrate the session");
	if (mc->closing || mc->sources >= mc->config.max_sources)
		return err_set(err, -EBUSY, "%u migrations from here", mc->sources);
	struct migration *m = migration_new(mc, err);
	if (!m)
		return -ENOMEM;
	m->is_source = true;
	m->session = session;
	m->source = *source;
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
		(void)tell(m, MIGRATION_TOLD_NO, reason);
}

void migration_controller_cancel(struct migration_controller *mc, uint64_t session,
				 const char *reason)
{
	list_for_each_safe(pos, tmp, &mc->migrations)
	{
		struct migration *m = list_entry(pos, struct migration, link);

		if ((m->is_source || m->announced) && m->session == session)
			cancel(m, reason);
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
	(void)pthread_mutex_lock(&m->lock);
	json_decref(m->grant);
	m->grant = grant;
	(void)pthread_mutex_unlock(&m->lock);
	(void)tell(m, MIGRATION_TOLD_YES, "");
}

void migration_controller_refuse(struct migration_controller *mc, uint64_t transfer_id,
				 const char *reason, bool lasting)
{
	struct migration *m = offered_find(mc, transfer_id);

	if (m)
		(void)tell(m, lasting ? MIGRATION_TOLD_NEVER : MIGRATION_TOLD_NO, reason);
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
	struct migration *m = migration_new(mc, &err);
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

int migration_work_clean(const struct migration_config *config, const char *path, struct err *err)
{
	static const char *const checkpoints[] = { "checkpoint",
						   "ahead" }; /* see source_checkpoint() */
	char below[PATH_MAX];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checkpoints) && r != -ETIMEDOUT; i++) {
		if (snprintf(below, sizeof(below), "%s/%s", path, checkpoints[i]) >= PATH_MAX)
			return err_set(err, -ENAMETOOLONG, "%s", path);
		if (access(below, F_OK) == 0)
			r = checkpoint_clean(below, config->guard, err);
	}
	return r == -ETIMEDOUT ? r : file_worker_remove(config->workers, path, err);
}

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
		cancel(list_entry(pos, struct migration, link), "the edge server stops");
	if (mc->expiry)
		image_expiry_close(TAKE_PTR(mc->expiry), expiry_closed, mc);
	if (mc->acceptor)
		acceptor_close(mc->acceptor, acceptor_closed, mc);
	else
		migration_controller_close_step(mc);
}
