/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/docker_call.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "es/system/process.h"

#define API_OLDEST 41    /* of 1.n: spoken by Docker 20.10 and all newer ones up to 28 */
#define API_NEWEST 51    /* newer ones were not tried and are not asked for */
#define CALL_MS    60000 /* longest call whose answer comes in one piece */

static void curl_start(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

int docker_engine_new(struct docker_engine **ret, const char *socket, int cancel_fd,
		      struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, curl_start);
	AUTO(docker_engine) struct docker_engine *de = calloc(1, sizeof(*de));
	if (!de)
		return err_set(err, -ENOMEM, "docker client");
	de->socket = strdup(socket);
	de->cancel_fd = cancel_fd;
	de->api = API_OLDEST;
	de->patience = 1;
	de->multi = curl_multi_init();
	if (!de->socket || !de->multi)
		return err_set(err, -ENOMEM, "docker client");
	*ret = TAKE_PTR(de);
	return 0;
}

void docker_engine_set_patience(struct docker_engine *de, uint32_t patience)
{
	de->patience = patience;
}

struct docker_engine *docker_engine_free(struct docker_engine *de)
{
	if (!de)
		return NULL;
	if (de->multi)
		(void)curl_multi_cleanup(de->multi);
	free(de->socket);
	free(de);
	return NULL;
}

/** lines_take() - Hand complete lines of a stream to the call's event function */
static void lines_take(struct docker_call *call)
{
	for (;;) {
		uint8_t *begin = buf_bytes(&call->answer);
		uint8_t *end = call->answer.len ? memchr(begin, '\n', call->answer.len) : NULL;

		if (!end)
			return;
		json_t *json = json_loadb((char *)begin, (size_t)(end - begin), 0, NULL);
		if (json)
			call->event(call->ctx, json);
		json_decref(json);
		buf_consume(&call->answer, (size_t)(end - begin) + 1);
	}
}

static size_t body_take(char *bytes, size_t size, size_t count, void *user)
{
	struct docker_call *call = user;

	call->moved_us = monotonic_us();
	if (buf_append(&call->answer, bytes, size * count, NULL) < 0)
		return 0;
	if (call->event)
		lines_take(call);
	return size * count;
}

/** call_late() - Whether the engine lets us wait too long. Return: 0, or -ETIMEDOUT */
static int call_late(const struct docker_engine *de, const struct docker_call *call, uint64_t began,
		     const char *what, struct err *err)
{
	uint64_t now = monotonic_us();

	if (call->silence_ms && now - call->moved_us > call->silence_ms * 1000ull)
		return err_set(err, -ETIMEDOUT, "docker %s at %s: not a word for %u ms", what,
			       de->socket, call->silence_ms);
	if (call->total_ms && now - began > call->total_ms * 1000ull)
		return err_set(err, -ETIMEDOUT, "docker %s at %s: no end after %u ms", what,
			       de->socket, call->total_ms);
	return 0;
}

/** transfer_run() - Drive @easy to its end, its time limits or our cancellation */
static int transfer_run(struct docker_engine *de, CURL *easy, struct docker_call *call,
			const char *what, struct err *err)
{
	uint64_t began = monotonic_us();
	int poll_ms =
		call->silence_ms && call->silence_ms < POLL_MS ? (int)call->silence_ms : POLL_MS;
	struct curl_waitfd extra = { .fd = de->cancel_fd, .events = CURL_WAIT_POLLIN };
	unsigned int extras = de->cancel_fd >= 0 ? 1 : 0;

	call->moved_us = began;
	for (;;) {
		int running = 0;
		int left;
		CURLMcode mc = curl_multi_perform(de->multi, &running);
		CURLMsg *msg;

		while ((msg = curl_multi_info_read(de->multi, &left)))
			if (msg->msg == CURLMSG_DONE && msg->easy_handle == easy &&
			    msg->data.result != CURLE_OK)
				return err_set(err,
					       msg->data.result == CURLE_OPERATION_TIMEDOUT
						       ? -ETIMEDOUT
						       : -EIO,
					       "docker %s at %s: %s", what, de->socket,
					       curl_easy_strerror(msg->data.result));
		if (mc == CURLM_OK && running)
			mc = curl_multi_poll(de->multi, &extra, extras, poll_ms, NULL);
		if (mc != CURLM_OK)
			return err_set(err, -EIO, "docker %s: %s", what, curl_multi_strerror(mc));
		if (!running)
			return 0;
		if (cancelled(de->cancel_fd))
			return err_set(err, -ECANCELED, "docker %s", what);
		int r = call_late(de, call, began, what, err);
		if (r < 0)
			return r;
	}
}

