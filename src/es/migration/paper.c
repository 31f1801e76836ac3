/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The paper's way - T1 to T5 as in the paper, as faithfully as today's Docker allows
 *
 * A baseline for measurements, with `profile = "paper"` on both edge servers. The engine makes the
 * checkpoint. Its files are sent one by one, uncompressed. Then comes either the container, committed
 * and saved as an image (C-Migr), or a copy of its UpperDir (P-Migr), again file by file. The engine
 * starts the replica from the checkpoint. Requests are buffered from the handoff on, and later replayed.
 *
 * Its known flaw: there is no cut (R2 does not hold). The replay executes again each request that was
 * executed between the handoff and the checkpoint. Data written to files between the checkpoint and their
 * copy is there before the replay writes it again. docs/experiment.md has more.
 */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/files.h"
#include "es/container/mounts.h"
#include "es/engine/docker_engine.h"
#include "es/engine/upper_dir.h"
#include "es/files/beneath.h"
#include "es/migration/common/incoming_budget.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/transfer.h"
#include "es/migration/common/work.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"
#include "es/migration/paper.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/system/cgroup.h"
#include "es/system/thaw_guard.h"
#include "es/worker/file_worker.h"
#include "net/tls_stream.h"

#define CHECKPOINT "baton-paper"
#define COPY_BYTES (1u << 20)

/** complete() - Whether the whole image goes (C-Migr); both sides come to the same answer */
static bool complete(const struct migration *m)
{
	return m->image_wanted ||
	       !strcmp(json_text(m->plan, "method", NULL), migration_method_name(METHOD_COMPLETE));
}

