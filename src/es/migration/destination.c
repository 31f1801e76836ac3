/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The destination's side of a migration: ES-y, where CT-y(m) shall stand
 */

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "es/container/config.h"
#include "es/container/grant.h"
#include "es/container/kernel.h"
#include "es/engine/docker_engine.h"
#include "es/criu/images.h"
#include "es/worker/file_worker.h"
#include "es/image/expiry.h"
#include "es/migration/incoming.h"
#include "es/migration/migration.h"
#include "es/migration/plan.h"
#include "es/system/process.h"
#include "es/migration/transfer.h"
#include "net/tls_stream.h"

#define SPACE_MARGIN (64u << 20)
#define PROBE_BYTES  (2u << 20)
#define PORT_MS      10000 /* a restored service listens already */

/** receive() - Wait for the source's next message, which must be of one type */
static int receive(struct migration *m, enum wire_type type, struct wire_message *to,
		   struct err *err)
{
	int r = tls_stream_receive_message(m->stream, to, err);

	if (r > 0)
		return err_set(err, -EPROTO, "the source ended the connection before %s",
			       wire_type_name(type));
	if (r < 0)
		return err_wrap(err, r, "wait for %s", wire_type_name(type));
	if (to->type != type)
		return err_set(err, -EPROTO, "the source sends %s, not %s",
			       wire_type_name(to->type), wire_type_name(type));
	return 0;
}

static void enter(struct migration *m, enum incoming_state state)
{
	incoming_enter(m->stream, state, m->mc->config.max_bytes);
}

int destination_offer(struct migration *m, struct err *err)
{
	int r = tls_stream_accept(&m->stream, m->mc->tls, TAKE_FD(m->fd), 1u << WIRE_ROLE_ES,
				  m->cancel_fd, INCOMING_HELLO_MS, err);

	if (r == 0) {
		(void)snprintf(m->slot_peer, sizeof(m->slot_peer), "%s",
			       tls_stream_peer_name(m->stream));
		r = migration_ask_slot(m, err);
	}
	if (r == 0) {
		enter(m, INCOMING_OFFER);
		r = receive(m, WIRE_TRANSFER_OFFER, &m->offer, err);
	}
	if (r < 0)
		return r;
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	if (!name_equal(m->offer.offer.from_es, tls_stream_peer_name(m->stream)))
		return err_set(err, -EPROTO, "%s offers a container in the name of %.63s",
			       tls_stream_peer_name(m->stream), m->offer.offer.from_es);
	if (!m->offer.session || m->offer.epoch == UINT32_MAX)
		return err_set(err, -EPROTO, "the offer names no session");
	m->offer_plan = malloc(m->offer.offer.plan_len + 1);
	if (!m->offer_plan)
		return err_set(err, -ENOMEM, "take an offer");
	if (m->offer.offer.plan_len)
		memcpy(m->offer_plan, m->offer.offer.plan, m->offer.offer.plan_len);
	m->offer.offer.plan = (uint8_t *)m->offer_plan;
	m->session = m->offer.session;
	m->header.session = m->offer.session;
	m->header.association = m->offer.association;
	m->header.epoch = m->offer.epoch;
	return 0;
}

int migration_space(const char *path, uint64_t bytes, const char *what, struct err *err)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return err_set(err, -errno, "measure the space of %s", path);
	if ((uint64_t)fs.f_bavail * fs.f_frsize < bytes + bytes / 5 + SPACE_MARGIN)
		return err_set(err, -ENOSPC, "%" PRIu64 " MB of %s into %s", bytes >> 20, what,
			       path);
	return 0;
}

int destination_find_image(struct migration *m, char name[256], struct err *err)
{
	/* The name first: whoever looks at the container, or moves it on, can read it. */
	const char *const names[] = { json_text(m->plan, "image", "name", NULL),
				      json_text(m->plan, "image", "id", NULL), m->image_id };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *image = NULL;
		int r;

		if (!*names[i])
			continue;
		r = docker_engine_image(m->engine, names[i], &image, err);
		if (r < 0)
			return r;
		bool fits = r == 0 && migration_plan_fits_image(m->plan, image, NULL) == 0;
		r = fits ? container_grant_image(image, err) : 0;
		json_decref(image);
		if (r < 0)
			return r;
		if (fits) {
			(void)snprintf(name, 256, "%s", names[i]);
			return 0;
		}
	}
	return 1;
}

