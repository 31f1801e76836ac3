/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-cut-hook - what CRIU calls at the steps of a dump (its action script)
 *
 * Tells the step (CRTOOLS_SCRIPT_ACTION) to the program that listens at the unix socket
 * BATON_CUT_SOCKET and waits for its answer, one byte: "+" goes on, anything else fails the dump,
 * and so does a listener that is gone or silent for too long. CRIU then leaves the tasks as they
 * were. See es/checkpoint.h.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_SECONDS 300

/** ask() - Tell @step and wait. Return: whether the dump may go on */
static int ask(const char *step, const char *path)
{
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char answer = '-';
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		return 0;
	memcpy(a.sun_path, path, strlen(path) + 1);
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
	       connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	       send(fd, step, strlen(step), MSG_NOSIGNAL) == (ssize_t)strlen(step) &&
	       recv(fd, &answer, 1, 0) == 1 && answer == '+';
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
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!strcmp(step, steps[i]))
			return ask(step, path) ? 0 : 1;
	return 0;
}
