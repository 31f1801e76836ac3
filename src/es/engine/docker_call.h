/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Docker call - one request of the Engine API; inner header of docker_*.c, not for others
 */

#include <curl/curl.h>
#include <stdint.h>

#include "base/buf.h"
#include "es/engine/docker_engine.h"

#define ANSWER_MAX (16u << 20) /* bytes of an answer that we take */
#define POLL_MS    1000        /* interval of looks for a cancellation */

/**
 * struct docker_engine - One client
 * @socket:	of the engine
 * @cancel_fd:	see docker_engine_new()
 * @multi:	drives one transfer at a time; kept for its connection
 * @patience:	see docker_engine_set_patience()
 * @api:	version of the Engine API that is spoken, 1.@api
 */
struct docker_engine {
	char *socket;
	int cancel_fd;
	CURLM *multi;
	unsigned int api;
	uint32_t patience;
};

/**
 * struct docker_call - One request under way
 * @answer:	body so far
 * @event:	if set, the body is a sequence of lines handed to it as they come
 * @ctx:	for @event
 * @total_ms:	longest call; 0: CALL_MS
 * @silence_ms:	longest time without a byte of the answer; 0: @total_ms
 * @moved_us:	when the last one came
 */
struct docker_call {
	struct buf answer;
	void (*event)(void *ctx, const json_t *json);
	void *ctx;
	uint32_t total_ms;
	uint32_t silence_ms;
	uint64_t moved_us;
};

/** docker_call_url() - URL of a path of the Engine API, as it is spoken. Return: to be freed, NULL without memory */
char *docker_call_url(const struct docker_engine *de, const char *path);

/**
 * docker_call_run() - Send a request and receive the answer, whatever its status
 * @call:	With a buffer; filled in
 * @status:	Set to HTTP's
 *
 * Return: 0, or negative error code
 */
int docker_call_run(struct docker_engine *de, const char *what, const char *method,
		    const char *path, const char *body, struct docker_call *call, long *status,
		    struct err *err);

/** docker_call() - Send a request, receive JSON. Return: 0, DOCKER_ENGINE_E_NONE, or negative error code */
int docker_call(struct docker_engine *de, const char *what, const char *method, const char *path,
		const json_t *body, json_t **ret, struct err *err);

/** docker_call_failed() - The error that a status of HTTP and the engine's answer mean. Return: negative error code */
int docker_call_failed(const char *what, long status, const json_t *answer, struct err *err);

/** docker_call_escape() - Text as part of a URL. Return: to be freed, NULL without memory */
char *docker_call_escape(const char *text);
