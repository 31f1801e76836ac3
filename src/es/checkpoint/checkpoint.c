/* SPDX-License-Identifier: Apache-2.0 */
#include "es/checkpoint/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "es/container/open_files.h"
#include "es/files/layer_node.h"
#include "es/system/cgroup.h"
#include "es/system/process.h"
#include "es/system/process_family.h"
#include "es/system/task_state.h"
#include "es/system/thaw_guard.h"

/* Each is multiplied by the host's patience, but in checkpoint_clean() */
#define BEGIN_MS   20000 /* from the start of runc to the first hook */
#define FREEZE_MS  10000
#define DUMP_MS    60000 /* between two hooks, and from the last to the end */
#define SILENCE_MS 5000  /* of it, without a byte more in log and images: CRIU hangs */
#define LOOK_MS    250
#define THAW_MS    2000 /* from network-unlock until CRIU has let go */
#define UNDO_MS    3000 /* for a CRIU that is told to give up to undo its work */
#define KILL_MS    5000 /* until killed processes are gone */
#define HOOK_SIZE  32
#define MARK       "BATON_CUT_SOCKET=%s"

/**
 * struct checkpoint - A dump
 * @runc:	running from begin to the end of the cut
 * @mark:	in the environment of runc and of all its descendants
 * @listener:	where the hooks connect
 * @guarding:	connection of the hook's guard, which thaws if we are killed; or -1
 * @parked:	connection of the hook that waits for our answer, or -1
 * @began_us:	when the freeze was asked for
 * @patience:	factor of all waits, at least 1
 * @begun:	CRIU was let go: it gets the time to undo its work before it is killed
 * @told_guard:	thaw_guard_may_freeze() was called
 * @over:	nothing of the dump runs any more
 */
struct checkpoint {
	struct process *runc;
	char *container;
	struct thaw_guard *guard;
	char *mark;
	int guarding;
	struct cgroup_freezer freezer;
	char *dir;
	char *images;
	int listener;
	int parked;
	int cancel_fd;
	uint32_t patience;
	bool hold;
	bool late;
	uint64_t began_us;
	bool begun;
	bool told_guard;
	bool over;
};

int checkpoint_write_config(const char *path, const char *action_script, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	/*
	 * network-lock skip: CRIU's packet filter would lose datagrams, and at the cut the gateway
	 * has closed its connections anyway. tcp-close: foreign connections do not fail the dump.
	 * skip-in-flight: connections that nobody has accepted yet do not fail it either; they stay
	 * with CT-x. manage-cgroups ignore: the engine has made the groups. link-remap and
	 * ghost-limit: files that are open but have no name any more; the remapped ones are in the
	 * layer's last copy.
	 */
	if (fd < 0 ||
	    dprintf(fd,
		    "network-lock skip\nmanage-cgroups ignore\ntcp-close\n"
		    "skip-in-flight\nlink-remap\n"
		    "ghost-limit %uM\n",
		    CONTAINER_GHOST_MAX >> 20) < 0 ||
	    (action_script && dprintf(fd, "action-script %s\n", action_script) < 0))
		return err_set(err, -errno, "write %s", path);
	return 0;
}

void checkpoint_log_reason(const char *path, char *to, size_t size)
{
	auto_fclose FILE *log = fopen(path, "re");
	auto_free char *line = NULL;
	size_t room = 0;

	*to = '\0';
	while (log && !*to && getline(&line, &room, log) > 0) {
		const char *text = strstr(line, "Error (");

		/* Noise where root lacks CAP_SYS_RESOURCE; CRIU continues. */
		if (!text || strstr(text, "RLIMIT_NOFILE"))
			continue;
		(void)snprintf(to, size, "%.*s", (int)strcspn(text, "\n"), text);
	}
}

/** listener_open() - Listen for hooks at @path. Return: descriptor, or negative error code */
static int listener_open(const char *path, struct err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s cannot name a socket", path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0)
		return err_set(err, -errno, "listen at %s", path);
	return TAKE_FD(fd);
}

