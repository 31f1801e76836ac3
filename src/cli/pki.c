/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton pki - make the authority and certificates of a deployment, renew and revoke them
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cli/command.h"
#include "cli/nodes.h"
#include "net/pki.h"

static const char *const names[] = { "dir=", "days=", "force", "json", NULL };

/** struct pki - Options */
struct pki {
	const char *dir;
	int days;
	bool force;
	bool json;
};

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct pki *p = ctx;
	char *end;

	if (strcmp(name, "force") == 0) {
		p->force = true;
	} else if (strcmp(name, "json") == 0) {
		p->json = true;
	} else if (strcmp(name, "dir") == 0) {
		p->dir = value;
	} else {
		long days = strtol(value, &end, 10);

		if (*end || days < 1 || days > PKI_CA_DAYS)
			return err_set(err, -EINVAL, "pki: --days %.20s: want 1 to %d", value,
				       PKI_CA_DAYS);
		p->days = (int)days;
	}
	return 0;
}

/* Prints the action that was done, for scripts; @more is consumed */
static void print_json(const char *done, const struct pki *p, json_t *more)
{
	json_t *j = json_pack("{s:s, s:s}", "done", done, "dir", p->dir);

	if (j && more)
		(void)json_object_update(j, more);
	nodes_print_json(j);
	json_decref(j);
	json_decref(more);
}

static int renew(const struct pki *p, const char *name, struct err *err)
{
	enum wire_role role;
	int r = pki_renew(p->dir, name, p->days, &role, err);

	if (r < 0)
		return err_wrap(err, r, "pki renew");
	if (p->json)
		print_json("renew", p,
			   json_pack("{s:s, s:s}", "name", name, "role", wire_role_name(role)));
	else
		(void)printf("%s/%s.crt and .key, role %s, go to %s, which reads them at SIGHUP; "
			     "the old certificate is good until it ends\n",
			     p->dir, name, wire_role_name(role), name);
	return 0;
}

static int revoke_all_of(const struct pki *p, const char *name, struct err *err)
{
	size_t revoked = 0;
	int r = pki_revoke(p->dir, name, &revoked, err);

	if (r < 0)
		return err_wrap(err, r, "pki revoke");
	if (p->json)
		print_json("revoke", p,
			   json_pack("{s:s, s:I}", "name", name, "revoked", (json_int_t)revoked));
	else
		(void)printf("%zu of %s revoked; %s/ca.crl goes to every host, beside ca.crt, and "
			     "is read at SIGHUP\n",
			     revoked, name, p->dir);
	return 0;
}

static int run_pki(const char *config, int argc, char **argv, struct err *err)
{
	struct pki p = { .dir = "pki" };
	int at, r;

	(void)config; /* none is needed before there are certificates */
	at = command_options(argc, argv, names, on_option, &p, err);
	if (at < 0)
		return at;
	if (argc - at == 1 && strcmp(argv[at], "init") == 0) {
		r = pki_init(p.dir, p.force, err);
		if (r < 0)
			return err_wrap(err, r, "pki init");
		if (p.json)
			print_json("init", &p, NULL);
		else
			(void)printf("%s/ca.crt goes to every host; keep %s/ca.key here\n", p.dir,
				     p.dir);
		return 0;
	}
	if (argc - at == 3 && strcmp(argv[at], "issue") == 0) {
		r = pki_issue(p.dir, argv[at + 1], wire_role_from_name(argv[at + 2]), p.days,
			      p.force, err);
		if (r < 0)
			return err_wrap(err, r, "pki issue");
		if (p.json)
			print_json("issue", &p,
				   json_pack("{s:s, s:s}", "name", argv[at + 1], "role",
					     argv[at + 2]));
		else
			(void)printf("%s/%s.crt and .key go to %s\n", p.dir, argv[at + 1],
				     argv[at + 1]);
		return 0;
	}
	if (argc - at == 2 && strcmp(argv[at], "renew") == 0)
		return renew(&p, argv[at + 1], err);
	if (argc - at == 2 && strcmp(argv[at], "revoke") == 0)
		return revoke_all_of(&p, argv[at + 1], err);
	return err_set(err, -EINVAL,
		       "pki: want \"init\", \"issue NAME ROLE\", \"renew NAME\" or \"revoke NAME\" "
		       "(--help)");
}

const struct command command_pki = {
	.name = "pki",
	.arguments = "init | issue NAME ROLE | renew NAME | revoke NAME   [--dir DIR] [--days N] "
		     "[--force] [--json]",
	.summary = "make the authority and certificates of a deployment, renew and revoke them",
	.help = "  init           make ca.crt and ca.key\n"
		"  issue          make NAME.crt and NAME.key; ROLE is mud, ap, es, logrepo or "
		"operator\n"
		"  renew          make new ones for the same name and role; the old certificate is "
		"good "
		"until it ends\n"
		"  revoke         put all certificates of NAME on the list ca.crl\n"
		"  --dir DIR      where (pki)\n"
		"  --days N       validity of a certificate (365)\n"
		"  --force        replace files that are there\n"
		"  --json         what was done, as one JSON object\n"
		"\n"
		"Another authority, without a pause: `init --dir NEW`; on every host append "
		"NEW/ca.crt to "
		"ca.crt, reload\n"
		"all programs; issue all certificates with --dir NEW, copy them, reload; when all "
		"have "
		"theirs, leave only\n"
		"NEW/ca.crt (and NEW/ca.crl) on every host, reload. docs/operate.md has each "
		"step.\n",
	.run = run_pki,
};
