/* SPDX-License-Identifier: Apache-2.0 */
#include "es/docker_engine.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "es/process.h"

#define API        "http://docker/v1.41"
#define ANSWER_MAX (16u << 20) /* bytes of an answer that we take */
#define CALL_MS    60000       /* longest call, but for events */
#define POLL_MS    1000

/**
 * struct docker_engine - One client
 * @socket:	of the engine
 * @cancel_fd:	see docker_engine_new()
 * @multi:	drives one transfer at a time; kept for its connection
 */
struct docker_engine {
	char *socket;
	int cancel_fd;
	CURLM *multi;
};

/**
 * struct call - One request under way
 * @answer:	body so far
 * @event:	if set, the body is a sequence of lines handed to it as they come
 * @ctx:	for @event
 */
struct call {
	struct buf answer;
	void (*event)(void *ctx, const json_t *json);
	void *ctx;
};

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
	de->multi = curl_multi_init();
	if (!de->socket || !de->multi)
		return err_set(err, -ENOMEM, "docker client");
	*ret = TAKE_PTR(de);
	return 0;
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
static void lines_take(struct call *call)
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
	struct call *call = user;

	if (buf_append(&call->answer, bytes, size * count, NULL) < 0)
		return 0;
	if (call->event)
		lines_take(call);
	return size * count;
}

/** transfer_run() - Drive @easy to its end, its time limit or our cancellation */
static int transfer_run(struct docker_engine *de, CURL *easy, const char *what, struct err *err)
{
	struct curl_waitfd extra = { .fd = de->cancel_fd, .events = CURL_WAIT_POLLIN };
	unsigned int extras = de->cancel_fd >= 0 ? 1 : 0;

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
			mc = curl_multi_poll(de->multi, &extra, extras, POLL_MS, NULL);
		if (mc != CURLM_OK)
			return err_set(err, -EIO, "docker %s: %s", what, curl_multi_strerror(mc));
		if (!running)
			return 0;
		if (cancelled(de->cancel_fd))
			return err_set(err, -ECANCELED, "docker %s", what);
	}
}

/** call_prepare() - Describe the request to libcurl. Return: whether all was taken */
static bool call_prepare(struct docker_engine *de, CURL *easy, const char *method, const char *url,
			 const char *body, struct curl_slist *headers, struct call *call)
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
	if (!call->event)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)CALL_MS);
	if (body)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	return ok;
}

/**
 * call_run() - Send a request and take its answer
 * @de:		Client
 * @what:	What is being done, for errors: "create", "start" ...
 * @method:	GET, POST or DELETE
 * @path:	below the API's root
 * @body:	JSON text, or NULL
 * @call:	Takes the answer
 * @status:	Set to the HTTP status
 * @err:	Filled in on failure
 *
 * Return: 0 whatever the status, or negative error code
 */
static int call_run(struct docker_engine *de, const char *what, const char *method,
		    const char *path, const char *body, struct call *call, long *status,
		    struct err *err)
{
	int r = -ENOMEM;

