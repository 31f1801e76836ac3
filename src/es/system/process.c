/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cgroup_v2.h"
#include "base/clock.h"
#include "base/err.h"

/** struct process - A program that was started; @ended and @status are set once it is reaped */
struct process {
	pid_t pid;
	int fd;
	bool ended;
	int status;
};

bool cancelled(int cancel_fd)
{
	struct pollfd p = { .fd = cancel_fd, .events = POLLIN };

	return cancel_fd >= 0 && poll(&p, 1, 0) > 0;
}

char *path_in_prefix(const char *prefix)
{
	const char *path = getenv("PATH");
	char *text = NULL;

	if (asprintf(&text, "PATH=%s/bin:%s", prefix,
		     path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") <
	    0)
		return NULL;
	return text;
}

/** environment_with() - environ with @more put over it. Return: array to free (not its strings) */
static char **environment_with(const char *const *more)
{
	size_t have = 0;
	size_t extra = 0;
	size_t n = 0;
	char **env;

	while (environ[have])
		have++;
	while (more && more[extra])
		extra++;
	env = calloc(have + extra + 1, sizeof(*env));
	if (!env)
		return NULL;
	for (size_t i = 0; i < have; i++) {
		bool replaced = false;

		for (size_t k = 0; k < extra && !replaced; k++) {
			size_t name = strcspn(more[k], "=") + 1;

			replaced = !strncmp(environ[i], more[k], name);
		}
		if (!replaced)
			env[n++] = environ[i];
	}
	for (size_t k = 0; k < extra; k++)
		env[n++] = (char *)(uintptr_t)more[k];
	return env;
}

/** child_run() - In the child: set up and become the program; never returns */
static _Noreturn void child_run(const char *const *argv, char **env, int out, bool aside,
				int report)
{
	sigset_t none;
	int code = 0;

	/*
	 * The daemon ignores SIGPIPE and blocks the signals that its loop handles; programs expect
	 * neither.
	 */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setpgid(0, 0);
	if (aside)
		code = -cgroup_v2_step_aside();
	if (!code && dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0) >= 0 && dup2(out, 1) >= 0 &&
	    dup2(out, 2) >= 0) {
		environ = env;
		execvp(argv[0], (char *const *)(uintptr_t)argv);
	}
	code = code ? code : errno;
	(void)!write(report, &code, sizeof(code));
	_exit(127);
}

/** start() - Start a program. @aside: see process_start_aside() */
static int start(struct process **ret, const char *const *argv, const char *const *env,
		 const char *output, bool aside, struct err *err)
{
	int report[2];
	int code = 0;

	auto_free char **environment = environment_with(env);
	AUTO(process) struct process *p = calloc(1, sizeof(*p));
	if (!p || !environment)
		return err_set(err, -ENOMEM, "start %s", argv[0]);
	p->fd = -EBADF;
	p->ended = true;
	auto_close int out =
		open(output ? output : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		return err_set(err, -errno, "open %s", output ? output : "/dev/null");
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set(err, -errno, "start %s", argv[0]);
	auto_close int report_read = report[0];
	auto_close int report_write = report[1];

	p->pid = fork();
	if (p->pid < 0)
		return err_set(err, -errno, "fork for %s", argv[0]);
	if (p->pid == 0)
		child_run(argv, environment, out, aside, report_write);
	p->ended = false;
	(void)setpgid(p->pid, p->pid);
	close(TAKE_FD(report_write));
	if (read(report_read, &code, sizeof(code)) == sizeof(code))
		return err_set(err, -code, "execute %s", argv[0]);
	p->fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->fd < 0)
		return err_set(err, -errno, "watch %s", argv[0]);
	(void)fcntl(p->fd, F_SETFD, FD_CLOEXEC);
	*ret = TAKE_PTR(p);
	return 0;
}

int process_start(struct process **ret, const char *const *argv, const char *const *env,
		  const char *output, struct err *err)
{
	return start(ret, argv, env, output, false, err);
}

int process_start_aside(struct process **ret, const char *const *argv, const char *const *env,
			const char *output, struct err *err)
{
	return start(ret, argv, env, output, true, err);
}

int process_fd(const struct process *p)
{
	return p->fd;
}

void process_kill(struct process *p, int sig)
{
	if (!p->ended)
		(void)kill(-p->pid, sig);
}

/** process_reap() - Take the exit status of a program that has ended, or wait for its end */
static void process_reap(struct process *p)
{
	int status = 0;

	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	p->ended = true;
	p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_wait(struct process *p, int cancel_fd, int timeout_ms, int *status, struct err *err)
{
	struct pollfd fds[2] = { { .fd = p->fd, .events = POLLIN },
				 { .fd = cancel_fd, .events = POLLIN } };
	uint64_t end = monotonic_us() + (uint64_t)timeout_ms * 1000;

	while (!p->ended) {
		uint64_t now = monotonic_us();
		int r = now >= end ? 0 : poll(fds, 2, (int)((end - now) / 1000) + 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_set(err, -errno, "wait for a program");
		if (r == 0)
			return err_set(err, -ETIMEDOUT, "a program runs for %d ms", timeout_ms);
		if (fds[0].revents)
			process_reap(p);
		else
			return err_set(err, -ECANCELED, "a program was not waited for");
	}
	*status = p->status;
	return 0;
}

struct process *process_free(struct process *p)
{
	if (!p)
		return NULL;
	if (!p->ended) {
		process_kill(p, SIGKILL);
		process_reap(p);
	}
	if (p->fd >= 0)
		close(p->fd);
	free(p);
	return NULL;
}

int process_run(const char *const *argv, const char *const *env, const char *output, int cancel_fd,
		int timeout_ms, struct err *err)
{
	AUTO(process) struct process *p = NULL;
	int status = 0;
	int r = process_start(&p, argv, env, output, err);

	if (r < 0)
		return r;
	r = process_wait(p, cancel_fd, timeout_ms, &status, err);
	if (r < 0)
		return err_wrap(err, r, "%s", argv[0]);
	if (status != 0)
		return err_set(err, -EIO, "%s ended with status %d", argv[0], status);
	return 0;
}
