/* SPDX-License-Identifier: Apache-2.0 */

/*
 * enter - run a command on one of the lab's hosts
 *
 *     enter --netns PATH [--pid PID] [--hosts FILE] -- COMMAND ARGS...
 *
 * Without --pid the command gets the host's network and a mount namespace of its own, in which
 * FILE is /etc/hosts, so that the lab's names resolve without touching the machine's file.
 * (`ip netns exec` would do much the same but mounts a new /sys, and the cgroup hierarchies are
 * missing from it.)
 *
 * With --pid it also enters the mount and PID namespaces of that process, a host's Docker engine:
 * the command sees the engine's /run and /proc, and dies with the engine. This takes a fork, and
 * the process that stays behind stands in for the command: it passes signals on, ends when the
 * command ends, with its status (128 + signal number if it was killed), and takes the command
 * with it when it is killed itself. nsenter does none of the three.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_TROUBLE 125 /* as env(1) and docker do: the command never started */

/** struct options - The command line */
struct options {
	const char *netns;
	const char *pid;
	const char *hosts;
	char **command;
};

/** die() - Say what failed, with errno, and exit */
static _Noreturn void die(const char *what, const char *name)
{
	fprintf(stderr, "enter: %s %s: %s\n", what, name, strerror(errno));
	exit(EXIT_TROUBLE);
}

/** usage() - Say how to use it, and exit */
static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: enter --netns PATH [--pid PID] [--hosts FILE] -- COMMAND...\n");
	exit(EXIT_TROUBLE);
}

/** options_parse() - Read the command line into @opt, or exit */
static void options_parse(struct options *opt, int argc, char **argv)
{
	static const struct option known[] = {
		{ "netns", required_argument, NULL, 'n' },
		{ "pid", required_argument, NULL, 'p' },
		{ "hosts", required_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		if (c == 'n')
			opt->netns = optarg;
		else if (c == 'p')
			opt->pid = optarg;
		else if (c == 'h')
			opt->hosts = optarg;
		else
			usage();
	}
	opt->command = argv + optind;
	if (!opt->netns || !opt->command[0])
		usage();
}

/** ns_open() - Open a namespace, or exit. Return: file descriptor */
static int ns_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("cannot open", path);
	return fd;
}

/** ns_open_of() - Open namespace @kind of process @pid, or exit. Return: file descriptor */
static int ns_open_of(const char *pid, const char *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/ns/%s", pid, kind);
	return ns_open(path);
}

/** ns_enter() - Move into a namespace and close @fd, or exit */
static void ns_enter(int fd, const char *kind)
{
	if (setns(fd, 0) < 0)
		die("cannot enter the namespace", kind);
	close(fd);
}

/** hosts_mount() - Put @file in place of /etc/hosts, in a mount namespace of our own, or exit */
static void hosts_mount(const char *file)
{
	/* A slave still sees unmounts outside, or it would keep removed network namespaces alive. */
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		die("cannot make a mount namespace for", file);
	if (mount(file, "/etc/hosts", NULL, MS_BIND, NULL) < 0)
		die("cannot mount", file);
}

/** engine_enter() - Move into the namespaces of the engine; children will be in its PID one */
static void engine_enter(const char *pid)
{
	char *cwd = getcwd(NULL, 0);
	int pidns = ns_open_of(pid, "pid");
	int mntns = ns_open_of(pid, "mnt");

	ns_enter(pidns, "pid");
	ns_enter(mntns, "mnt"); /* moves us to / */
	if (!cwd || chdir(cwd) < 0)
		die("cannot go back to", cwd ? cwd : "the working directory");
	free(cwd);
}

/** run() - Become the command, or exit */
static _Noreturn void run(char **command)
{
	execvp(command[0], command);
	die("cannot run", command[0]);
}

/** stand_in() - Pass signals on to @child until it ends. Return: exit status for ourselves */
static int stand_in(pid_t child, const sigset_t *set)
{
	for (;;) {
		int status;
		int sig = sigwaitinfo(set, NULL);

		if (sig > 0 && sig != SIGCHLD)
			kill(child, sig);
		if (waitpid(child, &status, WNOHANG) != child)
			continue;
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

/** run_in_engine() - Fork into the engine's PID namespace and run there. Return: exit status */
static int run_in_engine(char **command)
{
	static const int passed[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD };
	sigset_t set;
	sigset_t before;
	pid_t child;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaddset(&set, passed[i]);
	if (sigprocmask(SIG_BLOCK, &set, &before) < 0)
		die("cannot block", "signals");
	child = fork();
	if (child < 0)
		die("cannot fork for", command[0]);
	if (child == 0) {
		/* A parent outside the namespace shows as 0, dead or alive: no check possible. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
		    sigprocmask(SIG_SETMASK, &before, NULL) < 0)
			die("cannot prepare", command[0]);
		run(command);
	}
	return stand_in(child, &set);
}

/**
 * main() - See the top of this file
 * @argc:	Count of @argv
 * @argv:	Command line
 *
 * Return: the command's exit status, or EXIT_TROUBLE
 */
int main(int argc, char **argv)
{
	struct options opt = { 0 };

	options_parse(&opt, argc, argv);
	ns_enter(ns_open(opt.netns), "net");
	if (opt.pid) {
		engine_enter(opt.pid);
		return run_in_engine(opt.command);
	}
	if (opt.hosts)
		hosts_mount(opt.hosts);
	run(opt.command);
}
