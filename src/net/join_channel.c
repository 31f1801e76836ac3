/* SPDX-License-Identifier: Apache-2.0 */
#include "net/join_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/crypto.h"

#define IDENTITY   "baton-join"
#define MESSAGE_MS 10000
#define CIPHER     "TLS_AES_128_GCM_SHA256"

/**
 * struct join_channel - One connection
 * @ctx, @ssl:	OpenSSL's
 * @fd:		Borrowed
 * @secret:	Known to both
 * @open:	The other side has proved that it knows the secret
 */
struct join_channel {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	uint8_t secret[JOIN_SECRET_BYTES];
	bool open;
};

/** now_ms() - Milliseconds since some point in the past */
static uint64_t now_ms(void)
{
	return monotonic_us() / 1000;
}

/** session_make() - The secret as a session that can be resumed. Return: NULL without memory */
static SSL_SESSION *session_make(SSL *ssl, const struct join_channel *c)
{
	SSL_SESSION *session = SSL_SESSION_new();
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, (const unsigned char[]){ 0x13, 0x01 });

	if (session && cipher &&
	    SSL_SESSION_set1_master_key(session, c->secret, sizeof(c->secret)) == 1 &&
	    SSL_SESSION_set_cipher(session, cipher) == 1 &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

/** offer() - OpenSSL's question at the client: which key do we offer? */
static int offer(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *len,
		 SSL_SESSION **session)
{
	(void)md;
	*session = session_make(ssl, SSL_get_app_data(ssl));
	*id = (const unsigned char *)IDENTITY;
	*len = strlen(IDENTITY);
	return *session != NULL;
}

/** find() - OpenSSL's question at the server: which key has this name? */
static int find(SSL *ssl, const unsigned char *id, size_t len, SSL_SESSION **session)
{
	*session = NULL;
	if (len != strlen(IDENTITY) || memcmp(id, IDENTITY, len) != 0)
		return 1; /* none */
	*session = session_make(ssl, SSL_get_app_data(ssl));
	return *session != NULL;
}

/** wait_for() - Wait until OpenSSL can go on after @r. Return: 0, or negative error code */
static int wait_for(struct join_channel *c, int r, uint64_t end, struct err *err)
{
	int reason = SSL_get_error(c->ssl, r);
	uint64_t now = now_ms();
	struct pollfd p = {
		.fd = c->fd,
		.events = reason == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN,
	};

	if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
		return c->open ? err_set(err, -ECONNRESET,
					 "the other host has ended the connection")
			       : err_set(err, -EACCES,
					 "the other host does not know this token, or speaks no "
					 "TLS");
	if (now >= end || poll(&p, 1, (int)(end - now)) == 0)
		return err_set(err, -ETIMEDOUT, "the other host does not answer");
	return 0;
}

/** deadline() - When a message must be through */
static uint64_t deadline(void)
{
	return now_ms() + MESSAGE_MS;
}

/** context_make() - TLS 1.3 and nothing else, with a fresh exchange and without tickets. Return: success */
static bool context_make(struct join_channel *c, bool server)
{
	c->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(c->ctx, CIPHER) != 1 ||
	    SSL_CTX_set_num_tickets(c->ctx, 0) != 1)
		return false;
	/* No server but one that knows the secret: we trust no certificate, and the server has none. */
	SSL_CTX_set_verify(c->ctx, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (server)
		SSL_CTX_set_psk_find_session_callback(c->ctx, find);
	else
		SSL_CTX_set_psk_use_session_callback(c->ctx, offer);
	c->ssl = SSL_new(c->ctx);
	return c->ssl && SSL_set_app_data(c->ssl, c) == 1 && SSL_set_fd(c->ssl, c->fd) == 1;
}

int join_channel_open(struct join_channel **ret, int fd, bool server,
		      const uint8_t secret[JOIN_SECRET_BYTES], int timeout_ms, struct err *err)
{
	AUTO(join_channel) struct join_channel *c = calloc(1, sizeof(*c));
	int flags = fcntl(fd, F_GETFL);
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "join channel");
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(err, -errno, "join channel");
	c->fd = fd;
	memcpy(c->secret, secret, sizeof(c->secret));
	if (!context_make(c, server))
		return err_set(err, -ENOMEM, "join channel");
	uint64_t end = now_ms() + (uint64_t)timeout_ms;
	while ((r = server ? SSL_accept(c->ssl) : SSL_connect(c->ssl)) != 1) {
		r = wait_for(c, r, end, err);
		if (r < 0)
			return r;
	}
	/* Only the secret proves the other's identity: its certificate would be unknown to us. */
	if (!SSL_session_reused(c->ssl))
		return err_set(err, -EACCES, "the other host does not know this token");
	c->open = true;
	*ret = TAKE_PTR(c);
	return 0;
}

struct join_channel *join_channel_free(struct join_channel *c)
{
	if (!c)
		return NULL;
	if (c->ssl && SSL_is_init_finished(c->ssl))
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	crypto_wipe(c->secret, sizeof(c->secret));
	free(c);
	return NULL;
}

/** write_all() - Send bytes until a moment. Return: 0, or negative error code */
static int write_all(struct join_channel *c, const void *bytes, size_t len, uint64_t end,
		     struct err *err)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && len > 0) {
		int wrote = SSL_write_ex(c->ssl, bytes, len, &done);

		if (wrote == 1)
			return 0; /* without partial writes it is all */
		r = wait_for(c, wrote, end, err);
	}
	return r;
}

/** read_all() - Receive bytes until a moment. Return: 0, or negative error code */
static int read_all(struct join_channel *c, void *to, size_t len, uint64_t end, struct err *err)
{
	uint8_t *at = to;
	int r = 0;

	while (r == 0 && len > 0) {
		size_t got = 0;
		int read = SSL_read_ex(c->ssl, at, len, &got);

		if (read == 1) {
			at += got;
			len -= got;
		} else {
			r = wait_for(c, read, end, err);
		}
	}
	return r;
}

int join_channel_send(struct join_channel *c, const char *text, struct err *err)
{
	size_t len = strlen(text);
	uint64_t end = deadline();
	const uint8_t head[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
				  (uint8_t)len };

	if (len > JOIN_MESSAGE_MAX)
		return err_set(err, -EMSGSIZE, "a message of %zu bytes, and at most %u can be sent",
			       len, JOIN_MESSAGE_MAX);
	int r = write_all(c, head, sizeof(head), end, err);
	return r < 0 ? r : write_all(c, text, len, end, err);
}

int join_channel_receive(struct join_channel *c, char **ret, struct err *err)
{
	uint64_t end = deadline();
	uint8_t head[4];
	int r = read_all(c, head, sizeof(head), end, err);

	if (r < 0)
		return r;
	size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > JOIN_MESSAGE_MAX)
		return err_set(err, -EPROTO, "the other host announces a message of %zu bytes",
			       len);
	auto_free char *text = calloc(1, len + 1);
	if (!text)
		return err_set(err, -ENOMEM, "join channel");
	r = read_all(c, text, len, end, err);
	if (r == 0 && strlen(text) != len)
		r = err_set(err, -EPROTO, "the other host sends no text");
	if (r == 0)
		*ret = TAKE_PTR(text);
	return r;
}
