/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/plan.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/check.h"
#include "es/container/config.h"
#include "es/container/findings.h"
#include "es/engine/docker_engine.h"
#include "es/system/cgroup.h"
#include "es/system/process.h"

#define PLAN_VERSION  4
#define TOOL_MS       10000
#define TOOL_TEXT_MAX 16384
#define LAYERS_MAX    256
#define TAGS_MAX      16
#define CPU_TEXT_MAX  8192

/**
 * tool_ask() - Run a program of @path ("PATH=..."), and take the beginning of what it prints
 * @to:		Set to it, up to TOOL_TEXT_MAX - 1 bytes
 * @argv:	Program and arguments
 */
static int tool_ask(char to[TOOL_TEXT_MAX], const char *const *argv, const char *path,
		    int cancel_fd, struct err *err)
{
	char file[] = "/tmp/baton-version-XXXXXX";
	int fd = mkostemp(file, O_CLOEXEC);
	const char *const env[] = { path, NULL };

	if (fd < 0)
		return err_set(err, -errno, "create %s", file);
	auto_close int owned = fd;
	int r = process_run(argv, env, file, cancel_fd, TOOL_MS, err);
	(void)unlink(file);
	ssize_t n = pread(owned, to, TOOL_TEXT_MAX - 1, 0);
	to[n > 0 ? n : 0] = '\0';
	return r;
}

/**
 * tool_version() - Ask a program for its version
 * @to:		Set to what follows @key in its output, up to the end of the line
 * @program:	Name, looked up in @path ("PATH=...")
 */
static int tool_version(char to[64], const char *program, const char *key, const char *path,
			int cancel_fd, struct err *err)
{
	const char *const argv[] = { program, "--version", NULL };
	char text[TOOL_TEXT_MAX];
	int r = tool_ask(text, argv, path, cancel_fd, err);

	if (r < 0)
		return err_wrap(err, r, "ask %s for its version", program);
	const char *at = strstr(text, key);
	if (!at)
		return err_set(err, -EPROTO, "%s tells no version", program);
	(void)snprintf(to, 64, "%.*s", (int)strcspn(at + strlen(key), "\n+ "), at + strlen(key));
	return 0;
}

bool migration_runc_remaps(const char *prefix)
{
	const char *const argv[] = { "runc", "checkpoint", "--help", NULL };
	char text[TOOL_TEXT_MAX];

	auto_free char *path = path_in_prefix(prefix);
	return path && tool_ask(text, argv, path, -1, NULL) == 0 && strstr(text, "--link-remap");
}

/** cpu_flags() - The instruction set extensions of this CPU, as the kernel lists them */
static void cpu_flags(char to[CPU_TEXT_MAX])
{
	auto_fclose FILE *info = fopen("/proc/cpuinfo", "re");
	auto_free char *line = NULL;
	size_t size = 0;

	*to = '\0';
	while (info && !*to && getline(&line, &size, info) > 0)
		if (!strncmp(line, "flags", 5) || !strncmp(line, "Features", 8)) {
			const char *list = strchr(line, ':');

			list = list ? list + 1 + strspn(list + 1, " ") : "";
			(void)snprintf(to, CPU_TEXT_MAX, "%.*s", (int)strcspn(list, "\n"), list);
		}
}

int migration_host_read(json_t **ret, const char *prefix, int cancel_fd, struct err *err)
{
	struct utsname name;
	char criu[64];
	char runc[64];
	char cpu[CPU_TEXT_MAX];
	char hierarchies[CGROUP_LIST_MAX];
	const char *cgroup = cgroup_version(hierarchies);
	int r;

	auto_free char *path = path_in_prefix(prefix);
	if (!path || uname(&name) < 0)
		return err_set(err, -ENOMEM, "describe this host");
	r = tool_version(criu, "criu", "Version: ", path, cancel_fd, err);
	if (r == 0)
		r = tool_version(runc, "runc", "runc version ", path, cancel_fd, err);
	if (r < 0)
		return r;
	cpu_flags(cpu);
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "architecture", name.machine,
			 "kernel", name.release, "criu", criu, "runc", runc, "cpu", cpu, "cgroup",
			 cgroup, "hierarchies", hierarchies);
	return *ret ? 0 : err_set(err, -ENOMEM, "describe this host");
}

/**
 * names_of() - RepoTags or RepoDigests of an image, the first TAGS_MAX
 *
 * Return: a new reference, or NULL
 */
static json_t *names_of(const json_t *image, const char *which)
{
	json_t *tags = json_array();
	json_t *tag;
	size_t i;

	json_array_foreach(json_object_get(image, which), i, tag)
	{
		if (i < TAGS_MAX && json_is_string(tag))
			(void)json_array_append(tags, tag);
	}
	return tags;
}

