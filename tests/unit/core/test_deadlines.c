/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/common/deadlines.h"

#define MEMBERS 300

/* @due is what its deadline follows from; @taken: how often it was taken in this round */
struct member {
	struct deadline deadline;
	uint64_t due;
	bool here;
	int taken;
};

static struct member *member_of(const struct deadline *d)
{
	return container_of(d, struct member, deadline);
}

static uint64_t due_of(const struct deadline *d)
{
	return member_of(d)->due;
}

static uint64_t earliest_by_walk(const struct member *m)
{
	uint64_t earliest = UINT64_MAX;

	for (size_t i = 0; i < MEMBERS; i++) {
		if (m[i].here && m[i].due < earliest)
			earliest = m[i].due;
	}
	return earliest;
}

static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (*seed >> 33) % below;
}

/* Adds, changes or removes one */
static void change_one(struct deadlines *ds, struct member *m, uint64_t *seed)
{
	if (!m->here) {
		assert_int_equal(deadlines_add(ds, &m->deadline), 0);
		m->here = true;
	} else if (draw(seed, 4) == 0) {
		deadlines_remove(ds, &m->deadline);
		m->here = false;
		return;
	} else {
		deadlines_touch(ds, &m->deadline);
		deadlines_touch(ds, &m->deadline); /* once is enough */
	}
	m->due = draw(seed, 10) ? draw(seed, 1000) : UINT64_MAX;
}

/* The earliest one is that of a walk over all, whatever was added, changed and removed */
static void test_earliest(void **state)
{
	static struct member m[MEMBERS];
	struct deadlines ds;
	uint64_t seed = 1;

	(void)state;
	deadlines_init(&ds, due_of);
	assert_true(deadlines_earliest(&ds) == UINT64_MAX);
	assert_null(deadlines_take(&ds, UINT64_MAX - 1));
	for (int round = 0; round < 20000; round++) {
		for (uint64_t n = draw(&seed, 4); n; n--)
			change_one(&ds, &m[draw(&seed, MEMBERS)], &seed);
		assert_true(deadlines_earliest(&ds) == earliest_by_walk(m));
	}
	for (size_t i = 0; i < MEMBERS; i++) {
		if (m[i].here)
			deadlines_remove(&ds, &m[i].deadline);
	}
	assert_true(deadlines_earliest(&ds) == UINT64_MAX);
	deadlines_deinit(&ds);
}

/* Each that is due is taken once, the earliest first, equal ones in the order of addition */
static void test_take(void **state)
{
	static struct member m[MEMBERS];
	struct deadlines ds;
	uint64_t seed = 2;
	int taken = 0;
	struct deadline *d, *last = NULL;

	(void)state;
	deadlines_init(&ds, due_of);
	for (size_t i = 0; i < MEMBERS; i++) {
		m[i] = (struct member){ .due = draw(&seed, 20), .here = true };
		assert_int_equal(deadlines_add(&ds, &m[i].deadline), 0);
	}
	(void)deadlines_earliest(&ds);
	uint64_t before = 0;
	while ((d = deadlines_take(&ds, 9)) != NULL) {
		uint64_t due = due_of(d);

		assert_true(due <= 9 && due >= before);
		if (last && due == before)
			assert_true(d > last);
		assert_int_equal(member_of(d)->taken++, 0);
		before = due;
		last = d;
		taken++;
	}
	for (size_t i = 0; i < MEMBERS; i++)
		assert_int_equal(m[i].taken, m[i].due <= 9);
	assert_true(taken > 0);
	assert_true(deadlines_earliest(&ds) <= 9); /* none has changed, so they are due still */
	deadlines_deinit(&ds);
}

/* One that is due is not taken if another one's turn has changed or removed it */
static void test_take_changed(void **state)
{
	struct member m[3] = { { .due = 1 }, { .due = 2 }, { .due = 3 } };
	struct deadlines ds;

	(void)state;
	deadlines_init(&ds, due_of);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(deadlines_add(&ds, &m[i].deadline), 0);
	(void)deadlines_earliest(&ds);
	assert_ptr_equal(deadlines_take(&ds, 5), &m[0].deadline);
	m[0].due = 10;
	m[1].due = 7;
	deadlines_touch(&ds, &m[1].deadline);
	deadlines_remove(&ds, &m[2].deadline);
	assert_null(deadlines_take(&ds, 5));
	assert_int_equal(deadlines_earliest(&ds), 7);
	deadlines_deinit(&ds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_earliest),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_take_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
