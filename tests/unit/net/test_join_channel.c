/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Join channel and requests: who knows the secret is understood, everybody else is refused
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/join_channel.h"
#include "net/pki.h"
#include "net/pki_request.h"

#define STEP_MS 20000

static const uint8_t secret[JOIN_SECRET_BYTES] = "a secret that both of them know";
static const uint8_t other[JOIN_SECRET_BYTES] = "a secret that one of them knows";

/** struct echo - A server that sends back what it gets; @result: how its handshake ended, then what it read */
struct echo {
	int fd;
	const uint8_t *secret;
	int opened;
	int received;
	int timeout_ms;
};

static void *echo_run(void *arg)
{
	struct echo *e = arg;
	AUTO(join_channel) struct join_channel *c = NULL;
	char *text = NULL;
	struct err err = { 0 };

	e->opened = join_channel_open(&c, e->fd, true, e->secret, e->timeout_ms, &err);
	if (e->opened < 0) {
		(void)shutdown(e->fd, SHUT_RDWR);
		return NULL;
	}
	e->received = join_channel_receive(c, &text, &err);
	if (e->received == 0)
		(void)join_channel_send(c, text, &err);
	free(text);
	return NULL;
}

static void pair_make(int fd[2])
{
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), errno);
}

static void test_echo(void **state)
{
	static char long_text[JOIN_MESSAGE_MAX + 2];
	struct err err = { 0 };
	(void)state;

	for (int longer = 0; longer < 2; longer++) {
		struct join_channel *c = NULL;
		pthread_t thread;
		char *text = NULL;
		int fd[2];

		pair_make(fd);
		struct echo e = { .fd = fd[0], .secret = secret, .timeout_ms = STEP_MS };
		assert_int_equal(pthread_create(&thread, NULL, echo_run, &e), 0);
		assert_int_equal(join_channel_open(&c, fd[1], false, secret, STEP_MS, &err), 0);
		memset(long_text, 'x', sizeof(long_text) - 1);
		assert_int_equal(join_channel_send(c, long_text, &err), -EMSGSIZE);
		long_text[longer ? JOIN_MESSAGE_MAX : 3] = '\0';
		assert_int_equal(join_channel_send(c, long_text, &err), 0);
		assert_int_equal(join_channel_receive(c, &text, &err), 0);
		assert_string_equal(text, long_text);
		assert_int_equal(pthread_join(thread, NULL), 0);
		free(text);
		join_channel_free(c);
		(void)close(fd[0]);
		(void)close(fd[1]);
	}
}

static void test_wrong_secret(void **state)
{
	struct join_channel *c = NULL;
	struct err err = { 0 };
	pthread_t thread;
	int fd[2];

	(void)state;
	pair_make(fd);
	struct echo e = { .fd = fd[0], .secret = secret, .timeout_ms = STEP_MS };
	assert_int_equal(pthread_create(&thread, NULL, echo_run, &e), 0);
	assert_int_equal(join_channel_open(&c, fd[1], false, other, STEP_MS, &err), -EACCES);
	assert_null(c);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(e.opened, -EACCES);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

/* Neither noise nor silence gets anywhere, at either side. */
static void test_no_tls(void **state)
{
	static const char noise[] = "GET / HTTP/1.1\r\nHost: first\r\n\r\n";
	(void)state;

	for (int server = 0; server < 2; server++) {
		struct join_channel *c = NULL;
		struct err err = { 0 };
		int fd[2];

		pair_make(fd);
		assert_int_equal(write(fd[1], noise, sizeof(noise) - 1), sizeof(noise) - 1);
		assert_int_equal(join_channel_open(&c, fd[0], server, secret, STEP_MS, &err),
				 -EACCES);
		(void)close(fd[0]);
		(void)close(fd[1]);
		pair_make(fd);
		assert_int_equal(join_channel_open(&c, fd[0], server, secret, 50, &err),
				 -ETIMEDOUT);
		assert_null(c);
		(void)close(fd[0]);
		(void)close(fd[1]);
	}
}

/* --- requests ----------------------------------------------------------------------------------- */

static char directory[64];

static int authority_make(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)strcpy(directory, "/tmp/baton-join-XXXXXX");
	return mkdtemp(directory) ? pki_init(directory, false, &err) : -1;
}

static int authority_remove(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command); /* NOLINT(cert-env33-c): a name of our own */
}

/* A request for a key of another kind, signed by it. */
static char *rsa_request(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	X509_REQ *request = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes = NULL;

	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	assert_true(X509_REQ_sign(request, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509_REQ(bio, request), 1);
	long len = BIO_get_mem_data(bio, &bytes);
	char *text = strndup(bytes, (size_t)len);
	BIO_free(bio);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	return text;
}

/* A request whose public key was exchanged: its sender has not got that key. */
static char *stolen_request(const char *text)
{
	BIO *in = BIO_new_mem_buf(text, -1);
	X509_REQ *request = PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes = NULL;

	assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
	assert_int_equal(PEM_write_bio_X509_REQ(bio, request), 1);
	long len = BIO_get_mem_data(bio, &bytes);
	char *stolen = strndup(bytes, (size_t)len);
	BIO_free(in);
	BIO_free(bio);
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	return stolen;
}

static void test_requests(void **state)
{
	char key[128];
	char *request = NULL;
	char *certificate = NULL;
	struct err err = { 0 };

	(void)state;
	(void)snprintf(key, sizeof(key), "%s/new.key", directory);
	assert_int_equal(pki_request_make(key, &request, &err), 0);
	assert_int_equal(
		pki_request_sign(directory, "ES", WIRE_ROLE_ES, 0, request, &certificate, &err), 0);
	assert_non_null(strstr(certificate, "BEGIN CERTIFICATE"));
	free(certificate);
	certificate = NULL;
	/* It can be revoked like any other. */
	size_t revoked = 0;
	assert_int_equal(pki_revoke(directory, "ES", &revoked, &err), 0);
	assert_int_equal(revoked, 1);

	char *const bad[] = { rsa_request(), stolen_request(request), strdup(""),
			      strndup(request, strlen(request) / 2) };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pki_request_sign(directory, "ES", WIRE_ROLE_ES, 0, bad[i],
						  &certificate, &err),
				 -EINVAL);
		assert_null(certificate);
		free(bad[i]);
	}
	assert_int_equal(
		pki_request_sign(directory, "ca", WIRE_ROLE_ES, 0, request, &certificate, &err),
		-EINVAL);
	assert_int_equal(
		pki_request_sign(directory, "../x", WIRE_ROLE_ES, 0, request, &certificate, &err),
		-EINVAL);
	free(request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_wrong_secret),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test_setup_teardown(test_requests, authority_make, authority_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
