/* SPDX-License-Identifier: Apache-2.0 */
#include "es/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/err.h"
#include "es/cgroup.h"
#include "es/layer_node.h"
#include "es/process.h"

#define BEGIN_MS  20000 /* from the start of runc to the first hook */
#define FREEZE_MS 10000
#define DUMP_MS   60000 /* between two hooks, and from the last to the end */
#define THAW_MS   2000  /* from network-unlock until CRIU has let go */
#define ORPHAN_MS 20000 /* for a CRIU whose baton-es was killed to give up */
#define HOOK_SIZE 32

/**
 * struct checkpoint - A dump
 * @runc:	running from begin to the end of the cut
 * @listener:	where the hooks connect
 * @parked:	connection of the hook that waits for our answer, or -1
 * @begun:	CRIU was let go: it may not be killed any more
 */
struct checkpoint {
	struct process *runc;
	struct cgroup_freezer freezer;
	char *dir;
	char *images;
	int listener;
	int parked;
	int cancel_fd;
	bool hold;
	bool late;
	bool begun;
	bool freezing;
};

int checkpoint_write_config(const char *path, const char *action_script, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	/*
	 * network-lock skip: CRIU's packet filter would lose datagrams, and at the cut the gateway
	 * has closed its connections anyway. tcp-close: foreign connections do not fail the dump.
	 * manage-cgroups ignore: the engine has made the groups. link-remap and ghost-limit: files
	 * that are open but have no name any more; the remapped ones are in the layer's last copy.
	 */
	if (fd < 0 ||
	    dprintf(fd, "network-lock skip\nmanage-cgroups ignore\ntcp-close\nlink-remap\n"
			"ghost-limit 256M\n") < 0 ||
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

		/* Noise where root lacks CAP_SYS_RESOURCE; CRIU goes on. */
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

	do
		r = poll(fds, 3, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, -errno, "wait for CRIU");
	if (r == 0)
		return err_set(err, -ETIMEDOUT, "CRIU says nothing for %d ms", timeout_ms);
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
 * path_make() - PATH for CRIU and what it starts
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
	auto_free char *socket_env = NULL;
	auto_free char *path_env = path_make(c, config->prefix, config->store);
	int r;

	if (!path_env || asprintf(&conf, "%s/criu.conf", c->dir) < 0 ||
	    asprintf(&socket, "%s/hook", c->dir) < 0 || asprintf(&log, "%s/runc.log", c->dir) < 0 ||
	    asprintf(&conf_env, "CRIU_CONFIG_FILE=%s", conf) < 0 ||
	    asprintf(&socket_env, "BATON_CUT_SOCKET=%s", socket) < 0)
		return err_set(err, -ENOMEM, "checkpoint");
	r = checkpoint_write_config(conf, config->cut_hook, err);
	if (r < 0)
		return r;
	c->listener = listener_open(socket, err);
	if (c->listener < 0)
		return c->listener;
	const char *argv[] = { "runc",         "--root",          config->runc_root,
			       "checkpoint",   "--leave-running", "--file-locks",
			       "--image-path", c->images,         "--work-path",
			       c->dir,         config->container, NULL };
	/* CRIU has tar carry what is on a tmpfs, and asks for neither attributes nor exact times. */
	const char *env[] = { path_env, conf_env, socket_env,
			      "TAR_OPTIONS=--format=posix --xattrs --xattrs-include=* --acls",
			      NULL };
	return process_start(&c->runc, argv, env, log, err);
}

int checkpoint_begin(struct checkpoint **ret, const struct checkpoint_config *config,
		     struct err *err)
{
	char name[HOOK_SIZE] = "";
	int r;

	AUTO(checkpoint) struct checkpoint *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, -ENOMEM, "checkpoint");
	c->listener = -EBADF;
	c->parked = -EBADF;
	c->cancel_fd = config->cancel_fd;
	c->hold = config->hold;
	c->late = config->late;
	r = cgroup_freezer_find(&c->freezer, config->pid, err);
	if (r < 0)
		return r;
	if (mkdir(config->dir, 0700) < 0)
		return err_set(err, -errno, "create %s", config->dir);
	c->dir = strdup(config->dir);
	if (!c->dir || asprintf(&c->images, "%s/images", c->dir) < 0)
		return err_set(err, -ENOMEM, "checkpoint");
	if (mkdir(c->images, 0700) < 0)
		return err_set(err, -errno, "create %s", c->images);
	r = runc_start(c, config, err);
	if (r == 0)
		r = hook_wait(c, c->cancel_fd, BEGIN_MS, name, err);
	if (r == 0 && strcmp(name, "pre-dump") != 0)
		r = err_set(err, -EPROTO, "CRIU calls '%s' before pre-dump", name);
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
	uint64_t until = monotonic_us() + THAW_MS * 1000;

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
		struct checkpoint_result *result, uint64_t began, struct err *err)
{
	struct err *first = err;
	int failed = 0;

