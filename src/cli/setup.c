/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton setup - the configuration of a deployment's first host, and of further ones
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "cli/command.h"
#include "cli/setup_join.h"
#include "cli/setup_site.h"
#include "net/crypto.h"
#include "net/pki.h"
#include "net/pki_request.h"

#define ETC         "/etc/baton"
#define MINUTES     15
#define MINUTES_MAX 1440
#define JOIN_PORT   7400

static const char *const names[] = { "etc=", "minutes=", NULL };

/** struct setup - Options, and facts about the host */
struct setup {
	const char *etc;
	int minutes;
	struct site site;
};

static int on_option(void *ctx, const char *name, const char *value, struct err *err)
{
	struct setup *s = ctx;
	char *end;

	if (strcmp(name, "etc") == 0) {
		s->etc = value;
		return 0;
	}
	long minutes = strtol(value, &end, 10);
	if (end == value || *end || minutes < 1 || minutes > MINUTES_MAX)
		return err_set(err, -EINVAL, "setup: --minutes %.20s: want 1 to %d", value,
			       MINUTES_MAX);
	s->minutes = (int)minutes;
	return 0;
}

/** answer() - Ask on the terminal. Return: 0, or -EINVAL if there is no terminal or no answer */
static int answer(char *to, size_t size, const char *question, const char *usual, struct err *err)
{
	if (!isatty(STDIN_FILENO))
		return err_set(err, -EINVAL, "setup: want NAME and ADDRESS (--help)");
	(void)printf("%s%s%s%s: ", question, *usual ? " [" : "", usual, *usual ? "]" : "");
	(void)fflush(stdout);
	if (!fgets(to, (int)size, stdin))
		return err_set(err, -EINVAL, "setup: no answer");
	to[strcspn(to, "\n")] = '\0';
	if (!*to)
		(void)snprintf(to, size, "%s", usual);
	return 0;
}

/** host_ask() - Name and address of a host: the arguments, or the user's answers. Return: 0, or negative */
static int host_ask(struct setup *s, int argc, char **argv, bool here, const char **name,
		    struct err *err)
{
	char given[NAME_SIZE] = "";
	char address[NAME_SIZE] = "";
	char own[NAME_SIZE] = "";
	int r = 0;

	if (argc > 2)
		return err_set(err, -EINVAL, "setup: argument \"%.80s\" is not expected (--help)",
			       argv[2]);
	if (here && gethostname(own, sizeof(own) - 1) == 0)
		own[strcspn(own, ".")] = '\0';
	if (argc > 0)
		(void)snprintf(given, sizeof(given), "%s", argv[0]);
	else
		r = answer(given, sizeof(given), "Name of the host", own, err);
	if (r == 0 && argc > 1)
		(void)snprintf(address, sizeof(address), "%s", argv[1]);
	else if (r == 0)
		r = answer(address, sizeof(address),
			   "Its address, at which the other hosts reach it", "", err);
	if (r == 0)
		r = site_add(&s->site, given, address, err);
	if (r == 0)
		*name = site_find(&s->site, given)->name;
	return r;
}

/** authority_copy() - The authority's certificate goes to pki/. Return: 0, or negative error code */
static int authority_copy(const struct site *site, struct err *err)
{
	char *text = NULL;
	int r = site_read(&text, site, "authority/ca.crt", err);
	auto_free char *owned = text;

	return r < 0 ? r : site_put(site, "pki/ca.crt", owned, false, err);
}

/** program_issue() - Key and certificate of a program of the first host. Return: 0, or negative error code */
static int program_issue(const struct site *site, const char *authority, const char *node,
			 enum wire_role role, const char *program, struct err *err)
{
	char path[PATH_MAX];
	char name[32];
	char *request = NULL;
	char *certificate = NULL;

	(void)snprintf(name, sizeof(name), "pki/%s.key", program);
	int r = site_file(path, site, name, err);
	if (r == 0)
		r = pki_request_make(path, &request, err);
	auto_free char *asked = request;
	if (r == 0)
		r = pki_request_sign(authority, node, role, 0, asked, &certificate, err);
	auto_free char *signed_one = certificate;
	(void)snprintf(name, sizeof(name), "pki/%s.crt", program);
	return r < 0 ? r : site_put(site, name, signed_one, false, err);
}

/** want_fresh() - Whether this host has no configuration yet. Return: 0, or -EEXIST */
static int want_fresh(const struct setup *s, struct err *err)
{
	static const char *const files[] = { "hosts",        "es.conf",    "ap.conf",
					     "logrepo.conf", "pki/es.key", "pki/ap.key" };
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
		r = site_file(path, &s->site, files[i], err);
		if (r == 0 && access(path, F_OK) == 0)
			r = err_set(err, -EEXIST,
				    "%s is there: this host belongs to a deployment already; move "
				    "its files away, "
				    "or choose another --etc",
				    path);
	}
	return r;
}

