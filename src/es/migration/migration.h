/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Migration - one migration on one side, as its thread sees it
 *
 * Shared by migration/controller.c (the loop's side), the threads' sides migration/source.c,
 * migration/destination.c, migration/image.c, migration/registry.c and migration/paper.c, and
 * nobody else.
 *
 * A migration runs through a table of stages. On a failure the stage that failed and those before
 * it are undone, the last first.
 */

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/list.h"
#include "es/checkpoint/checkpoint.h"
#include "es/container/grant.h"
#include "es/image/choice.h"
#include "es/files/layer.h"
#include "es/migration/controller.h"
#include "es/migration/metrics.h"
#include "es/migration/file_sets.h"
#include "es/migration/transfer.h"
#include "net/address.h"

struct acceptor;
struct docker_engine;
struct file_worker;
struct image_arrival;
struct image_expiry;
struct memory_base;
struct image_saving; /* in migration/image.c */
struct tls_stream;
struct migration;

#define MIGRATION_CLOSED_MAX 3500 /* less than BENEATH_PATH_MAX, with the name of a profile */
#define MIGRATION_DIR_MAX    (PATH_MAX - 64) /* room for names below it */
#define MIGRATION_ACCEPT_MS  60000           /* a destination may need this long to create CT-y */
#define MIGRATION_IMAGE_MS   1800000         /* a destination may need this long to load, or pull */
#define MIGRATION_DRAIN_MS   300000          /* a source may need this long to drain (R12) */
#define MIGRATION_LINGER_MS  3000            /* a source gets this long to read why it failed */
#define MIGRATION_DELAY_MS   250             /* between two tries to drain */

/**
 * struct migration_stage - One step of Table 1's way
 * @name:	for error lines: "prepare" ...
 * @source:	what the source does, in its thread
 * @destination:	what the destination does meanwhile, in its
 * @source_undo, @destination_undo:	give back what this stage took, also if it failed half-way
 *		or never began. The source's are called after a success, too: CT-x is not touched by
 *		them (R3). The destination's last stage is its point of no return: once it is done,
 *		CT-y belongs to the daemon and nothing is undone.
 */
struct migration_stage {
	const char *name;
	int (*source)(struct migration *m, struct err *err);
	int (*destination)(struct migration *m, struct err *err);
	void (*source_undo)(struct migration *m);
	void (*destination_undo)(struct migration *m);
};

/** enum migration_question - What a thread waits for the loop to answer */
enum migration_question {
	MIGRATION_ASKS_NOTHING,
	MIGRATION_ASKS, /* cut_wanted() or offered() is on the way or was called */
	MIGRATION_TOLD_YES,
	MIGRATION_TOLD_NO,    /* delayed, refused */
	MIGRATION_TOLD_NEVER, /* refused, and so would be another attempt, see err_lasting() */
};

/**
 * struct migration - One migration
 * @link:	loop thread only
 * @cancel_fd:	eventfd, readable once it is to end
 * @lock:	guards what the loop's thread tells: @question to @cancel_reason
 * @grant:	destination: what CT-y may have here; set with the answer to an offer
 * @number, @cache:	at the source from the loop, at the destination from the source
 * @image_wanted:	the destination lacks the image (C-Migr), but for its @layers_here lowest
 *			layers
 * @image_way:	from where it comes
 * @image_id:	what the engine calls it, once it has come; "" before
 * @image_digest: by which the operator may trust it: "sha256:" and the digest of its configuration
 * @containerd:	the engine has containerd's image store
 * @bytes_here:	of the layer after those, that need not come either
 * @image_bytes:	that were sent or received, uncompressed
 * @began_us:	by the monotonic clock
 * The rest belongs to the thread. @trees: the container's layer and volumes; @layer_stats: of all
 * of them. At the source: @source, @layer_stats to @cut_made. At the destination: @fd, @offer (its
 * plan is owned), @peer, @id to @where.
 */
struct migration {
	struct list link;
	struct migration_controller *mc;
	bool is_source;
	bool announced; /* destination: offered() was called */
	bool settled;   /* destination: no handshake any more; loop thread only, as is @slot */
	bool slot;      /* destination: it counts among mc->destinations */
	char slot_peer
		[NAME_SIZE]; /* destination: whose certificate it is; written before the question */
	bool image_wanted;
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
	struct container_engine_grant engine_grant; /* destination */
	char closed[MIGRATION_CLOSED_MAX];          /* destination: from container_grant_closed() */
	char answer_reason[WIRE_REASON_SIZE];
	char cancel_reason[WIRE_REASON_SIZE];

	enum image_way image_way;
	char image_id[80];
	char image_digest[80];
	bool containerd;
	uint64_t predicted_us; /* destination: how long it will take; 0: not predicted */
	uint64_t expected_us;  /* the same, corrected by what earlier predictions were worth */
	size_t layers_here;
	uint64_t bytes_here;
	uint64_t image_bytes;

	uint64_t began_us;
	struct tls_stream *stream;
	struct docker_engine *engine;
	struct file_worker *files; /* handles all files of the container and of the peer */
	struct wire_message header;
	json_t *inspect;
	json_t *plan;
	json_t *ulimits; /* destination: as they were asked for */
	char work[MIGRATION_DIR_MAX];

	struct migration_source source;
	struct migration_trees trees;
	struct layer_stats layer_stats;
	struct memory_base *base;   /* of @earlier */
	struct checkpoint *earlier; /* memory that went ahead of a cut that holds, or NULL */
	struct checkpoint *checkpoint;
	char *forgotten; /* source: from forgotten_note(), or NULL */
	struct checkpoint_result cut;
	uint64_t cut_bytes; /* that go after the cut: memory or its delta, changed files */
	bool work_made;
	bool ahead_made;
	bool staged;
	bool good;
	bool puts_back;                    /* the destination puts back what CRIU forgets */
	bool probed;                       /* the destination has measured the link */
	char departure[MIGRATION_DIR_MAX]; /* "" if there is none */
	struct image_saving *saving;       /* the engine saves the image, NULL if it does not */

	int fd;
	struct sockaddr_storage from_address; /* destination: who connected */
	char from[ADDRESS_TEXT_SIZE];         /* the same for messages */
	struct wire_message offer;
	char *offer_plan;
	char id[CONTAINER_ID_SIZE];
	char committed[80]; /* the paper's way: id of the image made of CT-x, "" if there is none */
	char docker_root[PATH_MAX];
	char ahead[PATH_MAX];
	struct image_arrival *arrival;
	uint64_t received_us;
	struct container_address where;
	uint64_t stage_us[MIGRATION_STAGES_MAX]; /* how long each has taken; 0: not begun */
	size_t stage;                            /* that it has come to */
	struct err err;
};

/**
 * struct migration_controller - See migration/controller.h; the threads read what is above @queue
 */
struct migration_controller {
	struct migration_config config;
	struct tls_context *tls;
	json_t *host;
	bool runc_remaps; /* see migration_runc_remaps() */
	struct loop_queue *queue;
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

/* The actions of the stages, see the table in migration/controller.c: 0, or negative error code. */

/* The paper's way, see migration/paper.c. */

/** paper_source_prepare() - Look at CT-x, remember what it has executed, offer it */
int paper_source_prepare(struct migration *m, struct err *err);

/** paper_source_checkpoint() - T1: have the engine checkpoint CT-x */
int paper_source_checkpoint(struct migration *m, struct err *err);

/** paper_source_send_checkpoint() - T2: the checkpoint's files, one after the other */
int paper_source_send_checkpoint(struct migration *m, struct err *err);

/** paper_source_files() - T3: commit and save the container, or copy its UpperDir */
int paper_source_files(struct migration *m, struct err *err);

/** paper_source_send_files() - T4 */
int paper_source_send_files(struct migration *m, struct err *err);

/** paper_source_undo() - Remove checkpoint, image and copies; close the connection */
void paper_source_undo(struct migration *m);

/** paper_destination_prepare() - Judge the offer, say whether the image is here; no CT-y yet */
int paper_destination_prepare(struct migration *m, struct err *err);

/** paper_destination_checkpoint() - T2: keep the checkpoint's files until there is a CT-y */
int paper_destination_checkpoint(struct migration *m, struct err *err);

/** paper_destination_files() - T4: keep the saved image, or the layer */
int paper_destination_files(struct migration *m, struct err *err);

/**
 * paper_destination_restore() - T5: load the image, create CT-y, put its files in place, start it
 *
 * Return: 0, or negative error code
 */
int paper_destination_restore(struct migration *m, struct err *err);

/** paper_destination_undo() - Remove CT-y and what was kept for it */
void paper_destination_undo(struct migration *m);

/** source_prepare() - Look at CT-x, copy its layer aside, offer it (before the cut) */
int source_prepare(struct migration *m, struct err *err);

/** source_image() - C-Migr: send the image's layers that are missing there (before the cut) */
int source_image(struct migration *m, struct err *err);

/** source_image_begin() - Have the engine begin to save the image while other things are sent */
int source_image_begin(struct migration *m, struct err *err);

/** source_image_undo() - Remove the files of layers that were made to be sent */
void source_image_undo(struct migration *m);

/** source_ahead() - Send the layer as it is while the service runs (before the cut) */
int source_ahead(struct migration *m, struct err *err);

/** source_memory() - If it holds: take a checkpoint while the service runs, send its memory */
int source_memory(struct migration *m, struct err *err);

/** source_memory_undo() - Release that checkpoint, if there is one */
void source_memory_undo(struct migration *m);

/** destination_memory() - Keep it for what will still be the same at the cut */
int destination_memory(struct migration *m, struct err *err);

/**
 * source_memory_delta() - Find the pages that the destination does not have
 * @m:		Migration whose memory went ahead, after the cut
 * @path:	Set on success: directory to send instead of the checkpoint's
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int source_memory_delta(struct migration *m, char path[MIGRATION_DIR_MAX + 16], struct err *err);

/**
 * destination_memory_whole() - Put the checkpoint in @images together again, if its memory went
 * ahead
 *
 * Return: 0, or negative error code
 */
int destination_memory_whole(struct migration *m, struct file_place images, struct err *err);

/**
 * source_checkpoint() - Start CRIU; it waits before it touches anything
 * @m:		Migration
 * @name:	Of the directory for it, below the work directory
 * @hold:	The container stays frozen after it (R6)
 * @ret:	Set on success only; the caller owns it
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int source_checkpoint(struct migration *m, const char *name, bool hold, struct checkpoint **ret,
		      struct err *err);

/** source_cut() - T1: hold, drain, freeze, dump, snapshot the layer, thaw (R2) */
int source_cut(struct migration *m, struct err *err);

/**
 * source_held_ms() - How long users may wait while what goes after a cut that holds is sent (R6)
 * @bytes:	Of it, uncompressed
 *
 * Then the source gives up, and its container goes on.
 *
 * Return: milliseconds: 20 s, 4 s more for each MiB, 300 s at most
 */
uint64_t source_held_ms(uint64_t bytes);

/** source_send() - T2, T4: checkpoint and layer as one stream */
int source_send(struct migration *m, struct err *err);

/** source_confirm() - Wait until the destination has restored */
int source_confirm(struct migration *m, struct err *err);

/** source_prepare_undo() - Close the connection, remove what was staged */
void source_prepare_undo(struct migration *m);

/** source_cut_undo() - Release the checkpoint, if there is one */
void source_cut_undo(struct migration *m);

/** destination_prepare() - Judge the offer, create CT-y if its image is here, accept */
int destination_prepare(struct migration *m, struct err *err);

/**
 * destination_image() - Take in what comes of the image, load it meanwhile, create CT-y, accept
 * again
 *
 * Return: 0, or negative error code
 */
int destination_image(struct migration *m, struct err *err);

/** destination_image_undo() - Keep what has come of it for the next attempt (R8) */
void destination_image_undo(struct migration *m);

/** destination_ahead() - Keep the layer as it was for what will still be the same at the cut */
int destination_ahead(struct migration *m, struct err *err);

/** destination_ahead_undo() - Remove what is left of it */
void destination_ahead_undo(struct migration *m);

/** destination_cut() - Take in what the cut says: number and answer cache */
int destination_cut(struct migration *m, struct err *err);

/** destination_receive() - T2, T4: write checkpoint and layer where the restore finds them */
int destination_receive(struct migration *m, struct err *err);

/** destination_restore() - T5: start CT-y, which restores it; hand it to the loop */
int destination_restore(struct migration *m, struct err *err);

/** destination_prepare_undo() - Remove CT-y and what was staged for it */
void destination_prepare_undo(struct migration *m);

/** destination_report() - Tell the source how it ended; after a failure, have it read that */
void destination_report(struct migration *m);

/** destination_clean() - After a success: wipe what was staged */
void destination_clean(struct migration *m);

/* Parts of stages that both ways have. */

/**
 * source_look() - Inspect CT-x and its image, and see whether it can be moved
 * @m:		Migration
 * @image:	Set on success only, a new reference
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int source_look(struct migration *m, json_t **image, struct err *err);

/**
 * migration_work_clean() - Remove a source's work directory
 *
 * A predecessor that was killed may have left a container frozen, in the cut or in the memory pass
 * ahead of it, and a CRIU that will freeze it again: see checkpoint_clean().
 *
 * Return: 0, -ETIMEDOUT if somebody in it cannot be ended: it stays; or another negative error code
 */
int migration_work_clean(const struct migration_config *config, const char *path, struct err *err);

/** source_work() - Make the work directory */
int source_work(struct migration *m, struct err *err);

/**
 * source_layer() - Copy layer and volumes as they are now into the work directory; the service runs
 *
 * Return: 0, or negative error code
 */
int source_layer(struct migration *m, struct err *err);

/** source_plan() - Say what comes, and how: @memory and @layer bytes beside the image */
int source_plan(struct migration *m, const json_t *image, uint64_t memory, uint64_t layer,
		struct err *err);

/** source_offer() - Connect, offer the plan, learn whether the image is wanted */
int source_offer(struct migration *m, struct err *err);

/** source_accepted() - Wait until the destination accepts, learn what it wants of the image */
int source_accepted(struct migration *m, int timeout_ms, struct err *err);

/**
 * source_flush() - Wait until nearly all that was sent has gone out on the link
 * @m:		Migration
 * @err:	Filled in on failure
 *
 * What the kernel still holds would go before the memory: cutting before would only make the time
 * longer for which requests are kept. A little may be left, for it goes while CRIU gets ready.
 *
 * Return: 0, -ECANCELED, or -ETIMEDOUT if nothing moves
 */
int source_flush(struct migration *m, struct err *err);

/**
 * source_learn_reason() - The link may have broken because the destination gave up, and said why
 */
void source_learn_reason(struct migration *m, int r, struct err *err);

/**
 * source_drain() - Ask the daemon to hold and drain until it has (R12); migration_cut_taken() is
 * owed
 *
 * Return: 0, or negative error code
 */
int source_drain(struct migration *m, struct err *err);

/** source_tell_cut() - Send number and answer cache of the cut */
int source_tell_cut(struct migration *m, struct err *err);

/**
 * source_unread() - Wait until no socket of the container has anything unread, which would be lost
 * @m:		Migration
 * @held:	Its user waits
 * @first:	Set to a process with such a socket
 * @err:	Filled in on failure
 *
 * A service that always has some moves all the same, after 8 s, or 0.1 s if @held, and if it reads
 * nothing for 0.5 s: datagrams may be lost anywhere.
 *
 * Return: how many sockets have some in the end, or negative error code
 */
int source_unread(struct migration *m, bool held, pid_t *first, struct err *err);

/** source_forgotten() - Note what CRIU will forget, see checkpoint/forgotten.h */
int source_forgotten(struct migration *m, struct err *err);

/** source_mend() - Set images right, see checkpoint_mend.h, and put what was noted beside them */
int source_mend(struct migration *m, struct err *err);

/** destination_put_back() - Give the restored container what CRIU has forgotten, see checkpoint/forgotten.h */
int destination_put_back(struct migration *m, struct err *err);

/** source_trees() - Send trees; if the destination gave up meanwhile, learn why */
int source_trees(struct migration *m, enum transfer_way way, struct transfer_tree *trees,
		 size_t count, struct err *err);

/** destination_offer() - Let the source connect and say what it brings */
int destination_offer(struct migration *m, struct err *err);

/** destination_judge() - Read the plan. Could the container run here, and is there room for it? */
int destination_judge(struct migration *m, struct err *err);

/**
 * destination_find_image() - Find the image here by name or by id: what counts is the layers
 * @m:		Migration
 * @name:	Set to the name or id it was found by
 * @err:	Filled in on failure
 *
 * Return: 0, 1 if it is not here, or negative error code
 */
int destination_find_image(struct migration *m, char name[256], struct err *err);

/**
 * destination_want_image() - Find out what of the image is here, and if there is room for the rest
 *
 * Return: 0, or negative error code
 */
int destination_want_image(struct migration *m, struct err *err);

/**
 * destination_choose_way() - From where would the image be here sooner? Set it, and say why
 * @m:		Migration
 * @missing:	Bytes that are missing
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT if the image may not come from the source and no registry has it, or another
 * negative error code
 */
int destination_choose_way(struct migration *m, uint64_t missing, struct err *err);

/**
 * destination_pull() - Pull the image; if that fails and we may, have the source send it instead
 *
 * Return: 0, or negative error code
 */
int destination_pull(struct migration *m, struct err *err);

/** destination_make() - Create CT-y and find out where its files go */
int destination_make(struct migration *m, const char *image, struct err *err);

/** migration_space() - Is there room for @bytes of @what where @path is? Return: 0, or -ENOSPC */
int migration_space(const char *path, uint64_t bytes, const char *what, struct err *err);

/** destination_accept() - Accept, and say what is wanted of the image, and from where */
int destination_accept(struct migration *m, struct err *err);

/** destination_probe() - Measure the link from the source. Return: bytes per second, or negative */
int64_t destination_probe(struct migration *m, struct err *err);

/** destination_create() - Create CT-y with CT-x's whole configuration; it is not started */
int destination_create(struct migration *m, const char *image, struct err *err);

/** destination_prove() - See that CT-y runs and its port answers */
int destination_prove(struct migration *m, struct err *err);

/**
 * migration_stage_done() - Have the loop call stage()
 * @m:		Migration
 * @event:	"T1" ...
 * @fmt:	"key=value ..." for its detail
 */
void migration_stage_done(struct migration *m, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** migration_ask_cut() - Have the loop call cut_wanted(), wait for its answer
 *
 * Return: 0: the session is drained, @m->number and @m->cache are set, and migration_cut_taken() is
 * owed; 1: delayed, the reason is in @m->answer_reason; or negative error code
 */
int migration_ask_cut(struct migration *m, struct err *err);

/** migration_cut_taken() - Have the loop call cut_taken() */
void migration_cut_taken(struct migration *m, bool taken, const char *reason);

/**
 * migration_ask_slot() - The peer has proven itself: ask the loop for a slot
 *
 * Return: 0, -EPERM ...
 */
int migration_ask_slot(struct migration *m, struct err *err);

/**
 * migration_ask_offer() - Have the loop call offered(), wait
 *
 * Return: 0 accepted, -EPERM, negative
 */
int migration_ask_offer(struct migration *m, struct err *err);

/**
 * migration_tell_until() - Wait for a thread, and tell the other side meanwhile that we are still
 * at it
 * @m:		Migration
 * @lock:	held; guards @ended
 * @changed:	signalled when @ended is set
 * @ended:	the thread is done
 * @tell:	called every two seconds without the lock; NULL: nobody listens
 * @err:	Filled in on failure of @tell: the other side is gone, and the thread is cancelled,
 *		by @m->cancel_fd
 *
 * Return: 0, or negative error code
 */
int migration_tell_until(struct migration *m, pthread_mutex_t *lock, pthread_cond_t *changed,
			 const bool *ended, int (*tell)(struct migration *m, struct err *err),
			 struct err *err);

/** migration_rest() - Sleep, unless cancelled. Return: 0, or -ECANCELED */
int migration_rest(struct migration *m, int ms, struct err *err);

/**
 * migration_upper() - Find the writable directory of a container's layer
 * @to:		Set to its path
 * @inspect:	What the engine says of the container
 * @exec_root:	Of the engine
 * @err:	Filled in on failure
 *
 * By the engine's word; with containerd's image store by the mount of a root that is in use, or by
 * containerd's word.
 *
 * Return: 0, or negative error code
 */
int migration_upper(char to[PATH_MAX], const json_t *inspect, const char *exec_root,
		    struct err *err);
