/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/setup_join.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "cli/setup_site.h"
#include "net/address.h"
#include "net/crypto.h"
#include "net/pki_request.h"

#define VERSION     1
#define STRANGER_MS 2000       /* for a host that connects, to prove that it knows the token */
#define FIRST_MS    60000      /* for the first host, which may have strangers before us */
#define JOINING     ".joining" /* behind the name of a key that has no certificate yet */
#define TOKEN_MARK  "baton1"

static const struct {
	const char *program;
	const char *prefix;
	enum wire_role role;
} joins[] = { { "es", "EdgeServer-", WIRE_ROLE_ES }, { "ap", "AP-", WIRE_ROLE_AP } };

/* --- tokens ------------------------------------------------------------------------------------- */

void join_token_format(char text[JOIN_TOKEN_SIZE], const struct join_token *token)
{
	char hex[2 * JOIN_SECRET_BYTES + 1];

	for (size_t i = 0; i < JOIN_SECRET_BYTES; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", token->secret[i]);
	(void)snprintf(text, JOIN_TOKEN_SIZE, TOKEN_MARK "/%s/%s", token->address, hex);
	crypto_wipe(hex, sizeof(hex));
}

int join_token_parse(struct join_token *token, const char *text, struct err *err)
{
	char hex[2 * JOIN_SECRET_BYTES + 1] = "";
	struct address address;
	int n = -1;

	*token = (struct join_token){ 0 };
	(void)sscanf(text, TOKEN_MARK "/%63[^/]/%64[0-9a-f]%n", token->address, hex, &n);
	if (n < 0 || text[n] || strlen(hex) != 2 * JOIN_SECRET_BYTES ||
	    address_parse(&address, token->address, err) < 0)
		return err_set(err, -EINVAL,
			       "this is no token: copy all of what \"baton setup invite\" "
			       "shows, " TOKEN_MARK "/...");
	for (size_t i = 0; i < JOIN_SECRET_BYTES; i++)
		(void)sscanf(hex + 2 * i, "%2hhx", &token->secret[i]);
	crypto_wipe(hex, sizeof(hex));
	return 0;
}

/* --- messages ----------------------------------------------------------------------------------- */

/** message_send() - Send an object, whose reference is taken; NULL: there was no memory for it */
static int message_send(struct join_channel *c, json_t *message, struct err *err)
{
	auto_free char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	json_decref(message);
	return text ? join_channel_send(c, text, err) : err_set(err, -ENOMEM, "join");
}

/** message_receive() - Wait for an object of our version. Return: 0 with @ret set, a new reference; or negative */
static int message_receive(struct join_channel *c, json_t **ret, struct err *err)
{
	char *text = NULL;
	int r = join_channel_receive(c, &text, err);
	auto_free char *owned = text;

	if (r < 0)
		return r;
	json_t *message = json_loads(owned, JSON_REJECT_DUPLICATES, NULL);
	if (json_integer_value(json_object_get(message, "version")) == VERSION) {
		*ret = message;
		return 0;
	}
	json_decref(message);
	return err_set(err, -EPROTO,
		       "the other host has another version of Baton, or sends nonsense");
}

/** text_at() - A string of @outer's object @key, at most @max bytes. Return: NULL if there is none */
static const char *text_at(const json_t *outer, const char *key, size_t max)
{
	const char *text = json_string_value(json_object_get(outer, key));

	return text && strlen(text) <= max ? text : NULL;
}

/**
 * file_text() - A file of the authority as text
 * @to:		Set to it, a new reference; NULL if there is no such file
 *
 * Return: 0, or negative error code: a list of revoked certificates must not be left out silently
 */
static int file_text(json_t **to, const struct site *site, const char *name, struct err *err)
{
	char *text = NULL;
	int r = site_read(&text, site, name, err);
	auto_free char *owned = text;

	*to = r == 0 ? json_string(owned) : NULL;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return *to ? 0 : err_set(err, -EINVAL, "%s/%s is no text", site->etc, name);
}

/* --- the first host ----------------------------------------------------------------------------- */

/** certificates_make() - Sign all requests. Return: 0 with @ret set, or negative error code */
static int certificates_make(json_t **ret, const char *name, const char *authority,
			     const json_t *requests, struct err *err)
{
	json_t *certificates = json_object();
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(joins); i++) {
		const char *request = text_at(requests, joins[i].program, PKI_PEM_MAX);
		char node[2 * NAME_SIZE];
		char *certificate = NULL;

		(void)snprintf(node, sizeof(node), "%s%s", joins[i].prefix, name);
		r = request ? pki_request_sign(authority, node, joins[i].role, 0, request,
					       &certificate, err)
			    : err_set(err, -EPROTO, "the other host asks for nothing");
		auto_free char *owned = certificate;
		if (r == 0 &&
		    json_object_set_new(certificates, joins[i].program, json_string(owned)) < 0)
			r = err_set(err, -ENOMEM, "join");
	}
	if (r == 0)
		*ret = certificates;
	else
		json_decref(certificates);
	return r;
}