/** first() - "baton setup first": everything of the first host */
static int first(struct setup *s, int argc, char **argv, struct err *err)
{
	struct site *site = &s->site;
	char authority[PATH_MAX];
	char node[2 * NAME_SIZE];
	const char *name = NULL;
	int r;

	r = want_fresh(s, err);
	if (r == 0)
		r = host_ask(s, argc, argv, true, &name, err);
	if (r == 0)
		r = site_file(authority, site, "authority", err);
	if (r == 0 && mkdir(site->etc, 0755) < 0 && errno != EEXIST)
		r = err_set(err, -errno, "create %s", site->etc);
	/* A second attempt, after one that failed, uses the authority that is there. */
	if (r == 0 && (r = pki_init(authority, false, err)) == -EEXIST)
		r = 0;
	if (r == 0)
		r = authority_copy(site, err);
	(void)snprintf(node, sizeof(node), "EdgeServer-%s", name ? name : "");
	if (r == 0)
		r = program_issue(site, authority, node, WIRE_ROLE_ES, "es", err);
	(void)snprintf(node, sizeof(node), "AP-%s", name ? name : "");
	if (r == 0)
		r = program_issue(site, authority, node, WIRE_ROLE_AP, "ap", err);
	if (r == 0)
		r = program_issue(site, authority, "LogRepo", WIRE_ROLE_LOGREPO, "logrepo", err);
	if (r == 0)
		r = program_issue(site, authority, "operator", WIRE_ROLE_OPERATOR, "operator", err);
	if (r == 0)
		r = site_write(site, name, err);
	if (r < 0)
		return err_wrap(err, r, "setup first");
	(void)printf("This is the first host: %s/es.conf, ap.conf, logrepo.conf, baton.conf are "
		     "written, and\n"
		     "%s/authority holds the deployment's authority: back it up, and show it to "
		     "nobody.\n"
		     "Next:\n"
		     "  put a service into %s/services, and its users' addresses into ap.conf "
		     "(\"listener\")\n"
		     "  baton host check\n"
		     "  systemctl enable --now baton-logrepo baton-es baton-ap\n"
		     "  baton setup invite NAME ADDRESS          for each further host\n",
		     site->etc, site->etc, site->etc);
	return 0;
}

/** others_say() - Steps that the other hosts need now */
static void others_say(const struct site *site, const char *self, const struct site_host *host)
{
	bool any = false;

	for (size_t i = 0; i < site->hosts; i++)
		any |= &site->host[i] != host && strcmp(site->host[i].name, self) != 0;
	(void)printf("Next, here:\n"
		     "  systemctl reload baton-es baton-ap       no link and no container ends\n");
	if (any)
		(void)printf("On each other host:\n"
			     "  baton setup host %s %s && systemctl reload baton-es baton-ap\n",
			     host->name, host->address);
}

/** invite() - "baton setup invite": show a token and wait for the host */
static int invite(struct setup *s, int argc, char **argv, struct err *err)
{
	struct site *site = &s->site;
	char authority[PATH_MAX];
	char text[JOIN_TOKEN_SIZE];
	struct join_token token = { 0 };
	const char *name = NULL;
	int r;

	if (site->hosts == 0)
		return err_set(err, -ENOENT,
			       "setup invite: make the first host first: baton setup first");
	r = site_file(authority, site, "authority/ca.key", err);
	if (r == 0 && access(authority, R_OK) < 0)
		r = err_set(err, -errno, "%s: hosts are invited where the authority is, at host %s",
			    authority, site->host[0].name);
	*strrchr(authority, '/') = '\0';
	if (r == 0)
		r = host_ask(s, argc, argv, false, &name, err);
	if (r == 0 && crypto_random(token.secret, sizeof(token.secret)) < 0)
		r = err_set(err, -EIO, "random numbers");
	if (r < 0)
		return err_wrap(err, r, "setup invite");
	bool v6 = strchr(site->host[0].address, ':');
	(void)snprintf(token.address, sizeof(token.address), "%s%s%s:%d", v6 ? "[" : "",
		       site->host[0].address, v6 ? "]" : "", JOIN_PORT);
	auto_close int listener = join_listen(&token, err);
	if (listener < 0)
		return err_wrap(err, listener, "setup invite");
	join_token_format(text, &token);
	(void)printf("On host %s, within %d minutes:\n\n  baton setup join %s\n\n"
		     "Whoever has this token can join once in that time. Waiting ...\n",
		     name, s->minutes, text);
	(void)fflush(stdout);
	r = join_serve(listener, site, name, authority, &token, s->minutes, err);
	crypto_wipe(&token, sizeof(token));
	crypto_wipe(text, sizeof(text));
	if (r == 0)
		r = site_write(site, site->host[0].name, err);
	if (r < 0)
		return err_wrap(err, r, "setup invite");
	(void)printf("%s has joined.\n", name);
	others_say(site, site->host[0].name, site_find(site, name));
	return 0;
}

