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
	const struct tls_files files = { .ca = path[0], .cert = path[1], .key = path[2] };
	int r = tls_context_new(&c, &files, err);
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

/* Shakes hands. Return: 0, or the failure of the first that has one */
static int meet(struct tls_context *client, struct tls_context *server, struct tls_session **s,
		struct err *client_err, struct err *server_err)
{
	struct tls_session *c = NULL;
	char name[NAME_SIZE];
	enum wire_role role;
	int r;

	*s = NULL;
	assert_int_equal(tls_session_new(&c, client, false, -1, client_err), 0);
	assert_int_equal(tls_session_new(s, server, true, -1, server_err), 0);
	r = shake(c, *s, client_err, server_err);
	if (r == 0)
		assert_int_equal(tls_session_peer(*s, name, &role, server_err), 0);
	tls_session_free(c);
	return r;
}

/* Who is revoked is out when the list has been read again: new sessions and those that are there (R16) */
static void test_revoked(void **state)
{
	struct test_pki p;
	struct err ce = { 0 }, se = { 0 };
	struct tls_session *before, *other, *after;
	char path[PATH_MAX], aside[PATH_MAX];
	size_t revoked = 0;

	(void)state;
	test_pki_new(&p);
	struct tls_context *es = test_pki_tls(&p, "EdgeServer-1", WIRE_ROLE_ES);
	struct tls_context *ap = test_pki_tls(&p, "AP-1", WIRE_ROLE_AP);
	struct tls_context *good = test_pki_tls(&p, "AP-2", WIRE_ROLE_AP);
	assert_int_equal(meet(ap, es, &before, &ce, &se), 0);
	assert_int_equal(meet(good, es, &other, &ce, &se), 0);
	assert_int_equal(tls_session_valid(before, &se), 0);

	/* also the certificate that was in use before it was renewed */
	assert_int_equal(pki_renew(p.dir, "AP-1", 0, &(enum wire_role){ 0 }, &se), 0);
	assert_int_equal(pki_revoke(p.dir, "AP-1", &revoked, &se), 0);
	assert_int_equal(revoked, 2);
	assert_int_equal(pki_revoke(p.dir, "AP-1", &revoked, &se), -ENOENT);
	assert_int_equal(pki_revoke(p.dir, "AP-9", &revoked, &se), -ENOENT);
	assert_int_equal(tls_session_valid(before, &se), 0); /* nobody has read it yet */
	assert_int_equal(tls_context_reload(es, &se), 0);
	assert_int_equal(tls_session_valid(before, &se), -EACCES);
	assert_says(se, "the certificate of AP-1 is revoked");
	assert_int_equal(tls_session_valid(other, &se), 0);
	assert_true(meet(ap, es, &after, &ce, &se) < 0);
	assert_says(se, "the certificate of AP-1 is revoked");
	tls_session_free(after);
	assert_int_equal(load(&p, "ca.crt", "AP-1.crt", "AP-1.key", &se), -EINVAL);
	assert_says(se, "AP-1.crt is revoked");
	assert_says(se, "baton pki issue AP-1 ap --force");
	/* who takes the list away does not make everybody good again */
	(void)snprintf(path, sizeof(path), "%s/ca.crl", p.dir);
	(void)snprintf(aside, sizeof(aside), "%s/aside", p.dir);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(tls_context_reload(es, &se), -ENOENT);
	assert_int_equal(tls_session_valid(before, &se), -EACCES);
	assert_int_equal(rename(aside, path), 0);
	/* it may come back with another one, and a second one revoked does not free the first */
	assert_int_equal(pki_issue(p.dir, "AP-1", WIRE_ROLE_AP, 0, true, &se), 0);
	assert_int_equal(load(&p, "ca.crt", "AP-1.crt", "AP-1.key", &se), 0);
	assert_int_equal(pki_revoke(p.dir, "AP-2", &revoked, &se), 0);
	assert_int_equal(tls_context_reload(es, &se), 0);
	assert_int_equal(tls_session_valid(other, &se), -EACCES);
	assert_int_equal(tls_session_valid(before, &se), -EACCES);
	tls_session_free(before);
	tls_session_free(other);
	tls_context_free(es);
	tls_context_free(ap);
	tls_context_free(good);
	test_pki_remove(&p);
}

