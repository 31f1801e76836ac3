/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/registry.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "es/engine/docker_engine.h"
#include "es/system/process.h"

#define CERTS        "/etc/docker/certs.d"
#define MANIFEST_MAX (1u << 20)
#define SAMPLE_BYTES (4u << 20)
#define SAMPLE_US    1500000
#define ASK_MS       5000
#define CONNECT_MS   3000
#define LAYER_BYTES  (1ull << 40) /* no layer is larger */

/* --- names ------------------------------------------------------------------------------------ */

static bool is_digest(const char *text)
{
	return !strncmp(text, "sha256:", 7) && strspn(text + 7, "0123456789abcdef") == 64 &&
	       !text[71];
}

/*
 * Whether no part between slashes is empty, or begins with a dot: the URL must not lead elsewhere
 */
static bool segments_possible(const char *repository)
{
	size_t len = strlen(repository);

	return len && repository[0] != '/' && repository[0] != '.' && repository[len - 1] != '/' &&
	       !strstr(repository, "//") && !strstr(repository, "/.");
}

int registry_image_parse(struct registry_image *ri, const char *text)
{
	const char *slash = strchr(text, '/');
	const char *at = strchr(text, '@');
	size_t host = slash ? (size_t)(slash - text) : 0;

	if (!slash || !at || at < slash || host >= sizeof(ri->host) ||
	    (size_t)(at - slash) > sizeof(ri->repository) || !is_digest(at + 1))
		return -EINVAL;
	memcpy(ri->host, text, host);
	ri->host[host] = '\0';
	/* As the engine tells a host from the first part of a name on the public registry. */
	if (!strpbrk(ri->host, ".:") && strcmp(ri->host, "localhost") != 0)
		return -EINVAL;
	(void)snprintf(ri->repository, sizeof(ri->repository), "%.*s", (int)(at - slash - 1),
		       slash + 1);
	(void)snprintf(ri->digest, sizeof(ri->digest), "%s", at + 1);
	/* They become part of an URL. */
	if (strspn(ri->host,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") !=
		    strlen(ri->host) ||
	    strspn(ri->repository, "abcdefghijklmnopqrstuvwxyz0123456789._-/") !=
		    strlen(ri->repository) ||
	    !segments_possible(ri->repository))
		return -EINVAL;
	return 0;
}

/* --- the manifest ----------------------------------------------------------------------------- */

int registry_manifest_read(const json_t *manifest, size_t layers, size_t here, uint64_t *bytes,
			   char largest[72], struct err *err)
{
	const json_t *list = json_object_get(manifest, "layers");
	json_int_t most = -1;

	*bytes = 0;
	*largest = '\0';
	if (!json_is_array(list) || json_array_size(list) != layers)
		return err_set(err, -EPROTO, "the registry's image has %zu layers, not %zu",
			       json_array_size(list), layers);
	for (size_t i = here; i < layers; i++) {
		const json_t *layer = json_array_get(list, i);
		json_int_t size = json_integer_value(json_object_get(layer, "size"));
		const char *digest = json_text(layer, "digest", NULL);

		if (size < 0 || (uint64_t)size > LAYER_BYTES || !is_digest(digest))
			return err_set(err, -EPROTO,
				       "the registry's image has a layer that cannot be");
		*bytes += (uint64_t)size;
		if (size > most) {
			most = size;
			memcpy(largest, digest, 72);
		}
	}
	return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

/**
 * struct question - A request under way
 * @answer:	bytes that came, if they are to be kept
 * @bytes:	that came
 * @half_us, @half_bytes:	when the second half of the time began, for the rate
 */
struct question {
	struct buf *answer;
	uint64_t bytes;
	uint64_t began_us;
	uint64_t half_us;
	uint64_t half_bytes;
	int cancel_fd;
};

static size_t bytes_take(char *bytes, size_t size, size_t count, void *user)
{
	struct question *q = user;
	uint64_t now = monotonic_us();

	if (q->answer)
		return buf_append(q->answer, bytes, size * count, NULL) < 0 ? 0 : size * count;
	q->began_us = q->began_us ? q->began_us : now;
	q->bytes += size * count;
	if (!q->half_us && q->bytes >= SAMPLE_BYTES / 4) {
		q->half_us = now;
		q->half_bytes = q->bytes;
	}
	/* Enough is enough: libcurl takes it for an error, which it is not. */
	return now - q->began_us > SAMPLE_US ? 0 : size * count;
}

static int progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct question *q = user;
	struct pollfd cancel = { .fd = q->cancel_fd, .events = POLLIN };

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return q->cancel_fd >= 0 && poll(&cancel, 1, 0) > 0;
}

/** prepare() - Describe the request to libcurl. Return: whether all was taken */
static bool prepare(CURL *easy, const char *url, const struct registry_image *ri,
		    struct curl_slist *headers, struct question *q)
{
	char ca[PATH_MAX];
	bool ok = true;

	(void)snprintf(ca, sizeof(ca), CERTS "/%s/ca.crt", ri->host);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_URL, url);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	ok = ok && !curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	ok = ok && !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 3L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ASK_MS);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, bytes_take);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_WRITEDATA, q);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progress);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_XFERINFODATA, q);
	ok = ok && !curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	if (!q->answer)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_RANGE, "0-4194303");
	if (access(ca, R_OK) == 0)
		ok = ok && !curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
	return ok;
}

