/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Migration Controller - moves a session's container from this edge server to another (T1 to T5)
 *
 * Each migration is one thread on either side, straight-line code over a table of stages in
 * es/migration/controller.c. The daemon's event loop only answers the questions a migration asks
 * it:
 *
 *     source                                       destination
 *     migration_controller_start()
 *       prepare: check, copy the layer
 *                aside, plan, offer  ------------>  offered() -> _accept() or _refuse()
 *                                                   prepare: compare, create CT-y, not started
 *                                    <-- accept --
 *       ahead: the layer as it is  -------------->  keep it
 *       image: its missing layers  -------------->  verify, load while it comes, create CT-y (only
 *                                    <-- accept --                             if it was missing)
 *       cut_wanted()  -> hold, quiesce -> _cut() (or _cut_delayed(), asked again later: R12)
 *       T1, T3: freeze, dump, snapshot, thaw
 *       cut_taken()   -> continue to execute
 *       T2, T4: send  ---- one stream ----------->  verify while it comes
 *                                                   T5: put the layer in place, restore, prove it
 *                     <-------------- result -----  arrived()
 *       source_finished()
 *
 * With PROFILE_PAPER cut_wanted() comes in prepare, to learn the number of the handoff, and
 * cut_taken() at once; the checkpoint follows later, while the service executes.
 *
 * Every started migration ends with exactly one source_finished(); every offered() is followed by
 * exactly one arrived() or arrival_failed(), also after refuse() and cancel(). cut_taken() comes
 * exactly once after each migration_controller_cut() that returned 0. When an ending with a failure
 * is called, all that the migration made here has been undone: CT-x runs and is not frozen, no
 * staged file and no half-made container is left (R10). Only the received part of an image stays for
 * the next attempt, in @image_dir and in the engine. A migration never stops CT-x: that is
 * container_management_remove(), called when the access point says RETIRE (R3).
 *
 * A migration may be one to keep a cut, or to recover from one (enum migration_purpose). The first has no
 * destination: source_finished() says whether the cut is kept. The second one's destination is this edge server:
 * offered() and arrived() as for any, and not_recovered() in place of a source_finished() that tells of a failure.
 *
 * All callbacks run on the loop's thread, from an uv_async; calling back into the controller from
 * them is allowed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <uv.h>

#include "base/auto.h"
#include "base/text.h"
#include "es/container/management.h"
#include "es/migration/common/config.h"
#include "wire/message.h"

struct err;
struct tls_context;       /* net/tls.h */
struct migration_metrics; /* es/migration/common/metrics.h */
struct migration_controller;

#define MIGRATION_CHECK_NAME_SIZE 256 /* of a container or an image, with its NUL */

/**
 * struct migration_controller_ops - Requests and reports of the controller to the daemon
 *
 * Pointers given to a callback are borrowed for the call.
 */