/** join() - "baton setup join" */
static int join(struct setup *s, int argc, char **argv, struct err *err)
{
	char name[NAME_SIZE] = "";
	struct join_token token;
	int r;

	if (argc != 1)
		return err_set(err, -EINVAL,
			       "setup join: want the TOKEN that \"baton setup invite\" shows");
	r = want_fresh(s, err);
	if (r == 0)
		r = join_token_parse(&token, argv[0], err);
	if (r == 0)
		r = join_ask(&s->site, &token, name, err);
	crypto_wipe(&token, sizeof(token));
	if (r == 0)
		r = site_write(&s->site, name, err);
	if (r < 0)
		return err_wrap(err, r, "setup join");
	(void)printf("This is host %s now: %s/es.conf and ap.conf are written. Next:\n"
		     "  copy the services and \"listener\" lines of the first host, if users come "
		     "here, too\n"
		     "  baton host check\n"
		     "  systemctl enable --now baton-es baton-ap\n",
		     name, s->etc);
	return 0;
}

/** self_name() - Which of the hosts is this one: the one of es.conf. Return: 0, or negative error code */
static int self_name(const struct setup *s, char name[NAME_SIZE], struct err *err)
{
	char path[PATH_MAX];
	char line[512];
	int r = site_file(path, &s->site, "es.conf", err);

	if (r < 0)
		return r;
	auto_fclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "name = \"EdgeServer-%63[^\"]\"", name) == 1)
			return 0;
	return err_set(err, -ENOENT, "%s names no EdgeServer-...", path);
}

/** host_add() - "baton setup host": this host learns of another one */
static int host_add(struct setup *s, int argc, char **argv, struct err *err)
{
	char self[NAME_SIZE] = "";
	const char *name = NULL;
	int r = self_name(s, self, err);

	if (r == 0)
		r = host_ask(s, argc, argv, false, &name, err);
	if (r == 0)
		r = site_write(&s->site, self, err);
	if (r < 0)
		return err_wrap(err, r, "setup host");
	(void)printf("%s is known here. Next: systemctl reload baton-es baton-ap\n", name);
	return 0;
}

static int run_setup(const char *unused, int argc, char **argv, struct err *err)
{
	static const struct {
		const char *name;
		int (*run)(struct setup *s, int argc, char **argv, struct err *err);
	} words[] = {
		{ "first", first }, { "invite", invite }, { "join", join }, { "host", host_add }
	};
	auto_free struct setup *s = calloc(1, sizeof(*s));

	(void)unused; /* this writes it */
	if (!s)
		return err_set(err, -ENOMEM, "setup");
	s->etc = ETC;
	s->minutes = MINUTES;
	int at = command_options(argc, argv, names, on_option, s, err);
	if (at < 0)
		return at;
	int r = site_load(&s->site, s->etc, err);
	if (r < 0)
		return r;
	for (size_t i = 0; at < argc && i < ARRAY_SIZE(words); i++)
		if (strcmp(argv[at], words[i].name) == 0)
			return words[i].run(s, argc - at - 1, argv + at + 1, err);
	return err_set(err, -EINVAL,
		       "setup: want \"first\", \"invite\", \"join\" or \"host\" (--help)");
}

const struct command command_setup = {
	.name = "setup",
	.arguments =
		"first [NAME ADDRESS] | invite [NAME ADDRESS] | join TOKEN | host [NAME ADDRESS]   "
		"[--etc DIR] [--minutes N]",
	.summary = "write the configuration of a first host, and of further ones",
	.help = "  first          make the authority and the configuration of the first host, with "
		"the event log\n"
		"                 repository and the operator's configuration\n"
		"  invite         at the first host: show a token, and wait until the new host has "
		"joined\n"
		"  join           at the new host: get certificates and the configuration; keys "
		"stay here\n"
		"  host           at the other hosts: learn of the new host\n"
		"  NAME ADDRESS   of that host, numeric; asked for on a terminal if they are left "
		"out\n"
		"  --etc DIR      where the configuration is (" ETC ")\n"
		"  --minutes N    life of the token (15); it is good for one host\n\n"
		"Configurations that are there keep what an operator has changed: only the lines "
		"between the\n"
		"marks of baton setup are written anew. invite listens at port 7400 while it "
		"waits.\n",
	.run = run_setup,
};
