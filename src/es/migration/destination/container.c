/* SPDX-License-Identifier: Apache-2.0 */

/*
 * CT-y is created from the image that is here, and proved to be CT-x's copy once it runs
 */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "es/checkpoint/checkpoint.h"
#include "es/container/config.h"
#include "es/container/grant.h"
#include "es/container/kernel.h"
#include "es/container/port.h"
#include "es/criu/images.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"

#define PORT_MS 10000 /* a restored service listens already */

int destination_find_image(struct migration *m, char name[256], struct err *err)
{
	/* The name first: people who look at the container, or move it on, can read it. */
	const char *const names[] = { json_text(m->plan, "image", "name", NULL),
				      json_text(m->plan, "image", "id", NULL), m->in->image_id };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *image = NULL;
		int r;

		if (!*names[i])
			continue;
		r = docker_engine_image(m->engine, names[i], &image, err);
		if (r < 0)
			return r;
		bool fits = r == 0 && migration_plan_fits_image(m->plan, image, NULL) == 0;
		r = fits ? container_grant_image(image, err) : 0;
		json_decref(image);
		if (r < 0)
			return r;
		if (fits) {
			(void)snprintf(name, 256, "%s", names[i]);
			return 0;
		}
	}
	return 1;
}

/** leftover_remove() - Remove a container in our way, if it is one that never ran to the end */
static int leftover_remove(struct migration *m, const char *name, struct err *err)
{
	json_t *inspect = NULL;
	bool running;
	int r = docker_engine_inspect(m->engine, name, &inspect, err);

	if (r != 0)
		return r < 0 ? r : 0;
	running = json_is_true(json_at(inspect, "State", "Running", NULL));
	json_decref(inspect);
	if (running)
		return err_set(err, -EEXIST, "container %s runs here", name);
	return docker_engine_remove(m->engine, name, err);
}

int destination_create(struct migration *m, const char *image, struct err *err)
{
	json_t *config = json_object_get(m->plan, "config");
	uint16_t port = (uint16_t)json_integer_value(json_object_get(m->plan, "port"));
	char name[CONTAINER_ID_SIZE];
	int r;

	container_name(name, m->session, m->header.epoch + 1);
	r = container_config_adapt(config, image, m->mc->config.runtime, m->session,
				   m->header.epoch + 1, m->offer.offer.service, port);
	if (r < 0)
		return err_set(err, r, "configure %s", name);
	r = docker_engine_create(m->engine, name, config, m->in->id, sizeof(m->in->id), err);
	if (r == -EEXIST) {
		r = leftover_remove(m, name, err);
		if (r == 0)
			r = docker_engine_create(m->engine, name, config, m->in->id,
						 sizeof(m->in->id), err);
	}
	if (r > 0)
		r = err_set(err, -ENOENT, "image %s", image);
	if (r < 0)
		m->in->id[0] = '\0';
	return r < 0 ? err_wrap(err, r, "create %s", name) : 0;
}

/** staged_make() - Make the directory where baton-runtime will look for the checkpoint */
static int staged_make(struct migration *m, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(m->work, sizeof(m->work), "%s/%s", m->mc->config.staged_dir, m->in->id) >=
	    (int)sizeof(m->work))
		return err_set(err, -ENAMETOOLONG, "%s", m->mc->config.staged_dir);
	if (mkdir(m->work, 0700) < 0)
		return err_set(err, -errno, "create %s", m->work);
	m->in->staged = true;
	(void)snprintf(path, sizeof(path), "%s/images", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	(void)snprintf(path, sizeof(path), "%s/work", m->work);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "create %s", path);
	(void)snprintf(path, sizeof(path), "%s/criu.conf", m->work);
	return checkpoint_write_config(path, NULL, err);
}

/**
 * closed_take() - Note what is closed to the container, long before the cut: it may be more than
 * fits
 */
static int closed_take(struct migration *m, struct err *err)
{
	int r = container_grant_closed(m->in->closed, sizeof(m->in->closed), m->inspect);

	return r < 0 ? err_set(err, r,
			       "paths that are masked or read-only in the container need more than "
			       "%zu bytes together: mount fewer with \"ro\"",
			       sizeof(m->in->closed))
		     : 0;
}

int destination_make(struct migration *m, const char *image, struct err *err)
{
	int r = destination_create(m, image, err);

	if (r == 0) {
		r = docker_engine_inspect(m->engine, m->in->id, &m->inspect, err);
		r = r > 0 ? err_set(err, -ENOENT, "the new container") : r;
	}
	if (r == 0)
		r = closed_take(m, err);
	if (r == 0)
		r = file_sets_place(&m->sets, m->inspect, m->mc->config.docker_exec_root, err);
	if (r == 0)
		r = staged_make(m, err);
	return r;
}

int destination_prove(struct migration *m, struct err *err)
{
	uint16_t port = (uint16_t)json_integer_value(json_object_get(m->plan, "port"));
	int r;

	json_decref(m->inspect);
	m->inspect = NULL;
	r = docker_engine_inspect(m->engine, m->in->id, &m->inspect, err);
	if (r != 0)
		return r < 0 ? r : err_set(err, -ENOENT, "the restored container");
	if (!json_is_true(json_at(m->inspect, "State", "Running", NULL)))
		return err_set(
			err, -EPROTO, "the restored container ended at once (status %d)",
			(int)json_integer_value(json_at(m->inspect, "State", "ExitCode", NULL)));
	container_address_from(&m->where, m->inspect, port);
	if (!port || migration_plan_udp(m->plan))
		return 0;
	r = container_port_wait(&m->where, PORT_MS * m->mc->config.patience, m->cancel_fd, err);
	return r < 0 ? err_wrap(err, r, "the restored service does not answer") : 0;
}

/** destination_prove_restored() - See that the old process continues, and that none was started afresh */
int destination_prove_restored(struct migration *m, struct err *err)
{
	char path[PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/restored", m->work);
	if (access(path, F_OK) < 0)
		return err_set(err, -EPROTO,
			       "the engine started the container afresh: is '%s' baton-runtime, "
			       "and does it look into %s?",
			       m->mc->config.runtime, m->mc->config.staged_dir);
	return destination_prove(m, err);
}

/** destination_prove_kernel() - See that the kernel gives CT-y what was asked for, and no more (R13) */
int destination_prove_kernel(struct migration *m, struct err *err)
{
	struct container_wanted wanted;
	struct checkpoint_grant tasks;

	container_grant_tasks(&tasks, json_object_get(m->plan, "config"), &m->in->engine_grant);
	container_wanted_from(&wanted, m->inspect, m->in->ulimits, &tasks);
	return container_kernel_check(
		&wanted, (pid_t)json_integer_value(json_at(m->inspect, "State", "Pid", NULL)), err);
}
