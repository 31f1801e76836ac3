/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Docker engine - the Engine API over its unix socket
 *
 * Version 1.41 is spoken, or, if the engine does not know that any more, its newest one up to 1.51.
 *
 * The only file that knows libcurl. An object is for one thread; calls block, within a time limit,
 * and end at once when the object's cancel descriptor becomes readable.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "base/auto.h"
#include "es/engine/json.h"

struct err;
struct docker_engine;
struct docker_stream; /* an image on its way out of the engine or into it */

/** enum docker_engine_e - Positive results; the direct caller must handle each one */
enum docker_engine_e {
	DOCKER_ENGINE_E_NONE = 1, /* there is no such container or image */
};

/**
 * docker_engine_new() - Make a client; nothing is sent yet
 * @ret:	Set on success only; the caller owns it, see docker_engine_free()
 * @socket:	Path of the engine's socket, copied
 * @cancel_fd:	Ends every call when readable; borrowed as long as the client; or -1
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int docker_engine_new(struct docker_engine **ret, const char *socket, int cancel_fd,
		      struct err *err);

/**
 * docker_engine_set_patience() - How slow the engine may be
 * @de:		Client
 * @patience:	By what the longest wait for an answer that comes in one piece is longer than 60 s, at least 1
 */
void docker_engine_set_patience(struct docker_engine *de, uint32_t patience);

/** docker_engine_free() - Release a client; @de may be NULL. Return: NULL, always */
struct docker_engine *docker_engine_free(struct docker_engine *de);

AUTO_DEFINE(docker_engine)

/**
 * docker_engine_info() - GET /info
 * @de:		Client
 * @ret:	Set on success only, a new reference
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int docker_engine_info(struct docker_engine *de, json_t **ret, struct err *err);

/** docker_engine_containerd() - Whether the engine, by its docker_engine_info(), has containerd's image store */
bool docker_engine_containerd(const json_t *info);

/**
 * docker_engine_inspect() - Inspect a container
 * @de:		Client
 * @id:		Id or name
 * @ret:	Set on success only, a new reference
 * @err:	Filled in on failure
 *
 * Return: 0, DOCKER_ENGINE_E_NONE, or negative error code
 */
int docker_engine_inspect(struct docker_engine *de, const char *id, json_t **ret, struct err *err);

/** docker_engine_image() - Inspect an image by id or name; otherwise as docker_engine_inspect() */
int docker_engine_image(struct docker_engine *de, const char *name, json_t **ret, struct err *err);

/** docker_engine_images() - List all images; otherwise as docker_engine_list() */
int docker_engine_images(struct docker_engine *de, json_t **ret, struct err *err);

/**
 * docker_engine_tag() - Give an image a name, and take it from the image that had it
 * @de:		Client
 * @id:		Id of the image
 * @name:	"repository:tag"
 * @err:	Filled in on failure
 *
 * Return: 0, DOCKER_ENGINE_E_NONE, -EINVAL if @name has no tag, or another negative error code
 */
int docker_engine_tag(struct docker_engine *de, const char *id, const char *name, struct err *err);

/**
 * docker_engine_save() - Begin to read an image as `docker save` writes it
 * @de:		Client, borrowed as long as the stream; other calls on it may come in between
 * @name:	Id, or name: then the archive carries that name
 * @ret:	Set on success only; the caller owns it, see docker_stream_free()
 * @err:	Filled in on failure
 *
 * Only the piece being read is in memory. The engine itself writes the whole image to its own
 * temporary directory before the first byte comes.
 *
 * Return: 0, or negative error code; the first read fails if there is no such image
 */
int docker_engine_save(struct docker_engine *de, const char *name, struct docker_stream **ret,
		       struct err *err);

/**
 * docker_engine_load() - Begin to hand the engine an image as `docker load` reads it
 * @de, @ret, @err:	as for docker_engine_save()
 *
 * The engine begins to make the image only when it has the whole archive; a stream that is released
 * without docker_stream_end() leaves nothing behind. It computes the digests of layers and
 * configuration itself.
 *
 * Return: 0, or negative error code
 */
int docker_engine_load(struct docker_engine *de, struct docker_stream **ret, struct err *err);

/**
 * docker_stream_read() - Read the next bytes of a stream from docker_engine_save()
 * @ds:		Stream
 * @bytes:	Set to them, borrowed until the next call
 * @err:	Filled in on failure
 *
 * Return: their number, 0 at the end, or negative error code (-ENOENT: no such image)
 */
ssize_t docker_stream_read(struct docker_stream *ds, const void **bytes, struct err *err);

/** docker_stream_write() - Write to a stream from docker_engine_load(). Return: 0, or negative */
int docker_stream_write(struct docker_stream *ds, const void *bytes, size_t len, struct err *err);

/** docker_stream_end() - Say that this was all, and wait until the engine has made the image of it
 *
 * Return: 0, or negative error code with the engine's own words
 */
int docker_stream_end(struct docker_stream *ds, struct err *err);

/** docker_stream_free() - Close it, and end any transfer; @ds may be NULL. Return: NULL, always */
struct docker_stream *docker_stream_free(struct docker_stream *ds);

