/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/files.h"
#include "runtime/big_numbers.h"
#include "runtime/shared_pins.h"

#define KEEP_LANDLOCK "BATON_LANDLOCK=keep"
#define KEEP_MPTCP    "BATON_MPTCP=keep"
#define MPTCP         "net.mptcp.enabled"
#define MPTCP_FILE    "/proc/sys/net/mptcp/enabled"

/** has() - Whether the container's environment has this entry */
static bool has(const json_t *config, const char *entry)
{
	const json_t *env = json_object_get(json_object_get(config, "process"), "env");
	const json_t *item;
	size_t i;

	json_array_foreach(env, i, item)
	{
		if (json_is_string(item) && !strcmp(json_string_value(item), entry))
			return true;
	}
	return false;
}

/** names_clear() - Take Landlock's calls out of a rule. Return: whether the rule has others */
static bool names_clear(json_t *rule)
{
	json_t *names = json_object_get(rule, "names");

	for (size_t i = json_array_size(names); i > 0; i--) {
		const char *name = json_string_value(json_array_get(names, i - 1));

		if (name && !strncmp(name, "landlock_", strlen("landlock_")))
			(void)json_array_remove(names, i - 1);
	}
	return json_array_size(names) > 0;
}

/*
 * The architectures whose programs run here, as OCI names them: a profile must have all, for
 * others' calls would be killed. Where they are not known a container without a profile keeps
 * Landlock.
 */
static const char *const machines[] = {
#if defined(__x86_64__)
	"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
#elif defined(__aarch64__)
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
#endif
	NULL
};

/** profile_none() - A profile that lets everything pass, for a container without one */
static json_t *profile_none(void)
{
	json_t *list = json_array();

	for (size_t i = 0; machines[i]; i++)
		(void)json_array_append_new(list, json_string(machines[i]));
	return json_pack("{s:s, s:o, s:[]}", "defaultAction", "SCMP_ACT_ALLOW", "architectures",
			 list, "syscalls");
}

/** landlock_deny() - Add our rule to the profile. Return: 0, or -1 without memory */
static int landlock_deny(json_t *config)
{
	json_t *linux_ = json_object_get(config, "linux");
	json_t *profile = json_object_get(linux_, "seccomp");
	json_t *rules;

	if (!json_is_object(profile) && ARRAY_SIZE(machines) == 1)
		return 0;
	if (!json_is_object(profile)) {
		profile = profile_none();
		if (json_object_set_new(linux_, "seccomp", profile) < 0)
			return -1;
	}
	rules = json_object_get(profile, "syscalls");
	if (!json_is_array(rules)) {
		rules = json_array();
		if (json_object_set_new(profile, "syscalls", rules) < 0)
			return -1;
	}
	for (size_t i = json_array_size(rules); i > 0; i--)
		if (!names_clear(json_array_get(rules, i - 1)))
			(void)json_array_remove(rules, i - 1);
	return json_array_append_new(
		rules, json_pack("{s:[s, s, s], s:s, s:i}", "names", "landlock_create_ruleset",
				 "landlock_add_rule", "landlock_restrict_self", "action",
				 "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
}

/** network_own() - Whether the container has a network namespace of its own, by its configuration */
static bool network_own(const json_t *linux_)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(linux_, "namespaces"), i, item)
	{
		const char *type = json_string_value(json_object_get(item, "type"));
		const char *path = json_string_value(json_object_get(item, "path"));

		/* That of another container is given as the one of a process. */
		if (type && !strcmp(type, "network"))
			return !path || strncmp(path, "/proc/", strlen("/proc/")) != 0;
	}
	return false;
}

/** mptcp_close() - Have the container's sockets be TCP where MPTCP is asked for. Return: 0, or -1 without memory */
static int mptcp_close(json_t *config)
{
	json_t *linux_ = json_object_get(config, "linux");
	json_t *sysctls = json_object_get(linux_, "sysctl");

	if (!network_own(linux_) || json_object_get(sysctls, MPTCP))
		return 0;
	if (json_is_object(sysctls))
		return json_object_set_new(sysctls, MPTCP, json_string("0"));
	return json_object_set_new(linux_, "sysctl", json_pack("{s:s}", MPTCP, "0"));
}

