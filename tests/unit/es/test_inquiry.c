/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "es/inquiry.h"
#include "net/link.h"
#include "controller_bed.h"
#include "test_pki.h"

static struct test_pki pki;
static struct tls_context *es, *asker;

/* struct desk - The edge server's side of an operator's link, and the operator's */
struct desk {
	struct controller_bed bed;
	struct listener *listener;
	struct peer *peer;
	bool closes; /* the edge server ends the link while the check runs */
	bool asked;
	int answers;
	int downs;
};

static void on_up(void *ctx, struct link *l)
{
	(void)ctx;
	(void)l;
}

static void on_down(void *ctx, struct link *l, const char *reason)
{
	(void)l;
	(void)reason;
	((struct desk *)ctx)->downs++;
}

static void on_asked(void *ctx, struct link *l, const struct wire_message *m)
{
	struct desk *d = ctx;
	const struct es_inquiry inquiry = { .name = "EdgeServer-1", .migrations = d->bed.mc };

	es_inquiry_answer(&inquiry, l, m);
	d->asked = true;
	if (d->closes)
		link_close(l);
}

static const struct link_ops server_ops = { .up = on_up, .message = on_asked, .down = on_down };

static void on_operator_up(void *ctx, struct link *l)
{
	static const char text[] = "check nobody";
	struct wire_message m = { .type = WIRE_INQUIRY, .session = 1 };

	(void)ctx;
	m.text.bytes = (const uint8_t *)text;
	m.text.len = sizeof(text) - 1;
	assert_int_equal(link_send(l, &m), 0);
}

static void on_answer(void *ctx, struct link *l, const struct wire_message *m)
{
	(void)l;
	assert_int_equal(m->type, WIRE_INQUIRY_ANSWER);
	assert_int_equal(m->text.status, WIRE_E_FAILED);
	((struct desk *)ctx)->answers++;
}

static const struct link_ops operator_ops = {
	.up = on_operator_up,
	.message = on_answer,
	.down = on_down,
};

static void desk_open(struct desk *d, bool closes)
{
	struct link_setup setup = { .loop = &d->bed.loop, .tls = es, .ops = &server_ops, .ctx = d };
	char address[32];
	struct err err = { 0 };

	*d = (struct desk){ .closes = closes };
	controller_bed_open(&d->bed, pki.dir, es, 1);
	assert_int_equal(listener_new(&d->listener, &setup, "127.0.0.1:0",
				      LINK_ROLE(WIRE_ROLE_OPERATOR), &err),
			 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", listener_port(d->listener));
	setup.tls = asker;
	setup.ops = &operator_ops;
	assert_int_equal(peer_new(&d->peer, &setup, "EdgeServer-1", WIRE_ROLE_ES, address, &err),
			 0);
}

static void desk_shut(struct desk *d)
{
	peer_close(d->peer);
	listener_close(d->listener);
	/* ends when the check has, whose answer may come after all links have gone */
	controller_bed_shut(&d->bed);
}

/* The check ends with an answer: there is no engine */
static void test_check(void **state)
{
	struct desk d;

	(void)state;
	desk_open(&d, false);
	while (!d.answers)
		uv_run(&d.bed.loop, UV_RUN_ONCE);
	desk_shut(&d);
}

/* The edge server closes the link while the check runs: nothing of the link is touched any more */
static void test_link_closed(void **state)
{
	struct desk d;

	(void)state;
	desk_open(&d, true);
	while (!d.asked)
		uv_run(&d.bed.loop, UV_RUN_ONCE);
	desk_shut(&d);
	assert_int_equal(d.answers, 0);
}

/* So it is if it stops meanwhile: listener_close() ends links without a word */
static void test_listener_closed(void **state)
{
	struct desk d;

	(void)state;
	desk_open(&d, false);
	while (!d.asked)
		uv_run(&d.bed.loop, UV_RUN_ONCE);
	desk_shut(&d);
}

static int set_up(void **state)
{
	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_pki_new(&pki);
	es = test_pki_tls(&pki, "EdgeServer-1", WIRE_ROLE_ES);
	asker = test_pki_tls(&pki, "operator", WIRE_ROLE_OPERATOR);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_context_free(es);
	tls_context_free(asker);
	test_pki_remove(&pki);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_link_closed),
		cmocka_unit_test(test_listener_closed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