/** hosts_array() - All hosts, for the answer */
static json_t *hosts_array(const struct site *site)
{
	json_t *hosts = json_array();

	for (size_t i = 0; i < site->hosts; i++)
		(void)json_array_append_new(
			hosts, json_pack("[s, s]", site->host[i].name, site->host[i].address));
	return hosts;
}

/** answer_make() - Answer to a new host. Return: 0 with @ret set, or negative error code */
static int answer_make(json_t **ret, const struct site *site, const char *name,
		       const char *authority, const json_t *requests, struct err *err)
{
	json_t *certificates = NULL;
	json_t *ca = NULL;
	json_t *crl = NULL;
	int r = file_text(&ca, site, "authority/ca.crt", err);

	if (r == 0)
		r = file_text(&crl, site, "authority/ca.crl", err);
	if (r == 0)
		r = certificates_make(&certificates, name, authority, requests, err);
	if (r < 0) {
		json_decref(ca);
		json_decref(crl);
		return r;
	}
	/* It takes all references, also when it fails. */
	*ret = json_pack("{s:i, s:s, s:o, s:o*, s:o, s:o}", "version", VERSION, "name", name, "ca",
			 ca, "crl", crl, "certificates", certificates, "hosts", hosts_array(site));
	return *ret ? 0 : err_set(err, -ENOMEM, "join");
}

/**
 * serve_one() - Serve one connection
 * @used:	Set once its host has proved that it knows the token, which is used up then in any case
 *
 * Return: 0 if its host has joined, or negative error code
 */
static int serve_one(int fd, const struct site *site, const char *name, const char *authority,
		     const struct join_token *token, bool *used, struct err *err)
{
	AUTO(join_channel) struct join_channel *c = NULL;
	json_t *message = NULL;
	json_t *answer = NULL;
	int r = join_channel_open(&c, fd, true, token->secret, STRANGER_MS, err);

	if (r < 0)
		return r;
	*used = true;
	r = message_receive(c, &message, err);
	if (r == 0)
		r = answer_make(&answer, site, name, authority,
				json_object_get(message, "requests"), err);
	json_decref(message);
	if (r == 0)
		r = message_send(c, answer, err);
	message = NULL;
	if (r == 0)
		r = message_receive(c, &message, err);
	json_decref(message);
	return r;
}

int join_listen(const struct join_token *token, struct err *err)
{
	const char *text = token->address;
	struct address address;
	int yes = 1;
	int r = address_parse(&address, text, err);

	if (r < 0)
		return r;
	auto_close int fd = socket(address.any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&address.any, address.len) < 0 || listen(fd, 8) < 0)
		return err_set(err, -errno, "listen at %s", text);
	return TAKE_FD(fd);
}

static long long now_s(void)
{
	return (long long)(monotonic_us() / 1000000);
}

int join_serve(int listener, const struct site *site, const char *name, const char *authority,
	       const struct join_token *token, int minutes, struct err *err)
{
	long long end = now_s() + minutes * 60LL;

	for (;;) {
		struct pollfd p = { .fd = listener, .events = POLLIN };
		long long left = end - now_s();

		if (left <= 0 || poll(&p, 1, (int)(left * 1000)) == 0)
			return err_set(err, -ETIMEDOUT,
				       "no host has joined within %d minutes: invite it again",
				       minutes);
		auto_close int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		bool used = false;
		int r = serve_one(fd, site, name, authority, token, &used, err);
		if (r == 0)
			return 0;
		if (used)
			return err_wrap(err, r,
					"the token was used, and its host has not said that it has "
					"joined; if it "
					"was not host %s: baton pki revoke EdgeServer-%s --dir %s, "
					"and AP-%s; "
					"else invite it again",
					name, name, authority, name);
		(void)fprintf(stderr, "baton: setup invite: a connection came to nothing: %s\n",
			      err->text);
	}
}

/* --- the joining host --------------------------------------------------------------------------- */

