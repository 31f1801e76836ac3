/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Migration check - the answer to `baton check` for a container or an image
 *
 * It runs on a worker thread, for it asks the engine and measures files. Its findings on a container are
 * those of source_look() before a migration: both call container_check().
 */

#include <string.h>

#include "es/container/check.h"
#include "es/container/findings.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/migration.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/work.h"
#include "es/migration/controller.h"
#include "es/migration/predict.h"
#include "es/system/cgroup.h"

#define RATE_USUAL 10000000

/** struct check - A container or image being looked at on a worker thread */
struct check {
	uv_work_t work;
	struct migration_controller *mc;
	char name[MIGRATION_CHECK_NAME_SIZE];
	void (*done)(void *ctx, const char *json, const char *reason);
	void *ctx;
	char *json;
	int result;
	struct err err;

	struct docker_engine *engine;
	json_t *inspect; /* of the container, NULL if it is an image */
	json_t *image;
	json_t *findings;
	json_t *notes;
	uint64_t layer;
	uint64_t volumes;
	struct migration_sizes sizes;
};

/** look() - Find what it is */
static int look(struct check *check)
{
	struct err *err = &check->err;
	int r = migration_engine(&check->engine, check->mc, -1, err);

	if (r == 0)
		r = docker_engine_inspect(check->engine, check->name, &check->inspect, err);
	if (r < 0)
		return r;
	r = docker_engine_image(check->engine,
				check->inspect ? json_text(check->inspect, "Image", NULL)
					       : check->name,
				&check->image, err);
	return r > 0 ? err_set(err, -ENOENT, "container or image %s", check->name) : r;
}

/** container_measure() - Measure the memory and files that a migration would send */
static int container_measure(struct check *check)
{
	struct file_sets trees = { .count = 0 };
	pid_t pid = (pid_t)json_integer_value(json_at(check->inspect, "State", "Pid", NULL));
	uint64_t memory = cgroup_memory(pid);
	uint64_t tmpfs = check->sizes.tmpfs;
	int r = file_sets_find(&trees, check->inspect, check->mc->config.docker_exec_root,
			       &check->err);

	for (size_t i = 0; r == 0 && i < trees.count; i++)
		*(i ? &check->volumes : &check->layer) += layer_measure(trees.tree[i].path, NULL);
	file_sets_deinit(&trees);
	/* It includes the tmpfs mounts. */
	check->sizes.memory = memory > tmpfs ? memory - tmpfs : 0;
	check->sizes.files = check->layer + check->volumes;
	return r;
}

/** engine_check() - Judge the engine. Return: 0 with its version, a new reference; or negative */
static int engine_check(struct check *check, json_t **version)
{
	json_t *info = NULL;
	int r = docker_engine_info(check->engine, &info, &check->err);

	if (r < 0)
		return r;
	*version = json_string(json_text(info, "ServerVersion", NULL));
	const char *driver = json_text(info, "Driver", NULL);
	/* its own store, and containerd's */
	if (strcmp(driver, "overlay2") != 0 && strcmp(driver, "overlayfs") != 0)
		finding_add(check->findings,
			    "have the engine keep images with overlay2 (\"storage-driver\")",
			    "the engine keeps images with %s", driver);
	json_decref(info);
	return 0;
}

/** keys_of() - The keys of an object, a new reference to an array; empty if it is none */
static json_t *keys_of(const json_t *object)
{
	json_t *keys = json_array();
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		(void)json_array_append_new(keys, json_string(key));
	}
	return keys;
}

/** image_describe() - The image's settings for its containers. Return: a new reference */
static json_t *image_describe(const json_t *image)
{
	const char *user = json_text(image, "Config", "User", NULL);
	const char *signal = json_text(image, "Config", "StopSignal", NULL);

	return json_pack("{s:s, s:s, s:o, s:o}", "user", *user ? user : "root", "stop_signal",
			 *signal ? signal : "SIGTERM", "ports",
			 keys_of(json_at(image, "Config", "ExposedPorts", NULL)), "volumes",
			 keys_of(json_at(image, "Config", "Volumes", NULL)));
}