struct migration_controller_ops {
	/**
	 * @cut_wanted: all is prepared. Hold new requests, let the running one end, close the
	 * connections into the container, then call migration_controller_cut(); if that takes too
	 * long, migration_controller_cut_delayed().
	 */
	void (*cut_wanted)(void *ctx, uint64_t session);
	/**
	 * @cut_taken: the container runs again; continue to execute. If @taken is false there is no
	 * cut, @reason says why, and source_finished(false) follows.
	 */
	void (*cut_taken)(void *ctx, uint64_t session, bool taken, uint32_t freeze_us,
			  const char *reason);
	/**
	 * @source_finished: the migration is over; @restored: CT-y stands restored, not active;
	 * @lasting: of @reason, see err_lasting()
	 */
	void (*source_finished)(void *ctx, uint64_t session, bool restored, const char *reason,
				bool lasting);
	/**
	 * @not_recovered: a recovery has failed; its arrival is undone, or will be. @away: it was not
	 * begun, for the engine does not answer
	 */
	void (*not_recovered)(void *ctx, uint64_t session, bool away, const char *reason);
	/**
	 * @offered: another edge server, @offer->offer.from_es by its certificate, brings a
	 * session. Answer now or later with migration_controller_accept() or _refuse().
	 */
	void (*offered)(void *ctx, uint64_t transfer_id, const struct wire_message *offer);
	/** @connection_failed: a connection brought no offer; @who is its address */
	void (*connection_failed)(void *ctx, const char *who, const char *reason);
	/** @arrived: CT-y is restored, proven, and its port answers; it stands at @cut->number */
	void (*arrived)(void *ctx, uint64_t transfer_id, uint64_t session,
			const struct wire_cut *cut, const struct container_address *where);
	/** @arrival_failed: nothing of the transfer is left here but the received part of an image */
	void (*arrival_failed)(void *ctx, uint64_t transfer_id, uint64_t session,
			       const char *reason);
	/**
	 * @stage: a stage is done, for the Log Reporter. @event is "MIGRATION START", "PREPARED",
	 * "IMAGE", "IMAGE LOADED", "LAYER AHEAD", "T1" ... "T5", "MIGRATION FAILED" ...; @time_us
	 * is when, UTC; @number is the cut's, or 0;
	 * @detail is "key=value ..." with durations (_us) and bytes
	 */
	void (*stage)(void *ctx, uint64_t session, const char *event, uint64_t time_us,
		      uint64_t number, const char *detail);
};

/**
 * migration_controller_new() - Make a controller and open its listener
 * @ret:	Set on success only; the caller owns it, see migration_controller_close()
 * @loop:	Loop on whose thread all calls are made
 * @config:	Settings, copied (the strings are borrowed)
 * @tls:	Certificates for transfers, borrowed for the life of the controller
 * @ops:	Callbacks, borrowed for the life of the controller
 * @ctx:	Handed to them
 * @err:	Filled in on failure
 *
 * It first removes the remains of a crashed predecessor in @config->checkpoint_dir and
 * @config->staged_dir, and the images that it was sending in @config->image_dir. Images that it was
 * receiving stay until @config->arrival_ms is over. The daemon judges its containers
 * (container_management_list()).
 *
 * Return: 0, or negative error code
 */
int migration_controller_new(struct migration_controller **ret, uv_loop_t *loop,
			     const struct migration_config *config, struct tls_context *tls,
			     const struct migration_controller_ops *ops, void *ctx,
			     struct err *err);

/** migration_controller_limit() - Another number of migrations at a time, each way; those that run go on */
void migration_controller_limit(struct migration_controller *mc, uint32_t max);

/**
 * migration_controller_close() - Cancel all migrations, wait for their threads, release everything
 * @mc:		Controller; freed when @closed is called
 * @closed:	Called on the loop when the memory has been released; may be NULL
 * @ctx:	Handed to @closed
 *
 * Waits for the threads, which undo what they have done: seconds at most. No other callback comes
 * after this call.
 */
void migration_controller_close(struct migration_controller *mc, void (*closed)(void *ctx),
				void *ctx);

/**
 * migration_controller_start() - Begin to move a session away
 * @mc:		Controller
 * @session:	Session
 * @source:	Container and destination, copied
 * @err:	Filled in on failure, when no callback will come
 *
 * Return: 0, -EBUSY if the limit is reached, -EALREADY if the session is being moved, or negative
 * error code
 */
int migration_controller_start(struct migration_controller *mc, uint64_t session,
			       const struct migration_source *source, struct err *err);

/**
 * migration_controller_cut() - The session is quiesced: take the cut now
 * @mc:		Controller
 * @session:	Session for which cut_wanted() was called
 * @number:	Last executed number
 * @cache:	Answer cache to travel with the session, copied
 * @cache_len:	Its length
 * @err:	Filled in on failure
 *
 * Return: 0, -ENOENT if no migration waits for it (it has failed meanwhile and its end is on the way:
 * continue to execute), or -ENOMEM
 */