/** checkpoint_path() - Where the engine keeps, and looks for, a checkpoint */
static int checkpoint_path(const struct migration *m, const char *id, const char *name,
			   char to[PATH_MAX], struct err *err)
{
	if (snprintf(to, PATH_MAX, "%s/containers/%s/checkpoints%s%s", m->docker_root, id,
		     *name ? "/" : "", name) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%s", m->docker_root);
	return 0;
}

/** docker_root_learn() - Where the engine has its files */
static int docker_root_learn(struct migration *m, struct err *err)
{
	json_t *info = NULL;
	int r = docker_engine_info(m->engine, &info, err);

	if (r == 0)
		(void)snprintf(m->docker_root, sizeof(m->docker_root), "%s",
			       json_text(info, "DockerRootDir", NULL));
	json_decref(info);
	return r;
}

/** directory_bytes() - Size of the files in a directory, not of what is below it */
static uint64_t directory_bytes(int dirfd)
{
	DIR *dir = beneath_list(dirfd);
	const struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (beneath_stat(dirfd, entry->d_name, &st) == 0 && S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	if (dir)
		(void)closedir(dir);
	return bytes;
}

/** below() - Open a directory below the work directory, made if need be */
static int below(const struct migration *m, const char *name, char path[PATH_MAX], struct err *err)
{
	int fd;

	if (snprintf(path, PATH_MAX, "%s/%s", m->work, name) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%s", m->work);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "create %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "open %s", path) : fd;
}

/* --- source ----------------------------------------------------------------------------------- */

/** plan_make() - Make the plan of the offer */
static int plan_make(struct migration *m, struct err *err)
{
	json_t *image = NULL;
	uint64_t memory;
	size_t first = 0;
	int r = source_look(m, &image, err);

	if (r == 0 && container_mounts_volume(m->inspect, &first))
		r = err_lasting(err, err_set(err, -EOPNOTSUPP,
					     "move volumes the paper's way: it has none (set "
					     "profile = \"baton\")"));
	if (r == 0) {
		memory = cgroup_memory(
			(pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)));
		r = source_plan(m, image, memory, 0, err);
	}
	json_decref(image);
	return r;
}

/**
 * handoff_number() - Remember the last number that CT-x executed before the handoff
 *
 * For this the session is quiesced for a moment, so that number and answer cache agree, as in a cut.
 * But the checkpoint is taken later, while the service executes.
 */
static int handoff_number(struct migration *m, struct err *err)
{
	int r = source_drain(m, err);

	if (r == 0)
		migration_cut_taken(m, true, NULL);
	return r;
}

int paper_source_prepare(struct migration *m, struct err *err)
{
	int r = migration_engine(&m->engine, m->mc, m->cancel_fd, err);

	m->header.session = m->session;
	m->header.association = m->order.association;
	m->header.epoch = m->order.epoch;
	if (r == 0)
		r = handoff_number(m, err);
	if (r == 0)
		r = docker_root_learn(m, err);
	if (r == 0)
		r = plan_make(m, err);
	if (r == 0)
		r = source_work(m, err);
	if (r == 0)
		r = source_offer(m, err);
	if (r == 0)
		migration_stage_done(m, "PREPARED", "prepare_us=%" PRIu64 " method=%s",
				     monotonic_us() - m->began_us,
				     complete(m) ? "complete" : "partial");
	return r;
}

int paper_source_checkpoint(struct migration *m, struct err *err)
{
	const char *id = json_text(m->inspect, "Id", NULL);
	char path[PATH_MAX];
	uint64_t began = monotonic_us();
	int r = checkpoint_path(m, id, CHECKPOINT, path, err);

	/* a checkpoint left by a killed predecessor would be in the way */
	if (r == 0)
		(void)docker_engine_checkpoint_remove(m->engine, id, CHECKPOINT, NULL);
	thaw_guard_may_freeze(m->mc->config.guard, id);
	if (r == 0)
		r = docker_engine_checkpoint(m->engine, id, CHECKPOINT, err);
	(void)thaw_guard_must_run(m->mc->config.guard, id);
	if (r == 0) /* else the engine's CRIU may live */
		thaw_guard_rest(m->mc->config.guard, id);
	if (r != 0)
		return r < 0 ? r : err_set(err, -ENOENT, "container %s", m->order.container);
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	m->cut.freeze_us = monotonic_us() - began;
	m->cut.bytes = directory_bytes(fd);
	migration_stage_done(m, "T1",
			     "freeze_us=%" PRIu64 " dump_us=%" PRIu64 " memory_bytes=%" PRIu64,
			     m->cut.freeze_us, m->cut.freeze_us, m->cut.bytes);
	return 0;
}

/* The last byte of a tree is on its way. */
static void tree_sent(void *ctx, const struct transfer_tree *tree)
{
	struct migration *m = ctx;
	bool memory = !strcmp(tree->tree.name, "memory");

	migration_stage_done(m, memory ? "T2" : "T4",
			     "kind=%s sent_bytes=%" PRIu64 " raw_bytes=%" PRIu64 " log_bytes=%zu",
			     tree->tree.name, tree->sent, memory ? m->cut.bytes : m->image_bytes,
			     memory ? m->cache_len : (size_t)0);
}

int paper_source_send_checkpoint(struct migration *m, struct err *err)
{
	char path[PATH_MAX];
	int r = checkpoint_path(m, json_text(m->inspect, "Id", NULL), CHECKPOINT, path, err);

	if (r < 0)
		return r;
	struct transfer_tree tree = {
		.tree = { .name = "memory", .place = { .path = "" }, .ahead = { .dir = -1 } },
		.done = tree_sent,
		.ctx = m,
	};
	tree.tree.place.dir = file_worker_directory(m->files, path, false, err);
	if (tree.tree.place.dir < 0)
		return tree.tree.place.dir;
	r = source_tell_cut(m, err);
	return r < 0 ? r : source_trees(m, TRANSFER_FILE_BY_FILE, &tree, 1, err);
}

/** image_save() - Write an image into a file, as `docker save` does */
static int image_save(struct migration *m, const char *path, struct err *err)
{
	const void *bytes;
	ssize_t n;

	AUTO(docker_stream) struct docker_stream *saved = NULL;
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "create %s", path);
	int r = docker_engine_save(m->engine, m->committed, &saved, err);
	if (r < 0)
		return r;
	while ((n = docker_stream_read(saved, &bytes, err)) > 0) {
		r = files_write(fd, bytes, (size_t)n);
		if (r < 0)
			return err_set(err, r, "write %s", path);
		m->image_bytes += (uint64_t)n;
	}
	return (int)n;
}

