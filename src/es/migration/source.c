/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The source's side of a migration: ES-x, which has CT-x(m) and keeps it (R3)
 */

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "es/system/cgroup.h"
#include "es/container/check.h"
#include "es/container/findings.h"
#include "es/engine/docker_engine.h"
#include "es/worker/file_worker.h"
#include "es/migration/migration.h"
#include "es/migration/plan.h"
#include "es/system/process.h"
#include "es/migration/transfer.h"
#include "net/tls_stream.h"

#define PROBE_MAX   (4u << 20)
#define PROBE_PIECE (64u << 10)
/*
 * The user waits while a held cut is sent: a link slower than this, in bytes per second, is not
 * waited for
 */
#define HELD_MS      20000
#define HELD_RATE    (256u << 10)
#define HELD_MOST_MS 300000
#define NAMED        1024u /* bytes of a file that is the same as before: its name and attributes */

#define FLUSH_LEFT      (1u << 20)
#define FLUSH_LEFT_HELD (64u << 10) /* R6: somebody waits for each byte that goes after the cut */
#define FLUSH_LOOK_MS   5

int source_look(struct migration *m, json_t **image, struct err *err)
{
	json_t *findings = NULL;
	int r = docker_engine_inspect(m->engine, m->source.container, &m->inspect, err);

	if (r > 0)
		return err_set(err, -ENOENT, "container %s", m->source.container);
	if (r == 0)
		r = container_check(&findings, m->engine, m->inspect, m->mc->config.shared, err);
	if (r == 0)
		r = findings_refusal(findings, err);
	json_decref(findings);
	if (r == 0)
		r = docker_engine_image(m->engine, json_text(m->inspect, "Image", NULL), image,
					err);
	return r > 0 ? err_set(err, -ENOENT, "image of container %s", m->source.container) : r;
}

/** layer_ahead() - Bring the copies of layer and volumes up to date while the service runs */
static int layer_ahead(struct migration *m, struct err *err)
{
	pid_t init = (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL));
	int r;

	auto_free pid_t *pids = calloc(CONTAINER_PIDS_MAX, sizeof(*pids));
	if (!pids)
		return err_set(err, -ENOMEM, "copy the layer");
	r = migration_trees_update(&m->trees, m->files, false, &m->layer_stats, err);
	if (r < 0)
		return r;
	/* Afterwards: what is mapped from now on changes its time when it is first written to. */
	size_t count = container_pids(pids, CONTAINER_PIDS_MAX, init);
	for (size_t i = 0; i < count && r == 0; i++)
		r = migration_trees_dirty_mapped(&m->trees, m->files, pids[i], err);
	return r;
}

int source_work(struct migration *m, struct err *err)
{
	if (snprintf(m->work, sizeof(m->work), "%s/source-%016" PRIx64,
		     m->mc->config.checkpoint_dir, m->session) >= (int)sizeof(m->work))
		return err_set(err, -ENAMETOOLONG, "%s", m->mc->config.checkpoint_dir);
	if (mkdir(m->work, 0700) < 0) {
		/* A predecessor of this program has left somebody in it whom nobody could end. */
		int r = errno == EEXIST ? migration_work_clean(&m->mc->config, m->work, err) : 0;
		if (r < 0)
			return r;
		if (mkdir(m->work, 0700) < 0)
			return err_set(err, -errno, "create %s", m->work);
	}
	m->work_made = true;
	return file_worker_start(&m->files, m->mc->config.workers, m->cancel_fd, err);
}

int source_layer(struct migration *m, struct err *err)
{
	int r = migration_trees_find(&m->trees, m->inspect, m->mc->config.docker_exec_root, err);

	if (r == 0)
		r = migration_trees_stage(&m->trees, m->files, m->work, m->mc->config.max_bytes,
					  err);
	return r < 0 ? r : layer_ahead(m, err);
}

/** offer_send() - Connect to the destination and offer the container */
static int offer_send(struct migration *m, struct err *err)
{
	struct wire_message offer = m->header;
	struct wire_offer *o = &offer.offer;
	int r = tls_stream_connect(&m->stream, m->mc->tls, m->source.to_address, m->source.to_es,
				   WIRE_ROLE_ES, m->cancel_fd, (int)m->mc->config.idle_ms, err);

	if (r < 0)
		return err_wrap(err, r, "connect to %s", m->source.to_es);
	auto_free char *plan = json_dumps(m->plan, JSON_COMPACT);
	if (!plan)
		return err_set(err, -ENOMEM, "offer a container");
	offer.type = WIRE_TRANSFER_OFFER;
	(void)snprintf(o->mud, NAME_SIZE, "%s", m->source.mud);
	(void)snprintf(o->service, NAME_SIZE, "%s", m->source.service);
	(void)snprintf(o->from_es, NAME_SIZE, "%s", m->mc->config.name);
	(void)snprintf(o->ap, NAME_SIZE, "%s", m->source.ap);
	memcpy(o->secret, m->source.secret, sizeof(o->secret));
	o->plan = (const uint8_t *)plan;
	o->plan_len = strlen(plan);
	return tls_stream_send_message(m->stream, &offer, err);
}