int migration_plan_make(json_t **ret, const json_t *inspect, const json_t *image, json_t *host,
			uint16_t port, uint64_t memory, uint64_t layer, struct err *err)
{
	json_error_t why;
	json_t *config = NULL;
	json_t *layers = json_at(image, "RootFS", "Layers", NULL);
	int r = container_config_clone(&config, inspect, err);

	if (r < 0)
		return r;
	json_t *plan = json_pack_ex(
		&why, 0,
		"{s:i, s:o, s:{s:s, s:s, s:s, s:O, s:o, s:o, s:I}, s:O, s:i, s:{s:I, s:I}}",
		"version", PLAN_VERSION, "config", config, "image", "id",
		json_text(inspect, "Image", NULL), "name",
		json_text(inspect, "Config", "Image", NULL), "architecture",
		json_text(image, "Architecture", NULL), "layers", layers, "tags",
		names_of(image, "RepoTags"), "digests", names_of(image, "RepoDigests"), "size",
		json_integer_value(json_object_get(image, "Size")), "host", host, "port", (int)port,
		"bytes", "memory", (json_int_t)memory, "layer", (json_int_t)layer);
	if (!plan)
		return err_set(err, -EPROTO, "plan a migration: %s", why.text);
	*ret = plan;
	return 0;
}

/**
 * volumes_are_asked_for() - Whether the configuration asks for a volume at each of the paths, and
 * no other
 */
static bool volumes_are_asked_for(const json_t *volumes, const json_t *host_config)
{
	size_t asked = 0;
	json_t *path;
	json_t *item;
	size_t i;
	size_t j;

	json_array_foreach(json_object_get(host_config, "Mounts"), i, item)
	{
		bool listed = strcmp(json_text(item, "Type", NULL), "volume") != 0;

		asked += !listed;
		json_array_foreach(volumes, j, path)
		{
			listed = listed || json_equal(path, json_object_get(item, "Target"));
		}
		if (!listed)
			return false;
	}
	return asked == json_array_size(volumes);
}

/** all_strings() - Whether a list has nothing but texts */
static bool all_strings(const json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return false;
	}
	return true;
}

/** size_possible() - Whether a size can be one */
static bool size_possible(json_int_t bytes)
{
	return bytes >= 0 && bytes <= MIGRATION_SIZE_MAX;
}

int migration_plan_parse(json_t **ret, const void *text, size_t len, const char *const *shared,
			 struct err *err)
{
	json_error_t why;
	int version;
	int port;
	json_int_t memory;
	json_int_t layer;
	json_int_t size;
	const char *name;
	json_t *config;
	json_t *host_config;
	json_t *layers;
	json_t *tags;
	json_t *digests;
	json_t *volumes = NULL;
	int r = 0;

	if (len > MIGRATION_PLAN_MAX)
		return err_set(err, -EPROTO, "the plan has more than %u bytes", MIGRATION_PLAN_MAX);
	json_t *plan = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!plan)
		return err_set(err, -EPROTO, "the plan is no JSON: %s", why.text);
	if (json_unpack_ex(
		    plan, &why, 0,
		    "{s:i, s:{s:o}, s:{s:s, s:s, s:s, s:o, s:o, s:o, s:I}, s:{s:s, s:s, s:s, "
		    "s:s, s:s, s:s, s:s}, s:i, "
		    "s:{s:I, s:I}, s?o}",
		    "version", &version, "config", "HostConfig", &host_config, "image", "id", &name,
		    "name", &name, "architecture", &name, "layers", &layers, "tags", &tags,
		    "digests", &digests, "size", &size, "host", "architecture", &name, "kernel",
		    &name, "criu", &name, "runc", &name, "cpu", &name, "cgroup", &name,
		    "hierarchies", &name, "port", &port, "bytes", "memory", &memory, "layer",
		    &layer, "volumes", &volumes) < 0)
		r = err_set(err, -EPROTO, "the plan is not one: %s", why.text);
	else if (version != PLAN_VERSION)
		r = err_set(err, -EPROTO, "the plan has version %d, not %d", version, PLAN_VERSION);
	else if (!json_is_array(layers) || !json_array_size(layers) ||
		 json_array_size(layers) > LAYERS_MAX || !json_is_object(host_config) || port < 0 ||
		 port > UINT16_MAX || !size_possible(memory) || !size_possible(layer) ||
		 !size_possible(size) || !json_is_array(tags) || json_array_size(tags) > TAGS_MAX ||
		 !json_is_array(digests) || json_array_size(digests) > TAGS_MAX ||
		 !all_strings(layers) || !all_strings(tags) || !all_strings(digests))
		r = err_set(err, -EPROTO, "the plan has a value that cannot be");
	else if ((volumes && (!json_is_array(volumes) || !all_strings(volumes))) ||
		 !volumes_are_asked_for(volumes, host_config))
		r = err_set(err, -EPROTO, "the plan's volumes are not those of its configuration");
	config = json_object_get(plan, "config");
	json_t *findings = json_array();
	if (r == 0) {
		container_check_config(findings, config, host_config, shared);
		r = findings_refusal(findings, err);
	}
	json_decref(findings);
	if (r == 0)
		*ret = plan;
	else
		json_decref(plan);
	return r;
}

