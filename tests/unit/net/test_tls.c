/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/pki.h"
#include "net/tls.h"
#include "test_pki.h"

/* Loads three files of a directory by their names */
static int load(const struct test_pki *p, const char *ca, const char *cert, const char *key,
		struct err *err)
{
	char path[3][PATH_MAX];
	const char *name[3] = { ca, cert, key };
	struct tls_context *c = NULL;

	for (int i = 0; i < 3; i++)
		(void)snprintf(path[i], sizeof(path[i]), "%s%s%s", name[i][0] == '/' ? "" : p->dir,
			       name[i][0] == '/' ? "" : "/", name[i]);
	int r = tls_context_new(&c, path[0], path[1], path[2], err);
	tls_context_free(c);
	return r;
}

#define assert_says(err, words)                                                                    \
	do {                                                                                       \
		if (!strstr((err).text, words))                                                    \
			fail_msg("\"%s\" lacks \"%s\"", (err).text, words);                        \
	} while (0)

static void test_files(void **state)
{
	struct test_pki p, q;
	struct err err = { 0 };
	struct stat st;
	char path[PATH_MAX], other[PATH_MAX];

	(void)state;
	test_pki_new(&p);
	test_pki_new(&q);
	assert_int_equal(pki_issue(p.dir, "AP-1", WIRE_ROLE_AP, 0, false, &err), 0);
	assert_int_equal(pki_issue(p.dir, "AP-2", WIRE_ROLE_AP, 0, false, &err), 0);
	assert_int_equal(pki_issue(p.dir, "old", WIRE_ROLE_AP, -1, false, &err), 0);

	assert_int_equal(load(&p, "ca.crt", "AP-1.crt", "AP-1.key", &err), 0);
	assert_int_equal(load(&p, "no.crt", "AP-1.crt", "AP-1.key", &err), -ENOENT);
	assert_says(err, "no.crt is missing");
	assert_int_equal(load(&p, "ca.crt", "no.crt", "AP-1.key", &err), -ENOENT);
	assert_says(err, "baton pki issue");
	assert_int_equal(load(&p, "ca.crt", "AP-1.crt", "no.key", &err), -ENOENT);
	assert_int_equal(load(&p, "ca.crt", "AP-1.crt", "AP-2.key", &err), -EINVAL);
	assert_says(err, "does not belong");
	assert_int_equal(load(&p, "ca.crt", "old.crt", "old.key", &err), -EINVAL);
	assert_says(err, "has expired");
	assert_int_equal(load(&p, "AP-1.key", "AP-1.crt", "AP-1.key", &err), -EINVAL);
	assert_int_equal(load(&p, "ca.crt", "AP-1.key", "AP-1.key", &err), -EINVAL);
	assert_int_equal(load(&p, "ca.crt", "AP-1.crt", "AP-1.crt", &err), -EINVAL);
	/* the authority's own certificate names no role */
	assert_int_equal(load(&p, "ca.crt", "ca.crt", "ca.key", &err), -EINVAL);
	(void)snprintf(other, sizeof(other), "%s/ca.crt", q.dir);
	assert_int_equal(load(&p, other, "AP-1.crt", "AP-1.key", &err), -EINVAL);
	assert_says(err, "was not signed by");

	(void)snprintf(path, sizeof(path), "%s/AP-1.key", p.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)snprintf(path, sizeof(path), "%s/ca.key", p.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	assert_int_equal(pki_init(p.dir, false, &err), -EEXIST);
	assert_int_equal(pki_issue(p.dir, "AP-1", WIRE_ROLE_AP, 0, false, &err), -EEXIST);
	assert_says(err, "--force");
	assert_int_equal(pki_issue(p.dir, "AP-1", WIRE_ROLE_AP, 0, true, &err), 0);
	assert_int_equal(pki_issue(p.dir, "../x", WIRE_ROLE_AP, 0, false, &err), -EINVAL);
	assert_int_equal(pki_issue(p.dir, "ca", WIRE_ROLE_AP, 0, true, &err), -EINVAL);
	assert_int_equal(pki_issue(p.dir, "x", WIRE_ROLE_NONE, 0, false, &err), -EINVAL);
	test_pki_remove(&p);
	test_pki_remove(&q);
}

/* Carries bytes between two sessions in memory. Return: result of the first that fails, or 0 */
static int shake(struct tls_session *client, struct tls_session *server, struct err *client_err,
		 struct err *server_err)
{
	struct buf b;
	int c = TLS_E_WANT_READ, s = TLS_E_WANT_READ;

	buf_init(&b, 0);
	for (int i = 0; i < 10; i++) {
		if (c == TLS_E_WANT_READ)
			c = tls_session_handshake(client, client_err);
		assert_int_equal(tls_session_drain(client, &b, NULL), 0);
		assert_int_equal(tls_session_feed(server, buf_bytes(&b), b.len, NULL), 0);
		buf_consume(&b, b.len);
		if (s == TLS_E_WANT_READ)
			s = tls_session_handshake(server, server_err);
		assert_int_equal(tls_session_drain(server, &b, NULL), 0);
		assert_int_equal(tls_session_feed(client, buf_bytes(&b), b.len, NULL), 0);
		buf_consume(&b, b.len);
	}
	buf_deinit(&b);
	return c < 0 ? c : s;
}

static void test_session(void **state)
{
	struct test_pki p, q;
	struct err ce = { 0 }, se = { 0 };
	struct tls_session *c = NULL, *s = NULL;
	struct buf b;
	char name[NAME_SIZE], text[16];
	enum wire_role role;
	size_t n;

	(void)state;
	test_pki_new(&p);
	test_pki_new(&q);
	struct tls_context *one = test_pki_tls(&p, "AP-1", WIRE_ROLE_AP);
	struct tls_context *two = test_pki_tls(&p, "EdgeServer-1", WIRE_ROLE_ES);
	struct tls_context *stranger = test_pki_tls(&q, "AP-1", WIRE_ROLE_AP);
	assert_string_equal(tls_context_name(one), "AP-1");
	assert_int_equal(tls_context_role(two), WIRE_ROLE_ES);

	assert_int_equal(tls_session_new(&c, one, false, -1, &ce), 0);
	assert_int_equal(tls_session_new(&s, two, true, -1, &se), 0);
	assert_int_equal(shake(c, s, &ce, &se), 0);
	assert_int_equal(tls_session_peer(c, name, &role, &ce), 0);
	assert_string_equal(name, "EdgeServer-1");
	assert_int_equal(role, WIRE_ROLE_ES);
	assert_int_equal(tls_session_peer(s, name, &role, &se), 0);
	assert_string_equal(name, "AP-1");
	assert_int_equal(tls_session_write(c, "hello", 5, &n, &ce), 0);
	buf_init(&b, 0);
	assert_int_equal(tls_session_drain(c, &b, NULL), 0);
	assert_int_equal(tls_session_read(s, text, sizeof(text), &n, &se), TLS_E_WANT_READ);
	assert_int_equal(tls_session_feed(s, buf_bytes(&b), b.len, NULL), 0);
	assert_int_equal(tls_session_read(s, text, sizeof(text), &n, &se), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(text, "hello", 5);
	buf_deinit(&b);
	c = tls_session_free(c);
	s = tls_session_free(s);

	/* a client of another authority */
	assert_int_equal(tls_session_new(&c, stranger, false, -1, &ce), 0);
	assert_int_equal(tls_session_new(&s, two, true, -1, &se), 0);
	assert_true(shake(c, s, &ce, &se) < 0);
	assert_says(ce, "not signed by our authority");
	assert_says(se, "refused our certificate");
	tls_session_free(c);
	tls_session_free(s);
	tls_context_free(one);
	tls_context_free(two);
	tls_context_free(stranger);
	test_pki_remove(&p);
	test_pki_remove(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_session),
	};

	return cmocka_run_group_tests_name("net/tls", tests, NULL, NULL);
}