/** leftover_remove() - Remove a container in our way, if it is one that never ran to the end */
static int leftover_remove(struct migration *m, const char *name, struct err *err)
{
	json_t *inspect = NULL;
	bool running;
	int r = docker_engine_inspect(m->engine, name, &inspect, err);

	if (r != 0)
		return r < 0 ? r : 0;
	running = json_is_true(json_at(inspect, "State", "Running", NULL));
	json_decref(inspect);
	if (running)
		return err_set(err, -EEXIST, "container %s runs here", name);
	return docker_engine_remove(m->engine, name, err);
}

int destination_create(struct migration *m, const char *image, struct err *err)
{
	json_t *config = json_object_get(m->plan, "config");
	uint16_t port = (uint16_t)json_integer_value(json_object_get(m->plan, "port"));
	char name[CONTAINER_ID_SIZE];
	int r;

	container_name(name, m->session, m->header.epoch + 1);
	r = container_config_adapt(config, image, m->mc->config.runtime, m->session,
				   m->header.epoch + 1, m->offer.offer.service, port);
	if (r < 0)
		return err_set(err, r, "configure %s", name);
	r = docker_engine_create(m->engine, name, config, m->id, sizeof(m->id), err);
	if (r == -EEXIST) {
		r = leftover_remove(m, name, err);
		if (r == 0)
			r = docker_engine_create(m->engine, name, config, m->id, sizeof(m->id),
						 err);
	}
	if (r > 0)
		r = err_set(err, -ENOENT, "image %s", image);
	if (r < 0)
		m->id[0] = '\0';
	return r < 0 ? err_wrap(err, r, "create %s", name) : 0;
}

