/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Docker engine: no call waits without an end, whatever the engine does, and new engines are spoken to
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/eventfd.h>

#include "base/err.h"
#include "es/engine/docker_engine.h"
#include "fake_engine.h"

struct bed {
	struct fake_engine engine;
	struct docker_engine *client;
	int cancel_fd;
};

/* Says nothing, and in the middle of an image nothing more. */
static void answer(void *ctx, const char *method, const char *path, struct fake_answer *to)
{
	(void)ctx;
	(void)method;
	(void)path;
	to->hangs = true;
}

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	b->engine.answer = answer;
	b->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(fake_engine_start(&b->engine), 0);
	assert_int_equal(docker_engine_new(&b->client, b->engine.path, b->cancel_fd, NULL), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	docker_engine_free(b->client);
	fake_engine_stop(&b->engine);
	close(b->cancel_fd);
	free(b);
	return 0;
}

/* A registry that stalls must not hold a migration's slot for ever. */
static void test_silent_pull(void **state)
{
	struct bed *b = *state;
	struct err err = { 0 };

	assert_int_equal(docker_engine_pull(b->client, "host:5000/name", "sha256:00", 200, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.text, "not a word for 200 ms"));
}

/* Cancellation ends each of them at once. */
static void test_cancelled(void **state)
{
	struct bed *b = *state;
	struct docker_stream *stream = NULL;
	json_t *json = NULL;

	assert_int_equal(eventfd_write(b->cancel_fd, 1), 0);
	assert_int_equal(docker_engine_pull(b->client, "host:5000/name", "sha256:00", 60000, NULL),
			 -ECANCELED);
	assert_int_equal(docker_engine_inspect(b->client, "some", &json, NULL), -ECANCELED);
	assert_int_equal(docker_engine_events(b->client, "label", 0, NULL, NULL, NULL), -ECANCELED);
	assert_int_equal(docker_engine_save(b->client, "image", &stream, NULL), -ECANCELED);
}

/* An image that does not come to its end. */
static void stalls(void *ctx, const char *method, const char *path, struct fake_answer *to)
{
	(void)ctx;
	(void)method;
	to->hangs = !strstr(path, "/_ping");
}

static void test_cancelled_stream(void **state)
{
	struct bed *b = *state;
	struct docker_stream *stream = NULL;
	const void *bytes;

	b->engine.answer = stalls;
	assert_int_equal(docker_engine_save(b->client, "image", &stream, NULL), 0);
	assert_int_equal(eventfd_write(b->cancel_fd, 1), 0);
	assert_int_equal(docker_stream_read(stream, &bytes, NULL), -ECANCELED);
	docker_stream_free(stream);
}

/* Docker 29 knows no version before 1.44 any more; this one knows 1.60 as well. */
static void speaks_new(void *ctx, const char *method, const char *path, struct fake_answer *to)
{
	(void)ctx;
	(void)method;
	to->api = "1.60";
	to->status = 200;
	if (strncmp(path, "/v1.51/", 7) == 0)
		(void)snprintf(to->body, sizeof(to->body), "{\"Id\":\"%s\"}", path);
	else
		to->status = 400;
	if (to->status == 400)
		(void)snprintf(to->body, sizeof(to->body),
			       "{\"message\":\"client version 1.41 is too old\"}");
}

/* Knows 1.41 only, and finds something wrong with the request. */
static void refuses(void *ctx, const char *method, const char *path, struct fake_answer *to)
{
	(void)method;
	*(unsigned int *)ctx += 1;
	to->status = 400;
	(void)snprintf(to->body, sizeof(to->body), "{\"message\":\"bad %.20s\"}", path);
}

static void test_new_engine(void **state)
{
	struct bed *b = *state;
	struct docker_stream *stream = NULL;
	const void *bytes;
	json_t *json = NULL;

	b->engine.answer = speaks_new;
	/* a transfer, too, although nothing was asked before */
	assert_int_equal(docker_engine_save(b->client, "image", &stream, NULL), 0);
	assert_int_equal(docker_stream_read(stream, &bytes, NULL),
			 strlen("{\"Id\":\"/v1.51/images/image/get\"}"));
	docker_stream_free(stream);
	assert_int_equal(docker_engine_info(b->client, &json, NULL), 0);
	assert_string_equal(json_text(json, "Id", NULL), "/v1.51/info");
	json_decref(json);
	assert_int_equal(docker_engine_pull(b->client, "host:5000/name", "sha256:00", 200, NULL),
			 0);
}

static void test_refusal(void **state)
{
	struct bed *b = *state;
	struct err err = { 0 };
	unsigned int asked = 0;
	json_t *json = NULL;

	b->engine.answer = refuses;
	b->engine.ctx = &asked;
	assert_int_equal(docker_engine_info(b->client, &json, &err), -EPROTO);
	assert_non_null(strstr(err.text, "bad /v1.41/info"));
	assert_int_equal(asked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silent_pull, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_engine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