	auto_free char *url = NULL;
	if (asprintf(&url, API "%s", path) < 0)
		return err_set(err, -ENOMEM, "docker %s", what);
	CURL *easy = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (easy && headers && call_prepare(de, easy, method, url, body, headers, call) &&
	    curl_multi_add_handle(de->multi, easy) == CURLM_OK) {
		r = transfer_run(de, easy, what, err);
		(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
		(void)curl_multi_remove_handle(de->multi, easy);
	} else {
		(void)err_set(err, r, "docker %s", what);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	return r;
}

/** status_error() - Turn a refusal of the engine into our error, with the engine's own words */
static int status_error(const char *what, long status, const json_t *answer, struct err *err)
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

/**
 * request() - Send a request, check the status, parse the answer
 * @de:		Client
 * @what:	For errors
 * @method, @path:	Request
 * @body:	May be NULL; borrowed
 * @ret:	Set to the answer's JSON, a new reference, or NULL if there is none; may be NULL
 * @err:	Filled in on failure
 *
 * Return: 0, DOCKER_ENGINE_E_NONE for 404, or negative error code
 */
static int request(struct docker_engine *de, const char *what, const char *method, const char *path,
		   const json_t *body, json_t **ret, struct err *err)
{
	struct call call = { 0 };
	long status = 0;

	auto_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if (body && !text)
		return err_set(err, -ENOMEM, "docker %s", what);
	buf_init(&call.answer, ANSWER_MAX);
	int r = call_run(de, what, method, path, text, &call, &status, err);
	json_t *json = NULL;
	if (r == 0 && call.answer.len)
		json = json_loadb((char *)buf_bytes(&call.answer), call.answer.len, JSON_DECODE_ANY,
				  NULL);
	buf_deinit(&call.answer);
	if (r == 0 && status >= 400)
		r = status_error(what, status, json, err);
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

/** escaped() - Percent-encode text for an URL. Return: to be freed by the caller, or NULL */
static char *escaped(const char *text)
{
	char *mine = NULL;
	char *theirs = curl_easy_escape(NULL, text, 0);

	if (theirs)
		mine = strdup(theirs);
	curl_free(theirs);
	return mine;
}

/** request_on() - request() on the path @before, then @name percent-encoded, then @after */
static int request_on(struct docker_engine *de, const char *what, const char *method,
		      const char *before, const char *name, const char *after, const json_t *body,
		      json_t **ret, struct err *err)
{
	auto_free char *path = NULL;
	auto_free char *quoted = escaped(name);
	if (!quoted || asprintf(&path, "%s%s%s", before, quoted, after) < 0)
		return err_set(err, -ENOMEM, "docker %s", what);
	return request(de, what, method, path, body, ret, err);
}

int docker_engine_info(struct docker_engine *de, json_t **ret, struct err *err)
{
	int r = request(de, "info", "GET", "/info", NULL, ret, err);

	return r > 0 ? err_set(err, -EPROTO, "docker info: nothing there") : r;
}

int docker_engine_inspect(struct docker_engine *de, const char *id, json_t **ret, struct err *err)
{
	return request_on(de, "inspect", "GET", "/containers/", id, "/json", NULL, ret, err);
}

int docker_engine_image(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "image inspect", "GET", "/images/", name, "/json", NULL, ret, err);
}

int docker_engine_list(struct docker_engine *de, const char *label, json_t **ret, struct err *err)
{
	char filter[256];

	(void)snprintf(filter, sizeof(filter), "{\"label\":[\"%s\"]}", label);
	int r = request_on(de, "list", "GET", "/containers/json?all=1&filters=", filter, "", NULL,
			   ret, err);
	if (r == 0 && !json_is_array(*ret)) {
		json_decref(*ret);
		r = err_set(err, -EPROTO, "docker list: the answer is no list");
	}
	return r > 0 ? err_set(err, -EPROTO, "docker list: nothing there") : r;
}

int docker_engine_create(struct docker_engine *de, const char *name, const json_t *config, char *id,
			 size_t id_size, struct err *err)
{
	json_t *answer = NULL;
	int r = request_on(de, "create", "POST", "/containers/create?name=", name, "", config,
			   &answer, err);

	if (r != 0)
		return r;
	const char *text = json_text(answer, "Id", NULL);
	if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64 || id_size < 65)
		r = err_set(err, -EPROTO, "docker create: the answer has no id");
	else
		memcpy(id, text, 65);
	json_decref(answer);
	return r;
}

int docker_engine_start(struct docker_engine *de, const char *id, struct err *err)
{
	int r = request_on(de, "start", "POST", "/containers/", id, "/start", NULL, NULL, err);

	return r > 0 ? -ENOENT : r;
}

int docker_engine_remove(struct docker_engine *de, const char *id, struct err *err)
{
	int r = request_on(de, "remove", "DELETE", "/containers/", id, "?force=1&v=1", NULL, NULL,
			   err);

	return r > 0 ? 0 : r;
}

int docker_engine_events(struct docker_engine *de, const char *label, long long since,
			 void (*event)(void *ctx, const json_t *json), void *ctx, struct err *err)
{
	struct call call = { .event = event, .ctx = ctx };
	long status = 0;
	char filter[256];

	auto_free char *path = NULL;
	(void)snprintf(filter, sizeof(filter),
		       "{\"type\":[\"container\"],\"event\":[\"die\"],\"label\":[\"%s\"]}", label);
	auto_free char *quoted = escaped(filter);
	if (!quoted || (since ? asprintf(&path, "/events?since=%lld&filters=%s", since, quoted)
			      : asprintf(&path, "/events?filters=%s", quoted)) < 0)
		return err_set(err, -ENOMEM, "docker events");
	buf_init(&call.answer, ANSWER_MAX);
	int r = call_run(de, "events", "GET", path, NULL, &call, &status, err);
	buf_deinit(&call.answer);
	return r < 0 ? r : err_set(err, -ECONNRESET, "docker events (HTTP %ld)", status);
}

json_t *json_at(const json_t *json, ...)
{
	const json_t *at = json;
	const char *key;
	va_list ap;

	va_start(ap, json);
	while (at && (key = va_arg(ap, const char *)))
		at = json_object_get(at, key);
	va_end(ap);
	return (json_t *)(uintptr_t)at;
}

const char *json_text(const json_t *json, ...)
{
	const json_t *at = json;
	const char *key;
	va_list ap;

	va_start(ap, json);
	while (at && (key = va_arg(ap, const char *)))
		at = json_object_get(at, key);
	va_end(ap);
	return json_is_string(at) ? json_string_value(at) : "";
}