/* The destination's reason, and whether it is a lasting one, is ours from here on. */
static int told_of_failure(const struct migration *m, const struct wire_message *result,
			   struct err *err)
{
	int r = err_set(err, -EPROTO, "%s: %.*s", m->source.to_es,
			result->text.len > 300 ? 300 : (int)result->text.len,
			(const char *)result->text.bytes);

	return result->text.status == WIRE_E_LASTING ? err_lasting(err, r) : r;
}

/**
 * answer_receive() - Wait for the destination's word on a stage; @to is valid until the next one
 */
static int answer_receive(struct migration *m, enum wire_type type, int timeout_ms,
			  struct wire_message *to, struct err *err)
{
	int r;

	tls_stream_set_timeout(m->stream, timeout_ms);
	tls_stream_set_deadline(m->stream, (uint64_t)timeout_ms);
	r = tls_stream_receive_message(m->stream, to, err);
	tls_stream_set_deadline(m->stream, 0);
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	if (r > 0)
		return err_set(err, -EPROTO, "%s ended the connection without a word",
			       m->source.to_es);
	if (r < 0)
		return err_wrap(err, r, "wait for %s", m->source.to_es);
	/* A failure may be told at any time. */
	if (to->type == WIRE_TRANSFER_RESULT && to->text.status != WIRE_OK)
		return told_of_failure(m, to, err);
	if (to->type != type)
		return err_set(err, -EPROTO, "%s sends %s, not %s", m->source.to_es,
			       wire_type_name(to->type), wire_type_name(type));
	return 0;
}

/** probe_send() - Send bytes that mean nothing, for the destination to measure the link */
static int probe_send(struct migration *m, size_t bytes, struct err *err)
{
	static const uint8_t nothing[PROBE_PIECE];
	struct wire_message chunk = m->header;
	int r = 0;

	chunk.type = WIRE_TRANSFER_CHUNK;
	for (size_t left = bytes; r == 0 && left; left -= chunk.text.len) {
		chunk.text.bytes = nothing;
		chunk.text.len = left < sizeof(nothing) ? left : sizeof(nothing);
		r = tls_stream_send_message(m->stream, &chunk, err);
	}
	return r;
}

/**
 * accept_read() - Have the worker read what an ACCEPT says; we read what was written there (R16)
 */
static int accept_read(struct migration *m, const struct wire_message *answer, json_t **ret,
		       struct err *err)
{
	auto_free char *ours = NULL;
	int r = file_worker_json(m->files, answer->text.bytes, answer->text.len, &ours, err);

	if (r < 0)
		return err_wrap(err, r, "%s says nonsense", m->source.to_es);
	*ret = json_loads(ours, 0, NULL);
	return *ret ? 0 : err_set(err, -EPROTO, "the file worker writes no JSON");
}

int source_accepted(struct migration *m, int timeout_ms, struct err *err)
{
	size_t layers = migration_plan_layers(m->plan);
	struct wire_message answer;
	json_t *json = NULL;
	json_int_t here;
	json_int_t bytes;
	json_int_t probe;
	int r = answer_receive(m, WIRE_TRANSFER_ACCEPT, timeout_ms, &answer, err);

	if (r == 0)
		r = accept_read(m, &answer, &json, err);
	if (r < 0)
		return r;
	m->image_wanted = json_is_true(json_at(json, "image", "wanted", NULL));
	here = json_integer_value(json_at(json, "image", "layers_here", NULL));
	bytes = json_integer_value(json_at(json, "image", "bytes_here", NULL));
	if (here < 0 || bytes < 0 || (json_int_t)layers < here)
		r = err_set(err, -EPROTO, "%s says nonsense about the image", m->source.to_es);
	else
		m->layers_here = (size_t)here;
	m->bytes_here = r == 0 ? (uint64_t)bytes : 0;
	m->image_way =
		!strcmp(json_text(json, "image", "from", NULL), image_way_name(IMAGE_FROM_REGISTRY))
			? IMAGE_FROM_REGISTRY
			: IMAGE_FROM_SOURCE;
	m->puts_back = json_is_true(json_object_get(json, "puts_back"));
	probe = json_integer_value(json_at(json, "probe", NULL));
	json_decref(json);
	if (r < 0 || probe <= 0)
		return r;
	/* It measures the link before it says more, once. */
	if (m->probed)
		return err_set(err, -EPROTO, "%s wants to measure the link again", m->source.to_es);
	m->probed = true;
	r = probe_send(m, probe > PROBE_MAX ? PROBE_MAX : (size_t)probe, err);
	return r < 0 ? r : source_accepted(m, timeout_ms, err);
}