/* A file that cannot be used, or is of somebody else, changes nothing */
static void test_reload(void **state)
{
	struct test_pki p;
	struct err err = { 0 };
	enum wire_role role = WIRE_ROLE_NONE;
	char path[PATH_MAX];

	(void)state;
	test_pki_new(&p);
	struct tls_context *ap = test_pki_tls(&p, "AP-1", WIRE_ROLE_AP);
	int64_t expires = tls_context_expires(ap);
	assert_true(expires > 1700000000);
	assert_int_equal(pki_renew(p.dir, "AP-1", 3650, &role, &err), 0);
	assert_int_equal(role, WIRE_ROLE_AP);
	assert_int_equal(pki_renew(p.dir, "AP-3", 0, &role, &err), -ENOENT);
	assert_int_equal(tls_context_reload(ap, &err), 0);
	assert_true(tls_context_expires(ap) > expires + 3000 * 86400ll);
	assert_int_equal(pki_issue(p.dir, "AP-1", WIRE_ROLE_ES, 0, true, &err), 0);
	assert_int_equal(tls_context_reload(ap, &err), -EINVAL);
	assert_says(err, "needs a restart");
	(void)snprintf(path, sizeof(path), "%s/ca.crl", p.dir);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	(void)fputs("rubbish\n", f);
	(void)fclose(f);
	assert_int_equal(tls_context_reload(ap, &err), -EINVAL);
	assert_says(err, "holds no PEM list of revoked");
	assert_int_equal(tls_context_role(ap), WIRE_ROLE_AP);
	assert_true(tls_context_expires(ap) > expires + 3000 * 86400ll);
	tls_context_free(ap);
	test_pki_remove(&p);
}

static void append(const char *to, const char *from)
{
	char bytes[4096];
	size_t n;
	FILE *in = fopen(from, "re");
	FILE *out = fopen(to, "ae");

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	(void)fclose(in);
	(void)fclose(out);
}

/* While a deployment goes to another authority, both are trusted: in one file, or in one directory */
static void test_two_authorities(void **state)
{
	struct test_pki p, q;
	struct err ce = { 0 }, se = { 0 };
	struct tls_session *s;
	char both[PATH_MAX], old[PATH_MAX], new[PATH_MAX], cert[2][PATH_MAX], key[2][PATH_MAX];
	size_t revoked;

	(void)state;
	test_pki_new(&p);
	test_pki_new(&q);
	struct tls_context *only_new = test_pki_tls(&q, "AP-2", WIRE_ROLE_AP);
	struct tls_context *ap = NULL;
	assert_int_equal(pki_issue(p.dir, "ES-1", WIRE_ROLE_ES, 0, false, &se), 0);
	/* the old authority has a list, the new one has none yet */
	assert_int_equal(pki_issue(p.dir, "AP-3", WIRE_ROLE_AP, 0, false, &se), 0);
	assert_int_equal(pki_revoke(p.dir, "AP-3", &revoked, &se), 0);
	(void)snprintf(both, sizeof(both), "%s/both.crt", p.dir);
	(void)snprintf(old, sizeof(old), "%s/ca.crt", p.dir);
	(void)snprintf(new, sizeof(new), "%s/ca.crt", q.dir);
	(void)snprintf(cert[0], sizeof(cert[0]), "%s/ES-1.crt", p.dir);
	(void)snprintf(key[0], sizeof(key[0]), "%s/ES-1.key", p.dir);
	(void)snprintf(cert[1], sizeof(cert[1]), "%s/AP-2.crt", q.dir);
	(void)snprintf(key[1], sizeof(key[1]), "%s/AP-2.key", q.dir);
	append(both, old);
	append(both, new);
	const struct tls_files of_ap = { .ca = both, .cert = cert[1], .key = key[1] };
	const struct tls_files of_es[] = {
		{ .ca = both, .cert = cert[0], .key = key[0] },
		{ .ca = p.dir, .cert = cert[0], .key = key[0] },
	};
	assert_int_equal(tls_context_new(&ap, &of_ap, &se), 0);
	/* half copied: the first authority alone would make strangers of all whom the second one signed */
	struct stat st;
	assert_int_equal(stat(both, &st), 0);
	assert_int_equal(truncate(both, st.st_size - 60), 0);
	assert_int_equal(tls_context_reload(ap, &se), -EINVAL);
	assert_says(se, "both.crt is damaged");
	assert_int_equal(unlink(both), 0);
	append(both, old);
	append(both, new);
	assert_int_equal(tls_context_reload(ap, &se), 0);
	for (size_t i = 0; i < ARRAY_SIZE(of_es); i++) {
		struct tls_context *es = NULL;

		assert_int_equal(tls_context_new(&es, &of_es[i], &se), 0);
		assert_int_equal(meet(ap, es, &s, &ce, &se), 0);
		tls_session_free(s);
		/* who knows the new one only still refuses us */
		assert_true(meet(only_new, es, &s, &ce, &se) < 0);
		assert_says(ce, "the certificate of ES-1 is not signed by our authority");
		tls_session_free(s);
		tls_context_free(es);
	}
	tls_context_free(ap);
	tls_context_free(only_new);
	test_pki_remove(&p);
	test_pki_remove(&q);
}

