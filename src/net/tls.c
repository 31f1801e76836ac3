/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

#define ALERT_OFFSET SSL_AD_REASON_OFFSET /* OpenSSL reports alert n as reason 1000 + n */
#define READ_BYTES   131072u

struct tls_context {
	SSL_CTX *ctx;
	char name[NAME_SIZE];
	enum wire_role role;
};

struct tls_session {
	SSL *ssl;
	bool memory; /* works on BIOs, not on a socket */
};

/* ---- our own identity ---- */

/* Name and role in a certificate; exactly one CN and one OU, neither with anything hidden in it */
static int identity(X509 *cert, char name[NAME_SIZE], enum wire_role *role, struct err *err)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	char text[2][NAME_SIZE] = { 0 };
	const int nid[2] = { NID_commonName, NID_organizationalUnitName };

	for (int i = 0; i < 2; i++) {
		int at = X509_NAME_get_index_by_NID(subject, nid[i], -1);

		if (at < 0 || X509_NAME_get_index_by_NID(subject, nid[i], at) >= 0)
			return err_set(err, -EACCES, "certificate without exactly one %s",
				       i ? "role (OU)" : "name (CN)");
		const ASN1_STRING *value =
			X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		int len = ASN1_STRING_length(value);
		if (len <= 0 || len >= NAME_SIZE)
			return err_set(err, -EACCES, "certificate with a %s of %d bytes",
				       i ? "role (OU)" : "name (CN)", len);
		memcpy(text[i], ASN1_STRING_get0_data(value), (size_t)len);
		if (strlen(text[i]) != (size_t)len || !name_valid(text[i]))
			return err_set(err, -EACCES, "certificate whose %s is no valid name",
				       i ? "role (OU)" : "name (CN)");
	}
	enum wire_role r = wire_role_from_name(text[1]);
	if (r == WIRE_ROLE_NONE)
		return err_set(err, -EACCES, "certificate of %s has the unknown role \"%s\"",
			       text[0], text[1]);
	memcpy(name, text[0], NAME_SIZE);
	*role = r;
	return 0;
}

/* Opens one of the three files; the text says what to do if it is not there */
static int open_pem(FILE **ret, const char *what, const char *path, const char *remedy,
		    struct err *err)
{
	FILE *f = fopen(path, "re");

	if (!f && errno == ENOENT)
		return err_set(err, -ENOENT, "%s %s is missing, %s", what, path, remedy);
	if (!f)
		return err_set(err, -errno, "open %s %s", what, path);
	*ret = f;
	return 0;
}

static int load_ca(struct tls_context *c, const char *path, struct err *err)
{
	FILE *found = NULL;
	int r;

	r = open_pem(&found, "certificate of the authority", path,
		     "copy ca.crt of `baton pki init` there", err);
	if (r < 0)
		return r;
	auto_fclose FILE *f = found;
	X509 *ca = PEM_read_X509(f, NULL, NULL, NULL);
	if (!ca)
		return err_set(err, -EINVAL, "%s holds no PEM certificate, want ca.crt", path);
	int added = X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ctx), ca);
	bool expired = X509_cmp_current_time(X509_get0_notAfter(ca)) < 0;
	X509_free(ca);
	if (added != 1)
		return err_set(err, -ENOMEM, "load %s", path);
	if (expired)
		return err_set(err, -EINVAL,
			       "the authority in %s has expired: `baton pki init --force`, then "
			       "issue all certificates again",
			       path);
	return 0;
}

/* Whether our authority signed @cert and its dates are right */
static int verify_own(struct tls_context *c, X509 *cert, const char *path, const char *ca,
		      struct err *err)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();

	if (!check)
		return err_set(err, -ENOMEM, "verify %s", path);
	if (X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(c->ctx), cert, NULL) != 1) {
		X509_STORE_CTX_free(check);
		return err_set(err, -ENOMEM, "verify %s", path);
	}
	int good = X509_verify_cert(check);
	int why = X509_STORE_CTX_get_error(check);
	X509_STORE_CTX_free(check);
	if (good == 1)
		return 0;
	if (why == X509_V_ERR_CERT_HAS_EXPIRED)
		return err_set(err, -EINVAL, "certificate %s has expired: `baton pki issue`", path);
	if (why == X509_V_ERR_CERT_NOT_YET_VALID)
		return err_set(err, -EINVAL,
			       "certificate %s is not valid yet: is this host's clock right?",
			       path);
	return err_set(err, -EINVAL,
		       "certificate %s was not signed by the authority in %s (%s): issue it with "
		       "that authority's key",
		       path, ca, X509_verify_cert_error_string(why));
}