int source_plan(struct migration *m, const json_t *image, uint64_t memory, uint64_t layer,
		struct err *err)
{
	const char *profile = migration_profile_name(m->mc->config.profile);
	const char *method = migration_method_name(m->source.method);
	int r = migration_plan_make(&m->plan, m->inspect, image, m->mc->host, m->source.port,
				    memory, layer, err);

	if (r == 0 && m->trees.count)
		r = json_object_set_new(m->plan, "volumes", migration_trees_volumes(&m->trees)) < 0
			    ? err_set(err, -ENOMEM, "plan a migration")
			    : 0;
	if (r == 0 && (json_object_set_new(m->plan, "profile", json_string(profile)) < 0 ||
		       json_object_set_new(m->plan, "method", json_string(method)) < 0 ||
		       json_object_set_new(m->plan, "hold", json_boolean(m->source.hold)) < 0))
		r = err_set(err, -ENOMEM, "plan a migration");
	return r;
}

int source_offer(struct migration *m, struct err *err)
{
	int r = offer_send(m, err);

	return r < 0 ? r : source_accepted(m, MIGRATION_ACCEPT_MS, err);
}

void source_learn_reason(struct migration *m, int r, struct err *err)
{
	struct err failure = { 0 };
	struct wire_message answer;

	if (r < 0 && r != -ECANCELED &&
	    answer_receive(m, WIRE_TRANSFER_RESULT, MIGRATION_LINGER_MS, &answer, &failure) ==
		    -EPROTO)
		*err = failure;
}

int source_trees(struct migration *m, enum transfer_way way, struct transfer_tree *trees,
		 size_t count, struct err *err)
{
	int r = transfer_send(m->stream, way, &m->header, m->files, trees, count,
			      way == TRANSFER_STREAM, m->mc->config.compression, err);

	source_learn_reason(m, r, err);
	return r;
}

int source_prepare(struct migration *m, struct err *err)
{
	json_t *image = NULL;
	uint64_t memory = 0;
	int r = docker_engine_new(&m->engine, m->mc->config.docker_socket, m->cancel_fd, err);

	m->header.session = m->session;
	m->header.association = m->source.association;
	m->header.epoch = m->source.epoch;
	if (r == 0)
		r = source_look(m, &image, err);
	if (r == 0)
		r = source_work(m, err);
	if (r == 0)
		r = source_layer(m, err);
	if (r == 0) {
		memory = cgroup_memory(
			(pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)));
		r = source_plan(m, image, memory, m->layer_stats.bytes, err);
	}
	json_decref(image);
	if (r == 0)
		r = source_offer(m, err);
	if (r == 0)
		migration_stage_done(m, "PREPARED",
				     "prepare_us=%" PRIu64 " layer_files=%" PRIu64
				     " layer_bytes=%" PRIu64 " memory_bytes=%" PRIu64,
				     monotonic_us() - m->began_us, m->layer_stats.files,
				     m->layer_stats.bytes, memory);
	return r;
}

void source_prepare_undo(struct migration *m)
{
	struct err err = { 0 };

	migration_trees_deinit(&m->trees);
	m->files = file_worker_free(m->files);
	(void)tls_stream_free(m->stream);
	m->stream = NULL;
	if (m->work_made && migration_work_clean(&m->mc->config, m->work, &err) < 0)
		log_error("%s stays: %s", m->work, err.text);
	m->work_made = false;
}

/* --- after the image -------------------------------------------------------------------------- */

int source_flush(struct migration *m, struct err *err)
{
	size_t enough = m->earlier ? FLUSH_LEFT_HELD : FLUSH_LEFT;
	size_t before = SIZE_MAX;
	uint64_t moved = monotonic_us();
	int r = 0;

	while (r == 0) {
		size_t unsent = tls_stream_unsent(m->stream);

		if (unsent < enough)
			return 0;
		if (unsent < before)
			moved = monotonic_us();
		else if (monotonic_us() - moved > m->mc->config.idle_ms * 1000ull)
			return err_set(err, -ETIMEDOUT, "nothing moved for %u ms",
				       m->mc->config.idle_ms);
		before = unsent;
		r = migration_rest(m, FLUSH_LOOK_MS, err);
	}
	return r;
}

