/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/docker_engine.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "es/system/process.h"

#define API_OLDEST 41          /* of 1.n: what Docker 20.10 speaks, and all newer ones up to 28 */
#define API_NEWEST 51          /* newer ones than what was tried are not asked for */
#define ANSWER_MAX (16u << 20) /* bytes of an answer that we take */
#define CALL_MS    60000       /* longest call whose answer comes in one piece */
#define EVENTS_MS  600000  /* then events are asked for anew: a connection may be dead in silence */
#define PULL_MS    3600000 /* longest pull, however lively */
#define POLL_MS    1000

#define STREAM_PIECE    (1u << 20)         /* bytes of an image that wait for their reader */
#define STREAM_STALL_US (600ull * 1000000) /* the engine may work on an image so long in silence */
#define TAG_MAX         512
#define PULL_ERROR_MAX  300

/**
 * struct docker_engine - One client
 * @socket:	of the engine
 * @cancel_fd:	see docker_engine_new()
 * @multi:	drives one transfer at a time; kept for its connection
 * @api:	version of the Engine API that is spoken, 1.@api
 */
struct docker_engine {
	char *socket;
	int cancel_fd;
	CURLM *multi;
	unsigned int api;
};

/**
 * struct call - One request under way
 * @answer:	body so far
 * @event:	if set, the body is a sequence of lines handed to it as they come
 * @ctx:	for @event
 * @total_ms:	longest call; 0: CALL_MS
 * @silence_ms:	longest time without a byte of the answer; 0: @total_ms
 * @moved_us:	when the last one came
 */
struct call {
	struct buf answer;
	void (*event)(void *ctx, const json_t *json);
	void *ctx;
	uint32_t total_ms;
	uint32_t silence_ms;
	uint64_t moved_us;
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
	de->api = API_OLDEST;
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

	call->moved_us = monotonic_us();
	if (buf_append(&call->answer, bytes, size * count, NULL) < 0)
		return 0;
	if (call->event)
		lines_take(call);
	return size * count;
}

/** call_late() - Whether the engine lets us wait too long. Return: 0, or -ETIMEDOUT */
static int call_late(const struct docker_engine *de, const struct call *call, uint64_t began,
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
static int transfer_run(struct docker_engine *de, CURL *easy, struct call *call, const char *what,
			struct err *err)
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
	if (!call->total_ms)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)CALL_MS);
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

/** url_of() - Where the API has @path. Return: to be freed by the caller, or NULL */
static char *url_of(const struct docker_engine *de, const char *path)
{
	char *url;

	return asprintf(&url, "http://docker/v1.%u%s", de->api, path) < 0 ? NULL : url;
}

/** call_send() - Send a request, take its answer, @status and whether to send it @again */
static int call_send(struct docker_engine *de, const char *what, const char *method,
		     const char *path, const char *body, struct call *call, long *status,
		     bool *again, struct err *err)
{
	int r = -ENOMEM;

	auto_free char *url = url_of(de, path);
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
	bool again = false;
	int r = call_send(de, what, method, path, body, call, status, &again, err);

	if (!again)
		return r;
	buf_consume(&call->answer, call->answer.len);
	return call_send(de, what, method, path, body, call, status, &again, err);
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

bool docker_engine_containerd(const json_t *info)
{
	json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(info, "DriverStatus"), i, pair)
	{
		const char *value = json_string_value(json_array_get(pair, 1));

		if (value && !strcmp(value, "io.containerd.snapshotter.v1"))
			return true;
	}
	return false;
}

int docker_engine_inspect(struct docker_engine *de, const char *id, json_t **ret, struct err *err)
{
	return request_on(de, "inspect", "GET", "/containers/", id, "/json", NULL, ret, err);
}

int docker_engine_image(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "image inspect", "GET", "/images/", name, "/json", NULL, ret, err);
}

/** list_check() - Take an answer to a request for a list */
static int list_check(int r, json_t **ret, struct err *err)
{
	json_t *list = NULL;

	if (r > 0)
		return err_set(err, -EPROTO, "docker list: nothing there");
	if (r < 0 || json_is_array(*ret))
		return r;
	list = TAKE_PTR(*ret);
	json_decref(list);
	return err_set(err, -EPROTO, "docker list: the answer is no list");
}