AUTO_DEFINE(docker_stream)

/**
 * docker_engine_list() - List containers that carry a label, running or not
 * @de:		Client
 * @label:	Name of the label
 * @ret:	Set on success only, a new reference to the array
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int docker_engine_list(struct docker_engine *de, const char *label, json_t **ret, struct err *err);

/** docker_engine_network() - Inspect a network by name; otherwise as docker_engine_inspect() */
int docker_engine_network(struct docker_engine *de, const char *name, json_t **ret,
			  struct err *err);

/** docker_engine_volume() - Inspect a volume by name; otherwise as docker_engine_inspect() */
int docker_engine_volume(struct docker_engine *de, const char *name, json_t **ret, struct err *err);

/**
 * docker_engine_volume_users() - List the containers that have a volume; as docker_engine_list()
 *
 * Return: as there
 */
int docker_engine_volume_users(struct docker_engine *de, const char *name, json_t **ret,
			       struct err *err);

/**
 * docker_engine_create() - Create a container
 * @de:		Client
 * @name:	Its name
 * @config:	Body of the request, borrowed
 * @id:		Set to its id (64 digits)
 * @id_size:	Room there, at least 65
 * @err:	Filled in on failure
 *
 * Return: 0, DOCKER_ENGINE_E_NONE if the image is not there, or negative error code (-EEXIST: the
 * name is in use)
 */
int docker_engine_create(struct docker_engine *de, const char *name, const json_t *config, char *id,
			 size_t id_size, struct err *err);

/** docker_engine_start() - Start a container. Return: 0, or negative error code */
int docker_engine_start(struct docker_engine *de, const char *id, struct err *err);

/** docker_engine_kill() - SIGKILL to a container; one that is gone is no mistake. Return: 0, or negative error code */
int docker_engine_kill(struct docker_engine *de, const char *id, struct err *err);

/** docker_engine_remove() - Kill and remove a container, with its volumes that have no name
 *
 * Return: 0 (also if gone), or negative error code
 */
int docker_engine_remove(struct docker_engine *de, const char *id, struct err *err);

/**
 * docker_engine_checkpoint() - Have the engine itself checkpoint a running container, which runs on
 * @de:		Client
 * @id:		Container
 * @name:	of the checkpoint; its files lie below the container's directory in the engine's
 *		root
 * @err:	Filled in on failure
 *
 * An experimental feature of the engine. All of the container's tasks are paused meanwhile.
 *
 * Return: 0, DOCKER_ENGINE_E_NONE, or negative error code
 */
int docker_engine_checkpoint(struct docker_engine *de, const char *id, const char *name,
			     struct err *err);

/** docker_engine_checkpoint_remove() - Delete it. Return: 0, DOCKER_ENGINE_E_NONE, or negative */
int docker_engine_checkpoint_remove(struct docker_engine *de, const char *id, const char *name,
				    struct err *err);

/** docker_engine_start_from() - Start a container from a checkpoint that lies in its directory
 *
 * Return: 0, or negative error code
 */
int docker_engine_start_from(struct docker_engine *de, const char *id, const char *name,
			     struct err *err);

/**
 * docker_engine_commit() - Make an image without a name of a container, which is not paused for it
 * @de:		Client
 * @id:		Container
 * @image:	Set to the image's id, "sha256:..."
 * @image_size:	Room there, at least 72
 * @err:	Filled in on failure
 *
 * Return: 0, DOCKER_ENGINE_E_NONE, or negative error code
 */
int docker_engine_commit(struct docker_engine *de, const char *id, char *image, size_t image_size,
			 struct err *err);

/**
 * docker_engine_pull() - Have the engine pull an image from a registry
 * @de:		Client
 * @repository:	"host:port/name"
 * @digest:	of its manifest, "sha256:..."; the engine verifies it
 * @silence_ms:	a pull of which the engine tells nothing for so long is given up
 * @err:	Filled in on failure, with the engine's own words
 *
 * May take an hour. Layers that are complete stay in the engine's cache after a failure.
 *
 * Return: 0, -ETIMEDOUT, or another negative error code
 */
int docker_engine_pull(struct docker_engine *de, const char *repository, const char *digest,
		       uint32_t silence_ms, struct err *err);

/**
 * docker_engine_image_remove() - Remove an image
 *
 * Return: 0 (also if gone), or negative (in use)
 */
int docker_engine_image_remove(struct docker_engine *de, const char *name, struct err *err);

/**
 * docker_engine_events() - Follow the ends of containers that carry a label
 * @de:		Client
 * @label:	Name of the label
 * @since:	Unix time to begin at, 0: now
 * @event:	Called for each, with the event's JSON, borrowed
 * @ctx:	Handed to @event
 * @err:	Filled in: returns only when the connection ends, fails or is cancelled
 *
 * Return: negative error code; -ECANCELED if cancelled, -ETIMEDOUT after ten minutes: ask again
 */
int docker_engine_events(struct docker_engine *de, const char *label, long long since,
			 void (*event)(void *ctx, const json_t *json), void *ctx, struct err *err);