/** hook_answer() - Tell the waiting hook to go on or to fail */
static void hook_answer(struct checkpoint *c, bool good)
{
	if (c->parked >= 0) {
		(void)send(c->parked, good ? "+" : "-", 1, MSG_NOSIGNAL);
		close(c->parked);
		c->parked = -EBADF;
	}
}

/** patient() - A wait, as long as this host needs it */
static int patient(const struct checkpoint *c, int ms)
{
	return ms * (int)c->patience;
}

/** hangs() - Explain a hang, with the last line of CRIU's log */
static int hangs(const struct checkpoint *c, int timeout_ms, struct err *err)
{
	char path[PATH_MAX];
	char last[160] = "nothing";
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "%s/dump.log", c->dir);
	auto_fclose FILE *log = fopen(path, "re");
	auto_free char *line = NULL;
	while (log && getline(&line, &size, log) > 0)
		(void)snprintf(last, sizeof(last), "%.*s", (int)strcspn(line, "\n"), line);
	return err_set(
		err, -ETIMEDOUT,
		"CRIU hangs: not a word or byte of it for %d ms, or no end after %d ms; its log "
		"ends with: %s",
		patient(c, SILENCE_MS), timeout_ms, last);
}

/** guard_release() - End the hook's guard: the tasks are right even if we are killed now */
static void guard_release(struct checkpoint *c)
{
	if (c->guarding >= 0) {
		(void)send(c->guarding, "+", 1, MSG_NOSIGNAL);
		close(c->guarding);
		c->guarding = -EBADF;
	}
}

/** runc_failed() - Explain why runc has ended, from CRIU's log */
static int runc_failed(struct checkpoint *c, int status, struct err *err)
{
	char path[PATH_MAX];
	char reason[256];

	(void)snprintf(path, sizeof(path), "%s/dump.log", c->dir);
	checkpoint_log_reason(path, reason, sizeof(reason));
	if (!*reason) {
		(void)snprintf(path, sizeof(path), "%s/runc.log", c->dir);
		auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, reason, sizeof(reason) - 1);
		reason[n > 0 ? n : 0] = '\0';
		reason[strcspn(reason, "\n")] = '\0';
	}
	return err_set(err, -EPROTO, "runc checkpoint ended with status %d: %s", status, reason);
}

/** images_measure() - Bytes of all image files */
static uint64_t images_measure(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_size;
	if (dir)
		(void)closedir(dir);
	return bytes;
}

/** progress() - Bytes of CRIU's files, which grow as long as it works */
static uint64_t progress(const struct checkpoint *c)
{
	return images_measure(c->dir) + images_measure(c->images);
}

/**
 * quiet_poll() - Wait for an event, as long as CRIU works
 *
 * Return: as poll(), 0 after @timeout_ms, or after SILENCE_MS without progress
 */
static int quiet_poll(const struct checkpoint *c, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	uint64_t now = monotonic_us();
	uint64_t end = now + (uint64_t)timeout_ms * 1000;
	uint64_t moved = now;
	uint64_t before = progress(c);
	uint64_t silence = (uint64_t)patient(c, SILENCE_MS) * 1000;

	/* Before the tasks are frozen its silence does no harm. */
	while (now < end && (!c->begun || now - moved < silence)) {
		uint64_t left = (end - now) / 1000 + 1;
		int r = poll(fds, count, left < LOOK_MS ? (int)left : LOOK_MS);

		if (r > 0 || (r < 0 && errno != EINTR))
			return r;
		uint64_t bytes = progress(c);
		now = monotonic_us();
		if (bytes != before)
			moved = now;
		before = bytes;
	}
	return 0;
}