/** list_by() - List containers, running or not, by a filter */
static int list_by(struct docker_engine *de, const char *filter, const char *value, json_t **ret,
		   struct err *err)
{
	json_t *json = json_pack("{s:[s]}", filter, value);
	auto_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text)
		return err_set(err, -ENOMEM, "docker list");
	int r = request_on(de, "list", "GET", "/containers/json?all=1&filters=", text, "", NULL,
			   ret, err);
	return list_check(r, ret, err);
}

int docker_engine_list(struct docker_engine *de, const char *label, json_t **ret, struct err *err)
{
	return list_by(de, "label", label, ret, err);
}

int docker_engine_network(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "network inspect", "GET", "/networks/", name, "", NULL, ret, err);
}

int docker_engine_volume(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "volume inspect", "GET", "/volumes/", name, "", NULL, ret, err);
}

int docker_engine_volume_users(struct docker_engine *de, const char *name, json_t **ret,
			       struct err *err)
{
	return list_by(de, "volume", name, ret, err);
}

int docker_engine_images(struct docker_engine *de, json_t **ret, struct err *err)
{
	return list_check(request(de, "list", "GET", "/images/json", NULL, ret, err), ret, err);
}

int docker_engine_tag(struct docker_engine *de, const char *id, const char *name, struct err *err)
{
	const char *tag = strrchr(name, ':');
	char repository[TAG_MAX];

	auto_free char *after = NULL;
	if (!tag || strchr(tag, '/') || strchr(name, '@') ||
	    snprintf(repository, sizeof(repository), "%.*s", (int)(tag - name), name) >=
		    (int)sizeof(repository))
		return err_set(err, -EINVAL, "image name %.100s", name);
	auto_free char *quoted_repository = escaped(repository);
	auto_free char *quoted_tag = escaped(tag + 1);
	if (!quoted_repository || !quoted_tag ||
	    asprintf(&after, "/tag?repo=%s&tag=%s", quoted_repository, quoted_tag) < 0)
		return err_set(err, -ENOMEM, "docker tag");
	return request_on(de, "tag", "POST", "/images/", id, after, NULL, NULL, err);
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

int docker_engine_checkpoint(struct docker_engine *de, const char *id, const char *name,
			     struct err *err)
{
	json_t *body = json_pack("{s:s, s:b}", "CheckpointID", name, "Exit", 0);
	int r = body ? request_on(de, "checkpoint", "POST", "/containers/", id, "/checkpoints",
				  body, NULL, err)
		     : err_set(err, -ENOMEM, "docker checkpoint");

	json_decref(body);
	return r;
}

int docker_engine_checkpoint_remove(struct docker_engine *de, const char *id, const char *name,
				    struct err *err)
{
	auto_free char *after = NULL;
	auto_free char *quoted = escaped(name);
	if (!quoted || asprintf(&after, "/checkpoints/%s", quoted) < 0)
		return err_set(err, -ENOMEM, "docker checkpoint");
	return request_on(de, "remove the checkpoint", "DELETE", "/containers/", id, after, NULL,
			  NULL, err);
}

int docker_engine_start_from(struct docker_engine *de, const char *id, const char *name,
			     struct err *err)
{
	auto_free char *after = NULL;
	auto_free char *quoted = escaped(name);
	if (!quoted || asprintf(&after, "/start?checkpoint=%s", quoted) < 0)
		return err_set(err, -ENOMEM, "docker start");
	int r = request_on(de, "start", "POST", "/containers/", id, after, NULL, NULL, err);
	return r > 0 ? -ENOENT : r;
}

int docker_engine_commit(struct docker_engine *de, const char *id, char *image, size_t image_size,
			 struct err *err)
{
	json_t *answer = NULL;
	int r = request_on(de, "commit", "POST", "/commit?pause=0&container=", id, "", NULL,
			   &answer, err);

	if (r != 0)
		return r;
	const char *text = json_text(answer, "Id", NULL);
	if (strlen(text) != 71 || strncmp(text, "sha256:", 7) != 0 || image_size < 72)
		r = err_set(err, -EPROTO, "docker commit: the answer has no id");
	else
		memcpy(image, text, 72);
	json_decref(answer);
	return r;
}

/* A line of what the engine says while it pulls: only an error is of interest. */
static void pull_line(void *ctx, const json_t *json)
{
	char *error = ctx;
	const char *text = json_text(json, "error", NULL);

	text = *text ? text : json_text(json, "message", NULL);
	if (*text && !*error)
		(void)snprintf(error, PULL_ERROR_MAX, "%.*s", (int)strcspn(text, "\r\n"), text);
}

int docker_engine_pull(struct docker_engine *de, const char *repository, const char *digest,
		       uint32_t silence_ms, struct err *err)
{
	char error[PULL_ERROR_MAX] = "";
	struct call call = {
		.event = pull_line, .ctx = error, .total_ms = PULL_MS, .silence_ms = silence_ms
	};
	long status = 0;

	auto_free char *path = NULL;
	auto_free char *quoted = escaped(repository);
	if (!quoted || asprintf(&path, "/images/create?fromImage=%s&tag=%s", quoted, digest) < 0)
		return err_set(err, -ENOMEM, "docker pull");
	buf_init(&call.answer, ANSWER_MAX);
	int r = call_run(de, "pull", "POST", path, NULL, &call, &status, err);
	/* What a refusal says has no line's end. */
	json_t *last = call.answer.len ? json_loadb((char *)buf_bytes(&call.answer),
						    call.answer.len, 0, NULL)
				       : NULL;
	pull_line(error, last);
	json_decref(last);
	buf_deinit(&call.answer);
	if (r == 0 && (*error || status >= 400))
		r = err_set(err, -EPROTO, "docker pull %s: %s", repository,
			    *error ? error : "refused");
	return r;
}

int docker_engine_image_remove(struct docker_engine *de, const char *name, struct err *err)
{
	int r = request_on(de, "remove the image", "DELETE", "/images/", name, "", NULL, NULL, err);

	return r > 0 ? 0 : r;
}

int docker_engine_events(struct docker_engine *de, const char *label, long long since,
			 void (*event)(void *ctx, const json_t *json), void *ctx, struct err *err)
{
	struct call call = { .event = event, .ctx = ctx, .total_ms = EVENTS_MS };
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

/* --- images as streams ------------------------------------------------------------------------ */

/*
 * libcurl calls back when bytes come or are wanted; our callers read and write when they like. So a
 * callback that has nothing to give, or no room, pauses the transfer, and the next read or write
 * lets it go on: no thread, and no more than a piece in memory.
 */

/**
 * struct docker_stream - An image on its way
 * @de:		With a multi handle of its own
 * @url, @headers, @easy:	of the transfer
 * @what:	"save" or "load", for errors
 * @came:	downloaded, not read; @given bytes of it are at the reader
 * @out, @out_len:	to be uploaded, borrowed for the call
 * @answer:	what the engine says, JSON
 * @last:	nothing more will be uploaded
 * @paused:	by a callback
 * @ended:	the transfer is over, with @result
 * @moved_us:	when a byte moved
 */
struct docker_stream {
	struct docker_engine *de;
	char *url;
	struct curl_slist *headers;
	CURL *easy;
	const char *what;
	struct buf came;
	size_t given;
	const uint8_t *out;
	size_t out_len;
	struct buf answer;
	bool last;
	bool paused;
	bool ended;
	CURLcode result;
	uint64_t moved_us;
};

/* Bytes of an image, or of the engine's reason why there is none. */
static size_t stream_came(char *bytes, size_t size, size_t count, void *user)
{
	struct docker_stream *ds = user;
	long status = 0;
	struct buf *to = &ds->came;

	(void)curl_easy_getinfo(ds->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400) {
		to = &ds->answer;
	} else if (ds->came.len >= STREAM_PIECE) {
		ds->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	ds->moved_us = monotonic_us();
	return buf_append(to, bytes, size * count, NULL) < 0 ? 0 : size * count;
}

static size_t stream_answer(char *bytes, size_t size, size_t count, void *user)
{
	struct docker_stream *ds = user;

	ds->moved_us = monotonic_us();
	return buf_append(&ds->answer, bytes, size * count, NULL) < 0 ? 0 : size * count;
}

static size_t stream_wanted(char *to, size_t size, size_t count, void *user)
{
	struct docker_stream *ds = user;
	size_t len = size * count < ds->out_len ? size * count : ds->out_len;

	if (!len && !ds->last) {
		ds->paused = true;
		return CURL_READFUNC_PAUSE;
	}
	if (len)
		memcpy(to, ds->out, len);
	ds->out += len;
	ds->out_len -= len;
	ds->moved_us = monotonic_us();
	return len;
}

/** stream_prepare() - Describe the transfer to libcurl. Return: whether all was taken */
static bool stream_prepare(struct docker_stream *ds, bool upload)
{
	CURL *easy = ds->easy;
	bool ok = true;

	ok = ok && !curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, ds->de->socket);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_URL, ds->url);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_PROXY, "");
	ok = ok && !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, ds->headers);
	ok = ok &&
	     !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, upload ? stream_answer : stream_came);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, ds);
	if (!upload)
		return ok;
	ok = ok && !curl_easy_setopt(easy, CURLOPT_POST, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_READFUNCTION, stream_wanted);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_READDATA, ds);
	return ok;
}

