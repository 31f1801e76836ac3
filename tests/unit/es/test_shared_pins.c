/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Shared pins: what a container mounts of a shared directory is what its path named, also after the path names
 * something else; a link in it is refused; other mounts stay as they are
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/shared_list.h"
#include "runtime/shared_pins.h"

struct place {
	char dir[64];
	char staged[96];
	char shared[96];
	char victim[96];
	const char *shares[2];
};

static void write_text(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	auto_fclose FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static void assert_text(const char *dir, const char *name, const char *expected)
{
	char path[PATH_MAX];
	char text[64] = "";

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	auto_fclose FILE *f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	assert_string_equal(text, expected);
}

/* A mount namespace of our own, a shared directory with maps/where in it, and a directory that is nobody's. */
static int place_make(void **state)
{
	static struct place place;
	char maps[128];

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 0; /* the tests say SKIP */
	(void)strcpy(place.dir, "/tmp/baton-pins-XXXXXX");
	assert_non_null(mkdtemp(place.dir));
	assert_return_code(mount("baton-pins", place.dir, "tmpfs", 0, NULL), errno);
	(void)snprintf(place.staged, sizeof(place.staged), "%s/staged", place.dir);
	(void)snprintf(place.shared, sizeof(place.shared), "%s/shared-dir", place.dir);
	(void)snprintf(place.victim, sizeof(place.victim), "%s/victim", place.dir);
	(void)snprintf(maps, sizeof(maps), "%s/maps", place.shared);
	assert_return_code(mkdir(place.staged, 0700), errno);
	assert_return_code(mkdir(place.shared, 0755), errno);
	assert_return_code(mkdir(place.victim, 0700), errno);
	assert_return_code(mkdir(maps, 0755), errno);
	write_text(maps, "where", "maps");
	write_text(place.victim, "where", "victim");
	place.shares[0] = place.shared;
	assert_int_equal(shared_list_write(place.staged, place.shares, NULL), 0);
	*state = &place;
	return 0;
}

static int place_remove(void **state)
{
	const struct place *place = *state;

	if (place) {
		assert_return_code(umount2(place->dir, MNT_DETACH), errno);
		assert_return_code(rmdir(place->dir), errno);
	}
	return 0;
}

static struct place *need(void **state)
{
	if (!*state) {
		print_message("SKIP: needs root and a mount namespace\n");
		skip();
	}
	return *state;
}

/* A configuration that mounts proc, a directory that is not shared, and "shared-dir/NAME". */
static json_t *config_of(const struct place *place, const char *name)
{
	char source[PATH_MAX];

	(void)snprintf(source, sizeof(source), "%s/%s", place->shared, name);
	json_t *config = json_pack("{s:[{s:s, s:s}, {s:s, s:[s]}, {s:s, s:[s, s]}]}", "mounts",
				   "type", "proc", "source", "proc", "source", place->victim,
				   "options", "rbind", "source", source, "options", "rbind", "ro");
	assert_non_null(config);
	return config;
}

static const char *source_of(const json_t *config, size_t mount)
{
	return json_string_value(json_object_get(
		json_array_get(json_object_get(config, "mounts"), mount), "source"));
}

static unsigned pins_there(const struct place *place)
{
	char pins[128];
	struct stat st;

	(void)snprintf(pins, sizeof(pins), "%s/pins/%d-0", place->dir, (int)getpid());
	return lstat(pins, &st) == 0;
}

static void test_the_name_is_exchanged(void **state)
{
	const struct place *place = need(state);
	char maps[PATH_MAX];
	char other[PATH_MAX];
	struct shared_pins pins;
	json_t *config = config_of(place, "maps");

	(void)snprintf(maps, sizeof(maps), "%s/maps", place->shared);
	(void)snprintf(other, sizeof(other), "%s/other", place->shared);
	assert_int_equal(shared_pins_begin(&pins, place->staged), 0);
	assert_int_equal(shared_pins_config(&pins, config), 0);
	assert_int_equal(pins.count, 1);
	assert_string_equal(source_of(config, 0), "proc");
	assert_string_equal(source_of(config, 1), place->victim);
	assert_string_not_equal(source_of(config, 2), maps);

	/* Whoever can write there puts a link in its place. The engine would follow it. */
	assert_return_code(rename(maps, other), errno);
	assert_return_code(symlink(place->victim, maps), errno);
	assert_text(maps, "where", "victim");
	assert_text(source_of(config, 2), "where", "maps");
	json_decref(config);
	shared_pins_end(&pins);
	assert_false(pins_there(place));
	assert_text(other, "where", "maps");

	/* A link is refused, at the end of a path and within it. */
	for (int i = 0; i < 2; i++) {
		config = config_of(place, i ? "maps/where" : "maps");
		assert_int_equal(shared_pins_begin(&pins, place->staged), 0);
		assert_int_equal(shared_pins_config(&pins, config), -ELOOP);
		assert_memory_equal(pins.failed, maps, strlen(maps));
		shared_pins_end(&pins);
		json_decref(config);
	}
	assert_return_code(unlink(maps), errno);
	assert_return_code(rename(other, maps), errno);
}

/* Where systemd runs, mounts are shared: pins that go must not take the host's own mounts with them. */
static void test_mounts_below(void **state)
{
	const struct place *place = need(state);
	char below[PATH_MAX];
	struct shared_pins pins;
	json_t *config = config_of(place, "maps");

	(void)snprintf(below, sizeof(below), "%s/maps/below", place->shared);
	assert_return_code(mkdir(below, 0755), errno);
	assert_return_code(mount(NULL, place->dir, NULL, MS_REC | MS_SHARED, NULL), errno);
	assert_return_code(mount("baton-below", below, "tmpfs", 0, NULL), errno);
	write_text(below, "where", "below");
	assert_int_equal(shared_pins_begin(&pins, place->staged), 0);
	assert_int_equal(shared_pins_config(&pins, config), 0);
	(void)snprintf(below, sizeof(below), "%s/below", source_of(config, 2));
	assert_text(below, "where", "below");
	shared_pins_end(&pins);
	assert_false(pins_there(place));
	(void)snprintf(below, sizeof(below), "%s/maps/below", place->shared);
	assert_text(below, "where", "below");
	assert_return_code(umount(below), errno);
	assert_return_code(rmdir(below), errno);
	json_decref(config);
}

static void test_a_file(void **state)
{
	const struct place *place = need(state);
	struct shared_pins pins;
	char text[8] = "";
	json_t *config = config_of(place, "maps/where");

	assert_int_equal(shared_pins_begin(&pins, place->staged), 0);
	assert_int_equal(shared_pins_config(&pins, config), 0);
	FILE *f = fopen(source_of(config, 2), "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	assert_string_equal(text, "maps");
	(void)fclose(f);
	shared_pins_end(&pins);
	assert_false(pins_there(place));
	json_decref(config);
}

/* What was killed between pin and end leaves its pins to the next one; what is mounted there stays whole. */
static void test_left_behind(void **state)
{
	const struct place *place = need(state);
	char left[PATH_MAX];
	char maps[PATH_MAX];
	struct shared_pins pins;
	struct stat st;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		json_t *config = config_of(place, "maps");

		_exit(shared_pins_begin(&pins, place->staged) || shared_pins_config(&pins, config));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	(void)snprintf(left, sizeof(left), "%s/pins/%d-0", place->dir, (int)child);
	assert_text(left, "where", "maps");
	assert_int_equal(shared_pins_begin(&pins, place->staged), 0);
	assert_int_equal(lstat(left, &st), -1);
	(void)snprintf(maps, sizeof(maps), "%s/maps", place->shared);
	assert_text(maps, "where", "maps");
	shared_pins_end(&pins);
}

static void test_list(void **state)
{
	const struct place *place = need(state);
	const char *const bad[] = { "/srv/a\nb", NULL };
	char long_name[SHARED_LIST_MAX / 2];
	const char *const many[] = { long_name, long_name, long_name, NULL };
	char path[PATH_MAX];
	struct err err = { 0 };
	char *list = NULL;

	assert_int_equal(shared_list_read(&list, place->staged), 0);
	assert_true(shared_list_has(list, place->shared));
	assert_false(shared_list_has(list, place->victim));
	free(list);
	assert_true(shared_list_has("/a\n/srv/maps\n", "/srv/maps/eu"));
	assert_false(shared_list_has("/a\n/srv/maps\n", "/srv/maps-2"));
	assert_false(shared_list_has(NULL, "/srv"));

	assert_int_equal(shared_list_write(place->staged, bad, &err), -EINVAL);
	memset(long_name, 'a', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	assert_int_equal(shared_list_write(place->staged, many, &err), -ENOBUFS);

	/* Somebody else might have written it. */
	(void)snprintf(path, sizeof(path), "%s/shared", place->dir);
	assert_return_code(chmod(path, 0622), errno);
	assert_int_equal(shared_list_read(&list, place->staged), -EPERM);
	assert_return_code(unlink(path), errno);
	assert_int_equal(shared_list_read(&list, place->staged), 0);
	assert_null(list);
	assert_int_equal(shared_list_write(place->staged, place->shares, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_name_is_exchanged),
		cmocka_unit_test(test_mounts_below),
		cmocka_unit_test(test_a_file),
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, place_make, place_remove);
}
