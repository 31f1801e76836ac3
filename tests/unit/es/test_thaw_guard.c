/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Thaw guard on real groups of the machine's freezer: what is frozen by somebody else does not stay so (R17)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "es/system/cgroup.h"
#include "es/system/thaw_guard.h"

/* A container: a group with one process */
struct group {
	char id[64];
	char dir[128];
	pid_t pid;
	struct cgroup_freezer freezer;
};

struct bed {
	struct group one;
	struct group other;
	struct thaw_guard *guard;
	sem_t thawed;
	char last[PATH_MAX];
};

static const char *hierarchy(void)
{
	static const char *const roots[][2] = {
		{ "/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer/cgroup.procs" },
		{ "/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.controllers" },
	};

	for (size_t i = 0; i < 2; i++)
		if (access(roots[i][1], F_OK) == 0 && access(roots[i][0], W_OK) == 0)
			return roots[i][0];
	return NULL;
}

static void group_make(struct group *g, const char *name)
{
	char path[160];

	(void)snprintf(g->id, sizeof(g->id), "baton-test-%s-%d", name, (int)getpid());
	(void)snprintf(g->dir, sizeof(g->dir), "%s/%s", hierarchy(), g->id);
	assert_int_equal(mkdir(g->dir, 0755), 0);
	g->pid = fork();
	if (g->pid == 0)
		for (;;)
			pause();
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", g->dir);
	FILE *procs = fopen(path, "we");
	assert_non_null(procs);
	fprintf(procs, "%d", (int)g->pid);
	assert_int_equal(fclose(procs), 0);
	assert_int_equal(cgroup_freezer_find(&g->freezer, g->pid, NULL), 0);
}

static void group_remove(struct group *g)
{
	(void)cgroup_thaw(&g->freezer, NULL);
	(void)kill(g->pid, SIGKILL);
	(void)waitpid(g->pid, NULL, 0);
	while (rmdir(g->dir) < 0 && errno == EBUSY)
		;
}