/**
 * hook_wait() - Wait for the next hook, or for the end of runc
 * @c:		Dump
 * @cancel_fd:	Ends the wait, or -1
 * @timeout_ms:	Likewise
 * @name:	Set to the hook's name, or to "" if runc ended well
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
static int hook_wait(struct checkpoint *c, int cancel_fd, int timeout_ms, char name[HOOK_SIZE],
		     struct err *err)
{
	struct pollfd fds[3] = { { .fd = c->listener, .events = POLLIN },
				 { .fd = process_fd(c->runc), .events = POLLIN },
				 { .fd = cancel_fd, .events = POLLIN } };
	struct timeval limit = { .tv_sec = 5 };
	int status = 0;
	ssize_t n;
	int r;

	r = quiet_poll(c, fds, 3, timeout_ms);
	if (r < 0)
		return err_set(err, -errno, "wait for CRIU");
	if (r == 0)
		return hangs(c, timeout_ms, err);
	if (fds[0].revents) {
		c->parked = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
		if (c->parked < 0)
			return err_set(err, -errno, "hear a hook of CRIU");
		(void)setsockopt(c->parked, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		n = recv(c->parked, name, HOOK_SIZE - 1, 0);
		if (n <= 0)
			return err_set(err, -EPROTO, "a hook of CRIU says nothing");
		name[n] = '\0';
		name[strcspn(name, "\n")] = '\0';
		return 0;
	}
	if (fds[1].revents) {
		r = process_wait(c->runc, -1, 1000, &status, err);
		if (r == 0 && status != 0)
			r = runc_failed(c, status, err);
		name[0] = '\0';
		return r;
	}
	return err_set(err, -ECANCELED, "checkpoint");
}

/**
 * path_make() - PATH for CRIU and its children
 * @store:	Program that is to be found as gzip, or NULL
 *
 * Return: "PATH=...", to be freed, or NULL
 */
static char *path_make(struct checkpoint *c, const char *prefix, const char *store)
{
	auto_free char *path = path_in_prefix(prefix);
	auto_free char *dir = NULL;
	auto_free char *gzip = NULL;
	char *longer = NULL;

	if (!path || !store)
		return TAKE_PTR(path);
	if (asprintf(&dir, "%s/bin", c->dir) < 0 || asprintf(&gzip, "%s/bin/gzip", c->dir) < 0 ||
	    mkdir(dir, 0700) < 0 || symlink(store, gzip) < 0 ||
	    asprintf(&longer, "PATH=%s:%s", dir, path + strlen("PATH=")) < 0)
		return NULL;
	return longer;
}

/** runc_start() - Start the dump */
static int runc_start(struct checkpoint *c, const struct checkpoint_config *config, struct err *err)
{
	auto_free char *conf = NULL;
	auto_free char *socket = NULL;
	auto_free char *log = NULL;
	auto_free char *conf_env = NULL;
	auto_free char *freezer_env = NULL;
	auto_free char *path_env = path_make(c, config->prefix, config->store);
	int r;

	if (!path_env || asprintf(&conf, "%s/criu.conf", c->dir) < 0 ||
	    asprintf(&socket, "%s/hook", c->dir) < 0 || asprintf(&log, "%s/runc.log", c->dir) < 0 ||
	    asprintf(&conf_env, "CRIU_CONFIG_FILE=%s", conf) < 0 ||
	    asprintf(&freezer_env, "BATON_FREEZER=%s %s", c->freezer.v2 ? "0" : "THAWED",
		     c->freezer.file) < 0 ||
	    asprintf(&c->mark, MARK, socket) < 0)
		return err_set(err, -ENOMEM, "checkpoint");
	r = checkpoint_write_config(conf, config->cut_hook, err);
	if (r < 0)
		return r;
	c->listener = listener_open(socket, err);
	if (c->listener < 0)
		return c->listener;
	const char *argv[] = { "runc",
			       "--root",
			       config->runc_root,
			       "checkpoint",
			       "--leave-running",
			       "--file-locks",
			       "--image-path",
			       c->images,
			       "--work-path",
			       c->dir,
			       config->remap ? "--link-remap" : config->container,
			       config->remap ? config->container : NULL,
			       NULL };
	/*
	 * CRIU uses tar for the files of a tmpfs, without an option for attributes or exact times.
	 */
	const char *env[] = { path_env,
			      conf_env,
			      c->mark,
			      freezer_env,
			      "TAR_OPTIONS=--format=posix --xattrs --xattrs-include=* --acls",
			      NULL };
	return process_start_aside(&c->runc, argv, env, log, err);
}