/** refuse() - Report a mismatch, with the values of both sides */
static int refuse(const char *what, const char *theirs, const char *ours, struct err *err)
{
	(void)err_set(err, -EPROTO, "%s does not fit: %.100s there, %.100s here", what, theirs,
		      ours);
	if (err)
		err->code = -EPERM;
	return err_lasting(err, -EPERM);
}

/** version_number() - "4.2.1" as 4002, the parts that must agree or may grow */
static int version_number(const char *text)
{
	int major = 0;
	int minor = 0;

	(void)sscanf(text, "%d.%d", &major, &minor);
	return major * 1000 + minor;
}

/** has_word() - Whether a list separated by blanks has a word */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

/**
 * word_missing() - Find the first word of a list that another one lacks
 *
 * Return: whether there is one
 */
static bool word_missing(const char *list, const char *in, char to[64])
{
	while (*(list += strspn(list, " "))) {
		size_t len = strcspn(list, " ");

		(void)snprintf(to, 64, "%.*s", (int)(len > 63 ? 63 : len), list);
		if (!has_word(in, to))
			return true;
		list += len;
	}
	return false;
}

const char *migration_image_architecture(const char *machine)
{
	static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(machine, names[i][0]))
			return names[i][1];
	}
	return machine;
}

int migration_plan_fits_host(const json_t *plan, const json_t *host, struct err *err)
{
	const char *image = json_text(plan, "image", "architecture", NULL);
	const char *machine = json_text(host, "architecture", NULL);

	const json_t *theirs = json_object_get(plan, "host");
	const char *kernel = json_text(theirs, "kernel", NULL);
	const char *criu = json_text(theirs, "criu", NULL);
	const char *our_kernel = json_text(host, "kernel", NULL);
	const char *our_criu = json_text(host, "criu", NULL);
	char missing[64];

	if (strcmp(json_text(theirs, "architecture", NULL), machine) != 0)
		return refuse("the architecture", json_text(theirs, "architecture", NULL), machine,
			      err);
	/*
	 * Under emulation its processes would not be the frozen ones. Imported images name no
	 * architecture.
	 */
	if (*image && strcmp(image, migration_image_architecture(machine)) != 0)
		return refuse("the image's architecture", image,
			      migration_image_architecture(machine), err);
	/* An older kernel may lack what the processes use; an older CRIU cannot read the images. */
	if (version_number(kernel) > version_number(our_kernel))
		return refuse("the kernel", kernel, our_kernel, err);
	if (version_number(criu) > version_number(our_criu) ||
	    version_number(criu) / 1000 != version_number(our_criu) / 1000)
		return refuse("CRIU", criu, our_criu, err);
	if (version_number(json_text(theirs, "runc", NULL)) / 1000 !=
	    version_number(json_text(host, "runc", NULL)) / 1000)
		return refuse("runc", json_text(theirs, "runc", NULL),
			      json_text(host, "runc", NULL), err);
	if (word_missing(json_text(theirs, "cpu", NULL), json_text(host, "cpu", NULL), missing))
		return refuse("the CPU", missing, "without it", err);
	/* Mounts in the container, and CRIU's names for the groups of its processes, differ. */
	if (strcmp(json_text(theirs, "cgroup", NULL), json_text(host, "cgroup", NULL)) != 0)
		return refuse("the version of control groups", json_text(theirs, "cgroup", NULL),
			      json_text(host, "cgroup", NULL), err);
	if (word_missing(json_text(theirs, "hierarchies", NULL),
			 json_text(host, "hierarchies", NULL), missing))
		return refuse("the control group", missing, "without it", err);
	return 0;
}

int migration_plan_fits_image(const json_t *plan, const json_t *image, struct err *err)
{
	const json_t *theirs = json_at(plan, "image", "layers", NULL);
	const json_t *ours = json_at(image, "RootFS", "Layers", NULL);

	if (json_equal(theirs, ours))
		return 0;
	(void)err_set(err, -EPROTO, "the image %s has other layers here",
		      json_text(plan, "image", "name", NULL));
	if (err)
		err->code = -EPERM;
	return err_lasting(err, -EPERM);
}

size_t migration_plan_layers(const json_t *plan)
{
	return json_array_size(json_at(plan, "image", "layers", NULL));
}

size_t migration_plan_layers_here(const json_t *plan, const json_t *image)
{
	const json_t *theirs = json_at(plan, "image", "layers", NULL);
	const json_t *ours = json_at(image, "RootFS", "Layers", NULL);
	size_t n = 0;

	while (n < json_array_size(theirs) &&
	       json_equal(json_array_get(theirs, n), json_array_get(ours, n)))
		n++;
	return n;
}

bool migration_plan_udp(const json_t *plan)
{
	char port[16];

	(void)snprintf(port, sizeof(port), "%d/udp",
		       (int)json_integer_value(json_object_get(plan, "port")));
	return json_at(plan, "config", "ExposedPorts", port, NULL) != NULL;
}
