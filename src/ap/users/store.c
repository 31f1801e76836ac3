/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/users/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ap/stations/text.h"
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
	json_t *j =
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "service", user_session_service(us),
			  "session", session, "secret", secret, "association",
			  (json_int_t)c.association, "epoch", (json_int_t)c.epoch, "edges", edges);
	crypto_wipe(secret, sizeof(secret));
	crypto_wipe(c.secret, sizeof(c.secret));
	return j;
}

/* @from: name of the file that it replaces, or NULL */
static int put_file(struct user_writer *uw, const struct user *user, const char *from,
		    const char *text, struct err *err)
{
	char file[NAME_SIZE + sizeof(SUFFIX)], old[NAME_SIZE + sizeof(SUFFIX)];

	(void)snprintf(file, sizeof(file), "%s%s", user->name, SUFFIX);
	if (!from)
		return user_writer_put(uw, file, text, err);
	(void)snprintf(old, sizeof(old), "%s%s", from, SUFFIX);
	return user_writer_move(uw, old, file, text, err);
}

/* Return: the contents that the user's file should have; NULL if it has no session, or without memory */
static json_t *record_of(const struct user *user)
{
	json_t *sessions = json_array();
	char station[STATION_MAC_TEXT];

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&user->sessions)
	{
		json_t *j = describe(list_entry(at, struct user_entry, of_user)->session);

		if (j)
			(void)json_array_append_new(sessions, j);
	}
	if (json_array_size(sessions) == 0) {
		json_decref(sessions);
		return NULL;
	}
	json_t *j = json_pack("{s:i, s:s, s:o}", "version", VERSION, "user", user->name, "sessions",
			      sessions);
	station_text_mac(station, user->mac);
	if (j && user->mac_at)
		(void)json_object_set_new(j, "station", json_string(station));
	if (j && user->state == USER_LEFT && user->peer[0])
		(void)json_object_set_new(j, "gone_to", json_string(user->peer));
	return j;
}

static int put_record(struct user_writer *uw, const struct user *user, const char *from,
		      struct err *err)
{
	if (!user_has_sessions(user))
		return put_file(uw, user, from, NULL, err);
	json_t *j = record_of(user);
	auto_free char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	json_decref(j);
	int r = text ? put_file(uw, user, from, text, err)
		     : err_set(err, -ENOMEM, "record of %s", user->name);
	if (text)
		crypto_wipe(text, strlen(text));
	return r;
}

int user_store_save(struct user_writer *uw, const struct user *user, struct err *err)
{
	return put_record(uw, user, NULL, err);
}

int user_store_move(struct user_writer *uw, const struct user *user, const char *from,
		    struct err *err)
{
	return put_record(uw, user, from, err);
}

void user_store_remove(struct user_writer *uw, const struct user *user)
{
	struct err err;

	if (put_file(uw, user, NULL, NULL, &err) < 0)
		log_error("%s will still be known after a restart: %s", user->name, err.text);
}

/* ---- loading ---- */

/* struct recorded - One session of a record; its numbers are not in it: the edge server tells them */
struct recorded {
	char service[NAME_SIZE];
	struct mud_context context;
};

/**
 * struct user_record - Contents of a user's file
 * @seen, @mac:	Its station, if it is known
 * @gone_to:	Access point that has its sessions, or empty
 * @session:	Its sessions
 */
struct user_record {
	bool seen;
	uint8_t mac[STATION_MAC_SIZE];
	char gone_to[NAME_SIZE];
	size_t count;
	struct recorded session[WIRE_USER_SESSIONS_MAX];
};

struct user_record *user_record_free(struct user_record *rec)
{
	if (rec)
		crypto_wipe(rec, sizeof(*rec));
	free(rec);
	return NULL;
}

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

static int parse_session(struct recorded *to, json_t *j, struct err *err)
{
	const char *service, *session, *secret;
	struct mud_context *c = &to->context;
	json_int_t association, epoch = 0;
	json_t *edges;
	char *end;

	if (json_unpack(j, "{s:s, s:s, s:s, s:I, s?I, s:o}", "service", &service, "session",
			&session, "secret", &secret, "association", &association, "epoch", &epoch,
			"edges", &edges) < 0 ||
	    name_set(to->service, service, NULL) < 0 || association < 1 ||
	    association >= UINT32_MAX || epoch < 0 || epoch > UINT32_MAX ||
	    read_edges(&c->edges, edges) < 0 || hex_decode(c->secret, WIRE_SECRET_SIZE, secret) < 0)
		return err_set(err, -EINVAL, "a session in it is invalid");
	c->session = strtoull(session, &end, 16);
	if (*end || strlen(session) != 16)
		return err_set(err, -EINVAL, "the number of a session in it is invalid");
	c->association = (uint32_t)association;
	c->epoch = (uint32_t)epoch;
	return 0;
}

static int parse_whereabouts(struct user_record *rec, const json_t *j, struct err *err)
{
	const char *station = json_string_value(json_object_get(j, "station"));
	const char *gone_to = json_string_value(json_object_get(j, "gone_to"));

	if (station && !station_text_parse(rec->mac, station))
		return err_set(err, -EINVAL, "its station \"%.32s\" is invalid", station);
	rec->seen = station;
	return gone_to ? name_set(rec->gone_to, gone_to, err) : 0;
}

