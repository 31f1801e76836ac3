/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "mud/answer_checker.h"
#include "net/crypto.h"

/*
 * A service that executes request after request, in the order a test wants. Each answer is kept, so
 * that it can be handed to the checker in another order.
 */
struct service {
	uint8_t chain[CRYPTO_SHA256_SIZE];
	uint64_t executed;
	char answer[128][256];
};

static struct answer_checker *ac;
static struct service service;

static void digest(uint8_t *out, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct crypto_sha256 *sha;

	assert_int_equal(crypto_sha256_new(&sha, NULL), 0);
	assert_int_equal(crypto_sha256_update(sha, a, a_len), 0);
	assert_int_equal(crypto_sha256_update(sha, b, b_len), 0);
	assert_int_equal(crypto_sha256_final(sha, out), 0);
	crypto_sha256_free(sha);
}

static size_t payload_of(char *to, uint64_t n)
{
	return (size_t)sprintf(to, "{\"seq\":%llu}", (unsigned long long)n);
}

static void execute(uint64_t n)
{
	char payload[64], hex[2 * CRYPTO_SHA256_SIZE + 1];
	size_t len = payload_of(payload, n);

	digest(service.chain, service.chain, sizeof(service.chain), payload, len);
	hex_encode(hex, service.chain, sizeof(service.chain));
	(void)sprintf(service.answer[n], "{\"seq\":%llu,\"executed\":%llu,\"chain\":\"%s\"}",
		      (unsigned long long)n, (unsigned long long)++service.executed, hex);
}

static void send_through(uint64_t last)
{
	char payload[64];

	for (uint64_t n = answer_checker_totals(ac).requests + 1; n <= last; n++)
		assert_int_equal(
			answer_checker_request(ac, n, payload, payload_of(payload, n), NULL), 0);
}

static struct answer_verdict hand_in_text(uint64_t n, const char *text)
{
	const struct wire_data d = { .number = n,
				     .bytes = (const uint8_t *)text,
				     .len = strlen(text) };
	struct answer_verdict v;

	answer_checker_answer(ac, &d, &v);
	return v;
}

static struct answer_verdict hand_in(uint64_t n)
{
	return hand_in_text(n, service.answer[n]);
}

static int begin(void **state)
{
	(void)state;
	service = (struct service){ 0 };
	digest(service.chain, "baton", 5, "", 0);
	return answer_checker_new(&ac, "baton", false, NULL);
}

static int end(void **state)
{
	(void)state;
	ac = answer_checker_free(ac);
	return 0;
}

static void test_all_good(void **state)
{
	struct answer_totals t;

	(void)state;
	for (uint64_t n = 1; n <= 100; n++) {
		send_through(n);
		execute(n);
		struct answer_verdict v = hand_in(n);
		assert_true(v.valid && v.in_order && v.chain_ok && v.state_ok);
		assert_int_equal(v.executed, n);
	}
	answer_checker_end(ac);
	t = answer_checker_totals(ac);
	assert_true(answer_totals_good(&t));
	assert_int_equal(t.answered, 100);
}

/* The very answers of service/offload.py --reference */
static void test_real_service(void **state)
{
	static const char first[] = "{\"seq\":1,\"work\":\"ab\"}";
	static const char second[] = "{\"seq\":2,\"op\":\"verify\"}";

	(void)state;
	assert_int_equal(answer_checker_request(ac, 1, first, strlen(first), NULL), 0);
	assert_int_equal(answer_checker_request(ac, 2, second, strlen(second), NULL), 0);
	struct answer_verdict v = hand_in_text(
		1,
		"{\"seq\":1,\"executed\":1,\"chain\":"
		"\"3744ba82565160fc4fcc707c9e71f3d954cec4545de379ae73fe6179824a183c\","
		"\"result\":\"dbb28b2f6826016d\",\"memory\":\"5658aa3fa2cb4bbb\",\"log_lines\":1}");
	assert_true(v.valid && v.chain_ok && v.state_ok);
	v = hand_in_text(
		2,
		"{\"seq\":2,\"executed\":2,\"chain\":"
		"\"2f02eae24c54ab4e5d4bda872446a992fa8a5137966361177d2cc0e33fee7c96\","
		"\"result\":\"8bdf1a5729e13b98\",\"memory\":\"f9884a51542d586d\",\"log_lines\":2,"
		"\"log_agrees\":true,\"disk_lines\":2}");
	assert_true(v.valid && v.chain_ok && v.state_ok);
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_true(answer_totals_good(&t));
}

/* Late on the way, but executed in order: shown, and no fault */
static void test_late(void **state)
{
	(void)state;
	send_through(3);
	for (uint64_t n = 1; n <= 3; n++)
		execute(n);
	assert_true(hand_in(2).in_order);
	assert_false(hand_in(1).in_order);
	assert_true(hand_in(3).in_order);
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_int_equal(t.late, 1);
	assert_true(answer_totals_good(&t));
}

