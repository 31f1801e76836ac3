/* SPDX-License-Identifier: Apache-2.0 */
#include "es/protection/kept_cuts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/files.h"
#include "base/log.h"
#include "es/worker/file_worker.h"

#define PLAN          "plan.json"
#define PART          ".part"
#define GONE          ".gone"
#define NAME_SIZE_MAX 64

/** struct name - Contents of a directory's name */
struct name {
	uint64_t session;
	uint64_t number;
	char state[8]; /* "", PART or GONE, with a number behind */
};

static bool name_parse(struct name *n, const char *text)
{
	int end = 0;

	*n = (struct name){ .number = 0 };
	if (strspn(text, "0123456789abcdef") != 16 ||
	    sscanf(text, "%16" SCNx64 "-%" SCNu64 "%n", &n->session, &n->number, &end) != 2 || !end)
		return false;
	(void)snprintf(n->state, sizeof(n->state), "%.5s", text + end);
	return !n->state[0] || !strcmp(n->state, PART) || !strcmp(n->state, GONE);
}

static void name_make(char to[NAME_SIZE_MAX], uint64_t session, uint64_t number, const char *state)
{
	(void)snprintf(to, NAME_SIZE_MAX, "%016" PRIx64 "-%" PRIu64 "%s", session, number, state);
}

