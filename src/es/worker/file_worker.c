/* SPDX-License-Identifier: Apache-2.0 */
#include "es/worker/file_worker.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "es/criu/images.h"
#include "es/system/process.h"
#include "es/worker/line.h"

#define LINE     3 /* descriptor of the line in the worker */
#define TEXT_MAX (1u << 20)
#define ENDS_MAX 8  /* times that a worker is told of the end of a stream */
#define OWED_MAX 32 /* calls with unread ends: few enough for the socket's buffer */

/* A disk that writes 1 MB/s is slow, but works. */
static const struct file_patience patience_default = {
	.frame = 600000,
	.call = 600000,
	.stream = 1800000,
	.more = 5400000,
	.frozen = 30000,
	.end = 5000,
};

/**
 * struct file_workers - See file_workers_new()
 * @lock:	guards @stuck
 * @stuck:	struct file_worker that were killed and have not ended, by their @link
 */
struct file_workers {
	char *program;
	struct file_patience patience;
	pthread_mutex_t lock;
	struct list stuck;
};

/**
 * struct file_worker - A worker
 * @workers:	borrowed
 * @link:	in its list, once it is stuck
 * @pidfd:	readable when it has ended
 * @line:	to it
 * @cancel_fd:	borrowed, or -1
 * @wait:	of the call under way: longest for a frame, and cancellation
 * @left_us:	of the call under way: time that it still has
 * @more_us:	limit of its further growth
 * @dirs, @layers: numbers given out
 * @owed:	calls that were posted and whose ends are still to be read
 * @lost:	a call broke off: the line is out of step
 * @call, @end, @in: of the call under way
 */
struct file_worker {
	struct file_workers *workers;
	struct list link;
	pid_t pid;
	int pidfd;
	int line;
	int cancel_fd;
	struct worker_wait wait;
	uint64_t left_us;
	uint64_t more_us;
	uint32_t dirs;
	uint32_t layers;
	unsigned int owed;
	bool lost;
	struct worker_call call;
	struct worker_end end;
	uint8_t in[WORKER_BYTES_MAX];
};

/** struct streams - Functions that the worker may ask for during a call; NULL: it may not */
struct streams {
	archive_source source;
	archive_sink sink;
	int (*tree_done)(void *ctx, size_t tree, struct err *err);
	archive_after after;
	void *ctx;
	const uint8_t *left; /* of the source's bytes, borrowed from it */
	size_t left_len;
	unsigned int ends; /* times that the source had no more */
	size_t trees;
};

/* --- time ------------------------------------------------------------------------------------- */

/** patience_begin() - The time of a call begins */
static void patience_begin(struct file_worker *fw, bool frozen, bool streams)
{
	const struct file_patience *p = &fw->workers->patience;
	uint32_t ms = frozen ? p->frozen : streams ? p->stream : p->call;

	fw->wait.ms = (int)(frozen ? p->frozen : p->frame);
	fw->wait.cancel_fd = frozen ? -1 : fw->cancel_fd;
	fw->left_us = (uint64_t)ms * 1000;
	fw->more_us = streams && !frozen ? (uint64_t)p->more * 1000 : 0;
}

/** patience_use() - A frame with @len bytes has taken its time since @began_us */
static void patience_use(struct file_worker *fw, uint64_t began_us, size_t len)
{
	/* 1 more: even frames that take no time come to an end */
	uint64_t used = monotonic_us() - began_us + 1;
	uint64_t more = len < fw->more_us ? len : fw->more_us;

	fw->left_us -= used < fw->left_us ? used : fw->left_us;
	fw->left_us += more;
	fw->more_us -= more;
}

/**
 * patience_next() - How long to wait for the next frame
 *
 * Return: 0, or -ETIMEDOUT if there is no time left
 */
static int patience_next(const struct file_worker *fw, struct worker_wait *wait, struct err *err)
{
	uint64_t left_ms = (fw->left_us + 999) / 1000;

	*wait = fw->wait;
	if ((uint64_t)wait->ms > left_ms)
		wait->ms = (int)left_ms;
	return left_ms ? 0
		       : err_set(err, -ETIMEDOUT, "the file worker takes longer than a call may");
}

