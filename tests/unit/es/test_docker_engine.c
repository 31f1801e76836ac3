/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Docker engine: no call waits without an end, whatever the engine does
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/eventfd.h>

#include "base/err.h"
#include "es/docker_engine.h"
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
	const void *bytes;
	json_t *json = NULL;

	assert_int_equal(eventfd_write(b->cancel_fd, 1), 0);
	assert_int_equal(docker_engine_pull(b->client, "host:5000/name", "sha256:00", 60000, NULL),
			 -ECANCELED);
	assert_int_equal(docker_engine_inspect(b->client, "some", &json, NULL), -ECANCELED);
	assert_int_equal(docker_engine_events(b->client, "label", 0, NULL, NULL, NULL), -ECANCELED);
	assert_int_equal(docker_engine_save(b->client, "image", &stream, NULL), 0);
	assert_int_equal(docker_stream_read(stream, &bytes, NULL), -ECANCELED);
	docker_stream_free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silent_pull, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