static int load_cert(struct tls_context *c, const char *path, const char *ca, struct err *err)
{
	FILE *found = NULL;
	int r;

	r = open_pem(&found, "certificate", path, "make one with `baton pki issue NAME ROLE`", err);
	if (r < 0)
		return r;
	auto_fclose FILE *f = found;
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
	if (!cert)
		return err_set(err, -EINVAL, "%s holds no PEM certificate, want NAME.crt", path);
	r = identity(cert, c->name, &c->role, err);
	if (r < 0)
		r = err_wrap(err, -EINVAL, "%s", path);
	if (r == 0)
		r = verify_own(c, cert, path, ca, err);
	if (r == 0 && SSL_CTX_use_certificate(c->ctx, cert) != 1)
		r = err_set(err, -EINVAL, "OpenSSL does not take the certificate in %s", path);
	X509_free(cert);
	return r;
}

static int load_key(struct tls_context *c, const char *path, const char *cert, struct err *err)
{
	FILE *found = NULL;
	int r;

	r = open_pem(&found, "private key", path, "it belongs beside the certificate", err);
	if (r < 0)
		return r;
	auto_fclose FILE *f = found;
	/* an empty pass phrase: a daemon must not stop to ask for one */
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, (void *)(uintptr_t) "");
	if (!key)
		return err_set(err, -EINVAL, "%s holds no PEM private key without pass phrase",
			       path);
	int used = SSL_CTX_use_PrivateKey(c->ctx, key);
	EVP_PKEY_free(key);
	if (used != 1 || SSL_CTX_check_private_key(c->ctx) != 1)
		return err_set(err, -EINVAL,
			       "the key in %s does not belong to the certificate in %s: both must "
			       "come from one `baton pki issue`",
			       path, cert);
	return 0;
}

int tls_context_new(struct tls_context **ret, const char *ca, const char *cert, const char *key,
		    struct err *err)
{
	int r;

	AUTO(tls_context) struct tls_context *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "set up TLS");
	c->ctx = SSL_CTX_new(TLS_method());
	if (!c->ctx || SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION) != 1)
		return err_set(err, -ENOMEM, "set up TLS");
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(c->ctx, 1);
	/* connections live long and are few: resumption would only add state to keep secret */
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(c->ctx, 0);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	r = load_ca(c, ca, err);
	if (r == 0)
		r = load_cert(c, cert, ca, err);
	if (r == 0)
		r = load_key(c, key, cert, err);
	ERR_clear_error();
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct tls_context *tls_context_free(struct tls_context *c)
{
	if (c)
		SSL_CTX_free(c->ctx);
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

/* ---- sessions ---- */

int tls_session_new(struct tls_session **ret, struct tls_context *c, bool server, int fd,
		    struct err *err)
{
	AUTO(tls_session) struct tls_session *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "begin a TLS session");
	s->memory = fd < 0;
	s->ssl = SSL_new(c->ctx);
	if (!s->ssl)
		return err_set(err, -ENOMEM, "begin a TLS session");
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

/* What the peer's alert means to a person */
static int describe_alert(int alert, struct err *err)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_DECRYPT_ERROR:
	case SSL_AD_ACCESS_DENIED:
		return err_set(
			err, -EACCES,
			"the peer refused our certificate (%s): is it of the same authority?",
			SSL_alert_desc_string_long(alert));
	case SSL_AD_CERTIFICATE_EXPIRED:
		return err_set(err, -EACCES,
			       "the peer refused our certificate as expired: issue a new one, or "
			       "set the clocks");
	case SSL_AD_CERTIFICATE_REQUIRED:
		return err_set(err, -EACCES, "the peer wants a certificate, we showed none");
	default:
		return err_set(err, -EPROTO, "the peer ended TLS with alert \"%s\"",
			       SSL_alert_desc_string_long(alert));
	}
}

/* Why our side refused the peer's certificate */
static int describe_verification(long why, struct err *err)
{
	switch (why) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return err_set(err, -EACCES, "the peer's certificate has expired: issue a new one");
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return err_set(err, -EACCES,
			       "the peer's certificate is not valid yet: set the clocks");
	default:
		return err_set(err, -EACCES,
			       "the peer's certificate is not signed by our authority (%s)",
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
		return describe_verification(SSL_get_verify_result(s->ssl), err);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return err_set(err, -EACCES, "the peer showed no certificate");
	if (reason > ALERT_OFFSET && reason < ALERT_OFFSET + 256)
		return describe_alert(reason - ALERT_OFFSET, err);
	return err_set(err, -EPROTO, "TLS: %s", e ? ERR_reason_error_string(e) : "failed");
}

int tls_session_handshake(struct tls_session *s, struct err *err)
{
	/* OpenSSL keeps errors in a queue for each thread; what another call left must not count */
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
	return identity(cert, name, role, err);
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
