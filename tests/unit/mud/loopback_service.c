/* SPDX-License-Identifier: Apache-2.0 */
#include "loopback_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/text.h"
#include "net/crypto.h"

#define CONNECTIONS_MAX 8
#define INBOX_SIZE      65536
#define ANSWER_MAX      256

struct connection {
	uv_tcp_t tcp;
	struct loopback_service *service;
	uint8_t inbox[INBOX_SIZE];
	size_t len;
};

struct loopback_service {
	uv_loop_t *loop;
	uv_tcp_t *listener;
	struct sockaddr_in address;
	char text[32];
	struct connection *connection[CONNECTIONS_MAX];
	unsigned int accepted;
	bool mute;
	bool deaf;
	bool slam;
	uint64_t ignored;
	uint64_t executed;
	uint8_t chain[CRYPTO_SHA256_SIZE];
};

static void digest(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct crypto_sha256 *sha;

	assert_int_equal(crypto_sha256_new(&sha, NULL), 0);
	assert_int_equal(crypto_sha256_update(sha, a, a_len), 0);
	assert_int_equal(crypto_sha256_update(sha, b, b_len), 0);
	assert_int_equal(crypto_sha256_final(sha, out), 0);
	crypto_sha256_free(sha);
}

static void on_freed(uv_handle_t *handle)
{
	free(handle->data);
}

static void drop(struct connection *k)
{
	struct loopback_service *s = k->service;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->connection[i] == k)
			s->connection[i] = NULL;
	}
	uv_close((uv_handle_t *)&k->tcp, on_freed);
}

static void answer(struct connection *k, const char *payload, size_t len)
{
	struct loopback_service *s = k->service;
	char text[4 + ANSWER_MAX], hex[2 * CRYPTO_SHA256_SIZE + 1];
	uint64_t seq = 0;

	digest(s->chain, s->chain, sizeof(s->chain), payload, len);
	s->executed++;
	if (s->mute)
		return;
	assert_int_equal(sscanf(payload, "{\"seq\":%" SCNu64, &seq), 1);
	hex_encode(hex, s->chain, sizeof(s->chain));
	int n = snprintf(text + 4, ANSWER_MAX,
			 "{\"seq\":%" PRIu64 ",\"executed\":%" PRIu64 ",\"chain\":\"%s\"}", seq,
			 s->executed, hex);
	put_be32((uint8_t *)text, (uint32_t)n);
	uv_buf_t buf = uv_buf_init(text, (unsigned int)n + 4);
	(void)uv_try_write((uv_stream_t *)&k->tcp, &buf, 1);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct connection *k = handle->data;

	(void)suggested;
	*buf = uv_buf_init((char *)k->inbox + k->len, (unsigned int)(sizeof(k->inbox) - k->len));
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct connection *k = stream->data;

	(void)buf;
	if (nread < 0) {
		drop(k);
		return;
	}
	k->len += (size_t)nread;
	while (k->len >= 4 && k->len >= 4 + (size_t)get_be32(k->inbox)) {
		size_t size = 4 + (size_t)get_be32(k->inbox);

		if (k->service->deaf)
			k->service->ignored++;
		else
			answer(k, (const char *)k->inbox + 4, size - 4);
		memmove(k->inbox, k->inbox + size, k->len - size);
		k->len -= size;
	}
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct loopback_service *s = listener->data;
	struct connection *k = calloc(1, sizeof(*k));

	assert_int_equal(status, 0);
	assert_non_null(k);
	k->service = s;
	assert_int_equal(uv_tcp_init(s->loop, &k->tcp), 0);
	k->tcp.data = k;
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&k->tcp), 0);
	s->accepted++;
	if (s->slam) {
		uv_close((uv_handle_t *)&k->tcp, on_freed);
		return;
	}
	assert_int_equal(uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read), 0);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (!s->connection[i]) {
			s->connection[i] = k;
			return;
		}
	}
	fail_msg("more than %d connections", CONNECTIONS_MAX);
}

void loopback_service_listen(struct loopback_service *s)
{
	int len = sizeof(s->address);

	s->listener = calloc(1, sizeof(*s->listener));
	assert_non_null(s->listener);
	assert_int_equal(uv_tcp_init(s->loop, s->listener), 0);
	s->listener->data = s;
	assert_int_equal(uv_tcp_bind(s->listener, (const struct sockaddr *)&s->address, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)s->listener, 16, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(s->listener, (struct sockaddr *)&s->address, &len), 0);
}

struct loopback_service *loopback_service_new(struct uv_loop_s *loop)
{
	struct loopback_service *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->loop = loop;
	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &s->address), 0);
	loopback_service_listen(s);
	(void)snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", ntohs(s->address.sin_port));
	loopback_service_forget(s);
	return s;
}

const char *loopback_service_address(const struct loopback_service *s)
{
	return s->text;
}

uint64_t loopback_service_executed(const struct loopback_service *s)
{
	return s->executed;
}

unsigned int loopback_service_connections(const struct loopback_service *s)
{
	return s->accepted;
}

void loopback_service_mute(struct loopback_service *s, bool mute)
{
	s->mute = mute;
}

void loopback_service_deaf(struct loopback_service *s, bool deaf)
{
	s->deaf = deaf;
}

uint64_t loopback_service_ignored(const struct loopback_service *s)
{
	return s->ignored;
}

void loopback_service_slam(struct loopback_service *s, bool slam)
{
	s->slam = slam;
}

void loopback_service_hang_up(struct loopback_service *s)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->connection[i])
			drop(s->connection[i]);
	}
}

static void on_listener_closed(uv_handle_t *handle)
{
	free(handle);
}

void loopback_service_stop(struct loopback_service *s)
{
	loopback_service_hang_up(s);
	if (s->listener)
		uv_close((uv_handle_t *)s->listener, on_listener_closed);
	s->listener = NULL;
}

void loopback_service_forget(struct loopback_service *s)
{
	digest(s->chain, "baton", 5, "", 0);
	s->executed = 0;
}

void loopback_service_become(struct loopback_service *s, const struct loopback_service *other)
{
	memcpy(s->chain, other->chain, sizeof(s->chain));
	s->executed = other->executed;
}

void loopback_service_say(struct loopback_service *s, const void *bytes, unsigned int len)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, len);

		if (s->connection[i])
			(void)uv_try_write((uv_stream_t *)&s->connection[i]->tcp, &buf, 1);
	}
}

void loopback_service_close(struct loopback_service *s)
{
	loopback_service_stop(s);
	free(s);
}
