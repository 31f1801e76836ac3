/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

/** in() - Whether an option, in its form with or without "=value", is one of a list */
static bool in(const char *option, const char *const *list, size_t count)
{
	size_t len = strcspn(option, "=");

	while (*option == '-' && len) {
		option++;
		len--;
	}
	for (size_t i = 0; i < count; i++)
		if (strlen(list[i]) == len && !strncmp(option, list[i], len))
			return true;
	return false;
}

/** ends_false() - Whether a switch is given as "--option=false" */
static bool ends_false(const char *option)
{
	const char *value = strchr(option, '=');

	return value && (!strcmp(value, "=false") || !strcmp(value, "=0"));
}

void runtime_call_parse(struct runtime_call *call, int argc, char **argv)
{
	static const char *const global[] = { "root", "log", "log-format", "criu", "rootless" };
	static const char *const local[] = {
		"bundle",     "b",         "console-socket", "pid-file", "preserve-fds",
		"image-path", "work-path", "parent-path",    "process",  "p",
		"log",        "root"
	};
	static const char *const bundle[] = { "bundle", "b" };
	static const char *const pid_file[] = { "pid-file" };
	static const char *const systemd[] = { "systemd-cgroup" };
	static const char *const root[] = { "root" };
	int i = 1;

	call->command = 0;
	call->id = NULL;
	call->bundle = ".";
	call->pid_file = NULL;
	call->root = "/run/runc";
	call->systemd = false;
	while (i < argc && argv[i][0] == '-') {
		if (in(argv[i], systemd, ARRAY_SIZE(systemd)))
			call->systemd = !ends_false(argv[i]);
		if (in(argv[i], root, ARRAY_SIZE(root)) && (strchr(argv[i], '=') || i + 1 < argc))
			call->root = strchr(argv[i], '=') ? strchr(argv[i], '=') + 1 : argv[i + 1];
		i += in(argv[i], global, ARRAY_SIZE(global)) && !strchr(argv[i], '=') ? 2 : 1;
	}
	if (i >= argc)
		return;
	call->command = i++;
	while (i < argc && argv[i][0] == '-') {
		const char *value = strchr(argv[i], '=');
		bool apart = in(argv[i], local, ARRAY_SIZE(local)) && !value;

		if (in(argv[i], bundle, ARRAY_SIZE(bundle)) && (value || i + 1 < argc))
			call->bundle = value ? value + 1 : argv[i + 1];
		if (in(argv[i], pid_file, ARRAY_SIZE(pid_file)) && (value || i + 1 < argc))
			call->pid_file = value ? value + 1 : argv[i + 1];
		i += apart ? 2 : 1;
	}
	if (i < argc)
		call->id = argv[i];
}

bool runtime_id_valid(const char *id)
{
	static const char good[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	return id && *id && *id != '.' && strspn(id, good) == strlen(id) && strlen(id) <= 128;
}

const char **runtime_restore_argv(const struct runtime_call *call, int argc, char **argv,
				  const char *runc, const char *images, const char *work)
{
	static const char *const create_only[] = { "no-new-keyring", "preserve-fds" };
	const char **out = calloc((size_t)argc + 8, sizeof(*out));
	size_t n = 0;

	if (!out)
		return NULL;
	out[n++] = runc;
	for (int i = 1; i < call->command; i++)
		out[n++] = argv[i];
	out[n++] = "restore";
	out[n++] = "--detach";
	out[n++] = "--file-locks";
	out[n++] = "--image-path";
	out[n++] = images;
	out[n++] = "--work-path";
	out[n++] = work;
	for (int i = call->command + 1; i < argc; i++) {
		if (argv[i] != call->id && in(argv[i], create_only, ARRAY_SIZE(create_only))) {
			if (!strncmp(argv[i], "--preserve-fds", 14) && !strchr(argv[i], '='))
				i++;
			continue;
		}
		out[n++] = argv[i];
	}
	return out;
}
