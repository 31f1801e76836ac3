/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/tls_identity.h"

#define ALERT_OFFSET SSL_AD_REASON_OFFSET /* OpenSSL reports alert n as reason 1000 + n */
#define READ_BYTES   131072u

/**
 * struct tls_context - See tls.h
 * @path:	Owned; @files points to them
 * @lock:	guards @identity
 * @generation:	Counts how often the files were read
 */
struct tls_context {
	char *path[4];
	struct tls_files files;
	pthread_mutex_t lock;
	struct tls_identity identity;
	_Atomic unsigned int generation;
	char name[NAME_SIZE];
	enum wire_role role;
};

/**
 * struct tls_session - See tls.h
 * @memory:	Works on BIOs, not on a socket
 * @refused:	Owner of the certificate that we refused
 * @generation:	Of the context, when the peer was looked at last
 * @expires:	When the peer's certificate ends, seconds UTC
 */
struct tls_session {
	struct tls_context *context;
	SSL *ssl;
	bool memory;
	struct tls_refused refused;
	unsigned int generation;
	int64_t expires;
};

/* ---- our own identity ---- */

static int copy_files(struct tls_context *c, const struct tls_files *from)
{
	const char *const path[] = { from->ca, from->cert, from->key, from->crl };

	for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
		c->path[i] = path[i] ? strdup(path[i]) : NULL;
		if (path[i] && !c->path[i])
			return -ENOMEM;
	}
	c->files = (struct tls_files){ c->path[0], c->path[1], c->path[2], c->path[3] };
	return 0;
}

int tls_context_new(struct tls_context **ret, const struct tls_files *files, struct err *err)
{
	int r;

	AUTO(tls_context) struct tls_context *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "set up TLS");
	(void)pthread_mutex_init(&c->lock, NULL);
	if (copy_files(c, files) < 0)
		return err_set(err, -ENOMEM, "set up TLS");
	r = tls_identity_load(&c->identity, &c->files, NULL, err);
	if (r < 0)
		return r;
	memcpy(c->name, c->identity.name, NAME_SIZE);
	c->role = c->identity.role;
	*ret = TAKE_PTR(c);
	return 0;
}

int tls_context_reload(struct tls_context *c, struct err *err)
{
	struct tls_identity next, last;
	/* only this function changes it, and only the loop's thread calls it */
	int r = tls_identity_load(&next, &c->files, &c->identity, err);

	if (r < 0)
		return r;
	if (!name_equal(next.name, c->name) || next.role != c->role) {
		r = err_set(err, -EINVAL,
			    "%s is for %s %s, not for %s %s: another name needs a restart",
			    c->files.cert, wire_role_name(next.role), next.name,
			    wire_role_name(c->role), c->name);
		tls_identity_deinit(&next);
		return r;
	}
	(void)pthread_mutex_lock(&c->lock);
	last = c->identity;
	c->identity = next;
	c->generation++;
	(void)pthread_mutex_unlock(&c->lock);
	tls_identity_deinit(&last);
	return 0;
}

struct tls_context *tls_context_free(struct tls_context *c)
{
	if (!c)
		return NULL;
	tls_identity_deinit(&c->identity);
	for (size_t i = 0; i < ARRAY_SIZE(c->path); i++)
		free(c->path[i]);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

const char *tls_context_name(const struct tls_context *c)
{
	return c->name;
}

enum wire_role tls_context_role(const struct tls_context *c)
{
	return c->role;
}

int64_t tls_context_expires(struct tls_context *c)
{
	int64_t expires;

	(void)pthread_mutex_lock(&c->lock);
	expires = c->identity.expires;
	(void)pthread_mutex_unlock(&c->lock);
	return expires;
}

/* ---- sessions ---- */

int tls_session_new(struct tls_session **ret, struct tls_context *c, bool server, int fd,
		    struct err *err)
{
	AUTO(tls_session) struct tls_session *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "begin a TLS session");
	s->context = c;
	s->memory = fd < 0;
	(void)pthread_mutex_lock(&c->lock);
	s->generation = c->generation;
	s->ssl = SSL_new(c->identity.ctx);
	(void)pthread_mutex_unlock(&c->lock);
	if (!s->ssl)
		return err_set(err, -ENOMEM, "begin a TLS session");
	(void)SSL_set_app_data(s->ssl, &s->refused);
	if (s->memory) {
		BIO *in = BIO_new(BIO_s_mem());
		BIO *out = BIO_new(BIO_s_mem());

		if (!in || !out) {
			BIO_free(in);
			BIO_free(out);
			return err_set(err, -ENOMEM, "begin a TLS session");
		}
		SSL_set_bio(s->ssl, in, out);
	} else {
		if (SSL_set_fd(s->ssl, fd) != 1)
			return err_set(err, -ENOMEM, "begin a TLS session");
		/* bulk: one read() for several records instead of two for each */
		SSL_set_read_ahead(s->ssl, 1);
		SSL_set_default_read_buffer_len(s->ssl, READ_BYTES);
	}
	if (server)
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	*ret = TAKE_PTR(s);
	return 0;
}

