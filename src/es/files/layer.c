/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "es/files/beneath.h"
#include "es/files/file_copy.h"
#include "es/files/layer_node.h"
#include "es/system/process.h"

#define FILES_MAX   1000000
#define DEPTH_MAX   256
#define ENTRY_BYTES 512      /* each file counts as this many beside its own, as in an archive */
#define TICK_NS     20000000 /* twice the coarsest timer tick (HZ=100) */

/**
 * struct record - One file of the staging copy
 * @path:	relative to the layer's root
 * @st:		of the original when it was copied
 * @dirty:	copy again at the next update, even if it looks unchanged
 * @named:	and at all of them up to the next frozen one, see layer_staging_dirty()
 * @pass:	update that saw it last
 */
struct record {
	char *path;
	struct stat st;
	bool dirty;
	bool named;
	uint64_t pass;
};

/** struct inode - First name under which an update met a file of several names */
struct inode {
	ino_t ino;
	dev_t dev;
	char *path;
};

/**
 * struct layer_staging - A staging copy
 * @at:		where the tree is mounted in the container, "" for the layer itself
 * @records:	tsearch() tree of struct record by path
 * @inodes:	tsearch() tree of struct inode, for one update
 * @pass:	number of the update
 * @since:	files changed after this may change again unseen
 * @counted:	bytes of this update against @max_bytes: holes, names and headers, too, for the
 *		archive of the copy is held to the same limit
 */
struct layer_staging {
	int upper;
	int stage;
	char *at;
	uint64_t max_bytes;
	void *records;
	void *inodes;
	uint64_t pass;
	struct timespec since;
	uint64_t counted;
	bool frozen;
	int cancel_fd;
	struct layer_stats *stats;
};

/** bytes_of() - Bytes of a regular file, holes not counted */
static uint64_t bytes_of(const struct stat *st)
{
	uint64_t blocks = (uint64_t)st->st_blocks * 512;

	return blocks < (uint64_t)st->st_size ? blocks : (uint64_t)st->st_size;
}

static int record_compare(const void *a, const void *b)
{
	return strcmp(((const struct record *)a)->path, ((const struct record *)b)->path);
}

static int inode_compare(const void *a, const void *b)
{
	const struct inode *x = a;
	const struct inode *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->dev == y->dev ? 0 : x->dev < y->dev ? -1 : 1;
}

static void record_free(void *p)
{
	struct record *record = p;

	free(record->path);
	free(record);
}

static void inode_free(void *p)
{
	struct inode *inode = p;

	free(inode->path);
	free(inode);
}

/** record_get() - Find the record of @path, or add one. Return: NULL without memory */
static struct record *record_get(struct layer_staging *ls, const char *path)
{
	struct record key = { .path = (char *)(uintptr_t)path };
	struct record **found = tfind(&key, &ls->records, record_compare);

	if (found)
		return *found;
	struct record *record = calloc(1, sizeof(*record));
	if (!record)
		return NULL;
	record->path = strdup(path);
	if (!record->path || !tsearch(record, &ls->records, record_compare)) {
		record_free(record);
		return NULL;
	}
	return record;
}

int layer_staging_new(struct layer_staging **ret, int upper, int copy, const char *at,
		      uint64_t max_bytes, struct err *err)
{
	auto_close int from = upper;
	auto_close int to = copy;
	AUTO(layer_staging) struct layer_staging *ls = calloc(1, sizeof(*ls));
	if (!ls)
		return err_set(err, -ENOMEM, "copy of a layer");
	ls->max_bytes = max_bytes;
	ls->upper = TAKE_FD(from);
	ls->stage = TAKE_FD(to);
	ls->at = strdup(at);
	if (!ls->at)
		return err_set(err, -ENOMEM, "copy of a layer");
	*ret = TAKE_PTR(ls);
	return 0;
}

struct layer_staging *layer_staging_free(struct layer_staging *ls)
{
	if (!ls)
		return NULL;
	tdestroy(ls->records, record_free);
	tdestroy(ls->inodes, inode_free);
	if (ls->upper >= 0)
		close(ls->upper);
	if (ls->stage >= 0)
		close(ls->stage);
	free(ls->at);
	free(ls);
	return NULL;
}

