/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "mud/state_follower.h"

static const uint8_t seed[CRYPTO_SHA256_SIZE] = { 7 };
static struct state_follower *f;
static uint8_t chain[CRYPTO_SHA256_SIZE];
static uint64_t executed;

static int begin(void **state)
{
	(void)state;
	memcpy(chain, seed, sizeof(chain));
	executed = 0;
	return state_follower_new(&f, seed, NULL);
}

static int end(void **state)
{
	(void)state;
	f = state_follower_free(f);
	return 0;
}

/* The service executes a request */
static void execute(const char *payload)
{
	struct crypto_sha256 *sha;

	assert_int_equal(crypto_sha256_new(&sha, NULL), 0);
	assert_int_equal(crypto_sha256_update(sha, chain, sizeof(chain)), 0);
	assert_int_equal(crypto_sha256_update(sha, payload, strlen(payload)), 0);
	assert_int_equal(crypto_sha256_final(sha, chain), 0);
	crypto_sha256_free(sha);
	executed++;
}

static void doubt(const char *payload, uint32_t connection)
{
	const struct state_follower_request request = { payload, strlen(payload) };

	state_follower_doubt(f, &request, connection);
}

/* The service executes a request and answers it */
static enum state_follower_e answer(const char *payload)
{
	const struct state_follower_request request = { payload, strlen(payload) };

	execute(payload);
	return state_follower_answer(f, &request, executed, chain);
}

static void forget(void)
{
	memcpy(chain, seed, sizeof(chain));
	executed = 0;
}

static void test_goes_on(void **state)
{
	(void)state;
	assert_int_equal(answer("a"), STATE_FOLLOWER_GOES_ON);
	assert_int_equal(answer("b"), STATE_FOLLOWER_GOES_ON);
	doubt("c", 1); /* not executed */
	assert_int_equal(answer("d"), STATE_FOLLOWER_GOES_ON);
	doubt("e", 2);
	execute("e"); /* executed */
	assert_int_equal(answer("f"), STATE_FOLLOWER_GOES_ON);
}

/* All that a connection allows: the first ones of each */
static void test_first_of_each_connection(void **state)
{
	for (int first = 0; first <= 3; first++) {
		for (int second = 0; second <= 2; second++) {
			static const char *const one[] = { "a", "b", "c" };
			static const char *const two[] = { "d", "e" };

			for (int i = 0; i < 3; i++)
				doubt(one[i], 1);
			for (int i = 0; i < 2; i++)
				doubt(two[i], 2);
			for (int i = 0; i < first; i++)
				execute(one[i]);
			for (int i = 0; i < second; i++)
				execute(two[i]);
			assert_int_equal(answer("x"), STATE_FOLLOWER_GOES_ON);
			assert_int_equal(answer("y"), STATE_FOLLOWER_GOES_ON);
			end(state);
			begin(state);
		}
	}
}

static void test_impossible(void **state)
{
	(void)state;
	assert_int_equal(answer("a"), STATE_FOLLOWER_GOES_ON);
	doubt("b", 1);
	doubt("c", 1);
	execute("c"); /* without the one before it */
	assert_int_equal(answer("d"), STATE_FOLLOWER_OTHER);
	assert_int_equal(answer("e"), STATE_FOLLOWER_GOES_ON); /* from what it said */
	execute("e");
	assert_int_equal(answer("f"), STATE_FOLLOWER_OTHER); /* twice */
	execute("nobody sent this");
	assert_int_equal(answer("g"), STATE_FOLLOWER_OTHER);
	executed--; /* counts wrongly */
	assert_int_equal(answer("h"), STATE_FOLLOWER_OTHER);
	executed = 0;
	assert_int_equal(answer("i"), STATE_FOLLOWER_OTHER);
}

static void test_restarted(void **state)
{
	(void)state;
	assert_int_equal(answer("a"), STATE_FOLLOWER_GOES_ON);
	doubt("b", 1);
	forget();
	assert_int_equal(answer("c"), STATE_FOLLOWER_RESTARTED);
	assert_int_equal(answer("d"), STATE_FOLLOWER_GOES_ON);
	doubt("e", 2);
	doubt("f", 3);
	forget();
	execute("f"); /* the new one executed it, and its answer was lost too */
	assert_int_equal(answer("g"), STATE_FOLLOWER_RESTARTED);
}

/* An older state comes back: neither the one before nor the beginning */
static void test_rolled_back(void **state)
{
	uint8_t older[CRYPTO_SHA256_SIZE];

	(void)state;
	assert_int_equal(answer("a"), STATE_FOLLOWER_GOES_ON);
	memcpy(older, chain, sizeof(older));
	assert_int_equal(answer("b"), STATE_FOLLOWER_GOES_ON);
	assert_int_equal(answer("c"), STATE_FOLLOWER_GOES_ON);
	memcpy(chain, older, sizeof(older));
	executed = 1;
	assert_int_equal(answer("d"), STATE_FOLLOWER_OTHER);
	assert_int_equal(answer("e"), STATE_FOLLOWER_GOES_ON);
}

static void test_limits(void **state)
{
	char payload[16];

	(void)state;
	/* each on a connection of its own: more choices than can be tried, and an end all the same */
	for (unsigned int i = 0; i < STATE_FOLLOWER_DOUBTS_MAX + 10; i++) {
		(void)snprintf(payload, sizeof(payload), "%u", i);
		doubt(payload, i + 1);
		if (i % 2)
			execute(payload);
	}
	assert_int_equal(answer("x"), STATE_FOLLOWER_OTHER);
	assert_int_equal(answer("y"), STATE_FOLLOWER_GOES_ON);
	/* none executed is the first choice, so many do not matter then */
	for (unsigned int i = 0; i < STATE_FOLLOWER_DOUBTS_MAX; i++)
		doubt("z", i + 1);
	assert_int_equal(answer("x"), STATE_FOLLOWER_GOES_ON);
}

#define followed(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		followed(test_goes_on),     followed(test_first_of_each_connection),
		followed(test_impossible),  followed(test_restarted),
		followed(test_rolled_back), followed(test_limits),
	};

	return cmocka_run_group_tests_name("mud/state_follower", tests, NULL, NULL);
}