/* Its name is taken if an earlier one of that name is still being removed. */
static void doom(int dir, const char *name)
{
	char to[2 * NAME_SIZE_MAX];
	struct name n;

	if (!name_parse(&n, name))
		return;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(to, sizeof(to), "%016" PRIx64 "-%" PRIu64 GONE "%d", n.session,
			       n.number, i);
		if (faccessat(dir, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (renameat(dir, name, dir, to) < 0)
			log_error("kept cut %s: %s", name, strerror(errno));
		return;
	}
}

/** each() - Call @fn for each directory of a cut; it may rename it. Return: 0, or negative error code */
static int each(const char *dir, void (*fn)(void *ctx, int dir, const char *name), void *ctx)
{
	struct dirent **list = NULL;
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = fd < 0 ? -1 : scandir(dir, &list, NULL, NULL);
	int r = count < 0 ? -errno : 0;

	for (int i = 0; i < count; i++) {
		fn(ctx, fd, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return r;
}

static void doom_part(void *ctx, int dir, const char *name)
{
	struct name n;

	(void)ctx;
	if (name_parse(&n, name) && !strcmp(n.state, PART))
		doom(dir, name);
}

int kept_cuts_prepare(const char *dir, struct err *err)
{
	int r = files_directory(dir);

	if (r < 0)
		return err_set(err, r, "make directory %s", dir);
	struct stat st;
	if (lstat(dir, &st) < 0)
		return err_set(err, -errno, "look at %s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(err, -EINVAL, "%s must be ours alone (mode 0700)", dir);
	return each(dir, doom_part, NULL);
}

struct newest {
	uint64_t session;
	uint64_t number;
	bool found;
};

static void look(void *ctx, int dir, const char *name)
{
	struct newest *best = ctx;
	struct name n;

	(void)dir;
	if (!name_parse(&n, name) || n.state[0] || n.session != best->session ||
	    (best->found && n.number < best->number))
		return;
	best->number = n.number;
	best->found = true;
}

int kept_cuts_newest(const char *dir, uint64_t session, uint64_t *number)
{
	struct newest best = { .session = session };

	int r = each(dir, look, &best);

	if (r < 0 || !best.found)
		return r < 0 ? r : -ENOENT;
	*number = best.number;
	return 0;
}

static int path_make(char to[PATH_MAX], const char *dir, uint64_t session, uint64_t number,
		     const char *state, struct err *err)
{
	char name[NAME_SIZE_MAX];

	name_make(name, session, number, state);
	if (snprintf(to, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX - NAME_SIZE_MAX)
		return err_set(err, -ENAMETOOLONG, "%s", dir);
	return 0;
}

int kept_cuts_path(char to[PATH_MAX], const char *dir, uint64_t session, uint64_t number,
		   struct err *err)
{
	return path_make(to, dir, session, number, "", err);
}

int kept_cuts_begin(char to[PATH_MAX], const char *dir, uint64_t session, uint64_t number,
		    struct err *err)
{
	int r = path_make(to, dir, session, number, PART, err);

	if (r == 0 && mkdir(to, 0700) < 0)
		r = err_set(err, -errno, "create %s", to);
	return r;
}

/** struct older - Cuts of a session older than one */
struct older {
	uint64_t session;
	uint64_t than;
};

static void doom_older(void *ctx, int dir, const char *name)
{
	const struct older *o = ctx;
	struct name n;

	if (name_parse(&n, name) && !n.state[0] && n.session == o->session && n.number != o->than)
		doom(dir, name);
}

int kept_cuts_finish(const char *dir, uint64_t session, uint64_t number, const json_t *plan,
		     struct err *err)
{
	struct older older = { .session = session, .than = number };
	char name[NAME_SIZE_MAX];
	char part[NAME_SIZE_MAX];
	int r;

	name_make(name, session, number, "");
	name_make(part, session, number, PART);
	auto_close int all = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd =
		all < 0 ? -1 : openat(all, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open %s/%s", dir, part);
	auto_free char *text = json_dumps(plan, JSON_INDENT(1));
	if (!text)
		return err_set(err, -ENOMEM, "keep a cut");
	r = atomic_file_write(fd, PLAN, text, strlen(text), 0600, err);
	if (r == 0 && syncfs(fd) < 0)
		r = err_set(err, -errno, "write %s/%s to its disk", dir, part);
	/* one of the same number was of the same instant, and is replaced */
	if (r == 0 && faccessat(all, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		doom(all, name);
	if (r == 0 && (renameat(all, part, all, name) < 0 || fsync(all) < 0))
		r = err_set(err, -errno, "rename %s/%s", dir, part);
	if (r == 0)
		(void)each(dir, doom_older, &older);
	return r;
}

int kept_cuts_plan(json_t **ret, const char *dir, uint64_t session, uint64_t number,
		   struct err *err)
{
	char path[PATH_MAX];
	json_error_t why;
	int r = path_make(path, dir, session, number, "", err);

	if (r < 0)
		return r;
	(void)strncat(path, "/" PLAN, sizeof(path) - strlen(path) - 1);
	*ret = json_load_file(path, 0, &why);
	return *ret ? 0 : err_set(err, -EPROTO, "%s: %s", path, why.text);
}

void kept_cuts_abandon(const char *dir, uint64_t session, uint64_t number)
{
	char part[NAME_SIZE_MAX];

	name_make(part, session, number, PART);
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		doom(fd, part);
}

/** struct visiting - See kept_cuts_each() */
struct visiting {
	void (*fn)(void *ctx, uint64_t session);
	void *ctx;
};

static void visit(void *ctx, int dir, const char *name)
{
	const struct visiting *v = ctx;
	struct name n;

	(void)dir;
	if (name_parse(&n, name) && !n.state[0])
		v->fn(v->ctx, n.session);
}

void kept_cuts_each(const char *dir, void (*fn)(void *ctx, uint64_t session), void *ctx)
{
	struct visiting v = { .fn = fn, .ctx = ctx };

	(void)each(dir, visit, &v);
}

static void doom_session(void *ctx, int dir, const char *name)
{
	const uint64_t *session = ctx;
	struct name n;

	if (name_parse(&n, name) && !n.state[0] && n.session == *session)
		doom(dir, name);
}

void kept_cuts_doom(const char *dir, uint64_t session)
{
	(void)each(dir, doom_session, &session);
}

/** struct sweeping - See kept_cuts_sweep() */
struct sweeping {
	const char *dir;
	struct file_workers *workers;
};

static void sweep_one(void *ctx, int dir, const char *name)
{
	const struct sweeping *s = ctx;
	char path[PATH_MAX];
	struct err err = { 0 };
	struct name n;

	(void)dir;
	if (!name_parse(&n, name) || strcmp(n.state, GONE) != 0 ||
	    snprintf(path, sizeof(path), "%s/%s", s->dir, name) >= (int)sizeof(path))
		return;
	if (file_worker_remove(s->workers, path, &err) < 0)
		log_error("kept cut %s stays: %s", path, err.text);
}

void kept_cuts_sweep(const char *dir, struct file_workers *workers)
{
	struct sweeping s = { .dir = dir, .workers = workers };

	(void)each(dir, sweep_one, &s);
}