/**
 * config_parse() - Parse a configuration, its big numbers as strings
 *
 * Return: NULL if it cannot be done
 */
static json_t *config_parse(const char *text, size_t len, char mark[BIG_NUMBERS_MARK])
{
	if (memchr(text, '\0', len) || big_numbers_mark(mark) < 0)
		return NULL;
	auto_free char *hidden = big_numbers_hide(text, len, mark);
	return hidden ? json_loads(hidden, 0, NULL) : NULL;
}

/** hook_add() - Append our hook to those that run before the container. Return: 0, or -1 without memory */
static int hook_add(json_t *config, const char *program)
{
	json_t *hooks = json_object_get(config, "hooks");
	json_t *list;

	if (!json_is_object(hooks)) {
		hooks = json_object();
		if (json_object_set_new(config, "hooks", hooks) < 0)
			return -1;
	}
	/* runc calls it deprecated; but Docker's own hook, which makes the network, is there. */
	list = json_object_get(hooks, "prestart");
	if (!json_is_array(list)) {
		list = json_array();
		if (json_object_set_new(hooks, "prestart", list) < 0)
			return -1;
	}
	return json_array_append_new(list, json_pack("{s:s, s:[s, s]}", "path", program, "args",
						     "baton-runtime", BUNDLE_HOOK));
}

char *bundle_config_edit(const char *text, size_t len, const struct bundle_wanted *wanted)
{
	char mark[BIG_NUMBERS_MARK];
	json_t *config = config_parse(text, len, mark);
	char *edited = NULL;

	if (json_is_object(config) && (has(config, KEEP_LANDLOCK) || landlock_deny(config) == 0) &&
	    (!wanted->mptcp || has(config, KEEP_MPTCP) || mptcp_close(config) == 0) &&
	    (!wanted->hook || !has(config, APART_ENV) || hook_add(config, wanted->hook) == 0) &&
	    (!wanted->pins || shared_pins_config(wanted->pins, config) == 0))
		edited = json_dumps(config, JSON_COMPACT);
	if (edited)
		big_numbers_show(edited, mark);
	json_decref(config);
	return edited;
}

/** config_read() - Read a whole file. Return: its bytes, to be freed, or NULL with errno */
static char *config_read(const char *path, size_t *len, mode_t *mode)
{
	struct stat st;

	auto_close int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size > BUNDLE_CONFIG_MAX) {
		errno = EFBIG;
		return NULL;
	}
	*mode = st.st_mode & 0777;
	auto_free char *text = malloc((size_t)st.st_size + 1);
	ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (n < 0)
		return NULL;
	*len = (size_t)n;
	return TAKE_PTR(text);
}

/** file_read() - Parse a file of the engine's or of runc's in a directory. Return: a new reference, or NULL */
static json_t *file_read(const char *dir, const char *name)
{
	char mark[BIG_NUMBERS_MARK];
	char file[PATH_MAX];
	size_t len = 0;
	mode_t mode = 0;

	if (snprintf(file, sizeof(file), "%s/%s", dir, name) >= PATH_MAX)
		return NULL;
	auto_free char *text = config_read(file, &len, &mode);
	return text ? config_parse(text, len, mark) : NULL;
}

/** bundle_read() - Parse the configuration of a bundle. Return: a new reference, or NULL */
static json_t *bundle_read(const char *bundle)
{
	return file_read(bundle, "config.json");
}

/** label_of() - Value of a label "KEY=VALUE" in runc's record. Return: NULL if there is none */
static const char *label_of(const json_t *state, const char *key)
{
	const json_t *labels = json_object_get(json_object_get(state, "config"), "labels");
	const json_t *item;
	size_t i;

	json_array_foreach(labels, i, item)
	{
		const char *label = json_string_value(item);

		if (label && !strncmp(label, key, strlen(key)))
			return label + strlen(key);
	}
	return NULL;
}