/** tree_measure() - Bytes of the regular files in and below a directory */
static uint64_t tree_measure(int dirfd, unsigned int depth, size_t *entries)
{
	DIR *list = beneath_list(dirfd);
	const struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	while (list && (!entries || *entries) && (entry = readdir(list))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    beneath_stat(dirfd, entry->d_name, &st) < 0)
			continue;
		if (entries)
			--*entries;
		if (S_ISREG(st.st_mode))
			bytes += bytes_of(&st);
		auto_close int below = S_ISDIR(st.st_mode) && depth < DEPTH_MAX
					       ? beneath_directory(dirfd, entry->d_name)
					       : -EBADF;
		if (below >= 0)
			bytes += tree_measure(below, depth + 1, entries);
	}
	if (list)
		(void)closedir(list);
	return bytes;
}

uint64_t layer_measure(const char *path, size_t *entries)
{
	auto_close int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? 0 : tree_measure(root, 0, entries);
}

/**
 * dirty_visit() - Called with each record: one of the same file, given in @closure, is dirty, too
 */
static void dirty_visit(const void *node, VISIT which, void *closure)
{
	struct record *record = *(struct record *const *)node;
	const struct stat *st = closure;

	if ((which == postorder || which == leaf) && record->st.st_ino == st->st_ino &&
	    record->st.st_dev == st->st_dev)
		record->dirty = record->named = true;
}

void layer_staging_dirty(struct layer_staging *ls, const char *path)
{
	size_t len = strlen(ls->at);

	if (strncmp(path, ls->at, len) != 0 || path[len] != '/')
		return; /* of another tree */
	struct record key = { .path = (char *)(uintptr_t)(path + len + 1) };
	struct record **found = tfind(&key, &ls->records, record_compare);
	if (!found)
		return;
	(*found)->dirty = (*found)->named = true;
	/* another of its names may be the one that an update meets first, and copies */
	struct stat st = (*found)->st;
	if (st.st_nlink > 1)
		twalk_r(ls->records, dirty_visit, &st);
}

/** too_deep() - The reason before the path, which is long, and cut somewhere */
static int too_deep(const char *path, struct err *err)
{
	(void)err_set(err, -EPROTO, "directories lie in one another deeper than %d, below %.60s",
		      DEPTH_MAX, path);
	if (err)
		err->code = -ELOOP;
	return -ELOOP;
}

static int too_large(const struct layer_staging *ls, struct err *err)
{
	return err_set(err, -EFBIG,
		       "it has more than %llu bytes (holes in files count) or %d files",
		       (unsigned long long)ls->max_bytes, FILES_MAX);
}

/** regular_copy() - Fill the new file @name of the copy */
static int regular_copy(struct layer_staging *ls, int from_dir, int to_dir, const char *name,
			struct err *err)
{
	struct stat st;

	auto_close int from = beneath_regular(from_dir, name, O_RDONLY | O_NOATIME);
	if (from == -EMEDIUMTYPE)
		return err_set(err, -ENOENT, "%s is being replaced", name);
	if (from < 0)
		return err_set(err, from, "open %s", name);
	auto_close int to = beneath_regular(to_dir, name, O_WRONLY);
	if (to < 0)
		return err_set(err, to, "open the copy of %s", name);
	if (fstat(from, &st) < 0)
		return err_set(err, -errno, "copy %s", name);
	/* Before it takes the room. It may have grown since it was looked at. */
	if ((uint64_t)st.st_size > ls->max_bytes - ls->counted)
		return too_large(ls, err);
	int r = file_copy_data(from, to, st.st_size, ls->frozen ? -1 : ls->cancel_fd,
			       &ls->stats->copied_bytes);
	return r < 0 ? err_set(err, r, "copy %s", name) : 0;
}

/* --- one file ------------------------------------------------------------------------------- */

/** unchanged() - Whether the copy is certain to have this state of the file */
static bool unchanged(const struct record *record, const struct stat *st)
{
	return record->pass && !record->dirty && record->st.st_mode == st->st_mode &&
	       record->st.st_ino == st->st_ino && record->st.st_size == st->st_size &&
	       record->st.st_nlink == st->st_nlink &&
	       record->st.st_ctim.tv_sec == st->st_ctim.tv_sec &&
	       record->st.st_ctim.tv_nsec == st->st_ctim.tv_nsec;
}