/* Two authorities in a directory, each with a list: both lists count, as long as their authorities do */
static void test_lists_of_two(void **state)
{
	struct test_pki p, q;
	struct err ce = { 0 }, se = { 0 };
	struct tls_session *s;
	char crt[PATH_MAX], crl[PATH_MAX], from[PATH_MAX];
	size_t revoked;

	(void)state;
	test_pki_new(&p);
	test_pki_new(&q);
	struct tls_context *es = test_pki_tls(&p, "ES-1", WIRE_ROLE_ES);
	struct tls_context *of_p = test_pki_tls(&p, "AP-3", WIRE_ROLE_AP);
	struct tls_context *of_q = NULL;
	tls_context_free(es);
	assert_int_equal(pki_issue(q.dir, "AP-4", WIRE_ROLE_AP, 0, false, &se), 0);
	(void)snprintf(crt, sizeof(crt), "%s/second.crt", p.dir);
	(void)snprintf(crl, sizeof(crl), "%s/second.crl", p.dir);
	(void)snprintf(from, sizeof(from), "%s/ca.crt", q.dir);
	append(crt, from);
	char cert[2][PATH_MAX], key[2][PATH_MAX];
	(void)snprintf(cert[0], PATH_MAX, "%s/ES-1.crt", p.dir);
	(void)snprintf(key[0], PATH_MAX, "%s/ES-1.key", p.dir);
	(void)snprintf(cert[1], PATH_MAX, "%s/AP-4.crt", q.dir);
	(void)snprintf(key[1], PATH_MAX, "%s/AP-4.key", q.dir);
	const struct tls_files files[] = { { .ca = p.dir, .cert = cert[0], .key = key[0] },
					   { .ca = p.dir, .cert = cert[1], .key = key[1] } };
	assert_int_equal(tls_context_new(&of_q, &files[1], &se), 0); /* it trusts both */
	assert_int_equal(pki_revoke(p.dir, "AP-3", &revoked, &se), 0);
	assert_int_equal(pki_revoke(q.dir, "AP-4", &revoked, &se), 0);
	assert_int_equal(tls_context_new(&es, &files[0], &se), 0);
	assert_int_equal(meet(of_q, es, &s, &ce, &se), 0);
	tls_session_free(s);
	assert_true(meet(of_p, es, &s, &ce, &se) < 0);
	assert_says(se, "the certificate of AP-3 is revoked");
	tls_session_free(s);
	(void)snprintf(from, sizeof(from), "%s/ca.crl", q.dir);
	append(crl, from);
	assert_int_equal(tls_context_reload(es, &se), 0);
	assert_true(meet(of_q, es, &s, &ce, &se) < 0);
	assert_says(se, "the certificate of AP-4 is revoked");
	tls_session_free(s);
	/* the list goes with its authority, and not before */
	assert_int_equal(unlink(crl), 0);
	assert_int_equal(tls_context_reload(es, &se), -ENOENT);
	assert_int_equal(unlink(crt), 0);
	assert_int_equal(tls_context_reload(es, &se), 0);
	tls_context_free(es);
	tls_context_free(of_p);
	tls_context_free(of_q);
	test_pki_remove(&p);
	test_pki_remove(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),           cmocka_unit_test(test_session),
		cmocka_unit_test(test_revoked),         cmocka_unit_test(test_reload),
		cmocka_unit_test(test_two_authorities), cmocka_unit_test(test_lists_of_two),
	};

	return cmocka_run_group_tests_name("net/tls", tests, NULL, NULL);
}