/** hooks_first() - Wait until CRIU is ready, and the guard is there. Both come at once. */
static int hooks_first(struct checkpoint *c, struct err *err)
{
	auto_close int ready = -EBADF;
	int r = 0;

	while (r == 0 && (ready < 0 || c->guarding < 0)) {
		char name[HOOK_SIZE] = "";

		r = hook_wait(c, c->cancel_fd, patient(c, BEGIN_MS), name, err);
		if (r == 0 && !strcmp(name, "guard") && c->guarding < 0)
			c->guarding = TAKE_FD(c->parked);
		else if (r == 0 && !strcmp(name, "pre-dump") && ready < 0)
			ready = TAKE_FD(c->parked);
		else if (r == 0)
			r = err_set(err, -EPROTO, "CRIU calls '%s' before pre-dump", name);
	}
	if (r == 0)
		c->parked = TAKE_FD(ready);
	return r;
}

int checkpoint_begin(struct checkpoint **ret, const struct checkpoint_config *config,
		     struct err *err)
{
	int r;

	AUTO(checkpoint) struct checkpoint *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "checkpoint");
	c->listener = -EBADF;
	c->parked = -EBADF;
	c->guarding = -EBADF;
	c->cancel_fd = config->cancel_fd;
	c->patience = config->patience ? config->patience : 1;
	c->hold = config->hold;
	c->late = config->late;
	c->guard = config->guard;
	r = cgroup_freezer_find(&c->freezer, config->pid, err);
	if (r < 0)
		return r;
	if (mkdir(config->dir, 0700) < 0)
		return err_set(err, -errno, "create %s", config->dir);
	c->dir = strdup(config->dir);
	c->container = strdup(config->container);
	if (!c->dir || !c->container || asprintf(&c->images, "%s/images", c->dir) < 0)
		return err_set(err, -ENOMEM, "checkpoint");
	if (mkdir(c->images, 0700) < 0)
		return err_set(err, -errno, "create %s", c->images);
	r = runc_start(c, config, err);
	if (r == 0)
		r = hooks_first(c, err);
	if (r < 0)
		return err_wrap(err, r, "begin a checkpoint");
	*ret = TAKE_PTR(c);
	return 0;
}

/** freezer_note() - Leave word for checkpoint_clean(), should we be killed while they are frozen */
static int freezer_note(struct checkpoint *c, struct err *err)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/freezer", c->dir);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%d %s", c->freezer.v2, c->freezer.file) < 0)
		return err_set(err, -errno, "write %s", path);
	return 0;
}

/**
 * thaw() - Thaw as soon as CRIU has let go
 *
 * CRIU puts the freezer back into the state it found, frozen, when it lets the tasks go; with
 * version 1 it was thawed in between. Watching for that saves the time until runc has ended.
 */
static void thaw(struct checkpoint *c)
{
	static const struct timespec nap = { .tv_nsec = 100000 };
	struct pollfd end = { .fd = process_fd(c->runc), .events = POLLIN };
	uint64_t until = monotonic_us() + (uint64_t)patient(c, THAW_MS) * 1000;

	while (!cgroup_frozen(&c->freezer) && poll(&end, 1, 0) == 0 && monotonic_us() < until)
		(void)nanosleep(&nap, NULL);
	(void)cgroup_thaw(&c->freezer, NULL);
}

/** hold() - CRIU has left them as it found them: frozen */
static int hold(struct checkpoint *c, struct err *err)
{
	if (cgroup_frozen(&c->freezer))
		return 0;
	return err_set(err, -EPROTO, "the tasks are not frozen after the dump");
}

/** dump() - Answer the hooks until runc has ended */
static int dump(struct checkpoint *c, checkpoint_frozen frozen, void *ctx,
		struct checkpoint_result *result, struct err *err)
{
	struct err *first = err;
	int failed = 0;