/** get() - Fetch @what ("manifests", "blobs") of an image. Return: 0, or negative error code */
static int get(const struct registry_image *ri, const char *what, const char *digest,
	       struct question *q, struct err *err)
{
	char why[CURL_ERROR_SIZE] = "";
	CURLcode r = CURLE_OUT_OF_MEMORY;
	struct curl_slist *headers = NULL;

	auto_free char *url = NULL;
	if (asprintf(&url, "https://%s/v2/%s/%s/%s", ri->host, ri->repository, what, digest) < 0)
		return err_set(err, -ENOMEM, "ask registry %s", ri->host);
	CURL *easy = curl_easy_init();
	if (q->answer)
		headers = curl_slist_append(
			NULL, "Accept: application/vnd.docker.distribution.manifest.v2+json, "
			      "application/vnd.oci.image.manifest.v1+json");
	if (easy && (headers || !q->answer) && prepare(easy, url, ri, headers, q)) {
		(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
		r = curl_easy_perform(easy);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	if (r == CURLE_ABORTED_BY_CALLBACK)
		return err_set(err, -ECANCELED, "ask registry %s", ri->host);
	/* A sample that was long enough, or that we gave only so much time, is one. */
	if (!q->answer && q->bytes && (r == CURLE_WRITE_ERROR || r == CURLE_OPERATION_TIMEDOUT))
		return 0;
	return r == CURLE_OK ? 0
			     : err_set(err, -EIO, "registry %s: %s", ri->host,
				       *why ? why : curl_easy_strerror(r));
}

/** rate_of() - Bytes per second of a sample, without its slow beginning if it is long enough */
static uint64_t rate_of(const struct question *q, uint64_t now)
{
	uint64_t since = q->half_us ? q->half_us : q->began_us;
	uint64_t bytes = q->bytes - q->half_bytes;

	return now > since && bytes ? bytes * 1000000 / (now - since) : 0;
}

int registry_ask(struct registry_answer *ra, const struct registry_image *ri, size_t layers,
		 size_t here, bool measure, int cancel_fd, struct err *err)
{
	struct buf text;
	struct question q = { .answer = &text, .cancel_fd = cancel_fd };
	struct question sample = { .cancel_fd = cancel_fd };
	json_t *manifest = NULL;
	char largest[72] = "";
	int r;

	*ra = (struct registry_answer){ 0 };
	buf_init(&text, MANIFEST_MAX);
	r = get(ri, "manifests", ri->digest, &q, err);
	if (r == 0)
		manifest = json_loadb((char *)buf_bytes(&text), text.len, 0, NULL);
	if (r == 0 && !manifest)
		r = err_set(err, -EPROTO, "registry %s: the manifest is no JSON", ri->host);
	if (r == 0)
		r = registry_manifest_read(manifest, layers, here, &ra->bytes, largest, err);
	buf_deinit(&text);
	json_decref(manifest);
	if (r < 0 || !measure || !*largest)
		return r;
	r = get(ri, "blobs", largest, &sample, err);
	ra->rate = r == 0 ? rate_of(&sample, monotonic_us()) : 0;
	return r;
}