/** staged_make() - Make the directory where baton-runtime will look for the checkpoint */
static int staged_make(struct migration *m, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(m->work, sizeof(m->work), "%s/%s", m->mc->config.staged_dir, m->id) >=
	    (int)sizeof(m->work))
		return err_set(err, -ENAMETOOLONG, "%s", m->mc->config.staged_dir);
	if (mkdir(m->work, 0700) < 0)
		return err_set(err, -errno, "create %s", m->work);
	m->staged = true;
	(void)snprintf(path, sizeof(path), "%s/images", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	(void)snprintf(path, sizeof(path), "%s/work", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	(void)snprintf(path, sizeof(path), "%s/criu.conf", m->work);
	return checkpoint_write_config(path, NULL, err);
}

/**
 * closed_take() - Note what is closed to the container, long before the cut: it may be more than
 * fits
 */
static int closed_take(struct migration *m, struct err *err)
{
	int r = container_grant_closed(m->closed, sizeof(m->closed), m->inspect);

	return r < 0 ? err_set(err, r,
			       "paths that are masked or read-only in the container need more than "
			       "%zu bytes together: mount fewer with \"ro\"",
			       sizeof(m->closed))
		     : 0;
}

int destination_make(struct migration *m, const char *image, struct err *err)
{
	int r = destination_create(m, image, err);

	if (r == 0) {
		r = docker_engine_inspect(m->engine, m->id, &m->inspect, err);
		r = r > 0 ? err_set(err, -ENOENT, "the new container") : r;
	}
	if (r == 0)
		r = closed_take(m, err);
	if (r == 0)
		r = migration_trees_place(&m->trees, m->inspect, m->mc->config.docker_exec_root,
					  err);
	if (r == 0)
		r = staged_make(m, err);
	return r;
}

/** profile_check() - Does the source mean to do it the way we do? */
static int profile_check(struct migration *m, struct err *err)
{
	const char *ours = migration_profile_name(m->mc->config.profile);
	const char *theirs = json_text(m->plan, "profile", NULL);

	if (!strcmp(*theirs ? theirs : migration_profile_name(PROFILE_BATON), ours))
		return 0;
	(void)err_set(err, -EPROTO, "%s has another profile than ours, \"%s\"",
		      m->offer.offer.from_es, ours);
	return err_lasting(err, -EPERM);
}

/** grant_take() - Let the plan have no other configuration than one that is granted here (R16) */
static int grant_take(struct migration *m, struct err *err)
{
	json_t *config = NULL;
	int r = container_grant_config(
		&config, m->grant, json_object_get(m->plan, "config"),
		(uint16_t)json_integer_value(json_object_get(m->plan, "port")), err);

	/* Processes keep those of CT-x, whatever the engine here gives new ones. */
	m->ulimits = json_incref(json_at(m->plan, "config", "HostConfig", "Ulimits", NULL));
	if (r == 0 && json_object_set_new(m->plan, "config", config) < 0)
		r = err_set(err, -ENOMEM, "configure a container");
	return r;
}

int destination_judge(struct migration *m, struct err *err)
{
	json_t *bytes;
	json_t *info = NULL;
	auto_free char *plan = NULL;
	int r = file_worker_start(&m->files, m->mc->config.workers, m->cancel_fd, err);

	/* What a stranger wrote is read where it can do no harm; we read what was written there. */
	if (r == 0)
		r = file_worker_json(m->files, m->offer.offer.plan, m->offer.offer.plan_len, &plan,
				     err);
	if (r == 0)
		r = migration_plan_parse(&m->plan, plan, strlen(plan), m->mc->config.shared, err);
	if (r == 0)
		r = grant_take(m, err);
	if (r == 0)
		r = migration_trees_expect(&m->trees, m->plan, err);
	if (r == 0)
		r = profile_check(m, err);
	if (r == 0)
		r = migration_plan_fits_host(m->plan, m->mc->host, err);
	if (r < 0)
		return r;
	bytes = json_object_get(m->plan, "bytes");
	/* what goes ahead of a cut that holds lies beside it */
	uint64_t memory = (uint64_t)json_integer_value(json_object_get(bytes, "memory"));
	if (json_is_true(json_object_get(m->plan, "hold")))
		memory *= 2;
	r = migration_space(m->mc->config.staged_dir, memory, "memory", err);
	if (r == 0)
		r = docker_engine_info(m->engine, &info, err);
	if (r == 0)
		(void)snprintf(m->docker_root, sizeof(m->docker_root), "%s",
			       json_text(info, "DockerRootDir", NULL));
	m->containerd = docker_engine_containerd(info);
	container_grant_engine(&m->engine_grant, info);
	json_decref(info);
	if (r == 0)
		r = migration_space(m->docker_root,
				    (uint64_t)json_integer_value(json_object_get(bytes, "layer")),
				    "layer", err);
	return r;
}

/** text_send() - Send an accept with a text. Return: 0, or negative error code */
static int text_send(struct migration *m, const char *text, struct err *err)
{
	struct wire_message accept = m->header;

	accept.type = WIRE_TRANSFER_ACCEPT;
	accept.text.status = WIRE_OK;
	accept.text.bytes = (const uint8_t *)text;
	accept.text.len = strlen(text);
	return tls_stream_send_message(m->stream, &accept, err);
}

int destination_accept(struct migration *m, struct err *err)
{
	char text[200];

	(void)snprintf(
		text, sizeof(text),
		"{\"puts_back\":true,\"image\":{\"wanted\":%s,\"from\":\"%s\",\"layers_here\":%zu,"
		"\"bytes_here\":%" PRIu64 "}}",
		m->image_wanted ? "true" : "false", image_way_name(m->image_way), m->layers_here,
		m->bytes_here);
	return text_send(m, text, err);
}

int64_t destination_probe(struct migration *m, struct err *err)
{
	uint64_t bytes = 0;
	uint64_t half_us = 0;
	uint64_t half_bytes = 0;
	char text[40];
	int r;

	(void)snprintf(text, sizeof(text), "{\"probe\":%u}", PROBE_BYTES);
	r = text_send(m, text, err);
	enter(m, INCOMING_PROBE);
	while (r == 0 && bytes < PROBE_BYTES) {
		struct wire_message chunk;

		r = receive(m, WIRE_TRANSFER_CHUNK, &chunk, err);
		bytes += r == 0 ? chunk.text.len : 0;
		if (!half_us && bytes >= PROBE_BYTES / 2) {
			half_us = monotonic_us();
			half_bytes = bytes;
		}
	}
	if (r < 0)
		return r;
	/* The first half is TCP feeling its way. */
	uint64_t took = monotonic_us() - half_us;
	return (int64_t)((bytes - half_bytes) * 1000000 / (took ? took : 1));
}

int destination_prepare(struct migration *m, struct err *err)
{
	char image[256];
	int r = destination_offer(m, err);

	if (r == 0)
		r = migration_ask_offer(m, err);
	if (r == 0)
		r = docker_engine_new(&m->engine, m->mc->config.docker_socket, m->cancel_fd, err);
	if (r == 0)
		r = destination_judge(m, err);
	if (r == 0) {
		r = destination_find_image(m, image, err);
		r = r < 0   ? r
		    : r > 0 ? destination_want_image(m, err)
			    : destination_make(m, image, err);
	}
	return r < 0 ? r : destination_accept(m, err);
}

/* --- after the image -------------------------------------------------------------------------- */

void destination_clean(struct migration *m)
{
	destination_ahead_undo(m);
	if (m->staged)
		(void)file_worker_remove(m->mc->config.workers, m->work, NULL);
	m->staged = false;
}

void destination_prepare_undo(struct migration *m)
{
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	struct err err = { 0 };

	/* First the container: nothing may be restored from files that are half removed. */
	if (m->id[0] && docker_engine_new(&engine, m->mc->config.docker_socket, -1, &err) == 0 &&
	    docker_engine_remove(engine, m->id, &err) == 0)
		m->id[0] = '\0';
	destination_clean(m);
	destination_image_undo(m);
}

/**
 * ahead_place() - Make the directory for what comes before its place is there
 *
 * If the image is still to come there is no CT-y to lie beside. In the engine's directory, where
 * CT-y will be; what a crash leaves there image/expiry.c removes.
 */
static int ahead_place(struct migration *m, struct err *err)
{
	if (snprintf(m->ahead, sizeof(m->ahead), "%s/" IMAGE_AHEAD "XXXXXX", m->docker_root) >=
	    (int)sizeof(m->ahead))
		return err_set(err, -ENAMETOOLONG, "%s", m->docker_root);
	/* A name of its own: what a crash or an attempt still ending has left is not in the way. */
	if (!mkdtemp(m->ahead))
		return err_set(err, -errno, "create %s", m->ahead);
	m->ahead_made = true;
	return 0;
}

/* The layer comes twice: as it is while the service runs, then as it was at the cut, when what is
 * still the same is only named. */
int destination_ahead(struct migration *m, struct err *err)
{
	struct file_tree to[MIGRATION_TREES_MAX];
	int r = ahead_place(m, err);

	enter(m, INCOMING_AHEAD);
	if (r == 0)
		r = migration_trees_ahead(&m->trees, m->files, to, m->ahead, err);
	if (r == 0)
		r = transfer_receive(m->stream, TRANSFER_STREAM, &m->header, m->files, to,
				     m->trees.count, m->mc->config.max_bytes, err);
	return r;
}

void destination_ahead_undo(struct migration *m)
{
	migration_trees_forget(&m->trees, m->mc->config.workers);
	if (m->ahead_made)
		(void)rmdir(m->ahead);
	m->ahead_made = false;
}

int destination_cut(struct migration *m, struct err *err)
{
	struct wire_message cut;
	int r;

	enter(m, INCOMING_CUT);
	tls_stream_set_timeout(m->stream, MIGRATION_DRAIN_MS);
	r = receive(m, WIRE_TRANSFER_CUT, &cut, err);
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	if (r < 0)
		return r;
	if (cut.session != m->session)
		return err_set(err, -EPROTO, "the cut is of another session");
	m->number = cut.cut.number;
	m->cache_len = cut.cut.cache_len;
	m->cache = malloc(m->cache_len + 1);
	if (!m->cache)
		return err_set(err, -ENOMEM, "take a cut");
	if (m->cache_len)
		memcpy(m->cache, cut.cut.cache, m->cache_len);
	return 0;
}

/**
 * checkpoint_judge() - See that CRIU is told to do nothing that the container's configuration does
 * not grant
 *
 * By a worker of its own: the one that has read the peer's archive may have fallen to it. That one
 * has the images open for writing, so it ends first.
 */
static int checkpoint_judge(struct migration *m, const char *path, struct err *err)
{
	AUTO(file_worker) struct file_worker *judge = NULL;
	struct file_place images = { .path = "" };
	struct checkpoint_grant grant;
	int r = file_worker_end(TAKE_PTR(m->files), err);

	if (r == 0)
		r = file_worker_start(&judge, m->mc->config.workers, m->cancel_fd, err);
	if (r < 0)
		return r;
	images.dir = file_worker_directory(judge, path, false, err);
	if (images.dir < 0)
		return images.dir;
	container_grant_tasks(&grant, json_object_get(m->plan, "config"), &m->engine_grant);
	grant.closed = m->closed;
	return file_worker_checkpoint(judge, images, &grant, err);
}

int destination_receive(struct migration *m, struct err *err)
{
	struct file_tree to[1 + MIGRATION_TREES_MAX] = {
		{ .name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 }, .plain = true }
	};
	char path[PATH_MAX + 16];
	int r;

	enter(m, INCOMING_CHUNKS);
	(void)snprintf(path, sizeof(path), "%s/images", m->work);
	to[0].place.dir = file_worker_directory(m->files, path, true, err);
	r = to[0].place.dir < 0 ? to[0].place.dir
				: migration_trees_into(&m->trees, m->files, to + 1, err);
	if (r == 0)
		r = transfer_receive(m->stream, TRANSFER_STREAM, &m->header, m->files, to,
				     1 + m->trees.count, m->mc->config.max_bytes, err);
	if (r == 0)
		r = destination_memory_whole(m, to[0].place, err);
	if (r == 0)
		r = checkpoint_judge(m, path, err);
	if (r == 0) /* the worker that had them has ended */
		r = migration_trees_unspoilt(&m->trees, err);
	m->received_us = monotonic_us();
	return r;
}

