/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From where a missing image comes: predictions, what is remembered and learnt, and what is taken
 * from a registry's words
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "es/engine/registry.h"
#include "es/image/choice.h"
#include "between.h"

#define MB     1000000ull
#define SECOND 1000000ull
#define HEX(c) c c c c c c c c c c c c c c c c

static const struct image_costs paper = {
	.image_bytes = 929 * MB,
	.missing_bytes = 929 * MB,
	.registry_bytes = 303 * MB,
	.link_rate = 9600000,
	.registry_rate = 48 * MB,
};

/** The image of the experiment: about what it takes here, each way */
static void test_about_right(void **state)
{
	uint64_t source = image_predict(&paper, IMAGE_FROM_SOURCE);
	uint64_t registry = image_predict(&paper, IMAGE_FROM_REGISTRY);

	(void)state;
	assert_true(between(source, 25 * SECOND, 45 * SECOND));
	assert_true(between(registry, 8 * SECOND, 25 * SECOND));
}

/** A slower registry, a faster link, fewer layers missing: each moves the prediction its way */
static void test_direction(void **state)
{
	struct image_costs slow = paper;
	struct image_costs fast = paper;
	struct image_costs little = paper;

	(void)state;
	slow.registry_rate = 2 * MB;
	assert_true(image_predict(&slow, IMAGE_FROM_REGISTRY) >
		    image_predict(&slow, IMAGE_FROM_SOURCE));
	fast.link_rate = 100 * MB;
	assert_true(image_predict(&fast, IMAGE_FROM_SOURCE) <
		    image_predict(&paper, IMAGE_FROM_SOURCE));
	little.missing_bytes = 10 * MB;
	little.registry_bytes = 4 * MB;
	assert_true(image_predict(&little, IMAGE_FROM_REGISTRY) < SECOND);
	/* the source's engine saves all of it even then */
	assert_true(image_predict(&little, IMAGE_FROM_SOURCE) > 2 * SECOND);
}

/** What is not known is taken as something usual, and nothing overflows or divides by zero */
static void test_unknown(void **state)
{
	struct image_costs none = { 0 };
	struct image_costs huge = { .image_bytes = 1ull << 43,
				    .missing_bytes = 1ull << 43,
				    .link_rate = 1,
				    .registry_rate = 1 };

	(void)state;
	assert_int_equal(image_predict(&none, IMAGE_FROM_SOURCE), 0);
	assert_int_equal(image_predict(&none, IMAGE_FROM_REGISTRY), 0);
	assert_true(image_predict(&huge, IMAGE_FROM_SOURCE) > 1ull << 40);
	assert_true(image_predict(&huge, IMAGE_FROM_REGISTRY) > 1ull << 40);
}

static void test_rates(void **state)
{
	static struct image_rates ir;
	char key[32];

	(void)state;
	image_rates_init(&ir);
	assert_int_equal(image_rates_ask(&ir, "registry:5000", SECOND), 0);
	image_rates_note(&ir, "registry:5000", 5 * MB, SECOND);
	image_rates_note(&ir, "EdgeServer-1", 9 * MB, 2 * SECOND);
	assert_int_equal(image_rates_ask(&ir, "registry:5000", 3 * SECOND), 5 * MB);
	image_rates_note(&ir, "registry:5000", 6 * MB, 4 * SECOND);
	assert_int_equal(image_rates_ask(&ir, "registry:5000", 5 * SECOND), 6 * MB);
	/* what is old counts no more, and gives way to others */
	assert_int_equal(image_rates_ask(&ir, "registry:5000", 4000 * SECOND), 0);
	for (int i = 0; i < IMAGE_RATES_MAX; i++) {
		(void)snprintf(key, sizeof(key), "other-%d", i);
		image_rates_note(&ir, key, MB, 5 * SECOND + (unsigned int)i);
	}
	assert_int_equal(image_rates_ask(&ir, "EdgeServer-1", 6 * SECOND), 0);
	assert_int_equal(image_rates_ask(&ir, "other-0", 6 * SECOND), MB);
	image_rates_deinit(&ir);
}

