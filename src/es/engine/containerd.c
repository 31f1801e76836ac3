/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/containerd.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "containerd.pb-c.h"

#define MOUNTS_CALL   "http://containerd/containerd.services.snapshots.v1.Snapshots/Mounts"
#define SYSTEM_SOCKET "/run/containerd/containerd.sock"
#define SNAPSHOTTER   "overlayfs"
#define CALL_MS       10000L
#define ANSWER_MAX    (64u << 10)
#define FRAME_HEAD    5 /* of each gRPC message: whether it is compressed, and its length */

static size_t body_take(char *bytes, size_t size, size_t count, void *user)
{
	return buf_append(user, bytes, size * count, NULL) < 0 ? 0 : size * count;
}

/** request_pack() - The message, framed. Return: to be freed by the caller, or NULL */
static uint8_t *request_pack(const char *id, size_t *len)
{
	Containerd__MountsRequest request = CONTAINERD__MOUNTS_REQUEST__INIT;

	request.snapshotter = (char *)(uintptr_t)SNAPSHOTTER;
	request.key = (char *)(uintptr_t)id;
	size_t size = containerd__mounts_request__get_packed_size(&request);
	uint8_t *frame = calloc(1, FRAME_HEAD + size);
	if (!frame)
		return NULL;
	put_be32(frame + 1, (uint32_t)size);
	(void)containerd__mounts_request__pack(&request, frame + FRAME_HEAD);
	*len = FRAME_HEAD + size;
	return frame;
}

/** call_prepare() - Describe the call to libcurl. Return: whether all was taken */
static bool call_prepare(CURL *easy, const char *socket, struct curl_slist *headers,
			 const uint8_t *frame, size_t len, struct buf *answer)
{
	bool ok = true;

	ok = ok && !curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_URL, MOUNTS_CALL);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
				     (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_PROXY, "");
	ok = ok && !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, CALL_MS);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_POSTFIELDS, frame);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)len);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_take);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
	return ok;
}

/** verdict() - Read containerd's status of a call: in the trailers, or at once in the headers */
static int verdict(CURL *easy, struct err *err)
{
	static const unsigned int where = CURLH_TRAILER | CURLH_HEADER;
	struct curl_header *status = NULL;
	struct curl_header *message = NULL;

	if (curl_easy_header(easy, "grpc-status", 0, where, -1, &status) != CURLHE_OK)
		return err_set(err, -EPROTO, "containerd says nothing of its mounts");
	if (strcmp(status->value, "0") == 0)
		return 0;
	(void)curl_easy_header(easy, "grpc-message", 0, where, -1, &message);
	return err_set(err, -EPROTO, "containerd: %.200s (status %.10s)",
		       message ? message->value : "no reason given", status->value);
}

/** call_run() - Ask containerd for the mounts of a snapshot */
static int call_run(const char *socket, const char *id, struct buf *answer, struct err *err)
{
	size_t len = 0;
	int r = -ENOMEM;

	auto_free uint8_t *frame = request_pack(id, &len);
	CURL *easy = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/grpc");
	if (headers && curl_slist_append(headers, "TE: trailers") &&
	    curl_slist_append(headers, "containerd-namespace: moby") && frame && easy &&
	    call_prepare(easy, socket, headers, frame, len, answer)) {
		CURLcode code = curl_easy_perform(easy);

		r = code == CURLE_OK ? verdict(easy, err)
				     : err_set(err, -EIO, "containerd at %s: %s", socket,
					       curl_easy_strerror(code));
	} else {
		(void)err_set(err, r, "containerd at %s", socket);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	return r;
}

/** upper_find() - Find the upper directory among the options of the mounts */
static int upper_find(char to[PATH_MAX], const Containerd__MountsResponse *response,
		      struct err *err)
{
	static const char key[] = "upperdir=";

	for (size_t i = 0; i < response->n_mounts; i++) {
		const Containerd__Mount *mount = response->mounts[i];

		for (size_t k = 0; k < mount->n_options; k++) {
			const char *path = mount->options[k] + sizeof(key) - 1;

			if (strncmp(mount->options[k], key, sizeof(key) - 1) != 0)
				continue;
			if (*path != '/' || snprintf(to, PATH_MAX, "%s", path) >= PATH_MAX)
				break;
			return 0;
		}
	}
	return err_set(err, -ENOTSUP, "containerd: the container's layer is no overlay");
}

/** answer_read() - Take the message of an answer apart */
static int answer_read(char to[PATH_MAX], const struct buf *answer, struct err *err)
{
	const uint8_t *bytes = buf_bytes(answer);
	Containerd__MountsResponse *response = NULL;

	if (answer->len >= FRAME_HEAD && !bytes[0] &&
	    get_be32(bytes + 1) == answer->len - FRAME_HEAD)
		response = containerd__mounts_response__unpack(NULL, answer->len - FRAME_HEAD,
							       bytes + FRAME_HEAD);
	if (!response)
		return err_set(err, -EPROTO, "containerd: its answer is none");
	int r = upper_find(to, response, err);
	containerd__mounts_response__free_unpacked(response, NULL);
	return r;
}

int containerd_upper(char to[PATH_MAX], const char *exec_root, const char *id, struct err *err)
{
	struct buf answer;
	char socket[PATH_MAX];

	if (snprintf(socket, sizeof(socket), "%s/containerd/containerd.sock", exec_root) >=
		    (int)sizeof(socket) ||
	    access(socket, F_OK) < 0)
		(void)snprintf(socket, sizeof(socket), SYSTEM_SOCKET);
	if (access(socket, F_OK) < 0)
		return err_set(err, -ENOTSUP, "no containerd at %s/containerd or %s", exec_root,
			       SYSTEM_SOCKET);
	buf_init(&answer, ANSWER_MAX);
	int r = call_run(socket, id, &answer, err);
	if (r == 0)
		r = answer_read(to, &answer, err);
	buf_deinit(&answer);
	return r;
}