/** image_take() - T3 of C-Migr: the container as an image, in a file */
static int image_take(struct migration *m, struct err *err)
{
	char dir[PATH_MAX];
	char path[PATH_MAX + 64];
	int r = docker_engine_commit(m->engine, json_text(m->inspect, "Id", NULL), m->committed,
				     sizeof(m->committed), err);

	if (r != 0)
		return r < 0 ? r : err_set(err, -ENOENT, "container %s", m->order.container);
	auto_close int fd = below(m, "image", dir, err);
	if (fd < 0)
		return fd;
	/* The destination learns the image's id from the name of the file. */
	if (snprintf(path, sizeof(path), "%s/%.64s", dir, m->committed + strlen("sha256:")) >=
	    (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s", dir);
	return image_save(m, path, err);
}

int paper_source_files(struct migration *m, struct err *err)
{
	uint64_t began = monotonic_us();
	int r = complete(m) ? image_take(m, err) : source_layer(m, err);

	if (r < 0)
		return r;
	if (!complete(m))
		m->image_bytes = m->out->layer_stats.bytes;
	migration_stage_done(m, "T3",
			     "layer_bytes=%" PRIu64 " layer_files=%" PRIu64 " image_bytes=%" PRIu64
			     " took_us=%" PRIu64,
			     m->out->layer_stats.bytes, m->out->layer_stats.files,
			     complete(m) ? m->image_bytes : 0, monotonic_us() - began);
	return 0;
}

int paper_source_send_files(struct migration *m, struct err *err)
{
	char path[PATH_MAX];
	struct transfer_tree tree = { .tree = { .name = "layer", .ahead = { .dir = -1 } },
				      .done = tree_sent,
				      .ctx = m };

	if (complete(m)) {
		auto_close int image = below(m, "image", path, err);
		if (image < 0)
			return image;
		tree.tree.name = "image";
		tree.tree.place =
			(struct file_place){ file_worker_directory(m->files, path, false, err),
					     "" };
		if (tree.tree.place.dir < 0)
			return tree.tree.place.dir;
	} else {
		tree.tree.place = m->sets.tree[0].place;
	}
	return source_trees(m, TRANSFER_FILE_BY_FILE, &tree, 1, err);
}

void paper_source_undo(struct migration *m)
{
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	struct err err = { 0 };

	/*
	 * A client of its own: this one's calls must not end because the migration was cancelled.
	 */
	if (migration_engine(&engine, m->mc, -1, &err) == 0) {
		const char *id = json_text(m->inspect, "Id", NULL);

		if (*id)
			(void)docker_engine_checkpoint_remove(engine, id, CHECKPOINT, &err);
		if (m->committed[0])
			(void)docker_engine_image_remove(engine, m->committed, &err);
	}
	source_prepare_undo(m);
}

/* --- destination ------------------------------------------------------------------------------ */

int paper_destination_prepare(struct migration *m, struct err *err)
{
	char image[256];
	int r = destination_begin(m, image, err);

	if (r < 0)
		return r;
	m->image_wanted = r > 0;
	if (m->image_wanted &&
	    !strcmp(json_text(m->plan, "method", NULL), migration_method_name(METHOD_PARTIAL)))
		return err_set(err, -ENOENT,
			       "image %s is not here, and method = \"partial\" forbids to send it",
			       json_text(m->plan, "image", "name", NULL));
	/* In the engine's directory, so that all can be moved to its place by renaming. */
	if (snprintf(m->work, sizeof(m->work), "%s/" CHECKPOINT "-%016" PRIx64, m->docker_root,
		     m->session) >= (int)sizeof(m->work))
		return err_set(err, -ENAMETOOLONG, "%s", m->docker_root);
	(void)file_worker_remove(m->mc->config.workers, m->work, NULL);
	if (mkdir(m->work, 0700) < 0)
		return err_set(err, -errno, "create %s", m->work);
	m->work_made = true;
	return destination_accept(m, err);
}

/** tree_receive() - Receive one tree file by file into the work directory */
static int tree_receive(struct migration *m, const char *name, bool plain, struct err *err)
{
	char path[PATH_MAX];
	struct file_tree tree = {
		.name = name, .place = { .path = "" }, .ahead = { .dir = -1 }, .plain = plain
	};
	auto_close int fd = below(m, name, path, err);

	if (fd < 0)
		return fd;
	tree.place.dir = file_worker_directory(m->files, path, true, err);
	if (tree.place.dir < 0)
		return tree.place.dir;
	incoming_enter(m->stream, INCOMING_CHUNKS, m->mc->config.max_bytes);
	return transfer_receive(m->stream, TRANSFER_FILE_BY_FILE, &m->header, m->files, &tree, 1,
				m->mc->config.max_bytes, err);
}

int paper_destination_checkpoint(struct migration *m, struct err *err)
{
	int r = destination_cut(m, err);

	return r < 0 ? r : tree_receive(m, "memory", true, err);
}

int paper_destination_files(struct migration *m, struct err *err)
{
	int r;

	/*
	 * Committing and saving the container takes the source long, and it says nothing meanwhile.
	 */
	tls_stream_set_timeout(m->stream, (int)m->mc->config.restore_ms);
	r = tree_receive(m, complete(m) ? "image" : "layer", complete(m), err);
	tls_stream_set_timeout(m->stream, (int)m->mc->config.idle_ms);
	m->in->received_us = monotonic_us();
	return r;
}

/** saved_find() - The file that was sent, whose name is the image's id */
static int saved_find(const char *dir, char id[80], struct err *err)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	int r = err_set(err, -EPROTO, "the source sent no image");

	while (d && r < 0 && (entry = readdir(d))) {
		if (strspn(entry->d_name, "0123456789abcdef") == 64 && !entry->d_name[64]) {
			(void)snprintf(id, 80, "sha256:%.64s", entry->d_name);
			r = 0;
		}
	}
	if (d)
		(void)closedir(d);
	return r;
}

/** saved_load() - Have the engine load the file received */
static int saved_load(struct migration *m, struct err *err)
{
	char dir[PATH_MAX];
	json_t *image = NULL;
	ssize_t n;

	AUTO(docker_stream) struct docker_stream *load = NULL;
	auto_free uint8_t *bytes = malloc(COPY_BYTES);
	auto_close int dirfd = below(m, "image", dir, err);
	if (dirfd < 0 || !bytes)
		return dirfd < 0 ? dirfd : err_set(err, -ENOMEM, "load the image");
	int r = saved_find(dir, m->committed, err);
	if (r < 0)
		return r;
	auto_close int fd = beneath_regular(dirfd, m->committed + strlen("sha256:"), O_RDONLY);
	r = fd < 0 ? err_set(err, fd, "open the image in %s", dir)
		   : docker_engine_load(m->engine, &load, err);
	while (r == 0 && (n = read(fd, bytes, COPY_BYTES)) > 0)
		r = docker_stream_write(load, bytes, (size_t)n, err);
	if (r == 0 && n < 0)
		r = err_set(err, -errno, "read the image in %s", dir);
	if (r == 0)
		r = docker_stream_end(load, err);
	if (r == 0)
		r = docker_engine_image(m->engine, m->committed, &image, err);
	json_decref(image);
	return r > 0 ? err_set(err, -EPROTO, "what was sent is not the image it says") : r;
}

/** files_place() - Put the received files where the engine looks for them */
static int files_place(struct migration *m, struct err *err)
{
	char from[PATH_MAX];
	char to[PATH_MAX];
	int r = checkpoint_path(m, m->in->id, "", to, err);

	if (r < 0)
		return r;
	if (mkdir(to, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "create %s", to);
	r = checkpoint_path(m, m->in->id, CHECKPOINT, to, err);
	if (r < 0)
		return r;
	if (snprintf(from, sizeof(from), "%s/memory", m->work) >= (int)sizeof(from) ||
	    rename(from, to) < 0)
		return err_set(err, -errno, "put the checkpoint to %s", to);
	if (complete(m))
		return 0;
	r = upper_dir_find(to, m->inspect, m->mc->config.docker_exec_root, err);
	if (r < 0)
		return r;
	if (snprintf(from, sizeof(from), "%s/layer", m->work) >= (int)sizeof(from) ||
	    rename(from, to) < 0)
		return err_set(err, -errno, "put the layer to %s", to);
	return 0;
}

int paper_destination_restore(struct migration *m, struct err *err)
{
	char image[256];
	int r;

	if (complete(m))
		r = saved_load(m, err);
	else
		r = destination_find_image(m, image, err);
	if (r > 0)
		r = err_set(err, -ENOENT, "the image, which was here before");
	if (r == 0)
		r = destination_create(m, complete(m) ? m->committed : image, err);
	if (r == 0)
		r = docker_engine_inspect(m->engine, m->in->id, &m->inspect, err);
	if (r == 0)
		r = files_place(m, err);
	if (r == 0)
		r = docker_engine_start_from(m->engine, m->in->id, CHECKPOINT, err);
	if (r == 0)
		r = destination_prove(m, err);
	if (r != 0)
		return r < 0 ? r : err_set(err, -ENOENT, "the new container");
	(void)file_worker_remove(m->mc->config.workers, m->work, NULL);
	m->work_made = false;
	migration_stage_done(m, "T5", "restore_us=%" PRIu64 " cut=%" PRIu64,
			     monotonic_us() - m->in->received_us, m->number);
	return 0;
}

void paper_destination_undo(struct migration *m)
{
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	struct err err = { 0 };

	if (migration_engine(&engine, m->mc, -1, &err) == 0) {
		if (m->in->id[0] && docker_engine_remove(engine, m->in->id, &err) == 0)
			m->in->id[0] = '\0';
		if (m->committed[0])
			(void)docker_engine_image_remove(engine, m->committed, &err);
	}
	if (m->work_made)
		(void)file_worker_remove(m->mc->config.workers, m->work, NULL);
	m->work_made = false;
}
