/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-cut-hook - CRIU's action script: CRIU calls it at each step of a dump
 *
 * It tells the step (CRTOOLS_SCRIPT_ACTION) to the program that listens at the unix socket
 * BATON_CUT_SOCKET, and waits for its answer, one byte. "+" continues the dump. Any other byte fails
 * it, and so does a listener that is gone or silent for too long. CRIU then leaves the tasks as they
 * were. See es/checkpoint/checkpoint.h.
 *
 * Before the first step it starts a guard, for baton-es may be killed while the tasks are frozen, and
 * nobody else would thaw them (R17). The guard says "guard" on a connection of its own. If that ends
 * before the guard was told "+", the cut is over. The guard then waits until CRIU is gone, which would
 * freeze the tasks again, and thaws them as BATON_FREEZER says: "VALUE PATH", the value to write and
 * the file.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SECONDS 300
#define UNDO_MS        3000  /* for a CRIU that has lost its baton-es to undo its work */
#define KILL_MS        10000 /* until one that was killed is gone; thawed then in any case */

/** hook_connect() - Connect to baton-es, which has @seconds to answer, 0: any. Return: descriptor, or -1 */
static int hook_connect(const char *path, int seconds)
{
	struct timeval limit = { .tv_sec = seconds };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		return -1;
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/** ask() - Tell @step on a connection and wait. Return: the answer, or '\0' if the connection ended */
static char ask(int fd, const char *step)
{
	char answer = '\0';

	if (fd < 0 || send(fd, step, strlen(step), MSG_NOSIGNAL) != (ssize_t)strlen(step) ||
	    recv(fd, &answer, 1, 0) != 1)
		return '\0';
	return answer;
}

/** criu_end() - Make CRIU end, and wait until it is gone */
static void criu_end(int criu)
{
	struct pollfd p = { .fd = criu, .events = POLLIN };

	if (criu >= 0 && poll(&p, 1, UNDO_MS) == 0) {
		(void)syscall(SYS_pidfd_send_signal, criu, SIGKILL, NULL, 0);
		(void)poll(&p, 1, KILL_MS);
	}
}

/** environment_clear() - Be no longer known by our environment: who ends all that a dump has started spares us */
static void environment_clear(void)
{
	for (char **one = environ; *one; one++)
		memset(*one, 0, strlen(*one));
}

/** guard() - Be the guard; never returns */
static _Noreturn void guard(const char *socket, pid_t parent, const char *freezer)
{
	const char *path = strchr(freezer, ' ');
	int criu;
	int fd;

	/* CRIU's descriptors would keep others waiting for their end, and its group's end would be ours. */
	(void)setsid();
	(void)close_range(0, ~0U, 0);
	(void)signal(SIGTERM, SIG_IGN);
	environment_clear();
	criu = (int)syscall(SYS_pidfd_open, parent, 0);
	if (ask(hook_connect(socket, 0), "guard") == '+')
		_exit(0);
	criu_end(criu);
	fd = path ? open(path + 1, O_WRONLY | O_CLOEXEC) : -1;
	_exit(fd < 0 || write(fd, freezer, (size_t)(path - freezer)) < 0);
}

/** guard_leave() - Leave a guard behind. Return: whether there is one */
static bool guard_leave(const char *socket)
{
	const char *freezer = getenv("BATON_FREEZER");
	char *to = strdup(socket);
	char *by = freezer ? strdup(freezer) : NULL;
	pid_t criu = getppid();
	pid_t child = to && by ? fork() : -1;

	if (child == 0)
		guard(to, criu, by);
	free(to);
	free(by);
	return child > 0;
}

/**
 * main() - See the top of this file
 *
 * Return: 0 if the dump may go on, else 1
 */
int main(void)
{
	static const char *const steps[] = { "pre-dump", "network-lock", "post-dump",
					     "network-unlock" };
	const char *step = getenv("CRTOOLS_SCRIPT_ACTION");
	const char *path = getenv("BATON_CUT_SOCKET");

	if (!step || !path) {
		fprintf(stderr, "baton-cut-hook: to be called by CRIU, from a dump of baton-es\n");
		return 1;
	}
	if (!strcmp(step, steps[0]) && !guard_leave(path))
		return 1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!strcmp(step, steps[i]))
			return ask(hook_connect(path, ANSWER_SECONDS), step) == '+' ? 0 : 1;
	return 0;
}
