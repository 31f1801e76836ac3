/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer's offer is granted here, or refused (R16)
 */

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "es/container/grant.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/work.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"
#include "es/worker/file_worker.h"

/** profile_check() - Does the source mean to do it the way we do? */
static int profile_check(struct migration *m, struct err *err)
{
	const char *ours = migration_profile_name(m->mc->config.profile);
	const char *theirs = json_text(m->plan, "profile", NULL);

	if (!strcmp(*theirs ? theirs : migration_profile_name(PROFILE_BATON), ours))
		return 0;
	(void)err_set(err, -EPROTO, "%s has another profile than ours, \"%s\"",
		      m->offer.offer.from_es, ours);
	return err_lasting(err, -EPERM);
}

/** grant_take() - Let the plan have no other configuration than one that is granted here (R16) */
static int grant_take(struct migration *m, struct err *err)
{
	json_t *config = NULL;
	int r = container_grant_config(
		&config, m->grant, json_object_get(m->plan, "config"),
		(uint16_t)json_integer_value(json_object_get(m->plan, "port")), err);

	/* Processes keep those of CT-x, whatever the engine here gives new ones. */
	m->in->ulimits = json_incref(json_at(m->plan, "config", "HostConfig", "Ulimits", NULL));
	if (r == 0 && json_object_set_new(m->plan, "config", config) < 0)
		r = err_set(err, -ENOMEM, "configure a container");
	return r;
}

int destination_judge(struct migration *m, struct err *err)
{
	json_t *bytes;
	json_t *info = NULL;
	auto_free char *plan = NULL;
	int r = file_worker_start(&m->files, m->mc->config.workers, m->cancel_fd, err);

	/* The worker, which can do no harm, parses the stranger's plan; we parse the worker's output. */
	if (r == 0)
		r = file_worker_json(m->files, m->offer.offer.plan, m->offer.offer.plan_len, &plan,
				     err);
	if (r == 0)
		r = migration_plan_parse(&m->plan, plan, strlen(plan), m->mc->config.shared, err);
	if (r == 0)
		r = grant_take(m, err);
	if (r == 0)
		r = file_sets_expect(&m->sets, m->plan, err);
	if (r == 0)
		r = profile_check(m, err);
	if (r == 0)
		r = migration_plan_fits_host(m->plan, m->mc->host, err);
	if (r < 0)
		return r;
	bytes = json_object_get(m->plan, "bytes");
	/* a stop-and-copy has pre-copied memory beside that of the cut */
	uint64_t memory = (uint64_t)json_integer_value(json_object_get(bytes, "memory"));
	if (json_is_true(json_object_get(m->plan, "hold")))
		memory *= 2;
	r = migration_space(m->mc->config.staged_dir, memory, "memory", err);
	if (r == 0)
		r = docker_engine_info(m->engine, &info, err);
	if (r == 0)
		(void)snprintf(m->docker_root, sizeof(m->docker_root), "%s",
			       json_text(info, "DockerRootDir", NULL));
	m->in->containerd = docker_engine_containerd(info);
	container_grant_engine(&m->in->engine_grant, info);
	json_decref(info);
	if (r == 0)
		r = migration_space(m->docker_root,
				    (uint64_t)json_integer_value(json_object_get(bytes, "layer")),
				    "layer", err);
	return r;
}

/**
 * destination_judge_checkpoint() - Check that the images make CRIU do nothing that the container's configuration does
 * not grant
 *
 * By a worker of its own: the one that has read the peer's archive may be in the peer's hands. That one
 * has the images open for writing, so it ends first.
 */
int destination_judge_checkpoint(struct migration *m, const char *path, struct err *err)
{
	AUTO(file_worker) struct file_worker *judge = NULL;
	struct file_place images = { .path = "" };
	struct checkpoint_grant grant;
	int r = file_worker_end(TAKE_PTR(m->files), err);

	if (r == 0)
		r = file_worker_start(&judge, m->mc->config.workers, m->cancel_fd, err);
	if (r < 0)
		return r;
	images.dir = file_worker_directory(judge, path, false, err);
	if (images.dir < 0)
		return images.dir;
	container_grant_tasks(&grant, json_object_get(m->plan, "config"), &m->in->engine_grant);
	grant.closed = m->in->closed;
	return file_worker_checkpoint(judge, images, &grant, err);
}