/** may_change_unseen() - Whether the next change may leave the same change time */
static bool may_change_unseen(const struct layer_staging *ls, const struct stat *st)
{
	return st->st_ctim.tv_sec > ls->since.tv_sec ||
	       (st->st_ctim.tv_sec == ls->since.tv_sec && st->st_ctim.tv_nsec >= ls->since.tv_nsec);
}

/**
 * link_first() - For a file of several names, the one under which this update met it first
 * @ls:		Copy
 * @st:		The file
 * @path:	Its name here
 * @first:	Set to the first name, or NULL if this is it; borrowed until the next update
 *
 * Return: 0, or -ENOMEM
 */
static int link_first(struct layer_staging *ls, const struct stat *st, const char *path,
		      const char **first)
{
	struct inode key = { .ino = st->st_ino, .dev = st->st_dev };
	struct inode **found = tfind(&key, &ls->inodes, inode_compare);

	*first = found ? (*found)->path : NULL;
	if (found)
		return 0;
	struct inode *inode = calloc(1, sizeof(*inode));
	if (!inode)
		return -ENOMEM;
	*inode = key;
	inode->path = strdup(path);
	if (!inode->path || !tsearch(inode, &ls->inodes, inode_compare)) {
		inode_free(inode);
		return -ENOMEM;
	}
	return 0;
}

