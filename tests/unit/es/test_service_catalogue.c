/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "es/service_catalogue.h"

static struct container_service service(const char *name, char *image)
{
	struct container_service s = { .image = image, .port = 80 };

	(void)name_set(s.name, name, NULL);
	return s;
}

/* All is copied; what is no longer offered is still known, until it is offered again. */
static void test_offer(void **state)
{
	AUTO(service_catalogue) struct service_catalogue *sc = NULL;
	char image[] = "one";
	char entry[] = "data:/data";
	const char *volumes[] = { entry, NULL };
	struct container_service two[] = { service("a", image), service("b", image) };
	struct err err;

	(void)state;
	two[0].volumes = volumes;
	assert_int_equal(service_catalogue_new(&sc, &err), 0);
	assert_null(service_catalogue_find(sc, "a"));
	assert_int_equal(service_catalogue_offer(sc, two, 2, &err), 0);
	memset(image, 'x', 3);
	memset(entry, 'x', 4);
	volumes[0] = NULL;
	assert_true(service_catalogue_offers(sc, "a") && service_catalogue_offers(sc, "b"));
	assert_string_equal(service_catalogue_find(sc, "a")->image, "one");
	assert_string_equal(service_catalogue_find(sc, "a")->volumes[0], "data:/data");
	assert_null(service_catalogue_find(sc, "a")->volumes[1]);
	assert_null(service_catalogue_find(sc, "a")->env);
	assert_int_equal(service_catalogue_offer(sc, two + 1, 1, &err), 0);
	assert_false(service_catalogue_offers(sc, "a"));
	assert_string_equal(service_catalogue_find(sc, "a")->image, "one");
	assert_string_equal(service_catalogue_find(sc, "a")->volumes[0], "data:/data");
	assert_string_equal(service_catalogue_find(sc, "b")->image, "xxx");
	assert_int_equal(service_catalogue_offer(sc, two, 2, &err), 0);
	assert_true(service_catalogue_offers(sc, "a"));
	assert_string_equal(service_catalogue_find(sc, "a")->image, "xxx");
	assert_int_equal(service_catalogue_offer(sc, NULL, 0, &err), 0);
	assert_false(service_catalogue_offers(sc, "b"));
	assert_non_null(service_catalogue_find(sc, "b"));
}

/* R9: services that come and go do not fill the memory, and never push out one that is offered. */
static void test_limit(void **state)
{
	AUTO(service_catalogue) struct service_catalogue *sc = NULL;
	static struct container_service many[SERVICE_CATALOGUE_MAX + 1];
	char image[] = "i";
	char name[16];
	struct err err;

	(void)state;
	assert_int_equal(service_catalogue_new(&sc, &err), 0);
	for (int i = 0; i <= SERVICE_CATALOGUE_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		many[i] = service(name, image);
		assert_int_equal(service_catalogue_offer(sc, &many[i], 1, &err), 0);
		assert_true(service_catalogue_offers(sc, name));
	}
	assert_int_equal(service_catalogue_offer(sc, many, SERVICE_CATALOGUE_MAX + 1, &err),
			 -E2BIG);
	assert_true(service_catalogue_offers(sc, name));
	assert_int_equal(service_catalogue_offer(sc, many, SERVICE_CATALOGUE_MAX, &err), 0);
	assert_null(service_catalogue_find(sc, name));
	assert_true(service_catalogue_offers(sc, "s0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
