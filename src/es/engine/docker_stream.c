/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Images as streams, out of the engine and into it
 *
 * libcurl calls back when bytes come or are needed; our callers read and write at any time. So a
 * callback without bytes or room pauses the transfer, and the next read or write resumes it. This
 * needs no thread, and only a piece is in memory.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "es/engine/docker_call.h"
#include "es/engine/docker_engine.h"
#include "es/system/process.h"

#define STREAM_PIECE    (1u << 20)         /* bytes of an image that wait for their reader */
#define STREAM_STALL_US (600ull * 1000000) /* the engine may work on an image so long in silence */

/**
 * struct docker_stream - An image on its way
 * @de:		With a multi handle of its own
 * @url, @headers, @easy:	of the transfer
 * @what:	"save" or "load", for errors
 * @came:	downloaded, not read; @given bytes of it are at the reader
 * @out, @out_len:	to be uploaded, borrowed for the call
 * @answer:	the engine's answer, JSON
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
 * api_settle() - Find a version of the API that the engine accepts, before a transfer that is not
 * sent twice
 *
 * Return: 0, also if the engine refuses: it will refuse the transfer itself; or negative error code
 */
static int api_settle(struct docker_engine *de, const char *what, struct err *err)
{
	struct docker_call call = { 0 };
	long status = 0;

	buf_init(&call.answer, ANSWER_MAX);
	int r = docker_call_run(de, what, "GET", "/_ping", NULL, &call, &status, err);
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
		ds->de->patience = de->patience;
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
	ds->url = docker_call_url(ds->de, path);
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
	auto_free char *quoted = docker_call_escape(name);
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

/** stream_idle() - Check whether the stream must end: cancellation, stall */
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
			r = docker_call_failed(ds->what, status, json, err);
		else if (*error)
			r = err_set(err, -EPROTO, "docker %s: %.300s", ds->what, error);
		json_decref(json);
		buf_consume(&ds->answer, (size_t)where.position);
	}
	if (r < 0)
		return r;
	if (status >= 400)
		return docker_call_failed(ds->what, status, NULL, err);
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

/**
 * stream_push() - Continue until all bytes at hand are uploaded, and after the last ones until the
 * transfer is over
 */
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