	for (;;) {
		char name[HOOK_SIZE];
		uint64_t now;
		int r = hook_wait(c, -1, DUMP_MS, name, first);

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
			result->freeze_us = monotonic_us() - began;
		} else {
			hook_answer(c, !failed);
		}
		/* What CRIU says about a dump that we have ended ourselves is no reason. */
		if (failed)
			first = NULL;
	}
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
		    S_ISREG(st.st_mode)) {
			bytes += (uint64_t)st.st_size;
			(void)fchmodat(dirfd(dir), entry->d_name, 0600, 0);
		}
	if (dir)
		(void)closedir(dir);
	return bytes;
}

int checkpoint_cut(struct checkpoint *c, checkpoint_frozen frozen, void *ctx,
		   struct checkpoint_result *result, struct err *err)
{
	uint64_t began;
	int r = freezer_note(c, err);

	memset(result, 0, sizeof(*result));
	began = monotonic_us();
	if (r == 0) {
		c->freezing = true;
		r = cgroup_freeze(&c->freezer, FREEZE_MS, err);
	}
	if (r == 0) {
		c->begun = true;
		hook_answer(c, true);
		r = dump(c, frozen, ctx, result, began, err);
		if (r == 0 && c->hold)
			r = hold(c, err);
		if (r < 0 || !c->hold)
			(void)cgroup_thaw(&c->freezer, NULL);
		c->freezing = false;
		result->dump_us = monotonic_us() - began;
		if (!result->freeze_us)
			result->freeze_us = result->dump_us;
	}
	if (r == 0 && c->late) {
		r = frozen(ctx, false, err);
		if (r == 0)
			r = frozen(ctx, true, err);
	}
	if (r < 0)
		return err_wrap(err, r, "checkpoint");
	result->bytes = images_measure(c->images);
	return 0;
}

const char *checkpoint_images(const struct checkpoint *c)
{
	return c->images;
}

struct checkpoint *checkpoint_free(struct checkpoint *c)
{
	int status;

	if (!c)
		return NULL;
	hook_answer(c, false);
	/* A dump that has begun gets the time to leave the tasks clean; before, nothing is touched. */
	if (c->runc && c->begun)
		(void)process_wait(c->runc, -1, DUMP_MS, &status, NULL);
	(void)process_free(c->runc);
	if (c->freezing)
		(void)cgroup_thaw(&c->freezer, NULL);
	if (c->listener >= 0)
		close(c->listener);
	if (c->dir)
		(void)layer_path_remove(c->dir, NULL);
	free(c->dir);
	free(c->images);
	free(c);
	return NULL;
}

/** noted_thaw() - Thaw by what freezer_note() has left in the file @path */
static void noted_thaw(const char *path)
{
	struct cgroup_freezer freezer = { 0 };
	int v2 = 0;
	auto_fclose FILE *note = fopen(path, "re");

	if (note && fscanf(note, "%d %4095[^\n]", &v2, freezer.file) == 2) {
		freezer.v2 = v2;
		(void)cgroup_thaw(&freezer, NULL);
	}
}

/** holds_open() - Whether a process has a file below @dir open */
static bool holds_open(const char *pid, const char *dir)
{
	char path[64];
	char target[PATH_MAX];
	const struct dirent *entry;
	bool holds = false;

	(void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	DIR *fds = opendir(path);
	while (fds && !holds && (entry = readdir(fds))) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		holds = n > 0 && !strncmp(target, dir, strlen(dir)) && target[strlen(dir)] == '/';
	}
	if (fds)
		(void)closedir(fds);
	return holds;
}

/** dump_goes_on() - Whether runc or CRIU of a killed predecessor still work in @dir */
static bool dump_goes_on(const char *dir)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	bool found = false;

	while (proc && !found && (entry = readdir(proc)))
		found = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
			holds_open(entry->d_name, dir);
	if (proc)
		(void)closedir(proc);
	return found;
}

int checkpoint_clean(const char *dir, struct err *err)
{
	static const struct timespec nap = { .tv_nsec = 20000000 };
	uint64_t until = monotonic_us() + ORPHAN_MS * 1000;
	char path[PATH_MAX];

	/*
	 * A CRIU that has lost us fails at its next hook, and then puts the freezer back into the
	 * state it found, which is frozen. So thaw only when it is gone, and not kill it: it has its
	 * code in the tasks.
	 */
	while (dump_goes_on(dir) && monotonic_us() < until)
		(void)nanosleep(&nap, NULL);
	(void)snprintf(path, sizeof(path), "%s/freezer", dir);
	noted_thaw(path);
	return layer_path_remove(dir, err);
}
