/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users/store.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ap/users/table.h"
#include "ap/users/writer.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "core/mud/session.h"
#include "net/crypto.h"

#define PATH_SIZE 4096
#define VERSION   1
#define SUFFIX    ".json"

static int path_of(char path[PATH_SIZE], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_SIZE, "%s/%s%s", dir, name, SUFFIX);

	return n < 0 || n >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

static json_t *describe(const struct user_session *us)
{
	char session[17], secret[2 * WIRE_SECRET_SIZE + 1];
	struct mud_context c;

	if (!user_session_export(us, &c))
		return NULL;
	json_t *edges = json_array();
	for (uint32_t i = 0; i < c.edges.count; i++)
		(void)json_array_append_new(edges, json_string(c.edges.name[i]));
	(void)snprintf(session, sizeof(session), "%016" PRIx64, c.session);
	hex_encode(secret, c.secret, WIRE_SECRET_SIZE);
	json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:o}", "service", user_session_service(us),
			      "session", session, "secret", secret, "association",
			      (json_int_t)c.association, "edges", edges);
	crypto_wipe(secret, sizeof(secret));
	crypto_wipe(c.secret, sizeof(c.secret));
	return j;
}

static int put_file(struct user_writer *uw, const struct user *user, const char *text,
		    struct err *err)
{
	char file[NAME_SIZE + sizeof(SUFFIX)];

	(void)snprintf(file, sizeof(file), "%s%s", user->name, SUFFIX);
	return user_writer_put(uw, file, text, err);
}

int user_store_save(struct user_writer *uw, const struct user *user, struct err *err)
{
	json_t *sessions = json_array();

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		json_t *j = describe(list_entry(at, struct user_entry, of_user)->session);

		if (j)
			(void)json_array_append_new(sessions, j);
	}
	if (json_array_size(sessions) == 0) {
		json_decref(sessions);
		return put_file(uw, user, NULL, err);
	}
	json_t *j = json_pack("{s:i, s:s, s:o}", "version", VERSION, "user", user->name, "sessions",
			      sessions);
	auto_free char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	json_decref(j);
	int r = text ? put_file(uw, user, text, err)
		     : err_set(err, -ENOMEM, "record of %s", user->name);
	if (text)
		crypto_wipe(text, strlen(text));
	return r;
}

void user_store_remove(struct user_writer *uw, const struct user *user)
{
	struct err err;

	if (put_file(uw, user, NULL, &err) < 0)
		log_error("%s will still be known after a restart: %s", user->name, err.text);
}

/* ---- loading ---- */

static int read_edges(struct wire_edges *to, const json_t *edges)
{
	json_t *edge;
	size_t i;

	if (json_array_size(edges) > WIRE_EDGES_MAX)
		return -EINVAL;
	json_array_foreach(edges, i, edge)
	{
		const char *name = json_string_value(edge);

		if (!name || name_set(to->name[i], name, NULL) < 0)
			return -EINVAL;
	}
	to->count = (uint32_t)json_array_size(edges);
	return 0;
}

/* One session of a file. Its numbers are not in it: the edge server tells them */
static int load_session(struct user *user, json_t *j, struct err *err)
{
	const char *service, *session, *secret;
	struct mud_context c = { 0 };
	struct user_entry *e = NULL;
	json_int_t association;
	json_t *edges;
	char *end;

	if (json_unpack(j, "{s:s, s:s, s:s, s:I, s:o}", "service", &service, "session", &session,
			"secret", &secret, "association", &association, "edges", &edges) < 0 ||
	    !name_valid(service) || association < 1 || association >= UINT32_MAX ||
	    read_edges(&c.edges, edges) < 0 || hex_decode(c.secret, WIRE_SECRET_SIZE, secret) < 0)
		return err_set(err, -EINVAL, "%s: a session of its record", user->name);
	c.session = strtoull(session, &end, 16);
	if (*end || strlen(session) != 16)
		return err_set(err, -EINVAL, "%s: number of a session", user->name);
	c.association = (uint32_t)association;
	memcpy(c.ap, user->users->ap, NAME_SIZE);
	int r = users_session(user, &e, service, err);
	if (r == 0 && e)
		r = user_session_import(e->session, &c, err);
	crypto_wipe(c.secret, sizeof(c.secret));
	return r;
}

static int load_user(struct users *u, const char *name, json_t *j, struct err *err)
{
	json_t *sessions, *session;
	struct user *user;
	const char *said;
	int version;
	size_t i;

	if (json_unpack(j, "{s:i, s:s, s:o}", "version", &version, "user", &said, "sessions",
			&sessions) < 0 ||
	    version != VERSION || strcmp(said, name) != 0 ||
	    json_array_size(sessions) > WIRE_USER_SESSIONS_MAX)
		return err_set(err, -EINVAL, "no record of %s in version %d", name, VERSION);
	int r = users_remember(u, &user, name, err);
	if (r < 0)
		return r;
	json_array_foreach(sessions, i, session)
	{
		struct err why;

		if (load_session(user, session, &why) < 0)
			log_error("%s", why.text);
	}
	return 0;
}

static void load_file(struct users *u, const char *dir, const char *file)
{
	size_t len = strlen(file);
	char path[PATH_SIZE], name[NAME_SIZE];
	struct err err;
	json_error_t why;

	if (len <= strlen(SUFFIX) || len - strlen(SUFFIX) >= sizeof(name) ||
	    strcmp(file + len - strlen(SUFFIX), SUFFIX) != 0)
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(len - strlen(SUFFIX)), file);
	if (!name_valid(name) || path_of(path, dir, name) < 0)
		return;
	json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!j)
		log_error("%s: %s", path, why.text);
	else if (load_user(u, name, j, &err) < 0)
		log_error("%s: %s", path, err.text);
	json_decref(j);
}

int user_store_load(struct users *u, const char *dir, struct err *err)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "create state_dir %s", dir);
	DIR *d = opendir(dir);
	if (!d)
		return err_set(err, -errno, "state_dir %s", dir);
	/* its files hold secrets, which take over users' sessions: nobody else may write there, or read */
	if (fchmod(dirfd(d), 0700) < 0) {
		int r = err_set(err, -errno, "state_dir %s must be ours alone (0700)", dir);

		(void)closedir(d);
		return r;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		load_file(u, dir, e->d_name);
	(void)closedir(d);
	return 0;
}
