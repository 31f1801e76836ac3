/* SPDX-License-Identifier: Apache-2.0 */
#include "es/engine/docker_engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "es/engine/docker_call.h"

#define EVENTS_MS      600000  /* then events are requested again: a connection may die silently */
#define PULL_MS        3600000 /* longest pull, however lively */
#define TAG_MAX        512
#define PULL_ERROR_MAX 300

/** request_on() - docker_call() on the path @before, then @name percent-encoded, then @after */
static int request_on(struct docker_engine *de, const char *what, const char *method,
		      const char *before, const char *name, const char *after, const json_t *body,
		      json_t **ret, struct err *err)
{
	auto_free char *path = NULL;
	auto_free char *quoted = docker_call_escape(name);
	if (!quoted || asprintf(&path, "%s%s%s", before, quoted, after) < 0)
		return err_set(err, -ENOMEM, "docker %s", what);
	return docker_call(de, what, method, path, body, ret, err);
}

int docker_engine_info(struct docker_engine *de, json_t **ret, struct err *err)
{
	int r = docker_call(de, "info", "GET", "/info", NULL, ret, err);

	return r > 0 ? err_set(err, -EPROTO, "docker info: nothing there") : r;
}

bool docker_engine_containerd(const json_t *info)
{
	json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(info, "DriverStatus"), i, pair)
	{
		const char *value = json_string_value(json_array_get(pair, 1));

		if (value && !strcmp(value, "io.containerd.snapshotter.v1"))
			return true;
	}
	return false;
}

int docker_engine_inspect(struct docker_engine *de, const char *id, json_t **ret, struct err *err)
{
	return request_on(de, "inspect", "GET", "/containers/", id, "/json", NULL, ret, err);
}

int docker_engine_image(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "image inspect", "GET", "/images/", name, "/json", NULL, ret, err);
}

/** list_check() - Take an answer to a request for a list */
static int list_check(int r, json_t **ret, struct err *err)
{
	json_t *list = NULL;

	if (r > 0)
		return err_set(err, -EPROTO, "docker list: nothing there");
	if (r < 0 || json_is_array(*ret))
		return r;
	list = TAKE_PTR(*ret);
	json_decref(list);
	return err_set(err, -EPROTO, "docker list: the answer is no list");
}

/** list_by() - List containers, running or not, by a filter */
static int list_by(struct docker_engine *de, const char *filter, const char *value, json_t **ret,
		   struct err *err)
{
	json_t *json = json_pack("{s:[s]}", filter, value);
	auto_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text)
		return err_set(err, -ENOMEM, "docker list");
	int r = request_on(de, "list", "GET", "/containers/json?all=1&filters=", text, "", NULL,
			   ret, err);
	return list_check(r, ret, err);
}

int docker_engine_list(struct docker_engine *de, const char *label, json_t **ret, struct err *err)
{
	return list_by(de, "label", label, ret, err);
}

int docker_engine_network(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "network inspect", "GET", "/networks/", name, "", NULL, ret, err);
}

int docker_engine_volume(struct docker_engine *de, const char *name, json_t **ret, struct err *err)
{
	return request_on(de, "volume inspect", "GET", "/volumes/", name, "", NULL, ret, err);
}

int docker_engine_volume_users(struct docker_engine *de, const char *name, json_t **ret,
			       struct err *err)
{
	return list_by(de, "volume", name, ret, err);
}

int docker_engine_images(struct docker_engine *de, json_t **ret, struct err *err)
{
	return list_check(docker_call(de, "list", "GET", "/images/json", NULL, ret, err), ret, err);
}

int docker_engine_tag(struct docker_engine *de, const char *id, const char *name, struct err *err)
{
	const char *tag = strrchr(name, ':');
	char repository[TAG_MAX];

	auto_free char *after = NULL;
	if (!tag || strchr(tag, '/') || strchr(name, '@') ||
	    snprintf(repository, sizeof(repository), "%.*s", (int)(tag - name), name) >=
		    (int)sizeof(repository))
		return err_set(err, -EINVAL, "image name %.100s", name);
	auto_free char *quoted_repository = docker_call_escape(repository);
	auto_free char *quoted_tag = docker_call_escape(tag + 1);
	if (!quoted_repository || !quoted_tag ||
	    asprintf(&after, "/tag?repo=%s&tag=%s", quoted_repository, quoted_tag) < 0)
		return err_set(err, -ENOMEM, "docker tag");
	return request_on(de, "tag", "POST", "/images/", id, after, NULL, NULL, err);
}

int docker_engine_create(struct docker_engine *de, const char *name, const json_t *config, char *id,
			 size_t id_size, struct err *err)
{
	json_t *answer = NULL;
	int r = request_on(de, "create", "POST", "/containers/create?name=", name, "", config,
			   &answer, err);

	if (r != 0)
		return r;
	const char *text = json_text(answer, "Id", NULL);
	if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64 || id_size < 65)
		r = err_set(err, -EPROTO, "docker create: the answer has no id");
	else
		memcpy(id, text, 65);
	json_decref(answer);
	return r;
}

int docker_engine_start(struct docker_engine *de, const char *id, struct err *err)
{
	int r = request_on(de, "start", "POST", "/containers/", id, "/start", NULL, NULL, err);

	return r > 0 ? -ENOENT : r;
}

int docker_engine_kill(struct docker_engine *de, const char *id, struct err *err)
{
	int r = request_on(de, "kill", "POST", "/containers/", id, "/kill", NULL, NULL, err);

	return r > 0 ? 0 : r;
}

