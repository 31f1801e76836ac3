/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bundle - the engine's configuration for runc, changed before runc reads it
 *
 * CRIU does not save Landlock domains, and nothing tells which process has one: a confined process would
 * be free in the replica. So the kernel tells containers that it has no Landlock (ENOSYS), as is true of
 * many kernels: no program relies on a sandbox that a move would open. The rule is added to the seccomp
 * profile of the engine, whichever it is. A container with BATON_LANDLOCK=keep in its environment keeps
 * Landlock.
 *
 * CRIU does not know MPTCP either, and programs in Go listen with it by default. So net.mptcp.enabled is 0 in
 * containers, and those programs use TCP. A container with BATON_MPTCP=keep in its environment, or with a sysctl
 * of its own, has MPTCP.
 *
 * Its mounts from directories that the operator shares are pinned, see shared_pins.h.
 *
 * A container with BATON_APART=yes in its environment, as baton-es creates them, is kept apart from others
 * (base/apart.h). If it is restored it gets a hook, which does that after Docker has given it its network and before
 * CRIU lets its processes run. Docker 28 and later give it later, see baton_runtime.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct shared_pins;

#define BUNDLE_HOOK "keep-apart" /* command of ours that a hook gives */

#define BUNDLE_CONFIG_MAX                                                                          \
	(4u << 20) /* bytes of a config.json; beyond it the container is refused */

/**
 * struct bundle_wanted - Changes that depend on this host and call
 * @pins:	from shared_pins_begin(), or NULL to pin nothing
 * @mptcp:	this kernel has MPTCP
 * @hook:	path of our own program, which keeps the container apart, if it is to be, before its processes run; or
 *		NULL
 */
struct bundle_wanted {
	struct shared_pins *pins;
	bool mptcp;
	const char *hook;
};

/**
 * bundle_config_edit() - Edit the text of a config.json
 * @text:	It
 * @len:	Its length
 * @wanted:	Changes that depend on this host and call
 *
 * Return: the new text, to be freed, which says the same if nothing is to be changed; NULL if it is
 * no JSON object, a source cannot be pinned (@wanted->pins->failed), or without memory
 */
char *bundle_config_edit(const char *text, size_t len, const struct bundle_wanted *wanted);

/**
 * bundle_oom_score() - The OOM score that the engine wants for the container's processes
 * @bundle:	Its directory, of the engine's
 *
 * CRIU does not restore a score of 0; a restored process would keep that of who restores it, which
 * with containerd's service is among the last that the kernel ends.
 *
 * Return: -1000 to 1000; 0 if nothing is said, or nothing can be read
 */
int bundle_oom_score(const char *bundle);

/**
 * bundle_cgroups_path() - Where the engine wants the container's control group
 * @bundle:	Its directory, of the engine's
 * @to:		Set to "linux.cgroupsPath" of its configuration
 * @size:	Room there
 *
 * Return: 0, -ENOENT if it says none, -ENAMETOOLONG, or another negative error code
 */
int bundle_cgroups_path(const char *bundle, char *to, size_t size);

/**
 * bundle_apart() - See whether a container is to be kept apart from others, and which process is its first
 * @root:	Directory of runc's records
 * @id:		Container's id
 * @pid:	Set to the process; 0 if the container need not be kept apart
 *
 * The record names the bundle.
 *
 * Return: 0, or -ENOENT if record or bundle cannot be read
 */
int bundle_apart(const char *root, const char *id, pid_t *pid);

/**
 * bundle_edit() - Edit the config.json of a bundle, in place
 * @bundle:	Its directory, of the engine's
 * @file:	Set to the file's path, PATH_MAX bytes, for complaints
 * @pins:	From shared_pins_begin()
 * @hook:	As in struct bundle_wanted
 *
 * Return: 0, or negative error code; the file is as it was then
 */
int bundle_edit(const char *bundle, char *file, struct shared_pins *pins, const char *hook);

/**
 * bundle_network_sysctls() - Set the network settings that the engine wants, in a process's network namespace
 * @bundle:	Its directory, of the engine's
 * @pid:	Process of the container; this program enters its network namespace, and stays
 *
 * runc sets them before it starts a container's first process, but not before it restores one, and CRIU
 * carries few of them.
 *
 * Return: 0, or negative error code
 */
int bundle_network_sysctls(const char *bundle, pid_t pid);
