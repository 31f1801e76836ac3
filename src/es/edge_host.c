/* SPDX-License-Identifier: Apache-2.0 */
#include "es/edge_host.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/checklist.h"
#include "base/err.h"
#include "conf/conf.h"
#include "es/engine/docker_engine.h"
#include "es/files/beneath.h"
#include "es/migration/common/plan.h"
#include "es/system/process.h"
#include "net/host_check.h"
#include "net/tls.h"

#define CRIU_LEAST  "4.2"
#define RUNC_LEAST  "1.1"
#define CRIU_MS     20000
#define GIB         (1ULL << 30)
#define IMAGE_ROOM  (4 * GIB)
#define MEMORY_ROOM (GIB / 2)
#define STATE_ROOM  (GIB / 4)

#define CRIU_REMEDY                                                                                \
	"install CRIU " CRIU_LEAST " or newer: the package baton-criu, or tools/private-criu.sh"

/** text_at() - A string in an answer of the engine. Return: "" if there is none */
static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/** newer() - Whether a version is @least or a later one */
static bool newer(const char *version, const char *least)
{
	return strverscmp(version, least) >= 0;
}

/** check_criu() - Whether CRIU and this kernel fit */
static void check_criu(const struct edge_host *host, const char *version, struct checklist *list)
{
	const char *const argv[] = { "criu", "check", NULL };
	auto_free char *path = path_in_prefix(host->prefix);
	const char *const env[] = { path, NULL };
	struct process *process = NULL;
	struct err err = { 0 };
	int status = -1;

	if (!newer(version, CRIU_LEAST)) {
		checklist_lacks(list, "criu", CRIU_REMEDY, "%s is too old", version);
		return;
	}
	int r = path ? process_start_aside(&process, argv, env, NULL, &err) : -1;
	if (r == 0)
		r = process_wait(process, -1, CRIU_MS, &status, &err);
	process = process_free(process);
	if (r < 0)
		checklist_lacks(list, "criu", CRIU_REMEDY, "%s: %s", version, err.text);
	else if (status != 0)
		checklist_lacks(list, "criu",
				"it wants CONFIG_CHECKPOINT_RESTORE and CAP_SYS_ADMIN; \"criu "
				"check\" says what is missing",
				"%s does not work with this kernel", version);
	else
		checklist_ok(list, "criu", "%s works with this kernel", version);
}

/** check_runc() - Whether runc is new enough */
static void check_runc(const char *version, struct checklist *list)
{
	if (newer(version, RUNC_LEAST))
		checklist_ok(list, "runc", "%s", version);
	else
		checklist_lacks(list, "runc", "install runc " RUNC_LEAST " or newer",
				"%s is too old", version);
}

/** check_kernel() - Kernel and control groups; then the programs that work on them */
static void check_kernel(const struct edge_host *host, struct checklist *list)
{
	struct err err = { 0 };
	json_t *found = NULL;

	if (beneath_check(&err) < 0) {
		checklist_lacks(list, "kernel", "run Linux 5.6 or newer", "%s", err.text);
		return;
	}
	if (migration_host_read(&found, host->prefix, -1, &err) < 0) {
		checklist_lacks(list, "criu, runc", CRIU_REMEDY "; runc comes with Docker", "%s",
				err.text);
		return;
	}
	checklist_ok(list, "kernel", "%s, %s", text_at(found, "kernel"),
		     text_at(found, "architecture"));
	checklist_ok(list, "control groups", "version %s; moves to hosts with the same one",
		     text_at(found, "cgroup"));
	check_runc(text_at(found, "runc"), list);
	check_criu(host, text_at(found, "criu"), list);
	json_decref(found);
}

/** check_runtime() - Whether the engine knows baton-runtime */
static void check_runtime(const char *name, const json_t *info, struct checklist *list)
{
	const json_t *runtime = json_object_get(json_object_get(info, "Runtimes"), name);
	const char *path = text_at(runtime, "path");

	if (!runtime)
		checklist_lacks(
			list, "runtime",
			"put it into /etc/docker/daemon.json: \"runtimes\": {\"baton\": {\"path\": "
			"\"/usr/sbin/baton-runtime\"}}; then: systemctl reload docker",
			"the engine knows none named %s", name);
	else if (!strstr(path, "baton-runtime"))
		checklist_lacks(list, "runtime", "it must be baton-runtime", "%s is %s", name,
				path);
	else
		checklist_ok(list, "runtime", "%s is %s", name, path);
}

