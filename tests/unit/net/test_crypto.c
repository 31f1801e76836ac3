/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "net/address.h"
#include "net/crypto.h"

static void test_random(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	assert_int_equal(crypto_random(a, sizeof(a)), 0);
	assert_int_equal(crypto_random(b, sizeof(b)), 0);
	assert_false(crypto_equal(a, b, sizeof(a)));
	crypto_wipe(a, sizeof(a));
	memset(b, 0, sizeof(b));
	assert_true(crypto_equal(a, b, sizeof(a)));
}

static void test_sha256(void **state)
{
	struct crypto_sha256 *made = NULL;
	struct err err = { 0 };
	uint8_t out[CRYPTO_SHA256_SIZE];
	char hex[2 * CRYPTO_SHA256_SIZE + 1];

	(void)state;
	assert_int_equal(crypto_sha256_new(&made, &err), 0);
	AUTO(crypto_sha256) struct crypto_sha256 *d = made;
	/* twice: final leaves a fresh digest; in pieces: as one */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(crypto_sha256_update(d, "a", 1), 0);
		assert_int_equal(crypto_sha256_update(d, "bc", 2), 0);
		assert_int_equal(crypto_sha256_final(d, out), 0);
		hex_encode(hex, out, sizeof(out));
		assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223"
					 "b00361a396177a9cb410ff61f20015ad");
	}
}

/* A proof is good for one session, one association, one access point, one secret */
static void test_proof(void **state)
{
	uint8_t secret[CRYPTO_SECRET_SIZE] = { 1 };
	uint8_t good[CRYPTO_SHA256_SIZE], other[CRYPTO_SHA256_SIZE];

	(void)state;
	assert_int_equal(crypto_proof(good, secret, 7, 2, "AP-2"), 0);
	assert_int_equal(crypto_proof(other, secret, 7, 2, "AP-2"), 0);
	assert_true(crypto_equal(good, other, sizeof(good)));
	assert_int_equal(crypto_proof(other, secret, 8, 2, "AP-2"), 0);
	assert_false(crypto_equal(good, other, sizeof(good)));
	assert_int_equal(crypto_proof(other, secret, 7, 3, "AP-2"), 0);
	assert_false(crypto_equal(good, other, sizeof(good)));
	assert_int_equal(crypto_proof(other, secret, 7, 2, "AP-22"), 0);
	assert_false(crypto_equal(good, other, sizeof(good)));
	secret[0] = 2;
	assert_int_equal(crypto_proof(other, secret, 7, 2, "AP-2"), 0);
	assert_false(crypto_equal(good, other, sizeof(good)));
	assert_int_equal(crypto_proof(other, secret, 7, 2, ""), -EINVAL);
	assert_int_equal(crypto_proof(other, secret, 7, 2, "a/b"), -EINVAL);
}

static void test_address(void **state)
{
	static const char *const bad[] = { "",        "1.2.3.4",   "1.2.3.4:",   ":80",
					   "host:80", "1.2.3.4:x", "1.2.3.4:-1", "1.2.3.4:65536",
					   "::1:80",  "[::1]",     "[::1:80",    "1.2.3.4: 80" };
	static const char *const good[] = { "1.2.3.4:80", "0.0.0.0:0", "[::1]:65535" };
	struct address a;
	struct err err = { 0 };
	char text[ADDRESS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (address_parse(&a, bad[i], &err) != -EINVAL)
			fail_msg("accepted \"%s\"", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(address_parse(&a, good[i], &err), 0);
		address_format(text, (struct sockaddr *)&a.any);
		assert_string_equal(text, good[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests_name("net/crypto", tests, NULL, NULL);
}