static void test_learning(void **state)
{
	static struct image_rates ir;

	(void)state;
	image_rates_init(&ir);
	assert_int_equal(image_rates_correct(&ir, IMAGE_FROM_SOURCE, 10 * SECOND), 10 * SECOND);
	for (int i = 0; i < 12; i++)
		image_rates_learn(&ir, IMAGE_FROM_SOURCE, 10 * SECOND, 20 * SECOND);
	assert_true(between(image_rates_correct(&ir, IMAGE_FROM_SOURCE, 10 * SECOND), 19 * SECOND,
			    20 * SECOND));
	assert_int_equal(image_rates_correct(&ir, IMAGE_FROM_REGISTRY, 10 * SECOND), 10 * SECOND);
	/* one that was far out moves it only so far */
	image_rates_learn(&ir, IMAGE_FROM_REGISTRY, SECOND, 3600 * SECOND);
	assert_true(image_rates_correct(&ir, IMAGE_FROM_REGISTRY, SECOND) <= 3 * SECOND);
	image_rates_learn(&ir, IMAGE_FROM_REGISTRY, 0, SECOND);
	image_rates_deinit(&ir);
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"",
		"service",
		"service@sha256:" HEX("abcd"), /* the public registry's */
		"team/service@sha256:" HEX("abcd"),
		"registry:5000/service:1",
		"registry:5000/service@sha256:abcd",
		"registry:5000/service@sha256:" HEX("abcd") "0",
		"registry:5000/a service@sha256:" HEX("abcd"),
		"registry:5000/a?b=c@sha256:" HEX("abcd"),
		"user@registry:5000/service@sha256:" HEX("abcd"),
		/* nothing, or what leads elsewhere */
		"registry:5000/@sha256:" HEX("abcd"),
		"registry:5000/../x@sha256:" HEX("abcd"),
		"registry:5000/a/../../x@sha256:" HEX("abcd"),
		"registry:5000//x@sha256:" HEX("abcd"),
		"@sha256:" HEX("abcd") "/x",
	};
	struct registry_image ri;

	(void)state;
	assert_int_equal(
		registry_image_parse(&ri, "registry:5000/team/service@sha256:" HEX("abcd")), 0);
	assert_string_equal(ri.host, "registry:5000");
	assert_string_equal(ri.repository, "team/service");
	assert_string_equal(ri.digest, "sha256:" HEX("abcd"));
	assert_int_equal(registry_image_parse(&ri, "localhost/x@sha256:" HEX("abcd")), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (registry_image_parse(&ri, bad[i]) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	}
}

static int read_manifest(const char *text, size_t layers, size_t here, uint64_t *bytes,
			 char largest[72])
{
	struct err err = { 0 };
	json_t *manifest = json_loads(text, 0, NULL);
	int r = registry_manifest_read(manifest, layers, here, bytes, largest, &err);

	json_decref(manifest);
	return r;
}

static void test_manifest(void **state)
{
	static const char good[] =
		"{\"layers\":["
		"{\"size\":100,\"digest\":\"sha256:" HEX(
			"000a") "\"},"
				"{\"size\":900,\"digest\":\"sha256:" HEX(
					"000b") "\"},"
						"{\"size\":30,\"digest\":\"sha256:" HEX(
							"000c") "\"}]}";
	char largest[72];
	uint64_t bytes;

	(void)state;
	assert_int_equal(read_manifest(good, 3, 0, &bytes, largest), 0);
	assert_int_equal(bytes, 1030);
	assert_string_equal(largest, "sha256:" HEX("000b"));
	assert_int_equal(read_manifest(good, 3, 2, &bytes, largest), 0);
	assert_int_equal(bytes, 30);
	assert_string_equal(largest, "sha256:" HEX("000c"));
	assert_int_equal(read_manifest(good, 3, 3, &bytes, largest), 0);
	assert_int_equal(bytes, 0);
	assert_string_equal(largest, "");
	assert_int_equal(read_manifest(good, 2, 0, &bytes, largest), -EPROTO);
	assert_int_equal(read_manifest("{}", 1, 0, &bytes, largest), -EPROTO);
	assert_int_equal(read_manifest("{\"layers\":[{}]}", 1, 0, &bytes, largest), -EPROTO);
	assert_int_equal(
		read_manifest("{\"layers\":[{\"size\":-1,\"digest\":\"sha256:" HEX("000a") "\"}]}",
			      1, 0, &bytes, largest),
		-EPROTO);
	assert_int_equal(read_manifest("{\"layers\":[{\"size\":1,\"digest\":\"../x\"}]}", 1, 0,
				       &bytes, largest),
			 -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_about_right), cmocka_unit_test(test_direction),
		cmocka_unit_test(test_unknown),     cmocka_unit_test(test_rates),
		cmocka_unit_test(test_learning),    cmocka_unit_test(test_names),
		cmocka_unit_test(test_manifest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