/** hear() - The next frame from the worker, into @fw->in */
static int hear(struct file_worker *fw, enum worker_kind *kind, size_t *len, struct err *err)
{
	uint64_t began = monotonic_us();
	struct worker_wait wait;
	int r = patience_next(fw, &wait, err);

	if (r == 0)
		r = worker_line_receive(fw->line, &wait, kind, fw->in, len, NULL, err);
	if (r == 0)
		patience_use(fw, began, *len);
	return r;
}

/** say() - Send a frame. @pass: as for worker_line_send() */
static int say(struct file_worker *fw, enum worker_kind kind, const void *bytes, size_t len,
	       int pass, struct err *err)
{
	uint64_t began = monotonic_us();
	struct worker_wait wait;
	int r = patience_next(fw, &wait, err);

	if (r == 0)
		r = worker_line_send(fw->line, kind, bytes, len, pass, &wait, err);
	if (r == 0)
		patience_use(fw, began, len);
	return r;
}

/* --- calls ------------------------------------------------------------------------------------ */

/** call_begin() - Begin to write a call */
static struct worker_call *call_begin(struct file_worker *fw, enum worker_op op)
{
	memset(&fw->call, 0, sizeof(fw->call));
	fw->call.op = op;
	return &fw->call;
}

/** lose() - End the worker at once: its state is unknown */
static void lose(struct file_worker *fw)
{
	fw->lost = true;
	(void)kill(fw->pid, SIGKILL);
}

/** end_take() - Read the worker's answer at the end of a call. Return: its result */
static int end_take(struct file_worker *fw, size_t len, struct err *err)
{
	if (len != sizeof(fw->end))
		return err_set(err, -EPROTO, "the file worker ends a call with %zu bytes", len);
	memcpy(&fw->end, fw->in, sizeof(fw->end));
	fw->end.text[sizeof(fw->end.text) - 1] = '\0';
	if (fw->end.result >= 0)
		return 0;
	if (fw->end.result < -4095)
		return err_set(err, -EPROTO, "the file worker ends a call with %d", fw->end.result);
	if (err) {
		/* its text has the errno's in it already */
		err->code = fw->end.result;
		err->lasting = false;
		(void)snprintf(err->text, sizeof(err->text), "%s", fw->end.text);
	}
	return fw->end.result;
}

/**
 * last_words() - The reason that a worker gave for its end, if any. Return: that, or @r if it has
 * not
 */
static int last_words(struct file_worker *fw, int r, struct err *err)
{
	static const struct worker_wait now = { .ms = 0, .cancel_fd = -1 };
	enum worker_kind kind;
	size_t len;

	/* ends of the calls before this one are in front */
	for (unsigned int n = 0; n <= fw->owed; n++) {
		struct err said = { 0 };

		if (worker_line_receive(fw->line, &now, &kind, fw->in, &len, NULL, NULL) < 0 ||
		    kind != WORKER_END)
			break;
		if (end_take(fw, len, &said) < 0) {
			if (err)
				*err = said;
			return said.code;
		}
	}
	return r;
}

/** call_send() - Send the call. @pass: descriptor that goes along, or -1 */
static int call_send(struct file_worker *fw, const struct worker_call *call, int pass,
		     struct err *err)
{
	size_t len = offsetof(struct worker_call, text) + strlen(call->text) + 1;

	if (fw->lost)
		return err_set(err, -EPIPE, "the file worker was ended");
	int r = say(fw, WORKER_CALL, call, len, pass, err);
	if (r == -EPIPE) /* one that could not lock itself in is gone before it is asked */
		r = last_words(fw, r, err);
	if (r < 0) /* perhaps in the middle */
		lose(fw);
	return r;
}

/** bytes_give() - Answer the worker's wish for bytes */
static int bytes_give(struct file_worker *fw, struct streams *streams, struct err *err)
{
	size_t len;
	int r;

	if (!streams->left_len) {
		const void *bytes = NULL;
		ssize_t n = streams->source(streams->ctx, &bytes, err);

		if (n < 0)
			return (int)n;
		if (n == 0 && ++streams->ends > ENDS_MAX)
			return err_set(err, -EPROTO,
				       "the file worker goes on asking after the end");
		streams->left = bytes;
		streams->left_len = (size_t)n;
	}
	len = streams->left_len < WORKER_BYTES_MAX ? streams->left_len : WORKER_BYTES_MAX;
	r = say(fw, WORKER_BYTES, streams->left, len, -1, err);
	if (len) /* at the end there are none, and nothing to point to */
		streams->left += len;
	streams->left_len -= len;
	return r;
}

