/* SPDX-License-Identifier: Apache-2.0 */

/* No name leads out of the directory it is used in (R16). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/files/beneath.h"
#include "es/files/layer_node.h"

static char base[64];
static int root = -1;

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static int begin(void **state)
{
	(void)state;
	strcpy(base, "/tmp/baton-beneath-XXXXXX");
	if (!mkdtemp(base) || chdir(base) < 0)
		return -1;
	shell("mkdir -p root/dir/deep outside && echo secret >outside/file && echo x "
	      ">root/dir/file &&"
	      "ln -s ../outside root/out && ln -s /etc root/abs && ln -s dir root/inside &&"
	      "ln -s ../outside/file root/link");
	root = open("root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -1 : 0;
}

static int finish(void **state)
{
	(void)state;
	close(root);
	return chdir("/") == 0 ? layer_path_remove(base, NULL) : -1;
}

static void test_paths(void **state)
{
	static const struct {
		const char *path;
		int result;
	} cases[] = {
		{ "..", -EXDEV },
		{ "../outside/file", -EXDEV },
		{ "dir/../../outside/file", -EXDEV },
		{ "/etc/passwd", -EXDEV },
		{ "out/file", -ELOOP },
		{ "abs/passwd", -ELOOP },
		{ "inside/file", -ELOOP }, /* also what would stay inside */
		{ "link", -ELOOP },
		{ "dir/none", -ENOENT },
		{ "dir/file/x", -ENOTDIR },
	};
	char last[NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (beneath_open(root, cases[i].path, O_RDONLY) != cases[i].result)
			fail_msg("%s", cases[i].path);
	auto_close int fd = beneath_open(root, "dir/file", O_RDONLY);
	assert_true(fd >= 0);
	auto_close int parent = beneath_parent(root, "dir/deep///", last);
	assert_true(parent >= 0);
	assert_string_equal(last, "deep");
	auto_close int top = beneath_parent(root, "dir", last);
	assert_true(top >= 0);
	assert_string_equal(last, "dir");
	assert_int_equal(beneath_parent(root, "out/file", last), -ELOOP);
	assert_int_equal(beneath_parent(root, "../outside/file", last), -EXDEV);
	assert_int_equal(beneath_parent(root, "dir/..", last), -EINVAL);
	assert_int_equal(beneath_parent(root, "", last), -EINVAL);
	assert_int_equal(beneath_parent(root, "/", last), -EINVAL);
}

/* Calls that take a name take one part, and never what a link points to. */
static void test_names(void **state)
{
	static const char *const names[] = {
		"", "..", "dir/file", "/etc/passwd", "out/file", "./x"
	};
	const struct timespec times[2] = { { 0 } };
	char path[BENEATH_PATH_MAX];
	struct stat st;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *n = names[i];

		assert_int_equal(beneath_regular(root, n, O_RDONLY), -EINVAL);
		assert_int_equal(beneath_directory(root, n), -EINVAL);
		assert_int_equal(beneath_create(root, n), -EINVAL);
		assert_int_equal(beneath_own(root, n, O_RDONLY), -EINVAL);
		assert_int_equal(beneath_stat(root, n, &st), -EINVAL);
		assert_int_equal(beneath_readlink(root, n, path, sizeof(path)), -EINVAL);
		assert_int_equal(beneath_mkdir(root, n), -EINVAL);
		assert_int_equal(beneath_symlink("x", root, n), -EINVAL);
		assert_int_equal(beneath_mknod(root, n, S_IFREG | 0600, 0), -EINVAL);
		assert_int_equal(beneath_link(root, n, root, "new"), -EINVAL);
		assert_int_equal(beneath_link(root, "dir", root, n), -EINVAL);
		assert_int_equal(beneath_rename(root, n, root, "new"), -EINVAL);
		assert_int_equal(beneath_rename(root, "dir", root, n), -EINVAL);
		assert_int_equal(beneath_unlink(root, n, 0), -EINVAL);
		assert_int_equal(beneath_chown(root, n, 0, 0), -EINVAL);
		assert_int_equal(beneath_chmod(root, n, 0700), -EINVAL);
		assert_int_equal(beneath_times(root, n, times), -EINVAL);
		assert_int_equal(beneath_name(path, root, n), -EINVAL);
	}
	assert_int_equal(stat("outside/file", &st), 0);
	mode_t mode = st.st_mode;
	assert_int_equal(beneath_chmod(root, "link", 0777), -ELOOP);
	assert_int_equal(beneath_regular(root, "link", O_WRONLY), -EMEDIUMTYPE);
	assert_int_equal(beneath_directory(root, "out"), -ENOTDIR);
	assert_int_equal(beneath_times(root, "link", times), 0);
	assert_int_equal(beneath_link(root, "link", root, "again"), 0);
	assert_int_equal(beneath_stat(root, "again", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(layer_tree_remove(root, "out", &err), 0);
	assert_int_equal(stat("outside/file", &st), 0);
	assert_int_equal(st.st_mode, mode);
	assert_true(st.st_mtime > 1000);
}

/* A path as a container sees it stays in the container, and links on the way count for nothing. */
static void test_mounted(void **state)
{
	struct stat in;
	struct stat st;

	(void)state;
	assert_int_equal(fstat(root, &in), 0);
	auto_close int up = beneath_mounted(root, "/../../..");
	assert_true(up >= 0 && fstat(up, &st) == 0 && st.st_ino == in.st_ino);
	auto_close int file = beneath_mounted(root, "/dir/file");
	assert_true(file >= 0);
	assert_int_equal(beneath_mounted(root, "/etc/passwd"), -ENOENT);
	assert_int_equal(beneath_mounted(root, "/abs/passwd"), -ELOOP);
	assert_int_equal(beneath_mounted(root, "/out/file"), -ELOOP);
	assert_int_equal(beneath_mounted(root, "/link"), -ELOOP);
	auto_close int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int proc = beneath_mounted(slash, "/proc");
	assert_true(proc >= 0 && fstat(proc, &st) == 0);
	assert_true(fstat(slash, &in) == 0 && st.st_dev != in.st_dev);
}

static void test_kernel(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(beneath_check(&err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_paths, begin, finish),
		cmocka_unit_test_setup_teardown(test_mounted, begin, finish),
		cmocka_unit_test_setup_teardown(test_names, begin, finish),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
