/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-runtime - an OCI runtime that restores a container where a checkpoint is staged for it
 *
 * Registered with a Docker engine under "runtimes", it takes runc's command line and executes runc
 * with it, unchanged. One case is different: for "create" of a container whose id has a directory
 * below the staging root, it runs "runc restore" instead, and "start" of that container does
 * nothing, because it runs already. So a plain `docker start` brings up the old process with all
 * that Docker gives a container: network, ports, logs, exec, stop.
 *
 *     /run/baton/staged/<id>/    made by baton-es: root's, mode 0700
 *         images/                the checkpoint
 *         work/                  CRIU's restore.log
 *         criu.conf              options for CRIU
 *         restored               written here when the restore has succeeded
 *
 * The configuration of every container that is created is changed first: see bundle.h. With control groups
 * version 2, CRIU is told which one is the container's (see cgroup_root.h), and kept from changing the host's
 * mount of them (see base/cgroup_v2.h).
 *
 * A container that is to be kept apart from others (see bundle.h, base/apart.h) is so before its first process
 * runs: at "start", when Docker has given it its network. A container that is restored has processes by
 * then, so a hook does it earlier, where Docker gives the network earlier (before version 28). If it cannot be
 * done the container does not start.
 *
 * The mark is the proof that nothing was started afresh. A second "create" that meets it fails:
 * old state is not restored twice.
 *
 *     BATON_STAGED_DIR   staging root instead of the built-in one
 *     BATON_PREFIX       prefix whose bin/ is put first in PATH, where runc looks for criu
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/cgroup_v2.h"
#include "base/err.h"
#include "runtime/arguments.h"
#include "runtime/bundle.h"
#include "runtime/cgroup_root.h"
#include "runtime/null_device.h"
#include "runtime/shared_pins.h"

#define RUNC "runc"

/** staged_is_safe() - Whether nobody but root can have put something into a directory */
static bool staged_is_safe(const char *path, bool *there)
{
	struct stat st;

	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*there = fd >= 0 || (errno != ENOENT && errno != ENOTDIR);
	return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & 077) == 0;
}

/** complain() - Say an error where the engine looks for it: runc's log file, and stderr */
static int complain(int argc, char **argv, const char *what, const char *path)
{
	const char *log = NULL;

	fprintf(stderr, "baton-runtime: %s: %s\n", what, path);
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--log"))
			log = argv[i + 1];
	auto_fclose FILE *out = log ? fopen(log, "ae") : NULL;
	if (out)
		fprintf(out, "{\"level\":\"error\",\"msg\":\"baton-runtime: %s: %s\"}\n", what,
			path);
	return 1;
}