	for (;;) {
		char name[HOOK_SIZE];
		uint64_t now;
		int r = hook_wait(c, -1, patient(c, DUMP_MS), name, first);

		if (r < 0)
			return failed ? failed : r;
		if (!*name)
			return failed;
		now = monotonic_us();
		if (!failed && cancelled(c->cancel_fd))
			failed = err_set(err, -ECANCELED, "checkpoint");
		if (!strcmp(name, "network-lock")) {
			/* Answered first: the layer is copied while CRIU dumps. */
			hook_answer(c, !failed);
			if (!failed && !c->late)
				failed = frozen(ctx, false, err);
		} else if (!strcmp(name, "post-dump")) {
			if (!failed && !c->late)
				failed = frozen(ctx, true, err);
			result->last_us = monotonic_us() - now;
			hook_answer(c, !failed);
		} else if (!strcmp(name, "network-unlock")) {
			hook_answer(c, true);
			if (!c->hold)
				thaw(c);
			result->freeze_us = monotonic_us() - c->began_us;
		} else {
			hook_answer(c, !failed);
		}
		/* CRIU's report about a dump that we have ended ourselves gives no reason. */
		if (failed)
			first = NULL;
	}
}

/** images_close() - Make the image files root's alone */
static void images_close(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			(void)fchmodat(dirfd(dir), entry->d_name, 0600, 0);
	if (dir)
		(void)closedir(dir);
}

/**
 * dump_end() - End runc, CRIU and its hooks in any state, and thaw
 *
 * CRIU undoes its work when it is told to, and leaves the tasks clean, if it can. A CRIU that hangs
 * because the tasks are frozen continues when they are thawed. It is killed only after that; its
 * code in the tasks restores them when it notices. A process that survives even this may freeze the
 * tasks once more; system/thaw_guard.h thaws them then.
 */
static void dump_end(struct checkpoint *c)
{
	const struct process_family family = { .dir = c->dir, .mark = c->mark };
	int undo = patient(c, UNDO_MS);
	int kill = patient(c, KILL_MS);
	uint64_t until = monotonic_us() + (uint64_t)undo * 1000;
	char name[HOOK_SIZE];
	int status;

	hook_answer(c, false);
	(void)cgroup_thaw(&c->freezer, NULL);
	while (c->begun && monotonic_us() < until && hook_wait(c, -1, undo, name, NULL) == 0 &&
	       *name)
		hook_answer(c, !strcmp(name, "network-unlock"));
	hook_answer(c, false);
	process_kill(c->runc, SIGKILL);
	(void)process_family_end(&family, kill);
	(void)process_wait(c->runc, -1, kill, &status, NULL);
	(void)cgroup_thaw(&c->freezer, NULL);
	c->over = true;
}

/** task_check() - Refuse a process that CRIU would hang on. Return: 0, or -EBUSY */
static int task_check(void *ctx, pid_t pid)
{
	struct err *err = ctx;
	struct task_obstacle obstacle;

	if (!task_obstacle(pid, &obstacle))
		return 0;
	return err_set(err, -EBUSY, "%s (%s)", obstacle.what, obstacle.remedy);
}

int checkpoint_freeze(struct checkpoint *c, struct err *err)
{
	int r = freezer_note(c, err);

	/* Not later: a task that was stopped before looks like any other when it is frozen. */
	if (r == 0)
		r = cgroup_each_process(&c->freezer, task_check, err, err);
	thaw_guard_may_freeze(c->guard, c->container);
	c->told_guard = true;
	c->began_us = monotonic_us();
	if (r == 0)
		r = cgroup_freeze(&c->freezer, patient(c, FREEZE_MS), err);
	c->begun = r == 0;
	return r < 0 ? err_wrap(err, r, "checkpoint") : 0;
}

int checkpoint_dump(struct checkpoint *c, checkpoint_frozen frozen, void *ctx,
		    struct checkpoint_result *result, struct err *err)
{
	int r;

