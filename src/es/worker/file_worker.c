/* SPDX-License-Identifier: Apache-2.0 */

/*
 * File worker: the process - its start, its end, and processes that cannot be ended
 *
 * A worker is another program in namespaces of its own. It knows one descriptor, the line. Its end is SIGKILL:
 * it has nothing to lose. A task that waits for a disk does not end even so; it is kept in a list and reaped
 * later, by whoever asks next how many there are.
 */

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "es/worker/call.h"

#define LINE 3 /* descriptor of the line in the worker */

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
		int r = worker_call_post(fw, worker_call_begin(fw, WORKER_OP_CANCEL), cancel_fd,
					 err);

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
