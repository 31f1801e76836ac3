/* SPDX-License-Identifier: Apache-2.0 */
#include "es/system/task_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/text.h"

#define STATUS_SIZE 512 /* name, state and tracer are in its first lines */

/** struct task - State of a thread, from /proc */
struct task {
	char name[64];
	char state;
	int tracer;
};

/** task_read() - Read a thread's status. Return: whether it is there */
static bool task_read(int tasks, const char *tid, struct task *to)
{
	char path[64];
	char text[STATUS_SIZE];
	const char *state;
	const char *tracer;

	(void)snprintf(path, sizeof(path), "%.20s/status", tid);
	auto_close int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	state = strstr(text, "\nState:\t");
	tracer = strstr(text, "\nTracerPid:\t");
	if (!state || !tracer || sscanf(text, "Name:\t%63[^\n]", to->name) != 1)
		return false;
	text_printable(to->name);
	to->state = state[strlen("\nState:\t")];
	to->tracer = atoi(tracer + strlen("\nTracerPid:\t"));
	return true;
}

bool task_obstacle(pid_t pid, struct task_obstacle *to)
{
	char path[64];
	const struct dirent *entry;
	bool found = false;
	struct task task;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	while (tasks && !found && (entry = readdir(tasks))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !task_read(dirfd(tasks), entry->d_name, &task))
			continue;
		found = true;
		if (task.tracer) {
			to->remedy = "end the debugger or tracer, or move it another time";
			(void)snprintf(to->what, sizeof(to->what),
				       "process %d (%s) is traced by process %d", (int)pid,
				       task.name, task.tracer);
		} else if (task.state == 'T' || task.state == 't') {
			to->remedy = "continue it (SIGCONT), or end it";
			(void)snprintf(to->what, sizeof(to->what), "process %d (%s) is stopped",
				       (int)pid, task.name);
		} else {
			found = false;
		}
	}
	if (tasks)
		(void)closedir(tasks);
	return found;
}

void task_name(char to[64], pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	auto_close int comm = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = comm < 0 ? 0 : read(comm, to, 63);
	if (n > 1)
		to[n - 1] = '\0'; /* the newline */
	else
		(void)snprintf(to, 64, "?");
	text_printable(to);
}