/* All of it, or nothing: a session that is left out would begin anew */
static int parse(struct user_record *rec, const char *file, json_t *j, struct err *err)
{
	json_t *sessions, *session;
	const char *said;
	int version;
	size_t i;

	if (json_unpack(j, "{s:i, s:s, s:o}", "version", &version, "user", &said, "sessions",
			&sessions) < 0 ||
	    version != VERSION || strcmp(said, file) != 0 || !json_is_array(sessions) ||
	    json_array_size(sessions) > WIRE_USER_SESSIONS_MAX)
		return err_set(err, -EINVAL, "it is no record of %s in version %d", file, VERSION);
	int r = parse_whereabouts(rec, j, err);
	json_array_foreach(sessions, i, session)
	{
		if (r == 0)
			r = parse_session(&rec->session[rec->count++], session, err);
	}
	return r;
}

static json_t *read_file(const char *dir, const char *file, struct err *err)
{
	char path[PATH_SIZE];
	json_error_t why;

	if (path_of(path, dir, file) < 0) {
		(void)err_set(err, -ENAMETOOLONG, "record of %s", file);
		return NULL;
	}
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		(void)err_set(err, -errno, "%s", path);
		return NULL;
	}
	json_t *j = json_loadfd(fd, JSON_REJECT_DUPLICATES, &why);
	if (!j)
		(void)err_set(err, -EINVAL, "%s: %s", path, why.text);
	return j;
}

int user_store_read(struct users *u, struct user_record **ret, const char *file, struct err *err)
{
	char full[NAME_SIZE + sizeof(SUFFIX)];

	(void)snprintf(full, sizeof(full), "%s%s", file, SUFFIX);
	if (user_writer_removes(u->writer, full))
		return err_set(err, -ENOENT, "%s is about to be removed", full);
	json_t *j = read_file(u->state_dir, file, err);
	if (!j)
		return err->code;
	AUTO(user_record) struct user_record *rec = calloc(1, sizeof(*rec));
	int r = rec ? parse(rec, file, j, err) : err_set(err, -ENOMEM, "out of memory");
	json_decref(j);
	if (r < 0)
		return err_wrap(err, r, "%s/%s", u->state_dir, full);
	*ret = TAKE_PTR(rec);
	return 0;
}

int user_store_load(struct user *user, const struct user_record *rec, struct err *err)
{
	int r = 0;

	memcpy(user->mac, rec->mac, STATION_MAC_SIZE);
	user->mac_at =
		rec->seen; /* long ago: its next packet must show that it is this station's */
	memcpy(user->peer, rec->gone_to, NAME_SIZE);
	for (size_t i = 0; r == 0 && i < rec->count; i++) {
		struct mud_context c = rec->session[i].context;
		struct user_entry *e = NULL;

		memcpy(c.ap, user->users->ap, NAME_SIZE);
		r = users_session(user, &e, rec->session[i].service, err);
		if (r == 0 && e)
			r = user_session_import(e->session, &c, err);
		crypto_wipe(c.secret, sizeof(c.secret));
	}
	return r;
}

bool user_store_is_current(const struct user *user)
{
	struct err err;
	json_t *want = record_of(user);
	json_t *is = want ? read_file(user->users->state_dir, user->name, &err) : NULL;
	bool equal = is && json_equal(is, want);

	json_decref(is);
	json_decref(want);
	return equal;
}

int user_store_open(const char *dir, struct err *err)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "create state_dir %s", dir);
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "state_dir %s", dir);
	/* its files hold secrets, which take over users' sessions: nobody else may write there, or read */
	if (fchmod(fd, 0700) < 0)
		return err_set(err, -errno, "state_dir %s must be ours alone (0700)", dir);
	return 0;
}

/* ---- age ---- */

#define SANE_TIME                                                                                  \
	1577836800 /* 2020: a file of an earlier time was written before the clock was set */

/* Return: whether @file is a user's, with its @name */
static bool user_of_file(const char *file, char name[NAME_SIZE])
{
	size_t len = strlen(file);

	if (len <= strlen(SUFFIX) || len - strlen(SUFFIX) >= NAME_SIZE ||
	    strcmp(file + len - strlen(SUFFIX), SUFFIX) != 0)
		return false;
	(void)snprintf(name, NAME_SIZE, "%.*s", (int)(len - strlen(SUFFIX)), file);
	return name_valid(name);
}

static bool is_old(int dir, const char *file, uint64_t ms)
{
	time_t now = time(NULL);
	struct stat st;

	return fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_mtime >= SANE_TIME && now > st.st_mtime &&
	       (uint64_t)(now - st.st_mtime) >= ms / 1000;
}

void user_store_each_old(struct users *u, uint64_t ms,
			 void (*fn)(struct users *u, const char *name))
{
	DIR *d = opendir(u->state_dir);
	char name[NAME_SIZE];

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		if (user_of_file(e->d_name, name) && !users_find(u, name) &&
		    is_old(dirfd(d), e->d_name, ms))
			fn(u, name);
	}
	if (d)
		(void)closedir(d);
}