int destination_prove(struct migration *m, struct err *err)
{
	uint16_t port = (uint16_t)json_integer_value(json_object_get(m->plan, "port"));
	int r;

	json_decref(m->inspect);
	m->inspect = NULL;
	r = docker_engine_inspect(m->engine, m->id, &m->inspect, err);
	if (r != 0)
		return r < 0 ? r : err_set(err, -ENOENT, "the restored container");
	if (!json_is_true(json_at(m->inspect, "State", "Running", NULL)))
		return err_set(
			err, -EPROTO, "the restored container ended at once (status %d)",
			(int)json_integer_value(json_at(m->inspect, "State", "ExitCode", NULL)));
	container_address_from(&m->where, m->inspect, port);
	if (!port || migration_plan_udp(m->plan))
		return 0;
	r = container_port_wait(&m->where, PORT_MS, m->cancel_fd, err);
	return r < 0 ? err_wrap(err, r, "the restored service does not answer") : 0;
}

/** restored_prove() - See that the old process continues, and that none was started afresh */
static int restored_prove(struct migration *m, struct err *err)
{
	char path[PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/restored", m->work);
	if (access(path, F_OK) < 0)
		return err_set(err, -EPROTO,
			       "the engine started the container afresh: is '%s' baton-runtime, "
			       "and does it look into %s?",
			       m->mc->config.runtime, m->mc->config.staged_dir);
	return destination_prove(m, err);
}

/** kernel_prove() - See that the kernel gives CT-y what was asked for, and no more (R13) */
static int kernel_prove(struct migration *m, struct err *err)
{
	struct container_wanted wanted;
	struct checkpoint_grant tasks;

	container_grant_tasks(&tasks, json_object_get(m->plan, "config"), &m->engine_grant);
	container_wanted_from(&wanted, m->inspect, m->ulimits, &tasks);
	return container_kernel_check(
		&wanted, (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)), err);
}