/** asked() - Serve a request of the worker in the middle of a call */
static int asked(struct file_worker *fw, struct streams *streams, enum worker_kind kind, size_t len,
		 struct err *err)
{
	if (kind == WORKER_WANT && streams && streams->source)
		return bytes_give(fw, streams, err);
	if (kind == WORKER_BYTES && streams && streams->sink)
		return streams->sink(streams->ctx, fw->in, len, err);
	if (kind == WORKER_AFTER && streams && streams->after)
		return streams->after(streams->ctx, err);
	if (kind == WORKER_TREE && streams && streams->sink)
		return streams->tree_done ? streams->tree_done(streams->ctx, streams->trees++, err)
					  : 0;
	return err_set(err, -EPROTO, "the file worker asks for %d", (int)kind);
}

/** end_wait() - Serve the worker until the call has ended */
static int end_wait(struct file_worker *fw, struct streams *streams, struct err *err)
{
	enum worker_kind kind;
	size_t len;
	int r;

	for (;;) {
		r = hear(fw, &kind, &len, err);
		if (r == 0 && kind == WORKER_END)
			return end_take(fw, len, err);
		if (r == 0)
			r = asked(fw, streams, kind, len, err);
		if (r < 0)
			break;
	}
	lose(fw);
	return r;
}

/** settle() - Read the ends of posted calls. Return: 0, or the first failure among them */
static int settle(struct file_worker *fw, struct err *err)
{
	int r = 0;

	for (; fw->owed && !fw->lost && r == 0; fw->owed--)
		r = end_wait(fw, NULL, err);
	return r;
}

/** post() - Make a call whose end the next call waits for */
static int post(struct file_worker *fw, const struct worker_call *call, int pass, struct err *err)
{
	int r;

	patience_begin(fw, false, false);
	r = fw->owed < OWED_MAX ? 0 : settle(fw, err);
	if (r == 0)
		r = call_send(fw, call, pass, err);
	fw->owed += r == 0;
	return r;
}

/** call_run() - Make a call and wait for its end; @call->frozen limits its time */
static int call_run(struct file_worker *fw, const struct worker_call *call, struct streams *streams,
		    struct err *err)
{
	int r;

	patience_begin(fw, call->frozen, streams != NULL);
	r = call_send(fw, call, -1, err);
	if (r < 0)
		return r;
	r = settle(fw, err);
	if (r < 0) { /* the end of this call would be taken for that of the next one */
		lose(fw);
		return r;
	}
	return end_wait(fw, streams, err);
}

/** place_put() - Write a place into a call */
static int place_put(uint32_t *dir, char path[WORKER_NAME_MAX], struct file_place place,
		     struct err *err)
{
	*dir = (uint32_t)place.dir;
	if (snprintf(path, WORKER_NAME_MAX, "%s", place.path) >= WORKER_NAME_MAX)
		return err_set(err, -ENAMETOOLONG, "%s", place.path);
	return 0;
}

/** root_add() - Add a directory to a call */
static int root_add(struct worker_call *call, const struct file_tree *tree, struct err *err)
{
	struct worker_root *root = &call->root[call->count];
	int r;

	if (call->count >= WORKER_ROOTS_MAX)
		return err_set(err, -E2BIG, "more than %d directories", WORKER_ROOTS_MAX);
	call->count++;
	root->plain = tree->plain;
	if (tree->name &&
	    snprintf(root->name, sizeof(root->name), "%s", tree->name) >= (int)sizeof(root->name))
		return err_set(err, -ENAMETOOLONG, "%s", tree->name);
	root->ahead = WORKER_DIRS_MAX;
	r = place_put(&root->dir, root->path, tree->place, err);
	if (r == 0 && tree->ahead.path && tree->ahead.dir >= 0)
		r = place_put(&root->ahead, root->ahead_path, tree->ahead, err);
	return r;
}