static void test_no_answer(void **state)
{
	(void)state;
	send_through(3);
	for (uint64_t n = 1; n <= 3; n++)
		execute(n);
	(void)hand_in(1);
	(void)hand_in(3); /* executed, but its answer never came */
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_int_equal(t.lost, 1);
	assert_int_equal(t.answered, 2);
	assert_int_equal(t.duplicated, 0);
	assert_true(t.chain_ok);
	assert_false(answer_totals_good(&t));
}

static void test_in_doubt(void **state)
{
	const struct wire_data d = { .number = 2, .status = WIRE_E_IN_DOUBT };
	struct answer_verdict v;

	(void)state;
	send_through(3);
	execute(1);
	execute(3);
	(void)hand_in(1);
	answer_checker_answer(ac, &d, &v);
	assert_int_equal(v.status, WIRE_E_IN_DOUBT);
	(void)hand_in(3); /* not executed: the chain tells */
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_int_equal(t.answered, 2);
	assert_true(t.lost >= 1);
	assert_false(t.chain_ok);
}

static void test_duplicated(void **state)
{
	(void)state;
	send_through(4);
	execute(1);
	execute(2);
	execute(2);
	execute(3);
	execute(4);
	for (uint64_t n = 1; n <= 4; n++)
		(void)hand_in(n);
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_int_equal(t.duplicated, 1);
	assert_int_equal(t.lost, 0);
	assert_int_equal(t.reordered, 0);
	assert_false(t.chain_ok);
}

static void test_reordered(void **state)
{
	(void)state;
	send_through(4);
	execute(1);
	execute(3);
	execute(2);
	execute(4);
	for (uint64_t n = 1; n <= 4; n++)
		(void)hand_in(n);
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_int_equal(t.reordered, 1);
	assert_int_equal(t.duplicated, 0);
	assert_int_equal(t.lost, 0);
	assert_false(t.chain_ok);
}

/* The container went back to an older state: an execution that was answered is gone */
static void test_execution_forgotten(void **state)
{
	struct service before;

	(void)state;
	send_through(3);
	execute(1);
	before = service;
	execute(2);
	(void)hand_in(1);
	(void)hand_in(2);
	service = before;
	execute(3);
	(void)hand_in(3);
	answer_checker_end(ac);
	struct answer_totals t = answer_checker_totals(ac);
	assert_int_equal(t.lost, 1);
	assert_int_equal(t.answered, 3);
	assert_false(t.chain_ok);
}

static void test_bad_answers(void **state)
{
	static const char *const bad[] = {
		"",
		"no JSON",
		"[]",
		"{\"error\":\"not JSON\"}",
		"{\"seq\":2,\"executed\":1,\"chain\":\"00\"}",
		"{\"seq\":\"1\",\"executed\":1,\"chain\":\"00\"}",
		"{\"seq\":1,\"executed\":-1,\"chain\":\"00\"}",
		"{\"seq\":1,\"executed\":1,\"chain\":7}",
		"{\"seq\":1,\"executed\":1}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		send_through(1);
		struct answer_verdict v = hand_in_text(1, bad[i]);
		if (v.valid || v.chain_ok)
			fail_msg("accepted %s", bad[i]);
		struct answer_totals t = answer_checker_totals(ac);
		assert_int_equal(t.wrong, 1);
		assert_false(answer_totals_good(&t));
		end(state);
		begin(state);
	}
}

static void test_damaged_state(void **state)
{
	char text[512];

	(void)state;
	send_through(1);
	execute(1);
	(void)snprintf(text, sizeof(text), "%.*s,\"log_agrees\":false}",
		       (int)strlen(service.answer[1]) - 1, service.answer[1]);
	struct answer_verdict v = hand_in_text(1, text);
	assert_true(v.valid && v.chain_ok);
	assert_false(v.state_ok);
	struct answer_totals t = answer_checker_totals(ac);
	assert_false(answer_totals_good(&t));
}

static void test_numbers(void **state)
{
	struct answer_verdict v;
	char payload[64];

	(void)state;
	assert_int_equal(answer_checker_request(ac, 2, "x", 1, NULL), -EINVAL);
	send_through(WIRE_WINDOW);
	assert_int_equal(answer_checker_request(ac, WIRE_WINDOW + 1, payload,
						payload_of(payload, WIRE_WINDOW + 1), NULL),
			 -EINVAL);
	execute(1);
	(void)hand_in(1);
	(void)hand_in(1); /* a second time, and one that was never asked for: not counted */
	v = hand_in_text(WIRE_WINDOW + 5, "{}");
	assert_false(v.valid);
	assert_int_equal(answer_checker_totals(ac).answered, 1);
	send_through(WIRE_WINDOW + 1);
}

#define checked(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		checked(test_all_good),    checked(test_real_service),
		checked(test_late),        checked(test_no_answer),
		checked(test_in_doubt),    checked(test_duplicated),
		checked(test_reordered),   checked(test_execution_forgotten),
		checked(test_bad_answers), checked(test_damaged_state),
		checked(test_numbers),
	};

	return cmocka_run_group_tests_name("mud/answer_checker", tests, NULL, NULL);
}