/** report_make() - Put all that was found together */
static int report_make(struct check *check)
{
	const struct migration_sizes *s = &check->sizes;
	json_t *docker = NULL;
	json_t *host = json_deep_copy(check->mc->host);
	int r = engine_check(check, &docker);
	json_error_t why;

	if (r < 0) {
		json_decref(host);
		return r;
	}
	(void)json_object_set_new(host, "docker", docker);
	(void)json_object_set_new(host, "image",
				  json_string(json_text(check->image, "Architecture", NULL)));
	json_t *report = json_pack_ex(
		&why, 0,
		"{s:s, s:s, s:b, s:O, s:O, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I}, "
		"s:{s:I, s:I, s:I, s:I, s:I}}",
		"name", check->name, "kind", check->inspect ? "container" : "image", "ok",
		json_array_size(check->findings) == 0, "findings", check->findings, "notes",
		check->notes, "host", host, "image", image_describe(check->image), "bytes",
		"memory", (json_int_t)s->memory, "tmpfs", (json_int_t)s->tmpfs, "layer",
		(json_int_t)check->layer, "volumes", (json_int_t)check->volumes, "image",
		(json_int_t)s->image, "predicted", "rate", (json_int_t)s->rate, "rtt_us",
		(json_int_t)s->rtt_us, "freeze_us", (json_int_t)migration_predict_freeze(s),
		"total_us", (json_int_t)migration_predict_total(s, false), "total_with_image_us",
		(json_int_t)migration_predict_total(s, true));
	check->json = report ? json_dumps(report, JSON_COMPACT) : NULL;
	json_decref(report);
	return check->json ? 0 : err_set(&check->err, -ENOMEM, "check %s", check->name);
}

/** container_look() - Judge a container, and measure it */
static int container_look(struct check *check)
{
	int r = container_check(&check->findings, check->engine, check->inspect,
				check->mc->config.shared, &check->err);

	if (r == 0 && container_check_notes(check->notes, check->inspect, &check->sizes.tmpfs) < 0)
		r = err_set(&check->err, -ENOMEM, "check %s", check->name);
	return r < 0 ? r : container_measure(check);
}

static void check_work(uv_work_t *work)
{
	struct check *check = container_of(work, struct check, work);
	const char *machine = json_text(check->mc->host, "architecture", NULL);
	int r = look(check);

	check->notes = json_array();
	if (r == 0) {
		check->sizes.image =
			(uint64_t)json_integer_value(json_object_get(check->image, "Size"));
		check->findings = check->inspect ? NULL : json_array();
		if (check->inspect)
			r = container_look(check);
		else
			container_check_image(check->findings, check->notes, check->image,
					      migration_image_architecture(machine));
	}
	if (r == 0)
		r = report_make(check);
	check->result = r;
	json_decref(check->findings);
	json_decref(check->notes);
	json_decref(check->inspect);
	json_decref(check->image);
	check->engine = docker_engine_free(check->engine);
}

static void check_done(uv_work_t *work, int status)
{
	struct check *check = container_of(work, struct check, work);
	struct migration_controller *mc = check->mc;

	mc->checks--;
	check->done(check->ctx, check->json,
		    status < 0 || check->result < 0 ? check->err.text : NULL);
	free(check->json);
	free(check);
	if (mc->closing)
		migration_controller_close_step(mc);
}

int migration_controller_check(struct migration_controller *mc, const char *name,
			       const struct migration_link *link,
			       void (*done)(void *ctx, const char *json, const char *reason),
			       void *ctx, struct err *err)
{
	struct check *check = mc->closing ? NULL : calloc(1, sizeof(*check));
	int r;

	if (!check)
		return err_set(err, -ENOMEM, "check %s", name);
	check->mc = mc;
	check->done = done;
	check->ctx = ctx;
	check->sizes.rate = link->rate ? link->rate : RATE_USUAL;
	check->sizes.rtt_us = link->rtt_us;
	(void)snprintf(check->name, sizeof(check->name), "%s", name);
	r = uv_queue_work(mc->loop, &check->work, check_work, check_done);
	if (r < 0) {
		free(check);
		return err_set(err, r, "check %s", name);
	}
	mc->checks++;
	return 0;
}

int migration_controller_fits(struct migration_controller *mc, const char *host, size_t len,
			      char **ret, struct err *err)
{
	json_t *theirs = json_loadb(host, len, JSON_REJECT_DUPLICATES, NULL);
	struct err why = { 0 };

	if (!json_is_object(theirs)) {
		json_decref(theirs);
		return err_set(err, -EINVAL, "this describes no host");
	}
	json_t *plan = json_pack("{s:o, s:{s:s}}", "host", theirs, "image", "architecture",
				 json_text(theirs, "image", NULL));
	json_t *findings = json_array();
	if (migration_plan_fits_host(plan, mc->host, &why) < 0)
		finding_add(findings, "have both edge servers alike in this", "%s", why.text);
	json_decref(plan);
	json_t *answer = json_pack("{s:o}", "findings", findings);
	*ret = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	json_decref(answer);
	return *ret ? 0 : err_set(err, -ENOMEM, "compare hosts");
}