/** place_add() - Add a place to a call */
static int place_add(struct worker_call *call, struct file_place place, struct err *err)
{
	const struct file_tree tree = { .place = place };

	return root_add(call, &tree, err);
}

/* --- the process ------------------------------------------------------------------------------ */

/**
 * worker_run() - In the child: become the worker; only async-signal-safe calls, for others had
 * threads
 */
static _Noreturn void worker_run(const char *program, int line)
{
	char *const argv[] = { (char *)(uintptr_t)FILE_WORKER_PROGRAM, NULL };
	char *const env[] = { NULL };
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0 &&
	    (line == LINE ? fcntl(line, F_SETFD, 0) >= 0 : dup2(line, LINE) >= 0))
		execve(program, argv, env);
	_exit(127);
}

int file_workers_new(struct file_workers **ret, const char *program,
		     const struct file_patience *patience, struct err *err)
{
	struct file_workers *w = calloc(1, sizeof(*w));

	if (w)
		w->program = strdup(program);
	if (!w || !w->program) {
		free(w);
		return err_set(err, -ENOMEM, "file workers");
	}
	w->patience = patience ? *patience : patience_default;
	(void)pthread_mutex_init(&w->lock, NULL);
	list_init(&w->stuck);
	*ret = w;
	return 0;
}

size_t file_workers_stuck(struct file_workers *w)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&w->lock);
	list_for_each_safe(pos, tmp, &w->stuck)
	{
		struct file_worker *fw = list_entry(pos, struct file_worker, link);

		if (waitpid(fw->pid, NULL, WNOHANG) == 0) {
			count++;
			continue;
		}
		list_remove(&fw->link);
		free(fw);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return count;
}

struct file_workers *file_workers_free(struct file_workers *w)
{
	if (!w)
		return NULL;
	(void)file_workers_stuck(w);
	list_for_each_safe(pos, tmp, &w->stuck)
	{
		free(list_entry(pos, struct file_worker, link));
	}
	(void)pthread_mutex_destroy(&w->lock);
	free(w->program);
	free(w);
	return NULL;
}

int file_worker_start(struct file_worker **ret, struct file_workers *workers, int cancel_fd,
		      struct err *err)
{
	int pidfd = -1;
	struct clone_args how = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	size_t stuck = file_workers_stuck(workers);
	int ends[2];

	if (stuck >= FILE_WORKERS_STUCK_MAX)
		return err_set(err, -EBUSY,
			       "%zu file workers hang in the kernel and cannot be ended: does a "
			       "disk not answer?",
			       stuck);

	AUTO(file_worker) struct file_worker *fw = calloc(1, sizeof(*fw));
	if (!fw)
		return err_set(err, -ENOMEM, "start a file worker");
	fw->workers = workers;
	list_init(&fw->link);
	fw->pidfd = -EBADF;
	fw->line = -EBADF;
	fw->cancel_fd = cancel_fd;
	if (access(workers->program, X_OK) < 0)
		return err_set(err, -errno, "execute %s", workers->program);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_set(err, -errno, "start a file worker");
	fw->line = ends[0];
	auto_close int theirs = ends[1];
	fw->pid = (pid_t)syscall(SYS_clone3, &how, sizeof(how));
	if (fw->pid < 0)
		return err_set(
			err, -errno,
			"start a file worker in namespaces of its own (it takes CAP_SYS_ADMIN, "
			"and a kernel with all of them)");
	if (fw->pid == 0)
		worker_run(workers->program, theirs);
	fw->pidfd = pidfd;
	if (cancel_fd >= 0) {
		int r = post(fw, call_begin(fw, WORKER_OP_CANCEL), cancel_fd, err);

		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(fw);
	return 0;
}

/**
 * ended() - Wait for the end of a worker that was killed
 *
 * Return: whether it has come, and is reaped
 */
static bool ended(const struct file_worker *fw)
{
	uint64_t end_us = monotonic_us() + (uint64_t)fw->workers->patience.end * 1000;
	struct pollfd p = { .fd = fw->pidfd, .events = POLLIN };
	uint64_t now;
	int r;

	do {
		now = monotonic_us();
		r = poll(&p, 1, now < end_us ? (int)((end_us - now + 999) / 1000) : 0);
	} while (r < 0 && errno == EINTR);
	return waitpid(fw->pid, NULL, WNOHANG) != 0;
}

/** stuck_keep() - Remember a worker that hangs, to reap it later */
static void stuck_keep(struct file_worker *fw)
{
	(void)pthread_mutex_lock(&fw->workers->lock);
	list_append(&fw->workers->stuck, &fw->link);
	(void)pthread_mutex_unlock(&fw->workers->lock);
}

int file_worker_end(struct file_worker *fw, struct err *err)
{
	int pid = fw ? fw->pid : 0;
	bool gone = true;

	if (!fw)
		return 0;
	if (fw->line >= 0)
		close(fw->line);
	if (fw->pid > 0) {
		(void)kill(fw->pid, SIGKILL);
		gone = ended(fw);
	}
	if (fw->pidfd >= 0)
		close(fw->pidfd);
	if (gone)
		free(fw);
	else
		stuck_keep(fw);
	return gone ? 0
		    : err_set(err, -ETIMEDOUT,
			      "file worker %d hangs in the kernel and cannot be ended: does a disk "
			      "not answer?",
			      pid);
}

struct file_worker *file_worker_free(struct file_worker *fw)
{
	struct err err = { 0 };

