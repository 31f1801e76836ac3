/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Migration - one migration: state that both sides, their threads and the loop share
 *
 *     controller.c            the loop's side: the list of migrations, answers to their threads
 *     stages.c                a migration's thread: the tables of stages of each profile
 *     source/, destination/   the stages; struct outgoing and struct incoming are theirs alone
 *     paper.c                 the paper's way
 *     common/                 used by all of these
 *
 * A migration runs through a table of stages. On a failure the stage that failed and those before
 * it are undone, the last first.
 */

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <jansson.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "es/checkpoint/checkpoint.h"
#include "es/image/choice.h"
#include "es/migration/common/config.h"
#include "es/migration/common/file_sets.h"
#include "es/migration/common/metrics.h"
#include "es/migration/common/transfer.h"
#include "net/address.h"

struct acceptor;
struct docker_engine;
struct file_worker;
struct image_expiry;
struct tls_stream;
struct migration;
struct outgoing; /* source/outgoing.h */
struct incoming; /* destination/incoming.h */

#define MIGRATION_DIR_MAX   (PATH_MAX - 64) /* room for names below it */
#define MIGRATION_ACCEPT_MS 60000           /* a destination may need this long to create CT-y */
#define MIGRATION_IMAGE_MS  1800000         /* a destination may need this long to load, or pull */
#define MIGRATION_DRAIN_MS  300000          /* a source may need this long to quiesce (R12) */
#define MIGRATION_LINGER_MS 3000            /* a source gets this long to read why it failed */
#define MIGRATION_DELAY_MS  250             /* between two tries to quiesce */

/** enum migration_question - State of a thread's question to the loop */
enum migration_question {
	MIGRATION_ASKS_NOTHING,
	MIGRATION_ASKS, /* cut_wanted() or offered() is on the way or was called */
	MIGRATION_TOLD_YES,
	MIGRATION_TOLD_NO,    /* delayed, refused */
	MIGRATION_TOLD_NEVER, /* refused, and so would be another attempt, see err_lasting() */
};

/**
 * struct migration - One migration
 * @link:	loop thread only, as are @announced to @slot
 * @announced:	destination: offered() was called
 * @accepted:	destination: the session waits for this one; another offer for it, refused, is none of its
 * @settled:	destination: no handshake any more
 * @slot:	destination: it counts among @mc->destinations
 * @slot_peer:	destination: name in the certificate; written before the question
 * @cancel_fd:	eventfd, readable once it is to end
 * @lock:	guards the answers of the loop's thread: @question to @cancel_reason
 * @grant:	destination: configuration that CT-y may have here; set with the answer to an offer
 * @number, @cache: at the source from the loop, at the destination from the source
 * @order:	source: the container to move, and its destination
 * @fd, @from_address, @from: destination: who connected, until the handshake; for messages
 * @offer:	destination: its plan is owned by @in
 * @where:	destination: where CT-y's service listens
 *
 * The rest belongs to the thread.
 * @out, @in:	the source's own, the destination's own; the other one is NULL
 * @files:	handles all files of the container and of the peer
 * @inspect:	the engine's description of the container here
 * @sets:	the container's layer and volumes
 * @image_wanted:	the destination lacks the image (C-Migr), but for its @layers_here lowest
 *			layers
 * @image_source:	from where it comes
 * @bytes_here:	of the layer after those, that need not come either
 * @image_bytes:	that were sent or received, uncompressed
 * @cut, @cut_bytes: the checkpoint; bytes that go after the cut: memory or its delta, changed files
 * @committed:	the paper's way: id of the image made of CT-x, "" if there is none
 * @began_us:	by the monotonic clock
 * @stage, @stage_us: that it has come to; how long each has taken, 0: not begun
 */
struct migration {
	struct list link;
	struct migration_controller *mc;
	bool is_source;
	bool announced;
	bool accepted;
	bool settled;
	bool slot;
	char slot_peer[NAME_SIZE];
	uint64_t session;
	uint64_t transfer_id;
	pthread_t thread;
	int cancel_fd;

	pthread_mutex_t lock;
	pthread_cond_t told;
	enum migration_question question;
	bool cancelled;
	uint64_t number;
	void *cache;
	size_t cache_len;
	json_t *grant;
	char answer_reason[WIRE_REASON_SIZE];
	char cancel_reason[WIRE_REASON_SIZE];

	struct migration_source order;
	int fd;
	struct sockaddr_storage from_address;
	char from[ADDRESS_TEXT_SIZE];
	struct wire_message offer;
	struct container_address where;

	struct outgoing *out;
	struct incoming *in;
	struct tls_stream *stream;
	struct docker_engine *engine;
	struct file_worker *files;
	struct wire_message header;
	json_t *inspect;
	json_t *plan;
	char work[MIGRATION_DIR_MAX];
	bool work_made;
	char docker_root[PATH_MAX];
	struct file_sets sets;
	bool image_wanted;
	enum image_source image_source;
	size_t layers_here;
	uint64_t bytes_here;
	uint64_t image_bytes;
	struct checkpoint_result cut;
	uint64_t cut_bytes;
	char committed[80];
	uint64_t began_us;
	uint64_t stage_us[MIGRATION_STAGES_MAX];
	size_t stage;
	bool good;
	struct err err;
};

/** migration_init() - The first process of the container here. Return: 0 if it does not run */
static inline pid_t migration_init(const struct migration *m)
{
	return (pid_t)json_integer_value(
		json_object_get(json_object_get(m->inspect, "State"), "Pid"));
}

/**
 * struct migration_controller - See migration/controller.h; the threads read what is above @queue
 */
struct migration_controller {
	struct migration_config config;
	struct tls_context *tls;
	json_t *host;
	bool runc_remaps; /* see migration_runc_remaps() */
	struct loop_queue *queue;
	void (*note_take)(void *note); /* on the loop, see notes.h */
	const struct migration_controller_ops *ops;
	void *ctx;
	uv_loop_t *loop;
	struct acceptor *acceptor; /* NULL: none, or it is closed */
	struct list migrations;
	uint32_t sources;
	uint32_t destinations;
	uint64_t next_id;
	struct image_rates rates;
	struct image_expiry *expiry;
	bool expiring; /* it is not closed yet */
	bool closing;
	uint32_t checks;
	struct migration_metrics metrics;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/**
 * migration_controller_close_step() - Release the controller if it closes and nothing of it is left
 * running
 */
void migration_controller_close_step(struct migration_controller *mc);