static void thawed(void *ctx, const char *id, const char *reason)
{
	struct bed *bed = ctx;

	if (reason)
		return;
	(void)snprintf(bed->last, sizeof(bed->last), "%s", id);
	(void)sem_post(&bed->thawed);
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	*state = bed;
	if (!hierarchy() || geteuid() != 0)
		return 0;
	(void)sem_init(&bed->thawed, 0, 0);
	group_make(&bed->one, "one");
	group_make(&bed->other, "other");
	assert_int_equal(thaw_guard_new(&bed->guard, thawed, bed, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	if (bed->guard) {
		thaw_guard_free(bed->guard);
		group_remove(&bed->one);
		group_remove(&bed->other);
	}
	free(bed);
	return 0;
}

static struct bed *bed_of(void **state)
{
	struct bed *bed = *state;

	if (!bed->guard) {
		print_message("SKIP: needs root and a freezer that may be written to\n");
		skip();
	}
	return bed;
}

/** watch() - Watch a group that was cut, and whose CRIU may live */
static void watch(struct bed *bed, struct group *g)
{
	struct err err = { 0 };

	if (thaw_guard_watch(bed->guard, g->id, g->pid, &err) < 0)
		fail_msg("%s", err.text);
	thaw_guard_may_freeze(bed->guard, g->id);
	assert_int_equal(thaw_guard_must_run(bed->guard, g->id), 0);
}

/* Every time anew, for who freezes once may freeze again. */
static void test_thaws(void **state)
{
	struct bed *bed = bed_of(state);

	watch(bed, &bed->one);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
		while (cgroup_freezing(&bed->one.freezer))
			;
	}
	while (sem_wait(&bed->thawed) < 0)
		;
	assert_string_equal(bed->last, bed->one.id);
}

/* A group that may be frozen stays so while another one is thawed beside it. */
static void test_may_freeze(void **state)
{
	struct bed *bed = bed_of(state);

	watch(bed, &bed->one);
	watch(bed, &bed->other);
	thaw_guard_may_freeze(bed->guard, bed->one.id);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	assert_int_equal(cgroup_freeze(&bed->other.freezer, 10000, NULL), 0);
	while (sem_wait(&bed->thawed) < 0)
		;
	assert_string_equal(bed->last, bed->other.id);
	assert_true(cgroup_frozen(&bed->one.freezer));
	/* At once, not at the next look. */
	assert_int_equal(thaw_guard_must_run(bed->guard, bed->one.id), 0);
	assert_false(cgroup_freezing(&bed->one.freezer));
	/* From now on it is guarded again. */
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	while (cgroup_freezing(&bed->one.freezer))
		;
}

/* What a predecessor has left frozen runs as soon as it is watched. */
static void test_found_frozen(void **state)
{
	struct bed *bed = bed_of(state);

	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	watch(bed, &bed->one);
	assert_false(cgroup_freezing(&bed->one.freezer));
}

/* Who freezes it when nobody of a cut lives any more means it. */
static void test_rests(void **state)
{
	struct bed *bed = bed_of(state);

	watch(bed, &bed->one);
	watch(bed, &bed->other);
	thaw_guard_rest(bed->guard, bed->one.id);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	assert_int_equal(cgroup_freeze(&bed->other.freezer, 10000, NULL), 0);
	while (sem_wait(&bed->thawed) < 0)
		;
	assert_true(cgroup_frozen(&bed->one.freezer));
}

/* Of two cuts each may have left somebody: the end of one says nothing about the other. */
static void test_two_cuts(void **state)
{
	struct bed *bed = bed_of(state);

	watch(bed, &bed->one);
	watch(bed, &bed->one);
	thaw_guard_rest(bed->guard, bed->one.id);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	while (sem_wait(&bed->thawed) < 0)
		;
	assert_string_equal(bed->last, bed->one.id);
}

/* A predecessor's CRIU lives: known by the group before the container is, and then by its id. */
static void test_left(void **state)
{
	struct bed *bed = bed_of(state);

	assert_int_equal(thaw_guard_left(bed->guard, &bed->one.freezer), 0);
	assert_int_equal(thaw_guard_left(bed->guard, &bed->one.freezer), 0);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	while (sem_wait(&bed->thawed) < 0)
		;
	assert_string_equal(bed->last, bed->one.freezer.file);
	watch(bed, &bed->one);
	thaw_guard_rest(bed->guard, bed->one.id);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	while (cgroup_freezing(&bed->one.freezer))
		;
	/* One container, one record, also when it is told again: a cut of it is left alone. */
	assert_int_equal(thaw_guard_left(bed->guard, &bed->one.freezer), 0);
	thaw_guard_may_freeze(bed->guard, bed->one.id);
	watch(bed, &bed->other);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	assert_int_equal(cgroup_freeze(&bed->other.freezer, 10000, NULL), 0);
	while (cgroup_freezing(&bed->other.freezer))
		;
	assert_true(cgroup_frozen(&bed->one.freezer));
}

static void test_forgets(void **state)
{
	struct bed *bed = bed_of(state);

	watch(bed, &bed->one);
	watch(bed, &bed->other);
	thaw_guard_forget(bed->guard, bed->one.id);
	thaw_guard_forget(bed->guard, bed->one.id);
	assert_int_equal(thaw_guard_must_run(bed->guard, bed->one.id), -ENOENT);
	assert_int_equal(cgroup_freeze(&bed->one.freezer, 10000, NULL), 0);
	assert_int_equal(cgroup_freeze(&bed->other.freezer, 10000, NULL), 0);
	while (sem_wait(&bed->thawed) < 0)
		;
	assert_true(cgroup_frozen(&bed->one.freezer));
}

/* A process id that has become another's must not have a stranger thawed. */
static void test_stranger(void **state)
{
	struct bed *bed = bed_of(state);

	assert_int_equal(thaw_guard_watch(bed->guard, bed->one.id, bed->other.pid, NULL), -ENOENT);
	assert_int_equal(thaw_guard_watch(bed->guard, "", bed->other.pid, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_thaws, setup, teardown),
		cmocka_unit_test_setup_teardown(test_may_freeze, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_frozen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