/**
 * api_settle() - Find out which version of the API is good, before a transfer that is not sent
 * twice
 *
 * Return: 0 whatever the engine says: the transfer itself will be refused; or negative error code
 */
static int api_settle(struct docker_engine *de, const char *what, struct err *err)
{
	struct call call = { 0 };
	long status = 0;

	buf_init(&call.answer, ANSWER_MAX);
	int r = call_run(de, what, "GET", "/_ping", NULL, &call, &status, err);
	buf_deinit(&call.answer);
	return r;
}

/** stream_new() - Begin a transfer */
static int stream_new(struct docker_engine *de, const char *what, const char *path, bool upload,
		      struct docker_stream **ret, struct err *err)
{
	AUTO(docker_stream) struct docker_stream *ds = calloc(1, sizeof(*ds));
	int r;

	if (!ds)
		return err_set(err, -ENOMEM, "docker %s", what);
	ds->what = what;
	ds->moved_us = monotonic_us();
	/* One write of libcurl's may come on top of a full piece. */
	buf_init(&ds->came, STREAM_PIECE + CURL_MAX_READ_SIZE);
	buf_init(&ds->answer, ANSWER_MAX);
	r = docker_engine_new(&ds->de, de->socket, de->cancel_fd, err);
	if (r == 0)
		r = api_settle(ds->de, what, err);
	if (r < 0)
		return r;
	ds->easy = curl_easy_init();
	/* "Expect" would only cost a round trip. */
	ds->headers = curl_slist_append(NULL, "Expect:");
	if (upload && ds->headers) {
		(void)curl_slist_append(ds->headers, "Transfer-Encoding: chunked");
		(void)curl_slist_append(ds->headers, "Content-Type: application/x-tar");
	}
	ds->url = url_of(ds->de, path);
	if (!ds->easy || !ds->headers || !ds->url || !stream_prepare(ds, upload) ||
	    curl_multi_add_handle(ds->de->multi, ds->easy) != CURLM_OK)
		return err_set(err, -ENOMEM, "docker %s", what);
	*ret = TAKE_PTR(ds);
	return 0;
}

