/* SPDX-License-Identifier: Apache-2.0 */

/* What is set right in a checkpoint before it goes: images written here, as CRIU writes them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/criu/image.h"
#include "es/criu/mend.h"
#include "es/files/layer_node.h"
#include "criu_images.pb-c.h"

static char base[64];
static int images = -1;

static int begin(void **state)
{
	(void)state;
	strcpy(base, "/tmp/baton-mend-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	images = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return images < 0 ? -1 : 0;
}

static int finish(void **state)
{
	(void)state;
	close(images);
	return layer_path_remove(base, NULL);
}

/** entry_put() - Write an entry, with a field that we do not know (2: its number) in front */
static void entry_put(FILE *f, const Criu__File *file)
{
	uint8_t bytes[256] = { 2 << 3, 7 };
	uint32_t len = 2 + (uint32_t)criu__file__pack(file, bytes + 2);

	assert_int_equal(fwrite(&len, sizeof(len), 1, f), 1);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
}

static FILE *image_begin(void)
{
	const uint32_t magic[2] = { 0x54564319, 0x56303138 };
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/files.img", base);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(magic, sizeof(magic), 1, f), 1);
	return f;
}

static uint32_t ip(const char *text)
{
	struct in_addr a;

	assert_int_equal(inet_pton(AF_INET, text, &a), 1);
	return a.s_addr;
}

static void socket_put(FILE *f, uint32_t *words, size_t count)
{
	Criu__File file = CRIU__FILE__INIT;
	Criu__InetSocket s = CRIU__INET_SOCKET__INIT;

	s.source = words;
	s.n_source = count;
	file.inet = &s;
	entry_put(f, &file);
}

static void timer_put(FILE *f, uint64_t ticks, uint64_t value_ns, uint64_t interval_ns)
{
	Criu__File file = CRIU__FILE__INIT;
	Criu__Timer t = CRIU__TIMER__INIT;

	t.has_ticks = t.has_value_s = t.has_value_ns = t.has_interval_s = t.has_interval_ns = true;
	t.ticks = ticks;
	t.value_ns = value_ns;
	t.interval_ns = interval_ns;
	file.timer = &t;
	entry_put(f, &file);
}

/** next() - The next entry; its unknown field must still be there */
static Criu__File *next(struct criu_image *in)
{
	struct err err = { 0 };
	const uint8_t *bytes;
	size_t len;

	assert_int_equal(criu_image_next(in, &bytes, &len, &err), 1);
	Criu__File *file = criu__file__unpack(NULL, len, bytes);
	assert_non_null(file);
	assert_int_equal(file->base.n_unknown_fields, 1);
	assert_int_equal(file->base.unknown_fields[0].tag, 2);
	return file;
}

static void source_is(struct criu_image *in, const char *expected)
{
	Criu__File *file = next(in);

	assert_int_equal(file->inet->source[file->inet->n_source - 1], ip(expected));
	criu__file__free_unpacked(file, NULL);
}

static void timer_is(struct criu_image *in, uint64_t value_ns)
{
	Criu__File *file = next(in);

	assert_int_equal(file->timer->value_ns, value_ns);
	criu__file__free_unpacked(file, NULL);
}

/* Own addresses become any; timers that have gone off tick on; all else stays, to the byte. */
static void test_mend(void **state)
{
	const struct in_addr own[] = { { ip("10.1.1.1") }, { ip("172.17.0.2") } };
	uint32_t words[][4] = { { ip("172.17.0.2") },
				{ ip("127.0.0.1") },
				{ 0, 0, htonl(0xffff), ip("10.1.1.1") },
				{ 0, 0, htonl(1), ip("10.1.1.1") } };
	struct checkpoint_mended mended;
	struct criu_image in;
	struct err err = { 0 };
	FILE *f = image_begin();

	(void)state;
	socket_put(f, words[0], 1);
	socket_put(f, words[1], 1);
	socket_put(f, words[2], 4);
	socket_put(f, words[3], 4);
	timer_put(f, 3, 0, 10000000);
	timer_put(f, 3, 5, 10000000); /* it is set */
	timer_put(f, 0, 0, 10000000); /* it was switched off */
	timer_put(f, 1, 0, 0);        /* it went off once */
	assert_int_equal(fclose(f), 0);
	assert_int_equal(checkpoint_mend(images, own, 2, &mended, &err), 0);
	assert_int_equal(mended.sockets, 2);
	assert_int_equal(mended.timers, 1);
	assert_int_equal(criu_image_open(&in, images, "files.img", &err), 0);
	source_is(&in, "0.0.0.0");
	source_is(&in, "127.0.0.1");
	source_is(&in, "0.0.0.0");
	source_is(&in, "10.1.1.1");
	timer_is(&in, 10000000);
	timer_is(&in, 5);
	timer_is(&in, 0);
	timer_is(&in, 0);
	assert_int_equal(in.at, in.len);
	free(in.bytes);
	/* Nothing more is to be done, and nothing is left of it. */
	assert_int_equal(checkpoint_mend(images, own, 2, &mended, &err), 0);
	assert_int_equal(mended.sockets + mended.timers, 0);
	assert_int_equal(faccessat(images, "files.img.new", F_OK, 0), -1);
}

/* Nothing to mend is no failure, and an image that is cut off is one that names it. */
static void test_bad(void **state)
{
	const struct in_addr own = { ip("172.17.0.2") };
	struct checkpoint_mended mended;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(unlinkat(images, "files.img", 0), 0);
	assert_int_equal(checkpoint_mend(images, &own, 1, &mended, &err), 0);
	FILE *f = image_begin();
	assert_int_equal(fwrite("\xff\0\0\0x", 5, 1, f), 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(checkpoint_mend(images, &own, 1, &mended, &err), -EPROTO);
	assert_non_null(strstr(err.text, "files.img"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mend),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