struct tls_session *tls_session_free(struct tls_session *s)
{
	if (s)
		SSL_free(s->ssl);
	free(s);
	return NULL;
}

/* Meaning of the peer's alert, for a person */
static int describe_alert(const struct tls_context *us, int alert, struct err *err)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_DECRYPT_ERROR:
	case SSL_AD_ACCESS_DENIED:
		return err_set(
			err, -EACCES,
			"the peer refused our certificate (%s): is it of the same authority?",
			SSL_alert_desc_string_long(alert));
	case SSL_AD_CERTIFICATE_REVOKED:
		return err_set(
			err, -EACCES,
			"the peer refused our certificate: it is revoked, `baton pki issue %s "
			"%s --force` makes another one",
			us->name, wire_role_name(us->role));
	case SSL_AD_CERTIFICATE_EXPIRED:
		return err_set(err, -EACCES,
			       "the peer refused our certificate as expired: `baton pki renew %s`, "
			       "or set the clocks",
			       us->name);
	case SSL_AD_CERTIFICATE_REQUIRED:
		return err_set(err, -EACCES, "the peer wants a certificate, we showed none");
	default:
		return err_set(err, -EPROTO, "the peer ended TLS with alert \"%s\"",
			       SSL_alert_desc_string_long(alert));
	}
}

/* Why our side refuses the certificate of @name, which may be "" */
static int describe_verification(const char *name, long why, struct err *err)
{
	const char *whose = *name ? name : "the peer";

	switch (why) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return err_set(err, -EACCES,
			       "the certificate of %s has expired: `baton pki renew %s`, then copy "
			       "it there",
			       whose, *name ? name : "NAME");
	case X509_V_ERR_CERT_REVOKED:
		return err_set(
			err, -EACCES,
			"the certificate of %s is revoked: `baton pki issue %s ROLE --force` "
			"if it shall come back",
			whose, *name ? name : "NAME");
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return err_set(err, -EACCES,
			       "the certificate of %s is not valid yet: set the clocks", whose);
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID:
		return err_set(err, -EACCES,
			       "the list of revoked certificates is not of this time: copy the "
			       "authority's ca.crl here, or set the clocks");
	default:
		return err_set(err, -EACCES,
			       "the certificate of %s is not signed by our authority (%s)", whose,
			       X509_verify_cert_error_string(why));
	}
}

/* Turns the failure of an SSL call into a code and a text */
static int session_failed(struct tls_session *s, int result, struct err *err)
{
	int saved = errno;
	int kind = SSL_get_error(s->ssl, result);
	unsigned long e = ERR_peek_error();

	if (kind == SSL_ERROR_WANT_READ)
		return TLS_E_WANT_READ;
	if (kind == SSL_ERROR_WANT_WRITE)
		return TLS_E_WANT_WRITE;
	if (kind == SSL_ERROR_ZERO_RETURN)
		return TLS_E_CLOSED;
	if (kind == SSL_ERROR_SYSCALL && !e)
		return err_set(err, saved ? -saved : -ECONNRESET, "TLS connection");
	ERR_clear_error();
	int reason = ERR_GET_REASON(e);
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return err_set(err, -ECONNRESET, "the peer broke off");
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return describe_verification(s->refused.name, SSL_get_verify_result(s->ssl), err);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return err_set(err, -EACCES, "the peer showed no certificate");
	if (reason > ALERT_OFFSET && reason < ALERT_OFFSET + 256)
		return describe_alert(s->context, reason - ALERT_OFFSET, err);
	return err_set(err, -EPROTO, "TLS: %s", e ? ERR_reason_error_string(e) : "failed");
}