/** linked() - Whether @name of the copy is the same file as @last in @parent */
static bool linked(int to_dir, const char *name, int parent, const char *last)
{
	struct stat a;
	struct stat b;

	return beneath_stat(to_dir, name, &a) == 0 && beneath_stat(parent, last, &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/** link_update() - Make @name of the copy a further name of the file whose first name is @first */
static int link_update(struct layer_staging *ls, int to_dir, const char *name, const char *first,
		       struct err *err)
{
	char last[NAME_MAX + 1];
	int r;

	auto_close int parent = beneath_parent(ls->stage, first, last);
	if (parent < 0)
		return err_set(err, parent, "link %s", name);
	if (linked(to_dir, name, parent, last))
		return 0;
	ls->stats->copied_files++;
	r = layer_tree_remove(to_dir, name, err);
	if (r < 0)
		return r;
	r = beneath_link(parent, last, to_dir, name);
	return r < 0 ? err_set(err, r, "link %s", name) : 0;
}

/** file_replace() - Replace the copy of a file other than a directory */
static int file_replace(struct layer_staging *ls, int from_dir, int to_dir, const char *name,
			struct err *err)
{
	struct layer_node node = { 0 };
	int r = layer_tree_remove(to_dir, name, err);

	if (r == 0)
		r = layer_node_read(&node, from_dir, name, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < node.xattr_count && r == 0; i++)
		if (!strcmp(node.xattr[i].name, "trusted.overlay.metacopy"))
			r = err_set(err, -EOPNOTSUPP,
				    "%s has only its metadata in the layer (overlay metacopy=on)",
				    name);
	if (r == 0)
		r = layer_node_make(&node, to_dir, name, err);
	if (r == 0 && S_ISREG(node.st.st_mode))
		r = regular_copy(ls, from_dir, to_dir, name, err);
	if (r == 0)
		r = layer_node_dress(&node, to_dir, name, err);
	layer_node_deinit(&node);
	return r;
}

/** file_update() - Bring the copy of a file other than a directory up to date */
static int file_update(struct layer_staging *ls, int from_dir, int to_dir, const char *name,
		       const struct stat *st, struct record *record, struct err *err)
{
	const char *first = NULL;
	int r = 0;

	if (st->st_nlink > 1 && link_first(ls, st, record->path, &first) < 0)
		return err_set(err, -ENOMEM, "copy of a layer");
	if (first) {
		r = link_update(ls, to_dir, name, first, err);
	} else if (!unchanged(record, st)) {
		r = file_replace(ls, from_dir, to_dir, name, err);
		ls->stats->copied_files++;
	}
	if (!first && S_ISREG(st->st_mode)) {
		ls->stats->bytes += bytes_of(st);
		ls->counted += (uint64_t)st->st_size;
	}
	return r;
}

static int tree_update(struct layer_staging *ls, int from_dir, int to_dir, const char *path,
		       unsigned int depth, struct err *err);

/** directory_update() - Bring the copy of a directory and its contents up to date */
static int directory_update(struct layer_staging *ls, int from_dir, int to_dir, const char *name,
			    const struct stat *st, struct record *record, unsigned int depth,
			    struct err *err)
{
	struct layer_node node;
	int r = 0;

	if (!unchanged(record, st)) {
		if (record->pass && !S_ISDIR(record->st.st_mode))
			r = layer_tree_remove(to_dir, name, err);
		if (r == 0)
			r = layer_node_read(&node, from_dir, name, err);
		if (r < 0)
			return r;
		/* An attribute that is gone (opaque, an ACL) must go from the copy too. */
		if (record->pass && S_ISDIR(record->st.st_mode))
			layer_node_strip(to_dir, name);
		if (r == 0)
			r = layer_node_make(&node, to_dir, name, err);
		if (r == 0)
			r = layer_node_dress(&node, to_dir, name, err);
		layer_node_deinit(&node);
		ls->stats->copied_files++;
	}
	if (r < 0)
		return r;
	if (depth >= DEPTH_MAX)
		return too_deep(record->path, err);
	auto_close int from = beneath_directory(from_dir, name);
	if (from < 0)
		return err_set(err, from, "open %s", name);
	auto_close int to = beneath_directory(to_dir, name);
	if (to < 0)
		return err_set(err, to, "open the copy of %s", name);
	r = tree_update(ls, from, to, record->path, depth + 1, err);
	/* Last, because every change in a directory changes its time. */
	return r < 0 ? r : layer_node_times(st, to_dir, name, err);
}

/** entry_update() - Bring the copy of a file of any kind up to date */
static int entry_update(struct layer_staging *ls, int from_dir, int to_dir, const char *directory,
			const char *name, unsigned int depth, struct err *err)
{
	char path[LAYER_PATH_MAX];
	struct stat st;
	int r;

	if (snprintf(path, sizeof(path), "%s%s%s", directory, *directory ? "/" : "", name) >=
	    (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "a path in %s", directory);
	r = beneath_stat(from_dir, name, &st);
	if (r < 0)
		return err_set(err, r, "stat %s", path);
	/* A socket's file means nothing without the process that bound it, which makes its own. */
	if (S_ISSOCK(st.st_mode))
		return 0;
	struct record *record = record_get(ls, path);
	if (!record)
		return err_set(err, -ENOMEM, "copy of a layer");
	if (S_ISDIR(st.st_mode))
		r = directory_update(ls, from_dir, to_dir, name, &st, record, depth, err);
	else
		r = file_update(ls, from_dir, to_dir, name, &st, record, err);
	if (r < 0)
		return r;
	record->st = st;
	/* Between two updates that are both frozen nothing can change at all. */
	record->named = !ls->frozen && record->named;
	record->dirty = !ls->frozen && (record->named || may_change_unseen(ls, &st));
	record->pass = ls->pass;
	ls->stats->files++;
	ls->counted += ENTRY_BYTES + strlen(path);
	if (ls->counted > ls->max_bytes || ls->stats->files > FILES_MAX)
		return too_large(ls, err);
	return 0;
}

/** tree_update() - Bring the copies of all files in one directory up to date */
static int tree_update(struct layer_staging *ls, int from_dir, int to_dir, const char *path,
		       unsigned int depth, struct err *err)
{
	DIR *dir = beneath_list(from_dir);
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return err_set(err, -errno, "read the directory '%s'", path);
	while (r == 0 && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		r = entry_update(ls, from_dir, to_dir, path, entry->d_name, depth, err);
		if (r == -ENOENT && !ls->frozen)
			r = 0; /* gone meanwhile; the next update sees it missing */
		if (r == 0 && !ls->frozen && cancelled(ls->cancel_fd))
			r = err_set(err, -ECANCELED, "copy of a layer");
	}
	(void)closedir(dir);
	return r;
}

/* --- an update ------------------------------------------------------------------------------ */

/** root_update() - Give the copy's root the attributes of the layer's */
static int root_update(struct layer_staging *ls, struct err *err)
{
	struct layer_node node;
	int r = layer_node_read(&node, ls->upper, ".", err);

	if (r < 0)
		return r;
	layer_node_strip(ls->stage, ".");
	r = layer_node_dress(&node, ls->stage, ".", err);
	layer_node_deinit(&node);
	return r;
}

/** struct gone - Paths whose originals are gone */
struct gone {
	uint64_t pass;
	struct record **record;
	size_t count;
	size_t room;
	bool failed;
};

static void gone_visit(const void *node, VISIT which, void *closure)
{
	struct record *record = *(struct record *const *)node;
	struct gone *gone = closure;

	if ((which != postorder && which != leaf) || record->pass == gone->pass)
		return;
	if (gone->count == gone->room) {
		size_t room = gone->room ? gone->room * 2 : 64;
		struct record **more = reallocarray(gone->record, room, sizeof(struct record *));

		gone->failed = gone->failed || !more;
		if (!more)
			return;
		gone->record = more;
		gone->room = room;
	}
	gone->record[gone->count++] = record;
}

static int gone_compare(const void *a, const void *b)
{
	return -record_compare(*(struct record *const *)a, *(struct record *const *)b);
}

/**
 * gone_one() - Remove one file of the copy whose original is gone
 *
 * The copy has the container's own names and links. So its path leads through them only if each
 * part is still a directory. If a part has become a link or a file, all files below it are gone,
 * too.
 */
static int gone_one(struct layer_staging *ls, const struct record *record, struct err *err)
{
	char last[NAME_MAX + 1];
	const char *slash = strrchr(record->path, '/');
	auto_close int parent = beneath_parent(ls->stage, record->path, last);
	int r;

	if (parent == -ENOENT || parent == -ENOTDIR || parent == -ELOOP)
		return 0;
	if (parent < 0)
		return err_set(err, parent, "remove %s", record->path);
	r = layer_tree_remove(parent, last, err);
	if (r < 0 || !slash)
		return r;
	auto_free char *above = strndup(record->path, (size_t)(slash - record->path));
	if (!above)
		return err_set(err, -ENOMEM, "copy of a layer");
	struct record key = { .path = above };
	struct record **directory = tfind(&key, &ls->records, record_compare);
	return directory ? layer_node_times(&(*directory)->st, parent, ".", err) : 0;
}

/** gone_remove() - Remove files from the copy that this update has not met, deeper ones first */
static int gone_remove(struct layer_staging *ls, struct err *err)
{
	struct gone gone = { .pass = ls->pass };
	int r = 0;

	twalk_r(ls->records, gone_visit, &gone);
	auto_free struct record **owned = gone.record;
	if (gone.failed)
		return err_set(err, -ENOMEM, "copy of a layer");
	if (gone.count)
		qsort(gone.record, gone.count, sizeof(struct record *), gone_compare);
	for (size_t i = 0; i < gone.count && r == 0; i++) {
		r = gone_one(ls, gone.record[i], err);
		(void)tdelete(gone.record[i], &ls->records, record_compare);
		record_free(gone.record[i]);
		ls->stats->removed_files++;
	}
	(void)owned;
	return r;
}

int layer_staging_update(struct layer_staging *ls, bool frozen, int cancel_fd,
			 struct layer_stats *stats, struct err *err)
{
	int r;

	memset(stats, 0, sizeof(*stats));
	ls->frozen = frozen;
	ls->cancel_fd = cancel_fd;
	ls->stats = stats;
	ls->pass++;
	ls->counted = 0;
	tdestroy(ls->inodes, inode_free);
	ls->inodes = NULL;
	(void)clock_gettime(CLOCK_REALTIME, &ls->since);
	ls->since.tv_nsec -= TICK_NS;
	if (ls->since.tv_nsec < 0) {
		ls->since.tv_nsec += 1000000000;
		ls->since.tv_sec--;
	}
	r = tree_update(ls, ls->upper, ls->stage, "", 0, err);
	if (r == 0)
		r = gone_remove(ls, err);
	if (r == 0)
		r = root_update(ls, err);
	ls->stats = NULL;
	return r < 0 ? err_wrap(err, r, "copy the %s%s", *ls->at ? "volume at " : "container layer",
				ls->at)
		     : 0;
}