int bundle_apart(const char *root, const char *id, pid_t *pid)
{
	char dir[PATH_MAX];
	int r = -ENOENT;

	if (snprintf(dir, sizeof(dir), "%s/%s", root, id) >= PATH_MAX)
		return -ENOENT;
	json_t *state = file_read(dir, "state.json");
	json_int_t number = json_integer_value(json_object_get(state, "init_process_pid"));
	const char *bundle = label_of(state, "bundle=");
	json_t *config = bundle ? bundle_read(bundle) : NULL;
	if (config && number > 0 && number <= INT_MAX) {
		*pid = has(config, APART_ENV) ? (pid_t)number : 0;
		r = 0;
	}
	json_decref(config);
	json_decref(state);
	return r;
}

int bundle_oom_score(const char *bundle)
{
	json_t *config = bundle_read(bundle);
	json_int_t score = json_integer_value(
		json_object_get(json_object_get(config, "process"), "oomScoreAdj"));

	json_decref(config);
	return score < -1000 || score > 1000 ? 0 : (int)score;
}

int bundle_cgroups_path(const char *bundle, char *to, size_t size)
{
	json_t *config = bundle_read(bundle);
	const char *path =
		json_string_value(json_object_get(json_object_get(config, "linux"), "cgroupsPath"));
	int r = path && *path ? 0 : -ENOENT;

	if (r == 0 && snprintf(to, size, "%s", path) >= (int)size)
		r = -ENAMETOOLONG;
	json_decref(config);
	return r;
}

int bundle_edit(const char *bundle, char *file, struct shared_pins *pins, const char *hook)
{
	const struct bundle_wanted wanted = { .pins = pins,
					      .mptcp = access(MPTCP_FILE, F_OK) == 0,
					      .hook = hook };
	char new[PATH_MAX + 16];
	size_t len = 0;
	mode_t mode = 0;
	int r;

	if (snprintf(file, PATH_MAX, "%s/config.json", bundle) >= PATH_MAX)
		return -ENAMETOOLONG;
	(void)snprintf(new, sizeof(new), "%s.baton", file);
	auto_free char *text = config_read(file, &len, &mode);
	if (!text)
		return errno ? -errno : -ENOMEM;
	auto_free char *edited = bundle_config_edit(text, len, &wanted);
	if (!edited)
		return -EINVAL;
	auto_close int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = files_write(fd, edited, strlen(edited));
	if (r == 0 && rename(new, file) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(new);
	return r;
}

/** sysctl_write() - Set a network setting, "net.ipv4.ip_forward", of the namespace that we are in */
static int sysctl_write(const char *name, const char *value)
{
	char path[256];

	if (snprintf(path, sizeof(path), "/proc/sys/%s", name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	/* As runc reads it: dots lead down, and nothing leads up. */
	for (char *c = path + strlen("/proc/sys/"); *c; c++)
		if (*c == '.')
			*c = '/';
	auto_close int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : files_write(fd, value, strlen(value));
}

int bundle_network_sysctls(const char *bundle, pid_t pid)
{
	char path[64];
	const char *name;
	json_t *value;
	int r = 0;

	json_t *config = bundle_read(bundle);
	json_t *linux_ = json_object_get(config, "linux");
	json_t *sysctls = json_object_get(linux_, "sysctl");
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (network_own(linux_) && json_object_size(sysctls)) {
		auto_close int ns = open(path, O_RDONLY | O_CLOEXEC);

		if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
			r = -errno;
	} else {
		sysctls = NULL;
	}
	json_object_foreach(sysctls, name, value)
	{
		if (r == 0 && !strncmp(name, "net.", strlen("net.")) && json_is_string(value))
			r = sysctl_write(name, json_string_value(value));
	}
	json_decref(config);
	return r;
}