int tls_session_handshake(struct tls_session *s, struct err *err)
{
	/* OpenSSL keeps errors in a queue for each thread; errors of an earlier call must not count */
	ERR_clear_error();
	errno = 0;
	int r = SSL_do_handshake(s->ssl);
	return r == 1 ? 0 : session_failed(s, r, err);
}

int tls_session_peer(struct tls_session *s, char name[NAME_SIZE], enum wire_role *role,
		     struct err *err)
{
	X509 *cert = SSL_get0_peer_certificate(s->ssl);

	if (!cert || SSL_get_verify_result(s->ssl) != X509_V_OK)
		return err_set(err, -EACCES, "the peer has no verified certificate");
	s->expires = tls_identity_expires(cert);
	return tls_identity_read(cert, name, role, err);
}

int tls_session_valid(struct tls_session *s, struct err *err)
{
	unsigned int generation = s->context->generation;
	X509 *cert = SSL_get0_peer_certificate(s->ssl);
	char name[NAME_SIZE] = "";
	enum wire_role role;
	int why = s->expires < time(NULL) ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_OK;

	if (why == X509_V_OK && generation == s->generation)
		return 0;
	if (why == X509_V_OK) {
		(void)pthread_mutex_lock(&s->context->lock);
		why = tls_identity_verify(&s->context->identity, cert);
		(void)pthread_mutex_unlock(&s->context->lock);
	}
	if (why != X509_V_OK) {
		(void)tls_identity_read(cert, name, &role, NULL);
		return describe_verification(name, why, err);
	}
	s->generation = generation;
	return 0;
}

int tls_session_read(struct tls_session *s, void *to, size_t len, size_t *got, struct err *err)
{
	ERR_clear_error();
	errno = 0;
	int r = SSL_read_ex(s->ssl, to, len, got);
	return r == 1 ? 0 : session_failed(s, r, err);
}

int tls_session_write(struct tls_session *s, const void *from, size_t len, size_t *put,
		      struct err *err)
{
	size_t done = 0;

	do {
		size_t part;

		ERR_clear_error();
		errno = 0;
		int r = SSL_write_ex(s->ssl, (const uint8_t *)from + done, len - done, &part);
		if (r != 1)
			return session_failed(s, r, err);
		done += part;
	} while (s->memory && done < len);
	*put = done;
	return 0;
}

int tls_session_feed(struct tls_session *s, const void *bytes, size_t len, struct err *err)
{
	const uint8_t *at = bytes;

	while (len) {
		int part = len > INT_MAX ? INT_MAX : (int)len;

		if (BIO_write(SSL_get_rbio(s->ssl), at, part) != part)
			return err_set(err, -ENOMEM, "TLS input");
		at += part;
		len -= (size_t)part;
	}
	return 0;
}

int tls_session_drain(struct tls_session *s, struct buf *to, struct err *err)
{
	BIO *out = SSL_get_wbio(s->ssl);
	char *bytes;
	long len = BIO_get_mem_data(out, &bytes);
	int r;

	if (len <= 0)
		return 0;
	r = buf_append(to, bytes, (size_t)len, err);
	if (r < 0)
		return r;
	(void)BIO_reset(out);
	return 0;
}

void tls_session_close(struct tls_session *s)
{
	/* SSL_shutdown() during a handshake is an error in OpenSSL's eyes */
	if (SSL_is_init_finished(s->ssl))
		(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
}

uint64_t tls_session_sent(const struct tls_session *s)
{
	return BIO_number_written(SSL_get_wbio(s->ssl));
}