int migration_controller_cut(struct migration_controller *mc, uint64_t session, uint64_t number,
			     const void *cache, size_t cache_len, struct err *err);

/**
 * migration_controller_cut_delayed() - The session could not be quiesced in time (R12)
 * @mc:		Controller
 * @session:	Session for which cut_wanted() was called; it executes on
 * @reason:	Why, for the log
 *
 * cut_wanted() comes again a little later, a limited number of times.
 */
void migration_controller_cut_delayed(struct migration_controller *mc, uint64_t session,
				      const char *reason);

/**
 * migration_controller_cancel() - Drop the session's migration, whichever side this is
 * @mc:		Controller
 * @session:	Session; nothing happens if it has no migration here
 * @reason:	Comes back in source_finished() or arrival_failed()
 *
 * Prompt: children are killed, connections closed. The usual ending follows.
 */
void migration_controller_cancel(struct migration_controller *mc, uint64_t session,
				 const char *reason);

/**
 * migration_controller_accept() - Let the offered session come; nothing if it is gone already
 * @mc:		Controller
 * @transfer_id: As offered
 * @grant:	Configuration that its container may have here (container/grant.h); consumed
 */
void migration_controller_accept(struct migration_controller *mc, uint64_t transfer_id,
				 json_t *grant);

/**
 * migration_controller_refuse() - Turn the offer down; @reason is told to the source, and if it is
 * @lasting
 */
void migration_controller_refuse(struct migration_controller *mc, uint64_t transfer_id,
				 const char *reason, bool lasting);

/**
 * struct migration_link - A link over which a container might go; all zero: one of 10 MB/s, no
 * delay
 */
struct migration_link {
	uint64_t rate;   /* bytes per second */
	uint64_t rtt_us; /* round-trip time */
};

/** migration_controller_metrics() - The counters. Return: borrowed */
const struct migration_metrics *migration_controller_metrics(const struct migration_controller *mc);

/** migration_controller_stage() - Name of the @i-th stage. Return: a constant, or NULL if there is none */
const char *migration_controller_stage(const struct migration_controller *mc, size_t i);

/** migration_controller_running() - Migrations from here (@source), or to here, at this time */
size_t migration_controller_running(const struct migration_controller *mc, bool source);

/**
 * migration_controller_check() - Could a container be moved, or those of an image? For `baton
 * check`
 * @mc:		Controller
 * @name:	Id or name of a container, or of an image if there is no such container
 * @link:	for the prediction
 * @done:	Called on the loop; @json is borrowed for the call, or NULL with @reason set if it
 *		could not be looked at:
 *
 *     { "name": ..., "kind": "container" or "image", "ok": bool,
 *       "findings": [{ "what": ..., "remedy": ... }],    obstacles to its migration
 *       "notes": [{ "what": ..., "remedy": ... }],       advice
 *       "host": { as in the plan, and "docker", "architecture" of the image as "image" },
 *       "image": { "user", "stop_signal", "ports": [...], "volumes": [...] },
 *       "bytes": { "memory", "tmpfs", "layer", "volumes", "image" },
 *       "predicted": { "rate", "rtt_us", "freeze_us", "total_us", "total_with_image_us" } }
 *
 * @ctx:	Handed to @done
 * @err:	Filled in on failure, when @done will not be called
 *
 * Return: 0, or negative error code
 */
int migration_controller_check(struct migration_controller *mc, const char *name,
			       const struct migration_link *link,
			       void (*done)(void *ctx, const char *json, const char *reason),
			       void *ctx, struct err *err);

/**
 * migration_controller_fits() - Could containers of another host run here?
 * @mc:		Controller
 * @host:	"host" in the answer of migration_controller_check() there, JSON text
 * @len:	Its length
 * @ret:	Set on success only, to be freed: {"findings": [...]}, empty if it could
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int migration_controller_fits(struct migration_controller *mc, const char *host, size_t len,
			      char **ret, struct err *err);