int docker_engine_save(struct docker_engine *de, const char *name, struct docker_stream **ret,
		       struct err *err)
{
	auto_free char *path = NULL;
	auto_free char *quoted = escaped(name);
	if (!quoted || asprintf(&path, "/images/%s/get", quoted) < 0)
		return err_set(err, -ENOMEM, "docker save");
	return stream_new(de, "save", path, false, ret, err);
}

int docker_engine_load(struct docker_engine *de, struct docker_stream **ret, struct err *err)
{
	return stream_new(de, "load", "/images/load?quiet=1", true, ret, err);
}

struct docker_stream *docker_stream_free(struct docker_stream *ds)
{
	if (!ds)
		return NULL;
	if (ds->easy && ds->de)
		(void)curl_multi_remove_handle(ds->de->multi, ds->easy);
	curl_easy_cleanup(ds->easy);
	curl_slist_free_all(ds->headers);
	(void)docker_engine_free(ds->de);
	buf_deinit(&ds->came);
	buf_deinit(&ds->answer);
	free(ds->url);
	free(ds);
	return NULL;
}

/** stream_move() - Let the transfer go on as far as it can without waiting */
static int stream_move(struct docker_stream *ds, struct err *err)
{
	int running;
	int left;
	CURLMsg *msg;
	CURLMcode mc;

	if (ds->paused) {
		ds->paused = false;
		(void)curl_easy_pause(ds->easy, CURLPAUSE_CONT);
	}
	mc = curl_multi_perform(ds->de->multi, &running);
	if (mc != CURLM_OK)
		return err_set(err, -EIO, "docker %s: %s", ds->what, curl_multi_strerror(mc));
	while ((msg = curl_multi_info_read(ds->de->multi, &left)))
		if (msg->msg == CURLMSG_DONE) {
			ds->ended = true;
			ds->result = msg->data.result;
		}
	return 0;
}