/** call_prepare() - Describe the request to libcurl. Return: whether all was taken */
static bool call_prepare(struct docker_engine *de, CURL *easy, const char *method, const char *url,
			 const char *body, struct curl_slist *headers, struct docker_call *call)
{
	bool ok = true;

	ok = ok && !curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, de->socket);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_URL, url);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_PROXY, "");
	ok = ok && !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_take);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	if (!call->total_ms)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
					     (long)CALL_MS * (long)de->patience);
	if (body)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	return ok;
}

/**
 * api_newer() - The engine refused a request: is that because it speaks newer versions of the API
 * only?
 *
 * Each answer of an engine names the newest version that it speaks. The oldest that Baton knows is
 * good for every engine but those that know it no more, so only a refusal leads to another one.
 *
 * Return: whether the request may be good in the version that is spoken from now on
 */
static bool api_newer(struct docker_engine *de, CURL *easy, long status)
{
	struct curl_header *header;
	unsigned int newest;

	if (status != 400 || de->api != API_OLDEST ||
	    curl_easy_header(easy, "Api-Version", 0, CURLH_HEADER, -1, &header) != CURLHE_OK ||
	    sscanf(header->value, "1.%u", &newest) != 1 || newest <= API_OLDEST)
		return false;
	de->api = newest < API_NEWEST ? newest : API_NEWEST;
	return true;
}

char *docker_call_url(const struct docker_engine *de, const char *path)
{
	char *url;

	return asprintf(&url, "http://docker/v1.%u%s", de->api, path) < 0 ? NULL : url;
}

/** call_send() - Send a request, take its answer, @status and whether to send it @again */
static int call_send(struct docker_engine *de, const char *what, const char *method,
		     const char *path, const char *body, struct docker_call *call, long *status,
		     bool *again, struct err *err)
{
	int r = -ENOMEM;

	auto_free char *url = docker_call_url(de, path);
	CURL *easy = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (url && easy && headers && call_prepare(de, easy, method, url, body, headers, call) &&
	    curl_multi_add_handle(de->multi, easy) == CURLM_OK) {
		r = transfer_run(de, easy, call, what, err);
		(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
		*again = r == 0 && api_newer(de, easy, *status);
		(void)curl_multi_remove_handle(de->multi, easy);
	} else {
		(void)err_set(err, r, "docker %s", what);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	return r;
}

int docker_call_run(struct docker_engine *de, const char *what, const char *method,
		    const char *path, const char *body, struct docker_call *call, long *status,
		    struct err *err)
{
	bool again = false;
	int r = call_send(de, what, method, path, body, call, status, &again, err);

	if (!again)
		return r;
	buf_consume(&call->answer, call->answer.len);
	return call_send(de, what, method, path, body, call, status, &again, err);
}

int docker_call_failed(const char *what, long status, const json_t *answer, struct err *err)
{
	const char *message = json_text(answer, "message", NULL);
	int code = status == 404 ? -ENOENT : status == 409 ? -EEXIST : -EPROTO;
	int length = (int)strcspn(message, "\r\n");

	(void)err_set(err, -EPROTO, "docker %s: %.*s (HTTP %ld)", what, length > 300 ? 300 : length,
		      message, status);
	if (err)
		err->code = code;
	return code;
}

int docker_call(struct docker_engine *de, const char *what, const char *method, const char *path,
		const json_t *body, json_t **ret, struct err *err)
{
	struct docker_call call = { 0 };
	long status = 0;

	auto_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if (body && !text)
		return err_set(err, -ENOMEM, "docker %s", what);
	buf_init(&call.answer, ANSWER_MAX);
	int r = docker_call_run(de, what, method, path, text, &call, &status, err);
	json_t *json = NULL;
	if (r == 0 && call.answer.len)
		json = json_loadb((char *)buf_bytes(&call.answer), call.answer.len, JSON_DECODE_ANY,
				  NULL);
	buf_deinit(&call.answer);
	if (r == 0 && status >= 400)
		r = docker_call_failed(what, status, json, err);
	if (r == -ENOENT)
		r = DOCKER_ENGINE_E_NONE;
	if (r == 0 && ret && !json)
		r = err_set(err, -EPROTO, "docker %s: the answer is no JSON", what);
	if (r == 0 && ret)
		*ret = json;
	else
		json_decref(json);
	return r;
}

char *docker_call_escape(const char *text)
{
	char *mine = NULL;
	char *theirs = curl_easy_escape(NULL, text, 0);

	if (theirs)
		mine = strdup(theirs);
	curl_free(theirs);
	return mine;
}