int source_ahead(struct migration *m, struct err *err)
{
	struct transfer_tree trees[MIGRATION_TREES_MAX];
	size_t count = migration_trees_outgoing(&m->trees, trees);
	uint64_t sent = 0;
	int r = 0;

	/*
	 * The engine needs a while until the first byte of an image comes: the link is ours
	 * meanwhile.
	 */
	if (m->image_wanted && m->image_way == IMAGE_FROM_SOURCE)
		r = source_image_begin(m, err);
	if (r < 0)
		return r;
	r = source_trees(m, TRANSFER_STREAM, trees, count, err);
	if (r == 0)
		r = source_flush(m, err);
	for (size_t i = 0; i < count; i++)
		sent += trees[i].sent;
	if (r == 0)
		migration_stage_done(m, "LAYER AHEAD",
				     "kind=layer sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64
				     " volumes=%zu",
				     sent, m->layer_stats.bytes, count - 1);
	return r;
}

/** runc_root_find() - Where runc keeps the state of the container, by the name of its runtime */
static int runc_root_find(struct migration *m, char to[PATH_MAX], struct err *err)
{
	const char *const names[] = { json_text(m->inspect, "HostConfig", "Runtime", NULL), "runc",
				      "io.containerd.runc.v2" };
	const char *id = json_text(m->inspect, "Id", NULL);
	char state[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int n = snprintf(to, PATH_MAX, "%s/runtime-%s/moby", m->mc->config.docker_exec_root,
				 names[i]);

		if (n < PATH_MAX && snprintf(state, PATH_MAX, "%s/%s", to, id) < PATH_MAX &&
		    access(state, F_OK) == 0)
			return 0;
	}
	return err_set(err, -ENOENT, "state of container %s below %s", m->source.container,
		       m->mc->config.docker_exec_root);
}

int source_checkpoint(struct migration *m, const char *name, bool hold, struct checkpoint **ret,
		      struct err *err)
{
	char runc_root[PATH_MAX];
	int r = runc_root_find(m, runc_root, err);

	auto_free char *dir = NULL;
	if (r == 0 && asprintf(&dir, "%s/%s", m->work, name) < 0)
		r = err_set(err, -ENOMEM, "checkpoint");
	if (r < 0)
		return r;
	const struct checkpoint_config config = {
		.container = json_text(m->inspect, "Id", NULL),
		.pid = (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)),
		.runc_root = runc_root,
		.prefix = m->mc->config.prefix,
		.cut_hook = m->mc->config.cut_hook,
		.store = m->mc->config.store,
		.dir = dir,
		.guard = m->mc->config.guard,
		.cancel_fd = m->cancel_fd,
		.hold = hold,
		.remap = m->mc->runc_remaps,
		.late = m->mc->config.test_late_snapshot,
	};
	return checkpoint_begin(ret, &config, err);
}

/* T3, inside T1: the tasks are frozen. */
static int layer_frozen(void *ctx, bool last, struct err *err)
{
	struct migration *m = ctx;
	uint64_t copied = last ? m->layer_stats.copied_bytes : 0;
	/* the second time there is little left to do: what CRIU itself has made */
	int r = migration_trees_update(&m->trees, m->files, true, &m->layer_stats, err);

	m->layer_stats.copied_bytes += copied;
	return r;
}

int source_drain(struct migration *m, struct err *err)
{
	for (uint32_t tries = 1;; tries++) {
		int r = migration_ask_cut(m, err);

		if (r <= 0)
			return r;
		if (tries >= m->mc->config.drain_tries)
			return err_set(err, -EPROTO, "no idle instant in %u tries: %s", tries,
				       m->answer_reason);
		r = migration_rest(m, MIGRATION_DELAY_MS, err);
		if (r < 0)
			return r;
	}
}