	if (file_worker_end(fw, &err) < 0)
		log_error("%s", err.text);
	return NULL;
}

/* --- directories ------------------------------------------------------------------------------ */

/** mount_of() - Make a mount of a directory alone. Return: descriptor, or negative error code */
static int mount_of(int dirfd, bool writable)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID |
			    (writable ? 0 : MOUNT_ATTR_RDONLY),
	};
	auto_close int fd = (int)syscall(SYS_open_tree, dirfd, "",
					 AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 ||
	    syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int file_worker_directory(struct file_worker *fw, const char *path, bool writable, struct err *err)
{
	struct worker_call *call;
	int r;

	if (fw->dirs >= WORKER_DIRS_MAX)
		return err_set(err, -E2BIG, "more than %d directories for a file worker",
			       WORKER_DIRS_MAX);
	auto_close int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return err_set(err, -errno, "open %s", path);
	auto_close int mounted = mount_of(dirfd, writable);
	if (mounted < 0)
		return err_set(err, mounted, "make a mount of %s", path);
	call = call_begin(fw, WORKER_OP_DIRECTORY);
	call->id = fw->dirs;
	r = post(fw, call, mounted, err);
	return r < 0 ? r : (int)fw->dirs++;
}

int file_worker_empty(struct file_worker *fw, struct file_place place, struct err *err)
{
	struct worker_call *call = call_begin(fw, WORKER_OP_EMPTY);
	int r = place_add(call, place, err);

	return r < 0 ? r : call_run(fw, call, NULL, err);
}

int file_worker_remove(struct file_workers *workers, const char *path, struct err *err)
{
	AUTO(file_worker) struct file_worker *fw = NULL;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(err, -errno, "remove %s", path);
	if (!S_ISDIR(st.st_mode))
		return unlink(path) < 0 ? err_set(err, -errno, "remove %s", path) : 0;
	r = file_worker_start(&fw, workers, -1, err);
	if (r == 0)
		r = file_worker_directory(fw, path, true, err);
	if (r >= 0)
		r = file_worker_empty(fw, (struct file_place){ .dir = r, .path = "" }, err);
	if (r < 0)
		return err_wrap(err, r, "remove %s", path);
	return rmdir(path) < 0 ? err_set(err, -errno, "remove %s", path) : 0;
}

/* --- layers ----------------------------------------------------------------------------------- */

int file_worker_layer_new(struct file_worker *fw, struct file_place upper, struct file_place copy,
			  const char *at, uint64_t max_bytes, struct err *err)
{
	struct worker_call *call = call_begin(fw, WORKER_OP_LAYER_NEW);
	int r = place_add(call, upper, err);

	if (r == 0)
		r = place_add(call, copy, err);
	if (r < 0)
		return r;
	if (fw->layers >= WORKER_LAYERS_MAX ||
	    snprintf(call->text, sizeof(call->text), "%s", at) >= (int)sizeof(call->text))
		return err_set(err, -E2BIG, "the volume at %.100s", at);
	call->id = fw->layers;
	call->max_bytes = max_bytes;
	r = call_run(fw, call, NULL, err);
	return r < 0 ? r : (int)fw->layers++;
}

int file_worker_layer_update(struct file_worker *fw, int layer, bool frozen,
			     struct layer_stats *stats, struct err *err)
{
	struct worker_call *call = call_begin(fw, WORKER_OP_LAYER_UPDATE);
	int r;

	call->id = (uint32_t)layer;
	call->frozen = frozen;
	r = call_run(fw, call, NULL, err);
	if (r < 0)
		return r;
	*stats = (struct layer_stats){ .files = fw->end.value[0],
				       .bytes = fw->end.value[1],
				       .copied_files = fw->end.value[2],
				       .copied_bytes = fw->end.value[3],
				       .removed_files = fw->end.value[4] };
	return 0;
}

int file_worker_layer_dirty(struct file_worker *fw, int layer, const char *path, struct err *err)
{
	struct worker_call *call = call_begin(fw, WORKER_OP_LAYER_DIRTY);

	if (snprintf(call->text, sizeof(call->text), "%s", path) >= (int)sizeof(call->text))
		return err_set(err, -ENAMETOOLONG, "%.100s", path);
	call->id = (uint32_t)layer;
	return post(fw, call, -1, err);
}

/* --- archives --------------------------------------------------------------------------------- */

/** trees_put() - Write trees into a call */
static int trees_put(struct worker_call *call, const struct file_tree *tree, size_t count,
		     struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = root_add(call, &tree[i], err);
	return r;
}

int file_worker_pack(struct file_worker *fw, const struct file_tree *tree, size_t count,
		     const struct file_packing *how, struct err *err)
{
	struct streams streams = {
		.sink = how->sink, .tree_done = how->tree_done, .after = how->after, .ctx = how->ctx
	};
	struct worker_call *call = call_begin(fw, WORKER_OP_PACK);
	int r = trees_put(call, tree, count, err);

	call->remember = how->remember;
	call->each = how->after != NULL;
	return r < 0 ? r : call_run(fw, call, &streams, err);
}

int file_worker_extract(struct file_worker *fw, const struct file_tree *tree, size_t count,
			const struct file_extracting *how, struct err *err)
{
	struct streams streams = { .source = how->source, .after = how->after, .ctx = how->ctx };
	struct worker_call *call = call_begin(fw, WORKER_OP_EXTRACT);
	int r = trees_put(call, tree, count, err);

	call->max_bytes = how->max_bytes;
	call->packed = how->packed;
	call->each = how->after != NULL;
	return r < 0 ? r : call_run(fw, call, &streams, err);
}

int file_worker_image(struct file_worker *fw, struct file_place to, const char *id, size_t layers,
		      const struct file_extracting *how, struct err *err)
{
	struct streams streams = { .source = how->source, .ctx = how->ctx };
	struct worker_call *call = call_begin(fw, WORKER_OP_IMAGE);
	int r = place_add(call, to, err);

	if (r == 0 && snprintf(call->text, sizeof(call->text), "%s", id) >= (int)sizeof(call->text))
		r = err_set(err, -ENAMETOOLONG, "%.100s", id);
	call->number = layers;
	call->max_bytes = how->max_bytes;
	return r < 0 ? r : call_run(fw, call, &streams, err);
}

int file_worker_delta(struct file_worker *fw, struct file_place images, struct file_place base,
		      uint64_t max_bytes, struct err *err)
{
	const struct file_tree tree = { .place = images, .ahead = base };
	struct worker_call *call = call_begin(fw, WORKER_OP_DELTA);
	int r = root_add(call, &tree, err);

	call->max_bytes = max_bytes;
	return r < 0 ? r : call_run(fw, call, NULL, err);
}

int file_worker_checkpoint(struct file_worker *fw, struct file_place images,
			   const struct checkpoint_grant *grant, struct err *err)
{
	struct worker_call *call = call_begin(fw, WORKER_OP_CHECKPOINT);
	int r = place_add(call, images, err);

	call->number = grant->capabilities;
	call->remember = grant->no_new_privs;
	call->each = grant->filtered;
	if (snprintf(call->text, sizeof(call->text), "%s\n%s", grant->profile ? grant->profile : "",
		     grant->closed ? grant->closed : "") >= (int)sizeof(call->text))
		return err_set(err, -E2BIG, "judge a checkpoint: too many paths that are closed");
	if (r == 0)
		r = call_run(fw, call, NULL, err);
	/* another checkpoint of the same container would ask for the same */
	return r == -EPERM ? err_lasting(err, r) : r;
}

/* --- texts ------------------------------------------------------------------------------------ */

/** struct exchange - A text that goes in, and one that comes out */
struct exchange {
	const uint8_t *in;
	size_t in_len;
	struct buf out;
};

static ssize_t exchange_give(void *ctx, const void **bytes, struct err *err)
{
	struct exchange *x = ctx;
	size_t len = x->in_len;

	(void)err;
	*bytes = x->in;
	x->in_len = 0;
	return (ssize_t)len;
}

static int exchange_take(void *ctx, const void *bytes, size_t len, struct err *err)
{
	struct exchange *x = ctx;

	return buf_append(&x->out, bytes, len, err);
}

int file_worker_json(struct file_worker *fw, const void *text, size_t len, char **ours,
		     struct err *err)
{
	struct exchange x = { .in = text, .in_len = len };
	struct streams streams = { .source = exchange_give, .sink = exchange_take, .ctx = &x };
	int r;

	/* an escape is six bytes, and may stand for one */
	buf_init(&x.out, 6 * TEXT_MAX);
	r = call_run(fw, call_begin(fw, WORKER_OP_JSON), &streams, err);
	if (r == 0 && (!x.out.len || memchr(buf_bytes(&x.out), '\0', x.out.len)))
		r = err_set(err, -EPROTO, "the file worker writes no JSON");
	if (r == 0)
		r = buf_append(&x.out, "", 1, err);
	if (r == 0) {
		*ours = strdup((const char *)buf_bytes(&x.out));
		r = *ours ? 0 : err_set(err, -ENOMEM, "read a text");
	}
	buf_deinit(&x.out);
	return r;
}

/* --- frames ----------------------------------------------------------------------------------- */

int file_unpacking_init(struct file_unpacking *u, struct file_worker *fw, archive_source source,
			void *ctx, uint64_t max_bytes, struct err *err)
{
	struct worker_call *call = call_begin(fw, WORKER_OP_UNPACK);
	int r;

	*u = (struct file_unpacking){ .files = fw, .source = source, .ctx = ctx };
	call->max_bytes = max_bytes;
	patience_begin(fw, false, true);
	r = call_send(fw, call, -1, err);
	return r < 0 ? r : settle(fw, err);
}

ssize_t file_unpacking_give(void *ctx, const void **bytes, struct err *err)
{
	struct file_unpacking *u = ctx;
	struct file_worker *fw = u->files;
	struct streams streams = { .source = u->source,
				   .ctx = u->ctx,
				   .left = u->left,
				   .left_len = u->left_len,
				   .ends = u->ends };
	enum worker_kind kind;
	size_t len;
	int r = 0;

	while (r == 0 && !u->ended) {
		r = hear(fw, &kind, &len, err);
		if (r == 0 && kind == WORKER_BYTES && len) {
			*bytes = fw->in;
			u->left = streams.left;
			u->left_len = streams.left_len;
			u->ends = streams.ends;
			return (ssize_t)len;
		}
		u->ended = r == 0 && kind == WORKER_END;
		if (u->ended)
			r = end_take(fw, len, err);
		else if (r == 0 && kind == WORKER_WANT)
			r = bytes_give(fw, &streams, err);
		else if (r == 0)
			r = err_set(err, -EPROTO, "the file worker says %d", (int)kind);
	}
	return r;
}

void file_unpacking_deinit(struct file_unpacking *u)
{
	if (u->files && !u->ended)
		lose(u->files);
	u->files = NULL;
}