/** check_network() - Whether containers of sessions can be kept apart from one another */
static void check_network(struct docker_engine *engine, struct checklist *list)
{
	json_t *bridge = NULL;
	struct err err = { 0 };

	if (apart_possible(&err) < 0)
		checklist_lacks(list, "network",
				"load these modules, or use a kernel that has them", "%s",
				err.text);
	else if (docker_engine_network(engine, "bridge", &bridge, &err) != 0)
		checklist_note(list, "network", "docker network ls",
			       "the default bridge is missing %s", err.text);
	else if (json_is_true(json_object_get(bridge, "EnableIPv6")))
		checklist_note(list, "network", "containers of sessions go by IPv4",
			       "they are kept apart; what they send by IPv6 is dropped");
	else
		checklist_ok(list, "network", "containers of sessions are kept apart");
	json_decref(bridge);
}

/** check_images() - Whether the engine has the images of the services */
static void check_images(const struct edge_host *host, struct docker_engine *engine,
			 struct checklist *list)
{
	for (size_t i = 0; i < host->conf->services; i++) {
		const struct conf_service *service = &host->conf->service[i];
		json_t *image = NULL;
		struct err err = { 0 };

		if (docker_engine_image(engine, service->image, &image, &err) == 0)
			checklist_ok(list, "image", "%s, of service %s", service->image,
				     service->name);
		else
			checklist_note(list, "image",
				       "docker pull, or docker load; a container that moves here "
				       "brings it, too",
				       "%s, of service %s, is not here: nothing can start",
				       service->image, service->name);
		json_decref(image);
	}
}

/** check_answers() - Check the engine's report on itself */
static void check_answers(const struct edge_host *host, struct docker_engine *engine,
			  const json_t *info, struct checklist *list)
{
	const char *driver = text_at(info, "Driver");
	bool containerd = docker_engine_containerd(info);

	checklist_ok(list, "engine", "Docker %s, control groups by %s",
		     text_at(info, "ServerVersion"), text_at(info, "CgroupDriver"));
	if (!strcmp(driver, containerd ? "overlayfs" : "overlay2"))
		checklist_ok(list, "image store", "%s (%s)",
			     containerd ? "containerd's" : "Docker's own", driver);
	else
		checklist_lacks(list, "image store", "use the storage driver overlay2",
				"%s: only layers of overlay file systems can be moved", driver);
	check_runtime(host->conf->docker.runtime, info, list);
	if (json_is_true(json_object_get(info, "LiveRestoreEnabled")))
		checklist_ok(list, "live-restore", "containers go on when the engine is restarted");
	else
		checklist_note(
			list, "live-restore",
			"\"live-restore\": true in /etc/docker/daemon.json; then: systemctl reload "
			"docker",
			"a restart of the engine, in an upgrade for example, ends all containers");
	check_network(engine, list);
	check_images(host, engine, list);
	checklist_directory(list, "engine's data", text_at(info, "DockerRootDir"), IMAGE_ROOM);
}

/** check_engine() - Whether the engine is there */
static void check_engine(const struct edge_host *host, struct checklist *list)
{
	AUTO(docker_engine) struct docker_engine *engine = NULL;
	json_t *info = NULL;
	struct err err = { 0 };
	int r = docker_engine_new(&engine, host->conf->docker.socket, -1, &err);

	if (r == 0)
		r = docker_engine_info(engine, &info, &err);
	if (r == 0)
		check_answers(host, engine, info, list);
	else
		checklist_lacks(list, "engine", "start Docker, or set docker { socket = ... }",
				"%s", err.text);
	json_decref(info);
}

void edge_host_check(const struct edge_host *host, struct checklist *list)
{
	const struct conf *c = host->conf;
	const struct tls_files files = {
		.ca = c->pki.ca, .cert = c->pki.cert, .key = c->pki.key, .crl = c->pki.crl
	};

	check_kernel(host, list);
	check_engine(host, list);
	host_check_certificate(list, &files, c->name, c->role);
	host_check_listen(list, "listen", c->listen);
	host_check_listen(list, "monitor_listen", c->monitor_listen);
	host_check_listen(list, "transfer_listen", c->transfer_listen);
	checklist_clock(list);
	checklist_directory(list, "state_dir", c->state_dir, STATE_ROOM);
	checklist_directory(list, "image_dir", c->image_dir, IMAGE_ROOM);
	checklist_directory(list, "checkpoint_dir", c->checkpoint_dir, MEMORY_ROOM);
	checklist_directory(list, "staged", host->staged, MEMORY_ROOM);
}
