/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The source's operations on CT-x and its files
 */

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "es/checkpoint/checkpoint.h"
#include "es/container/check.h"
#include "es/container/findings.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/work.h"
#include "es/migration/source/outgoing.h"
#include "es/migration/source/source.h"
#include "es/worker/file_worker.h"

int source_look(struct migration *m, json_t **image, struct err *err)
{
	json_t *findings = NULL;
	int r = docker_engine_inspect(m->engine, m->order.container, &m->inspect, err);

	if (r > 0)
		return err_set(err, -ENOENT, "container %s", m->order.container);
	if (r == 0)
		r = container_check(&findings, m->engine, m->inspect, m->mc->config.shared, err);
	if (r == 0)
		r = findings_refusal(findings, err);
	json_decref(findings);
	if (r == 0)
		r = docker_engine_image(m->engine, json_text(m->inspect, "Image", NULL), image,
					err);
	return r > 0 ? err_set(err, -ENOENT, "image of container %s", m->order.container) : r;
}

/** source_layer_ahead() - Bring the staging copies of layer and volumes up to date while the service runs */
int source_layer_ahead(struct migration *m, struct err *err)
{
	pid_t init = (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL));
	int r;

	auto_free pid_t *pids = calloc(CONTAINER_PIDS_MAX, sizeof(*pids));
	if (!pids)
		return err_set(err, -ENOMEM, "copy the layer");
	r = file_sets_update(&m->sets, m->files, false, &m->out->layer_stats, err);
	if (r < 0)
		return r;
	/* Afterwards: a file mapped from now on changes its time when it is first written to. */
	size_t count = container_pids(pids, CONTAINER_PIDS_MAX, init);
	for (size_t i = 0; i < count && r == 0; i++)
		r = file_sets_dirty_mapped(&m->sets, m->files, pids[i], err);
	return r;
}

int source_work(struct migration *m, struct err *err)
{
	if (snprintf(m->work, sizeof(m->work), "%s/source-%016" PRIx64,
		     m->mc->config.checkpoint_dir, m->session) >= (int)sizeof(m->work))
		return err_set(err, -ENAMETOOLONG, "%s", m->mc->config.checkpoint_dir);
	if (mkdir(m->work, 0700) < 0) {
		/* A predecessor of this program has left somebody in it whom nobody could end. */
		int r = errno == EEXIST ? migration_work_clean(&m->mc->config, m->work, err) : 0;
		if (r < 0)
			return r;
		if (mkdir(m->work, 0700) < 0)
			return err_set(err, -errno, "create %s", m->work);
	}
	m->work_made = true;
	return file_worker_start(&m->files, m->mc->config.workers, m->cancel_fd, err);
}

int source_layer(struct migration *m, struct err *err)
{
	int r = file_sets_find(&m->sets, m->inspect, m->mc->config.docker_exec_root, err);

	if (r == 0)
		r = file_sets_stage(&m->sets, m->files, m->work, m->mc->config.max_bytes, err);
	return r < 0 ? r : source_layer_ahead(m, err);
}

int source_plan(struct migration *m, const json_t *image, uint64_t memory, uint64_t layer,
		struct err *err)
{
	const char *profile = migration_profile_name(m->mc->config.profile);
	const char *method = migration_method_name(m->order.method);
	int r = migration_plan_make(&m->plan, m->inspect, image, m->mc->host, m->order.port, memory,
				    layer, err);

	if (r == 0 && m->sets.count)
		r = json_object_set_new(m->plan, "volumes", file_sets_volumes(&m->sets)) < 0
			    ? err_set(err, -ENOMEM, "plan a migration")
			    : 0;
	if (r == 0 && (json_object_set_new(m->plan, "profile", json_string(profile)) < 0 ||
		       json_object_set_new(m->plan, "method", json_string(method)) < 0 ||
		       json_object_set_new(m->plan, "hold", json_boolean(m->order.hold)) < 0))
		r = err_set(err, -ENOMEM, "plan a migration");
	return r;
}

/** runc_root_find() - Where runc keeps the state of the container, by the name of its runtime */
static int runc_root_find(struct migration *m, char to[PATH_MAX], struct err *err)
{
	const char *const names[] = { json_text(m->inspect, "HostConfig", "Runtime", NULL), "runc",
				      "io.containerd.runc.v2" };
	const char *id = json_text(m->inspect, "Id", NULL);
	char state[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int n = snprintf(to, PATH_MAX, "%s/runtime-%s/moby", m->mc->config.docker_exec_root,
				 names[i]);

		if (n < PATH_MAX && snprintf(state, PATH_MAX, "%s/%s", to, id) < PATH_MAX &&
		    access(state, F_OK) == 0)
			return 0;
	}
	return err_set(err, -ENOENT, "state of container %s below %s", m->order.container,
		       m->mc->config.docker_exec_root);
}

int source_checkpoint(struct migration *m, const char *name, bool hold, struct checkpoint **ret,
		      struct err *err)
{
	char runc_root[PATH_MAX];
	int r = runc_root_find(m, runc_root, err);

	auto_free char *dir = NULL;
	if (r == 0 && asprintf(&dir, "%s/%s", m->work, name) < 0)
		r = err_set(err, -ENOMEM, "checkpoint");
	if (r < 0)
		return r;
	const struct checkpoint_config config = {
		.container = json_text(m->inspect, "Id", NULL),
		.pid = (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)),
		.runc_root = runc_root,
		.prefix = m->mc->config.prefix,
		.cut_hook = m->mc->config.cut_hook,
		.store = m->mc->config.store,
		.dir = dir,
		.guard = m->mc->config.guard,
		.cancel_fd = m->cancel_fd,
		.patience = m->mc->config.patience,
		.hold = hold,
		.remap = m->mc->runc_remaps,
		.late = m->mc->config.test_late_snapshot,
	};
	return checkpoint_begin(ret, &config, err);
}

int source_drain(struct migration *m, struct err *err)
{
	for (uint32_t tries = 1;; tries++) {
		int r = migration_ask_cut(m, err);

		if (r <= 0)
			return r;
		if (tries >= m->mc->config.drain_tries)
			return err_set(err, -EPROTO, "no idle instant in %u tries: %s", tries,
				       m->answer_reason);
		r = migration_rest(m, MIGRATION_DELAY_MS, err);
		if (r < 0)
			return r;
	}
}