int destination_restore(struct migration *m, struct err *err)
{
	char log[PATH_MAX + 32];
	char reason[256];
	int r = docker_engine_start(m->engine, m->id, err);

	if (r < 0 && r != -ECANCELED) {
		/* The engine's words are long and say little; CRIU's first error says it. */
		(void)snprintf(log, sizeof(log), "%s/work/restore.log", m->work);
		checkpoint_log_reason(log, reason, sizeof(reason));
		if (*reason)
			return err_set(err, -EPROTO, "CRIU: %s", reason);
	}
	if (r == 0)
		r = restored_prove(m, err);
	if (r == 0)
		r = kernel_prove(m, err);
	/* Only now is it proved that these processes are the copy's. */
	if (r == 0)
		r = destination_put_back(m, err);
	if (r == 0)
		migration_stage_done(m, "T5", "restore_us=%" PRIu64 " cut=%" PRIu64,
				     monotonic_us() - m->received_us, m->number);
	return r;
}

void destination_report(struct migration *m)
{
	struct wire_message result = m->header;
	struct wire_message rest;
	uint64_t end = monotonic_us() + MIGRATION_LINGER_MS * 1000;

	if (!m->stream)
		return;
	result.type = WIRE_TRANSFER_RESULT;
	result.text.status = m->good ? WIRE_OK : m->err.lasting ? WIRE_E_LASTING : WIRE_E_FAILED;
	result.text.bytes = (const uint8_t *)(m->good ? "" : m->err.text);
	result.text.len = strlen((const char *)result.text.bytes);
	if (tls_stream_send_message(m->stream, &result, NULL) == 0 && !m->good) {
		/* Closing with bytes unread would reset the connection and lose the reason. */
		tls_stream_set_timeout(m->stream, MIGRATION_LINGER_MS);
		enter(m, INCOMING_REST);
		while (monotonic_us() < end &&
		       tls_stream_receive_message(m->stream, &rest, NULL) == 0)
			;
	}
	(void)tls_stream_free(m->stream);
	m->stream = NULL;
}