/** path_extend() - Have programs of the prefix found first */
static void path_extend(void)
{
	const char *prefix = getenv("BATON_PREFIX");
	const char *path = getenv("PATH");

	auto_free char *longer = NULL;
	if (asprintf(&longer, "%s/bin:%s", prefix ? prefix : BATON_PREFIX,
		     path ? path
			  : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") >= 0)
		(void)setenv("PATH", longer, 1);
}

/** mark() - Write the proof. Return: whether it is written */
static bool mark(const char *dir, const char *name)
{
	char path[PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd >= 0;
}

/** marked() - Whether the restore of this staged checkpoint has succeeded before */
static bool marked(const char *dir)
{
	char path[PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/restored", dir);
	return access(path, F_OK) == 0;
}

/** oom_score_set() - Give this process, and the container that it restores, an OOM score, if it may */
static void oom_score_set(int score)
{
	auto_fclose FILE *f = fopen("/proc/self/oom_score_adj", "we");

	if (f)
		(void)fprintf(f, "%d", score);
}

/**
 * cgroup_root_tell() - Have CRIU put the container into the control group that the engine has made for it
 *
 * With version 1 runc tells CRIU each path itself. With version 2 it does not, and CRIU would take the path of the
 * old container, so the configuration file names it. Options from runc would win over that file.
 */
static int cgroup_root_tell(const struct runtime_call *call, const char *conf)
{
	char wanted[CGROUP_ROOT_MAX];
	char root[CGROUP_ROOT_MAX];
	int r;

	if (!cgroup_v2_alone())
		return 0;
	r = bundle_cgroups_path(call->bundle, wanted, sizeof(wanted));
	if (r == 0)
		r = cgroup_root_of(root, wanted, call->systemd);
	if (r < 0)
		return r;
	auto_close int fd = open(conf, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 || dprintf(fd, "cgroup-root %s\n", root) < 0 ? -errno : 0;
}

/** aside() - Keep runc and CRIU from changing the host's mount of control groups. Return: 0, or exit status */
static int aside(int argc, char **argv)
{
	int r = cgroup_v2_step_aside();

	return r < 0 ? complain(argc, argv, strerror(-r), "enter a cgroup namespace") : 0;
}

/** child_begin() - Make a forked child end with its parent, for an engine that gives up kills the parent */
static void child_begin(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
}

/** child_wait() - Wait for a child. Return: its exit status, or -1 if it was killed */
static int child_wait(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** settle() - Give the restored container the network settings that runc leaves out. Return: 0, or negative */
static int settle(const struct runtime_call *call)
{
	int pid = 0;
	auto_fclose FILE *f = call->pid_file ? fopen(call->pid_file, "re") : NULL;

	if (!f || fscanf(f, "%d", &pid) != 1 || pid <= 0)
		return -ENOENT;
	return bundle_network_sysctls(call->bundle, pid);
}

/**
 * apart() - Keep a container apart from others
 * @least:	So many ports of bridges it must have by now
 *
 * Return: exit status
 */
static int apart(int argc, char **argv, pid_t pid, int least)
{
	static const char what[] = "keep the container apart from others";
	struct err err = { 0 };
	int ports = apart_guard(pid, &err);

	if (ports < 0)
		return complain(argc, argv, what, err.text);
	return ports < least ? complain(argc, argv, what, "it is on no bridge of this host") : 0;
}

/** apart_by_hook() - The same, where runc calls us as a hook and describes the container. Return: exit status */
static int apart_by_hook(int argc, char **argv)
{
	json_t *state = json_loadf(stdin, 0, NULL);
	pid_t pid = (pid_t)json_integer_value(json_object_get(state, "pid"));

	json_decref(state);
	if (pid <= 0)
		return complain(argc, argv, "no description of a container", argv[1]);
	return apart(argc, argv, pid, 0);
}

/** apart_at_start() - The same, if it is to be, for a container that is about to start. Return: exit status */
static int apart_at_start(const struct runtime_call *call, int argc, char **argv)
{
	pid_t pid;

	if (bundle_apart(call->root, call->id, &pid) < 0)
		return complain(argc, argv, "runc's record of the container cannot be read",
				call->root);
	return pid ? apart(argc, argv, pid, 1) : 0;
}

/** restore() - Run "runc restore" in place of "runc create". Return: exit status */
static int restore(const struct runtime_call *call, int argc, char **argv, const char *dir)
{
	char images[PATH_MAX];
	char work[PATH_MAX];
	char conf[PATH_MAX];
	int status;
	int r;
	pid_t parent = getpid();
	pid_t child;

	if (marked(dir))
		return complain(argc, argv, "this checkpoint has been restored already", dir);
	if (snprintf(images, sizeof(images), "%s/images", dir) >= PATH_MAX ||
	    snprintf(work, sizeof(work), "%s/work", dir) >= PATH_MAX ||
	    snprintf(conf, sizeof(conf), "%s/criu.conf", dir) >= PATH_MAX)
		return complain(argc, argv, "path too long", dir);
	r = cgroup_root_tell(call, conf);
	if (r < 0)
		return complain(argc, argv, strerror(-r),
				"tell CRIU the container's control group");
	auto_free const char **args = runtime_restore_argv(call, argc, argv, RUNC, images, work);
	/* CRIU has tar unpack the files of a tmpfs, and tar reads this, see es/checkpoint/checkpoint.c. */
	if (!args || setenv("CRIU_CONFIG_FILE", conf, 1) < 0 ||
	    setenv("TAR_OPTIONS", "--xattrs --xattrs-include=* --acls", 1) < 0)
		return complain(argc, argv, "out of memory", dir);
	path_extend();
	child = fork();
	if (child < 0)
		return complain(argc, argv, strerror(errno), "fork");
	if (child == 0) {
		child_begin(parent);
		oom_score_set(bundle_oom_score(call->bundle));
		if (aside(argc, argv))
			_exit(1);
		r = null_device_own(dir);
		if (r < 0)
			_exit(complain(argc, argv, strerror(-r),
				       "make a null device of its own, for which / must be a mount "
				       "point"));
		execvp(RUNC, (char *const *)(uintptr_t)args);
		_exit(complain(argc, argv, strerror(errno), "execute " RUNC));
	}
	status = child_wait(child);
	if (status < 0)
		return complain(argc, argv, "runc restore was killed", dir);
	if (status != 0)
		return status;
	r = settle(call);
	if (r < 0)
		return complain(argc, argv, strerror(-r), "set the container's network settings");
	if (!mark(dir, "restored"))
		return complain(argc, argv, "cannot mark the restore as done", dir);
	return 0;
}

/** runc_run() - Run runc as it is, and come back. Return: exit status */
static int runc_run(int argc, char **argv)
{
	pid_t parent = getpid();
	pid_t child = fork();
	int status;

	if (child < 0)
		return complain(argc, argv, strerror(errno), "fork");
	if (child == 0) {
		child_begin(parent);
		argv[0] = (char[]){ RUNC };
		execvp(RUNC, argv);
		_exit(complain(argc, argv, strerror(errno), "execute " RUNC));
	}
	status = child_wait(child);
	return status < 0 ? complain(argc, argv, "was killed", RUNC) : status;
}

/** create() - "create": a restore where a checkpoint is staged. Return: exit status, or -1 to run runc in our place */
static int create(const struct runtime_call *call, int argc, char **argv, const char *root,
		  const char *staged)
{
	struct shared_pins pins;
	char file[PATH_MAX];
	char self[PATH_MAX] = "";
	int status = -1;
	int r = shared_pins_begin(&pins, root);

	if (r < 0)
		status = complain(argc, argv, strerror(-r), "read the list of shared directories");
	else if (staged && readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		status = complain(argc, argv, strerror(errno), "/proc/self/exe");
	else if ((r = bundle_edit(call->bundle, file, &pins, staged ? self : NULL)) < 0 &&
		 *pins.failed)
		status = complain(argc, argv, "cannot be mounted, or a link is in its path",
				  pins.failed);
	else if (r < 0)
		status = complain(argc, argv, strerror(-r), file);
	else if (staged)
		status = restore(call, argc, argv, staged);
	else if (pins.count > 0)
		status = runc_run(argc, argv);
	shared_pins_end(&pins);
	return status;
}

/** engine_restore() - "restore", the engine's own way from a checkpoint. Return: exit status */
static int engine_restore(const struct runtime_call *call, int argc, char **argv)
{
	int status = runc_run(argc, argv);

	return status == 0 && runtime_id_valid(call->id) ? apart_at_start(call, argc, argv)
							 : status;
}

/**
 * main() - See the top of this file
 * @argc:	Count of @argv
 * @argv:	runc's command line
 *
 * Return: exit status as runc's
 */
int main(int argc, char **argv)
{
	const char *root = getenv("BATON_STAGED_DIR");
	struct runtime_call call;
	const char *command;
	char dir[PATH_MAX];
	bool there = false;
	int status;

	if (!root)
		root = BATON_STAGED_DIR;
	if (argc == 2 && !strcmp(argv[1], BUNDLE_HOOK))
		return apart_by_hook(argc, argv);
	runtime_call_parse(&call, argc, argv);
	command = call.command ? argv[call.command] : "";
	if ((!strcmp(command, "create") || !strcmp(command, "start")) &&
	    runtime_id_valid(call.id) &&
	    snprintf(dir, sizeof(dir), "%s/%s", root, call.id) < PATH_MAX) {
		bool safe = staged_is_safe(dir, &there);

		if (there && (!safe || !staged_is_safe(root, &there)))
			return complain(argc, argv, "not a directory of root's with mode 0700",
					dir);
		if (!strcmp(command, "start") && apart_at_start(&call, argc, argv))
			return 1;
		if (there && !strcmp(command, "start") && marked(dir))
			return 0;
	}
	if (!strcmp(command, "create")) {
		status = create(&call, argc, argv, root, there ? dir : NULL);
		if (status >= 0)
			return status;
	}
	/* The engine's own way to checkpoint and restore */
	if ((!strcmp(command, "checkpoint") || !strcmp(command, "restore")) && aside(argc, argv))
		return 1;
	if (!strcmp(command, "restore"))
		return engine_restore(&call, argc, argv);
	argv[0] = (char[]){ RUNC };
	execvp(RUNC, argv);
	return complain(argc, argv, strerror(errno), "execute " RUNC);
}
