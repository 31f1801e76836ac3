/* SPDX-License-Identifier: Apache-2.0 */
#include "test_pki.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "net/pki.h"

static void give_up(const char *what, const struct err *err)
{
	(void)fprintf(stderr, "%s: %s\n", what, err->text);
	abort();
}

void test_pki_new(struct test_pki *p)
{
	struct err err = { 0 };

	strcpy(p->dir, "/tmp/baton-test-pki-XXXXXX");
	if (!mkdtemp(p->dir))
		give_up("mkdtemp", &err);
	if (pki_init(p->dir, false, &err) < 0)
		give_up("pki_init", &err);
}

void test_pki_remove(struct test_pki *p)
{
	char path[PATH_MAX];
	struct dirent *e;

	DIR *d = opendir(p->dir);
	while (d && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "%s/%s", p->dir, e->d_name);
		(void)unlink(path);
	}
	if (d)
		closedir(d);
	(void)rmdir(p->dir);
}

struct tls_context *test_pki_tls(const struct test_pki *p, const char *name, enum wire_role role)
{
	char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	struct tls_context *c = NULL;
	struct err err = { 0 };

	(void)snprintf(ca, sizeof(ca), "%s/ca.crt", p->dir);
	(void)snprintf(cert, sizeof(cert), "%s/%s.crt", p->dir, name);
	(void)snprintf(key, sizeof(key), "%s/%s.key", p->dir, name);
	if (pki_issue(p->dir, name, role, 0, true, &err) < 0)
		give_up("pki_issue", &err);
	const struct tls_files files = { .ca = ca, .cert = cert, .key = key };
	if (tls_context_new(&c, &files, &err) < 0)
		give_up("tls_context_new", &err);
	return c;
}