/** stream_idle() - What ends it from outside: cancellation, stall */
static int stream_idle(struct docker_stream *ds, struct err *err)
{
	uint64_t now = monotonic_us();

	if (cancelled(ds->de->cancel_fd))
		return err_set(err, -ECANCELED, "docker %s", ds->what);
	if (now - ds->moved_us > STREAM_STALL_US)
		return err_set(err, -ETIMEDOUT, "docker %s", ds->what);
	return 0;
}

/** stream_wait() - Wait for the engine, but not long */
static int stream_wait(struct docker_stream *ds, struct err *err)
{
	struct curl_waitfd extra = { .fd = ds->de->cancel_fd, .events = CURL_WAIT_POLLIN };
	CURLMcode mc = curl_multi_poll(ds->de->multi, &extra, extra.fd >= 0 ? 1 : 0, POLL_MS, NULL);

	if (mc != CURLM_OK)
		return err_set(err, -EIO, "docker %s: %s", ds->what, curl_multi_strerror(mc));
	return stream_idle(ds, err);
}

/** stream_verdict() - How a transfer has ended */
static int stream_verdict(struct docker_stream *ds, struct err *err)
{
	long status = 0;
	int r = 0;

	(void)curl_easy_getinfo(ds->easy, CURLINFO_RESPONSE_CODE, &status);
	/* The answer is JSON texts one after another; an error may come after the status. */
	while (r == 0 && ds->answer.len) {
		json_error_t where;
		json_t *json = json_loadb((char *)buf_bytes(&ds->answer), ds->answer.len,
					  JSON_DISABLE_EOF_CHECK, &where);
		const char *error = json_text(json, "error", NULL);

		if (!json)
			break;
		if (status >= 400)
			r = status_error(ds->what, status, json, err);
		else if (*error)
			r = err_set(err, -EPROTO, "docker %s: %.300s", ds->what, error);
		json_decref(json);
		buf_consume(&ds->answer, (size_t)where.position);
	}
	if (r < 0)
		return r;
	if (status >= 400)
		return status_error(ds->what, status, NULL, err);
	if (ds->result != CURLE_OK)
		return err_set(err, -EIO, "docker %s at %s: %s", ds->what, ds->de->socket,
			       curl_easy_strerror(ds->result));
	return 0;
}

ssize_t docker_stream_read(struct docker_stream *ds, const void **bytes, struct err *err)
{
	int r;

	buf_consume(&ds->came, ds->given);
	ds->given = 0;
	r = stream_idle(ds, err);
	while (r == 0 && !ds->came.len && !ds->ended) {
		r = stream_move(ds, err);
		if (r == 0 && !ds->came.len && !ds->ended)
			r = stream_wait(ds, err);
	}
	if (r < 0)
		return r;
	if (!ds->came.len)
		return stream_verdict(ds, err);
	*bytes = buf_bytes(&ds->came);
	ds->given = ds->came.len;
	return (ssize_t)ds->given;
}

/** stream_push() - Go on until what is to be uploaded is gone, or for the last time all is over */
static int stream_push(struct docker_stream *ds, struct err *err)
{
	int r = stream_idle(ds, err);

	while (r == 0 && (ds->out_len || ds->last) && !ds->ended) {
		r = stream_move(ds, err);
		if (r == 0 && (ds->out_len || ds->last) && !ds->ended)
			r = stream_wait(ds, err);
	}
	if (r == 0 && ds->ended)
		r = stream_verdict(ds, err);
	return r;
}

int docker_stream_write(struct docker_stream *ds, const void *bytes, size_t len, struct err *err)
{
	int r;

	ds->out = bytes;
	ds->out_len = len;
	r = stream_push(ds, err);
	if (r == 0 && ds->ended)
		r = err_set(err, -EPROTO, "docker %s: the engine wants no more", ds->what);
	return r;
}

int docker_stream_end(struct docker_stream *ds, struct err *err)
{
	ds->last = true;
	return stream_push(ds, err);
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