/** requests_make() - Make keys and requests. Return: 0 with @ret set, or negative error code */
static int requests_make(json_t **ret, const struct site *site, struct err *err)
{
	json_t *requests = json_object();
	char path[PATH_MAX];
	int r = site_file(path, site, "pki", err);

	if (r == 0 && ((mkdir(site->etc, 0755) < 0 && errno != EEXIST) ||
		       (mkdir(path, 0755) < 0 && errno != EEXIST)))
		r = err_set(err, -errno, "create %s", path);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(joins); i++) {
		char name[32];
		char *request = NULL;

		(void)snprintf(name, sizeof(name), "pki/%s.key" JOINING, joins[i].program);
		r = site_file(path, site, name, err);
		if (r == 0)
			r = pki_request_make(path, &request, err);
		auto_free char *owned = request;
		if (r == 0 &&
		    json_object_set_new(requests, joins[i].program, json_string(owned)) < 0)
			r = err_set(err, -ENOMEM, "join");
	}
	if (r == 0)
		*ret = requests;
	else
		json_decref(requests);
	return r;
}

/** key_keep() - A key gets its name, now that there is a certificate for it. Return: 0, or negative error code */
static int key_keep(const struct site *site, const char *program, struct err *err)
{
	char from[PATH_MAX];
	char to[PATH_MAX];
	char name[32];

	(void)snprintf(name, sizeof(name), "pki/%s.key", program);
	int r = site_file(to, site, name, err);
	(void)snprintf(name, sizeof(name), "pki/%s.key" JOINING, program);
	if (r == 0)
		r = site_file(from, site, name, err);
	return r < 0 || rename(from, to) == 0 ? r : err_set(err, -errno, "rename %s", from);
}

/** answer_store() - Store the answer of the first host. Return: 0, or negative error code */
static int answer_store(struct site *site, const json_t *answer, struct err *err)
{
	const char *ca = text_at(answer, "ca", PKI_PEM_MAX);
	const char *crl = text_at(answer, "crl", SITE_FILE_MAX);
	json_t *pair;
	size_t at;
	int r = ca ? site_put(site, "pki/ca.crt", ca, false, err)
		   : err_set(err, -EPROTO, "the first host has sent no authority");

	if (r == 0 && crl)
		r = site_put(site, "pki/ca.crl", crl, false, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(joins); i++) {
		const char *certificate = text_at(json_object_get(answer, "certificates"),
						  joins[i].program, PKI_PEM_MAX);
		char name[32];

		(void)snprintf(name, sizeof(name), "pki/%s.crt", joins[i].program);
		r = certificate ? site_put(site, name, certificate, false, err)
				: err_set(err, -EPROTO, "the first host has sent no certificate");
		if (r == 0)
			r = key_keep(site, joins[i].program, err);
	}
	site->hosts = 0;
	json_array_foreach(json_object_get(answer, "hosts"), at, pair)
	{
		const char *name = json_string_value(json_array_get(pair, 0));
		const char *address = json_string_value(json_array_get(pair, 1));

		if (r == 0)
			r = name && address
				    ? site_add(site, name, address, err)
				    : err_set(err, -EPROTO, "the first host has sent no hosts");
	}
	return r;
}

/** connect_to() - Connect to the first host. Return: descriptor, or negative error code */
static int connect_to(const char *text, struct err *err)
{
	const struct timeval limit = { .tv_sec = FIRST_MS / 1000 };
	struct address address;
	int r = address_parse(&address, text, err);

	if (r < 0)
		return r;
	auto_close int fd = socket(address.any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (struct sockaddr *)&address.any, address.len) < 0)
		return err_set(err, -errno,
			       "connect to %s, where \"baton setup invite\" should wait", text);
	return TAKE_FD(fd);
}

int join_ask(struct site *site, const struct join_token *token, char name[NAME_SIZE],
	     struct err *err)
{
	AUTO(join_channel) struct join_channel *c = NULL;
	json_t *requests = NULL;
	json_t *answer = NULL;
	int r;

	auto_close int fd = connect_to(token->address, err);
	if (fd < 0)
		return fd;
	r = join_channel_open(&c, fd, false, token->secret, FIRST_MS, err);
	if (r == 0)
		r = requests_make(&requests, site, err);
	if (r == 0)
		r = message_send(
			c, json_pack("{s:i, s:o}", "version", VERSION, "requests", requests), err);
	if (r == 0)
		r = message_receive(c, &answer, err);
	if (r < 0)
		return r;
	const char *named = text_at(answer, "name", NAME_SIZE - 1);
	r = named ? name_set(name, named, err)
		  : err_set(err, -EPROTO, "the first host has sent no name");
	if (r == 0)
		r = answer_store(site, answer, err);
	json_decref(answer);
	return r < 0 ? r : message_send(c, json_pack("{s:i}", "version", VERSION), err);
}