	memset(result, 0, sizeof(*result));
	hook_answer(c, true);
	r = dump(c, frozen, ctx, result, err);
	if (r == 0 && c->hold)
		r = hold(c, err);
	return r < 0 ? err_wrap(err, r, "checkpoint") : 0;
}

void checkpoint_thaw(struct checkpoint *c, bool good, struct checkpoint_result *result)
{
	if (c->begun) {
		if (!good)
			dump_end(c);
		else if (!c->hold)
			(void)cgroup_thaw(&c->freezer, NULL);
		c->over = true;
		result->dump_us = monotonic_us() - c->began_us;
		if (!result->freeze_us)
			result->freeze_us = result->dump_us;
	}
	/* One that is held stays frozen until its authority is decided (R6). */
	if (!good || !c->hold)
		(void)thaw_guard_must_run(c->guard, c->container);
	if (c->over)
		guard_release(c);
}

int checkpoint_close(struct checkpoint *c, checkpoint_frozen frozen, void *ctx,
		     struct checkpoint_result *result, struct err *err)
{
	int r = c->late ? frozen(ctx, false, err) : 0;

	if (r == 0 && c->late)
		r = frozen(ctx, true, err);
	if (r < 0)
		return err_wrap(err, r, "checkpoint");
	images_close(c->images);
	result->bytes = images_measure(c->images);
	return 0;
}

const char *checkpoint_images(const struct checkpoint *c)
{
	return c->images;
}

struct checkpoint *checkpoint_free(struct checkpoint *c)
{
	bool lives;

	if (!c)
		return NULL;
	if (c->runc && !c->over)
		dump_end(c);
	guard_release(c);
	lives = c->told_guard && process_family_lives(&(struct process_family){ c->dir, c->mark });
	if (c->told_guard && !lives)
		thaw_guard_rest(c->guard, c->container);
	(void)process_free(c->runc);
	if (c->listener >= 0)
		close(c->listener);
	if (c->dir && !lives) /* else it is how checkpoint_clean() finds who could not be ended */
		(void)layer_path_remove(c->dir, NULL);
	free(c->mark);
	free(c->container);
	free(c->dir);
	free(c->images);
	free(c);
	return NULL;
}

/** noted_freezer() - Read freezer_note()'s file @path. Return: whether there is one */
static bool noted_freezer(const char *path, struct cgroup_freezer *freezer)
{
	int v2 = 0;
	auto_fclose FILE *note = fopen(path, "re");

	if (!note || fscanf(note, "%d %4095[^\n]", &v2, freezer->file) != 2)
		return false;
	freezer->v2 = v2;
	return true;
}

int checkpoint_clean(const char *dir, struct thaw_guard *guard, struct err *err)
{
	struct cgroup_freezer freezer = { 0 };
	bool noted;
	int r;

	static const struct timespec nap = { .tv_nsec = 20000000 };
	uint64_t until = monotonic_us() + UNDO_MS * 1000;
	char path[PATH_MAX];

	auto_free char *mark = NULL;
	if (asprintf(&mark, MARK "/hook", dir) < 0)
		return err_set(err, -ENOMEM, "clean %s", dir);
	const struct process_family family = { .dir = dir, .mark = mark };
	/*
	 * A CRIU that has lost us fails at its next hook, undoes its work, and then puts the
	 * freezer back into the state it found, which is frozen. So it gets the time for that, then
	 * it is killed, and they are thawed when it is gone.
	 */
	while (process_family_lives(&family) && monotonic_us() < until)
		(void)nanosleep(&nap, NULL);
	r = process_family_end(&family, KILL_MS);
	(void)snprintf(path, sizeof(path), "%s/freezer", dir);
	noted = noted_freezer(path, &freezer);
	if (noted)
		(void)cgroup_thaw(&freezer, NULL);
	if (r == 0)
		return layer_path_remove(dir, err);
	if (noted && thaw_guard_left(guard, &freezer) < 0)
		return err_set(err, r, "end CRIU in %s, which may freeze %s unnoticed", dir,
			       freezer.file);
	return err_set(err, r, "end CRIU in %s", dir);
}
