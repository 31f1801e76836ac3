/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Migration check - what `baton check` says about a container: on a worker thread, for it asks the engine
 */

#include <string.h>

#include "es/container_check.h"
#include "es/docker_engine.h"
#include "es/migration.h"

/** struct check - A container being looked at on a worker thread */
struct check {
	uv_work_t work;
	struct migration_controller *mc;
	char container[CONTAINER_ID_SIZE];
	void (*done)(void *ctx, const char *json, const char *reason);
	void *ctx;
	char *json;
	int result;
	struct err err;
};

static void check_work(uv_work_t *work)
{
	struct check *check = container_of(work, struct check, work);
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	json_t *inspect = NULL;
	json_t *findings = NULL;
	int r = docker_engine_new(&engine, check->mc->config.docker_socket, -1, &check->err);

	if (r == 0)
		r = docker_engine_inspect(engine, check->container, &inspect, &check->err);
	if (r > 0)
		r = err_set(&check->err, -ENOENT, "container %s", check->container);
	if (r == 0)
		r = container_check(&findings, engine, inspect, check->mc->config.shared,
				    &check->err);
	if (r == 0) {
		json_t *report = json_pack("{s:s, s:b, s:O}", "container", check->container, "ok",
					   json_array_size(findings) == 0, "findings", findings);

		check->json = json_dumps(report, JSON_COMPACT);
		json_decref(report);
	}
	json_decref(findings);
	json_decref(inspect);
	check->result = r;
}

static void check_done(uv_work_t *work, int status)
{
	struct check *check = container_of(work, struct check, work);
	struct migration_controller *mc = check->mc;

	mc->checks--;
	if (!mc->closing)
		check->done(check->ctx, check->json,
			    status < 0 || check->result < 0 ? check->err.text : NULL);
	free(check->json);
	free(check);
	if (mc->closing)
		migration_controller_close_step(mc);
}

int migration_controller_check(struct migration_controller *mc, const char *container,
			       void (*done)(void *ctx, const char *json, const char *reason),
			       void *ctx, struct err *err)
{
	struct check *check = mc->closing ? NULL : calloc(1, sizeof(*check));
	int r;

	if (!check)
		return err_set(err, -ENOMEM, "check a container");
	check->mc = mc;
	check->done = done;
	check->ctx = ctx;
	(void)snprintf(check->container, sizeof(check->container), "%s", container);
	r = uv_queue_work(mc->loop, &check->work, check_work, check_done);
	if (r < 0) {
		free(check);
		return err_set(err, r, "check a container");
	}
	mc->checks++;
	return 0;
}
