/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Container management against an engine of our own: who waits for whom, and what becomes of removals that fail
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include <uv.h>

#include "base/err.h"
#include "codec/codec.h"
#include "es/container/management.h"
#include "fake_engine.h"

#define DEAF    12    /* more than creations have threads */
#define DEAF_MS 20000 /* how long a service that never listens is waited for */
#define HEALTHY 77

struct bed {
	struct fake_engine engine;
	uv_loop_t loop;
	struct container_management *cm;
	int listener;
	int deaf;           /* never listens */
	uint16_t port;      /* of the healthy one */
	uint16_t deaf_port; /* where nothing listens */
	atomic_int starts;
	atomic_int removals;
	atomic_int refuse_removals; /* so many times */
	int done;
	char reason[512];
	bool healthy_first;
};

static void answer(void *ctx, const char *method, const char *path, struct fake_answer *to)
{
	struct bed *b = ctx;

	if (strstr(path, "/info")) {
		(void)snprintf(to->body, sizeof(to->body), "{\"Runtimes\": {\"baton\": {}}}");
	} else if (strstr(path, "/events")) {
		to->hangs = true;
	} else if (strstr(path, "/containers/create")) {
		to->status = 201;
		(void)snprintf(to->body, sizeof(to->body), "{\"Id\": \"%064d\"}", 1);
	} else if (strstr(path, "/start")) {
		atomic_fetch_add(&b->starts, 1);
		to->status = 204;
	} else if (!strcmp(method, "DELETE")) {
		atomic_fetch_add(&b->removals, 1);
		to->status = atomic_fetch_sub(&b->refuse_removals, 1) > 0 ? 500 : 204;
		if (to->status == 500)
			strcpy(to->body, "{\"message\": \"device or resource busy\"}");
	} else {
		(void)snprintf(to->body, sizeof(to->body),
			       "{\"Id\": \"some\", \"State\": {\"Running\": true, \"Pid\": 0}, "
			       "\"NetworkSettings\": {\"IPAddress\": \"127.0.0.1\"}}");
	}
}

/** listener_open() - A port of ours. Return: its number */
static uint16_t port_open(int *fd, bool listens)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (listens)
		assert_int_equal(listen(*fd, 8), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	const struct container_config config = { .docker_socket = b->engine.path,
						 .runtime = "baton" };

	b->engine.answer = answer;
	b->engine.ctx = b;
	b->port = port_open(&b->listener, true);
	b->deaf_port = port_open(&b->deaf, false); /* held, so that nobody else listens there */
	assert_int_equal(uv_loop_init(&b->loop), 0);
	assert_int_equal(fake_engine_start(&b->engine), 0);
	assert_int_equal(
		container_management_new(&b->cm, &b->loop, &config, NULL, NULL, NULL, NULL), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	if (b->cm)
		container_management_close(b->cm, NULL, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	fake_engine_stop(&b->engine);
	close(b->listener);
	close(b->deaf);
	free(b);
	return 0;
}

static void on_done(void *ctx, const struct container_address *where, const char *reason)
{
	struct bed *b = ctx;

	if (!b->done++)
		b->healthy_first = where && where->port == b->port;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason ? reason : "");
}

static void create(struct bed *b, uint64_t session, uint16_t port, uint32_t start_ms)
{
	const struct container_service service = { .name = "service",
						   .image = "image",
						   .codec = &codec_frame,
						   .port = port,
						   .start_ms = start_ms };
	struct err err = { 0 };

	if (container_management_create(b->cm, session, 1, &service, on_done, b, &err) < 0)
		fail_msg("%s", err.text);
}

static void run_until_done(struct bed *b, int done)
{
	while (b->done < done)
		assert_int_not_equal(uv_run(&b->loop, UV_RUN_ONCE), 0);
}

/* Users of a service that never listens keep no other user waiting. */
static void test_deaf(void **state)
{
	struct bed *b = *state;

	for (uint64_t i = 0; i < DEAF; i++)
		create(b, i, b->deaf_port, DEAF_MS);
	create(b, HEALTHY, b->port, DEAF_MS);
	run_until_done(b, 1);
	assert_string_equal(b->reason, "");
	assert_true(b->healthy_first);
	/* They wait on, and can be stopped in the middle of it: see teardown(). */
	while (atomic_load(&b->starts) < DEAF + 1)
		(void)uv_run(&b->loop, UV_RUN_NOWAIT);
	assert_int_equal(b->done, 1);
}

/* One that never listens is removed, and the reason is that it did not. */
static void test_deaf_removed(void **state)
{
	struct bed *b = *state;

	create(b, 1, b->deaf_port, 50);
	run_until_done(b, 1);
	assert_non_null(strstr(b->reason, "does not listen at TCP port"));
	assert_int_equal(atomic_load(&b->removals), 1);
}

/* A removal that fails is tried again, and told when the container is gone, not before. */
static void test_removal_again(void **state)
{
	struct bed *b = *state;

	atomic_store(&b->refuse_removals, 1);
	assert_int_equal(container_management_remove(b->cm, 1, "some", on_done, b, NULL), 0);
	run_until_done(b, 1);
	assert_string_equal(b->reason, "");
	assert_int_equal(atomic_load(&b->removals), 2);
}

/* Nobody waits for a removal that does not succeed. */
static void test_close_in_removal(void **state)
{
	struct bed *b = *state;

	atomic_store(&b->refuse_removals, 1000);
	assert_int_equal(container_management_remove(b->cm, 1, "some", on_done, b, NULL), 0);
	while (!atomic_load(&b->removals))
		(void)uv_run(&b->loop, UV_RUN_NOWAIT);
	container_management_close(b->cm, NULL, NULL);
	b->cm = NULL;
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(b->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_in_removal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