int docker_engine_remove(struct docker_engine *de, const char *id, struct err *err)
{
	int r = request_on(de, "remove", "DELETE", "/containers/", id, "?force=1&v=1", NULL, NULL,
			   err);

	return r > 0 ? 0 : r;
}

int docker_engine_checkpoint(struct docker_engine *de, const char *id, const char *name,
			     struct err *err)
{
	json_t *body = json_pack("{s:s, s:b}", "CheckpointID", name, "Exit", 0);
	int r = body ? request_on(de, "checkpoint", "POST", "/containers/", id, "/checkpoints",
				  body, NULL, err)
		     : err_set(err, -ENOMEM, "docker checkpoint");

	json_decref(body);
	return r;
}

int docker_engine_checkpoint_remove(struct docker_engine *de, const char *id, const char *name,
				    struct err *err)
{
	auto_free char *after = NULL;
	auto_free char *quoted = docker_call_escape(name);
	if (!quoted || asprintf(&after, "/checkpoints/%s", quoted) < 0)
		return err_set(err, -ENOMEM, "docker checkpoint");
	return request_on(de, "remove the checkpoint", "DELETE", "/containers/", id, after, NULL,
			  NULL, err);
}

int docker_engine_start_from(struct docker_engine *de, const char *id, const char *name,
			     struct err *err)
{
	auto_free char *after = NULL;
	auto_free char *quoted = docker_call_escape(name);
	if (!quoted || asprintf(&after, "/start?checkpoint=%s", quoted) < 0)
		return err_set(err, -ENOMEM, "docker start");
	int r = request_on(de, "start", "POST", "/containers/", id, after, NULL, NULL, err);
	return r > 0 ? -ENOENT : r;
}

int docker_engine_commit(struct docker_engine *de, const char *id, char *image, size_t image_size,
			 struct err *err)
{
	json_t *answer = NULL;
	int r = request_on(de, "commit", "POST", "/commit?pause=0&container=", id, "", NULL,
			   &answer, err);

	if (r != 0)
		return r;
	const char *text = json_text(answer, "Id", NULL);
	if (strlen(text) != 71 || strncmp(text, "sha256:", 7) != 0 || image_size < 72)
		r = err_set(err, -EPROTO, "docker commit: the answer has no id");
	else
		memcpy(image, text, 72);
	json_decref(answer);
	return r;
}

/* A line of the engine's progress of a pull: only an error is of interest. */
static void pull_line(void *ctx, const json_t *json)
{
	char *error = ctx;
	const char *text = json_text(json, "error", NULL);

	text = *text ? text : json_text(json, "message", NULL);
	if (*text && !*error)
		(void)snprintf(error, PULL_ERROR_MAX, "%.*s", (int)strcspn(text, "\r\n"), text);
}

int docker_engine_pull(struct docker_engine *de, const char *repository, const char *digest,
		       uint32_t silence_ms, struct err *err)
{
	char error[PULL_ERROR_MAX] = "";
	struct docker_call call = {
		.event = pull_line, .ctx = error, .total_ms = PULL_MS, .silence_ms = silence_ms
	};
	long status = 0;

	auto_free char *path = NULL;
	auto_free char *quoted = docker_call_escape(repository);
	if (!quoted || asprintf(&path, "/images/create?fromImage=%s&tag=%s", quoted, digest) < 0)
		return err_set(err, -ENOMEM, "docker pull");
	buf_init(&call.answer, ANSWER_MAX);
	int r = docker_call_run(de, "pull", "POST", path, NULL, &call, &status, err);
	/* The text of a refusal has no end of line. */
	json_t *last = call.answer.len ? json_loadb((char *)buf_bytes(&call.answer),
						    call.answer.len, 0, NULL)
				       : NULL;
	pull_line(error, last);
	json_decref(last);
	buf_deinit(&call.answer);
	if (r == 0 && (*error || status >= 400))
		r = err_set(err, -EPROTO, "docker pull %s: %s", repository,
			    *error ? error : "refused");
	return r;
}

int docker_engine_image_remove(struct docker_engine *de, const char *name, struct err *err)
{
	int r = request_on(de, "remove the image", "DELETE", "/images/", name, "", NULL, NULL, err);

	return r > 0 ? 0 : r;
}

int docker_engine_events(struct docker_engine *de, const char *label, long long since,
			 void (*event)(void *ctx, const json_t *json), void *ctx, struct err *err)
{
	struct docker_call call = { .event = event, .ctx = ctx, .total_ms = EVENTS_MS };
	long status = 0;
	char filter[256];

	auto_free char *path = NULL;
	(void)snprintf(filter, sizeof(filter),
		       "{\"type\":[\"container\"],\"event\":[\"die\"],\"label\":[\"%s\"]}", label);
	auto_free char *quoted = docker_call_escape(filter);
	if (!quoted || (since ? asprintf(&path, "/events?since=%lld&filters=%s", since, quoted)
			      : asprintf(&path, "/events?filters=%s", quoted)) < 0)
		return err_set(err, -ENOMEM, "docker events");
	buf_init(&call.answer, ANSWER_MAX);
	int r = docker_call_run(de, "events", "GET", path, NULL, &call, &status, err);
	buf_deinit(&call.answer);
	return r < 0 ? r : err_set(err, -ECONNRESET, "docker events (HTTP %ld)", status);
}
