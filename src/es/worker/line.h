/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Worker line - the protocol between baton-es and its file worker
 *
 * A call goes to the worker, an end comes back. In between the worker asks for the next bytes of a
 * stream (WANT, answered by BYTES), or gives some (BYTES), and says where it is (AFTER a file, at
 * the end of a TREE). One call at a time. A Unix socket carries frames: kind and length, then the
 * bytes; the descriptor of a directory comes with the frame of its call. If baton-es fails in the
 * middle of a call, it ends the worker.
 *
 * Both sides check everything in a frame: an archive may have compromised the worker that read it.
 */

#include <stddef.h>
#include <stdint.h>

#include "es/files/beneath.h"

struct err;

#define WORKER_BYTES_MAX  (256u << 10) /* of a frame */
#define WORKER_ROOTS_MAX  24
#define WORKER_DIRS_MAX   64
#define WORKER_LAYERS_MAX WORKER_ROOTS_MAX
#define WORKER_NAME_MAX   64
#define WORKER_VALUES     5

/** enum worker_kind - Frames */
enum worker_kind {
	WORKER_CALL = 1, /* to the worker: struct worker_call */
	WORKER_BYTES,    /* either way: of a stream; none: its end */
	WORKER_WANT,     /* from the worker: give the next bytes */
	WORKER_AFTER,    /* a file is complete */
	WORKER_TREE,     /* the next tree of the call is complete */
	WORKER_END,      /* struct worker_end */
};

/** enum worker_op - Calls */
enum worker_op {
	WORKER_OP_DIRECTORY = 1, /* a directory comes along, as number @id */
	WORKER_OP_CANCEL,        /* a descriptor comes along that ends calls when it is readable */
	WORKER_OP_EMPTY,         /* remove all that is in @root[0] */
	WORKER_OP_LAYER_NEW,     /* copy @id: of @root[0], into @root[1]; @text: where it is */
	WORKER_OP_LAYER_UPDATE,  /* @id, @frozen; values: struct layer_stats */
	WORKER_OP_LAYER_DIRTY,   /* @id, @text: absolute path in the container */
	WORKER_OP_PACK,          /* an archive of @root goes out; @remember, @each */
	WORKER_OP_EXTRACT,       /* an archive comes in, to @root; @packed: by zstd; @each */
	WORKER_OP_IMAGE,      /* an image comes in, to @root[0]; @text: its id, @number: layers */
	WORKER_OP_DELTA,      /* put pages together: delta in @root[0], base in @ahead */
	WORKER_OP_JSON,       /* a JSON text comes in, our own encoding of it goes out */
	WORKER_OP_UNPACK,     /* a zstd frame comes in, its contents go out at the same time */
	WORKER_OP_CHECKPOINT, /* judge images in @root[0]; @number: capabilities, @remember: no new
			       * privileges, @each: filtered, @text: AppArmor profile, and in
			       * the lines after it @closed */
	WORKER_OPS
};

/**
 * struct worker_root - A directory of a call
 * @dir, @path:	where: beneath that directory; "" for itself
 * @ahead, @ahead_path: where an earlier stream lies; @ahead WORKER_DIRS_MAX: there is none
 * @name:	of the tree in the stream
 * @plain:	see struct archive_root
 */
struct worker_root {
	uint32_t dir;
	uint32_t ahead;
	uint32_t plain;
	char path[WORKER_NAME_MAX];
	char ahead_path[WORKER_NAME_MAX];
	char name[WORKER_NAME_MAX];
};

/** struct worker_call - A call; @text has an end, and only so much of it is sent */
struct worker_call {
	uint32_t op;
	uint32_t id;
	uint32_t frozen;
	uint32_t remember;
	uint32_t each;
	uint32_t packed;
	uint32_t count; /* of @root */
	uint64_t number;
	uint64_t max_bytes;
	struct worker_root root[WORKER_ROOTS_MAX];
	char text[BENEATH_PATH_MAX];
};

/** struct worker_end - The result of a call */
struct worker_end {
	int32_t result;
	char text[512]; /* of a failure; has an end */
	uint64_t value[WORKER_VALUES];
};

/**
 * struct worker_wait - How long to wait for the other side
 * @ms:		longest time for a whole frame, in milliseconds, even if it moves steadily; -1: no
 *		limit
 * @cancel_fd:	ends the wait when readable, in any state of the other side; -1: none
 */
struct worker_wait {
	int ms;
	int cancel_fd;
};

/**
 * worker_line_send() - Send a frame
 * @fd:		Socket
 * @kind:	Kind
 * @bytes, @len: at most WORKER_BYTES_MAX; may be NULL, 0
 * @pass:	Descriptor that goes along, or -1
 * @wait:	For room on the line; NULL: without an end, for the worker, which baton-es ends
 * @err:	Filled in on failure
 *
 * After a failure a part of the frame may have been sent: the line is unusable.
 *
 * Return: 0, -ECANCELED, -ETIMEDOUT, or another negative error code
 */
int worker_line_send(int fd, enum worker_kind kind, const void *bytes, size_t len, int pass,
		     const struct worker_wait *wait, struct err *err);

/**
 * worker_line_receive() - Wait for a frame
 * @fd:		Socket
 * @wait:	As for worker_line_send()
 * @kind:	Set to its kind
 * @bytes:	WORKER_BYTES_MAX of room
 * @len:	Set to its length
 * @passed:	Set to the descriptor that came along, which the caller owns, or -1; more than one
 *		are closed. NULL: none is received, even if the other side passes one
 * @err:	Filled in on failure
 *
 * Return: 0, -ECANCELED, -ETIMEDOUT, -EPIPE if the other side has ended, -EPROTO, or another
 * negative error code
 */
int worker_line_receive(int fd, const struct worker_wait *wait, enum worker_kind *kind, void *bytes,
			size_t *len, int *passed, struct err *err);