int source_cut(struct migration *m, struct err *err)
{
	pid_t first = 0;
	int unread;
	struct layer_stats ahead;
	int r = source_checkpoint(m, "checkpoint", m->source.hold, &m->checkpoint, err);

	if (r == 0)
		r = source_unread(m, false, &first, err);
	if (r >= 0)
		r = layer_ahead(m, err);
	if (r == 0)
		r = source_forgotten(m, err);
	if (r == 0)
		r = source_drain(m, err);
	if (r < 0)
		return r;
	unread = source_unread(m, true, &first, err);
	if (unread < 0)
		return unread;
	ahead = m->layer_stats;
	r = checkpoint_cut(m->checkpoint, layer_frozen, m, &m->cut, err);
	migration_cut_taken(m, r == 0, r == 0 ? NULL : err->text);
	if (r == 0)
		r = source_mend(m, err);
	if (r < 0)
		return r;
	if (unread)
		migration_stage_done(m, "UNREAD LOST", "sockets=%d pid=%d", unread, (int)first);
	/* what the last copy before the cut found has changed since it was sent ahead, too */
	m->cut_bytes = m->cut.bytes + ahead.copied_bytes + m->layer_stats.copied_bytes +
		       m->layer_stats.files * NAMED;
	migration_stage_done(m, "T1",
			     "freeze_us=%" PRIu64 " dump_us=%" PRIu64 " memory_bytes=%" PRIu64,
			     m->cut.freeze_us, m->cut.dump_us, m->cut.bytes);
	migration_stage_done(m, "T3",
			     "layer_bytes=%" PRIu64 " layer_files=%" PRIu64
			     " frozen_copied=%" PRIu64 " ahead_bytes=%" PRIu64 " last_us=%" PRIu64,
			     m->layer_stats.bytes, m->layer_stats.files,
			     m->layer_stats.copied_bytes, ahead.bytes, m->cut.last_us);
	return 0;
}

void source_cut_undo(struct migration *m)
{
	(void)checkpoint_free(m->checkpoint);
	m->checkpoint = NULL;
}

/* The last byte of the memory is on its way. */
static void memory_sent(void *ctx, const struct transfer_tree *tree)
{
	struct migration *m = ctx;

	migration_stage_done(
		m, "T2", "kind=memory sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64 " log_bytes=%zu",
		tree->sent, m->cut.bytes, m->cache_len);
}

/*
 * The last byte of all is. Called by transfer_send() with the last tree; @sent of the others is
 * set.
 */
static void files_sent(void *ctx, const struct transfer_tree *last)
{
	struct migration *m = ctx;
	uint64_t sent = 0;

	for (size_t i = 0; i < m->trees.count; i++)
		sent += (last - i)->sent;
	migration_stage_done(m, "T4",
			     "kind=layer sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64 " log_bytes=0",
			     sent, m->layer_stats.bytes);
}

int source_tell_cut(struct migration *m, struct err *err)
{
	struct wire_message cut = m->header;

	cut.type = WIRE_TRANSFER_CUT;
	cut.cut.number = m->number;
	cut.cut.cache = m->cache;
	cut.cut.cache_len = m->cache_len;
	return tls_stream_send_message(m->stream, &cut, err);
}

/**
 * memory_place() - Give the file worker the memory that goes: all of it, or what the destination
 * lacks
 */
static int memory_place(struct migration *m, int *dir, struct err *err)
{
	char delta[MIGRATION_DIR_MAX + 16];
	int r = m->earlier ? source_memory_delta(m, delta, err) : 0;

	if (r < 0)
		return r;
	*dir = file_worker_directory(
		m->files, m->earlier ? delta : checkpoint_images(m->checkpoint), false, err);
	return *dir < 0 ? *dir : 0;
}

uint64_t source_held_ms(uint64_t bytes)
{
	uint64_t ms = HELD_MOST_MS;

	if (bytes < (uint64_t)HELD_MOST_MS * HELD_RATE / 1000)
		ms = HELD_MS + bytes * 1000 / HELD_RATE;
	return ms < HELD_MOST_MS ? ms : HELD_MOST_MS;
}

int source_send(struct migration *m, struct err *err)
{
	size_t count;
	int r;

	struct transfer_tree trees[1 + MIGRATION_TREES_MAX] = {
		{ .tree = { .name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 } },
		  .done = memory_sent,
		  .ctx = m },
	};
	r = memory_place(m, &trees[0].tree.place.dir, err);
	if (r < 0)
		return r;
	count = 1 + migration_trees_outgoing(&m->trees, trees + 1);
	trees[count - 1].done = files_sent;
	trees[count - 1].ctx = m;
	if (m->source.hold)
		tls_stream_set_deadline(m->stream, source_held_ms(m->cut_bytes));
	r = source_tell_cut(m, err);
	if (r == 0)
		r = source_trees(m, TRANSFER_STREAM, trees, count, err);
	tls_stream_set_deadline(m->stream, 0);
	return r;
}

int source_confirm(struct migration *m, struct err *err)
{
	struct wire_message result;

	return answer_receive(m, WIRE_TRANSFER_RESULT, (int)m->mc->config.restore_ms, &result, err);
}
