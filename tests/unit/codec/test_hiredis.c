/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Codec resp against hiredis, the C client of Redis
 *
 * Answers are made by chance, always the same ones. Sound ones must end at the same byte for both;
 * of damaged ones, whatever the codec takes must end there for hiredis, too.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

#define ROUNDS    50000
#define DEPTH     6 /* hiredis ends at 7 */
#define BYTES_MAX 8192

struct text {
	char bytes[BYTES_MAX];
	size_t len;
};

static uint64_t chance = 88172645463325252u;

/* xorshift: the same numbers everywhere. Return: 0 to @n - 1 */
static unsigned int below(unsigned int n)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (unsigned int)(chance % n);
}

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(t->bytes + t->len, BYTES_MAX - t->len, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && t->len + (size_t)n < BYTES_MAX);
	t->len += (size_t)n;
}

static void add_value(struct text *t, unsigned int depth)
{
	static const char *const simple[] = { "OK", "", "a b", "PONG", "QUEUED" };
	unsigned int n = below(4);

	switch (below(depth && t->len < BYTES_MAX / 4 ? 9 : 6)) {
	case 0:
		add(t, "+%s\r\n", simple[below(5)]);
		break;
	case 1:
		add(t, "-ERR %u\r\n", n);
		break;
	case 2:
		add(t, ":%s%u\r\n", n && below(2) ? "-" : "", n * below(1000) + n);
		break;
	case 3:
		add(t, "$-1\r\n");
		break;
	case 4:
		add(t, "*%s\r\n", below(2) ? "-1" : "0");
		break;
	case 5:
		n = below(20);
		add(t, "$%u\r\n", n);
		for (unsigned int i = 0; i < n; i++)
			add(t, "%c", "\r\n$*ab1"[below(7)]);
		add(t, "\r\n");
		break;
	default:
		add(t, "*%u\r\n", n + 1);
		for (unsigned int i = 0; i <= n; i++)
			add_value(t, depth - 1);
		break;
	}
}

static void damage(struct text *t)
{
	for (unsigned int i = 0; i <= below(2) && t->len > 2; i++) {
		size_t at = below((unsigned int)t->len);

		if (below(3) == 0) {
			memmove(t->bytes + at, t->bytes + at + 1, t->len - at - 1);
			t->len--;
		} else {
			t->bytes[at] = "\r\n+-:$*0123456789a"[below(18)];
		}
	}
}

#define STRICTER                                                                                   \
	SIZE_MAX /* since 1.1 it takes no CR or LF in a simple string; the codec does, as servers may */

/* Where hiredis sees the end of @count answers. Return: 0 if they are not whole, or none; or STRICTER */
static size_t by_hiredis(const struct text *t, unsigned int count)
{
	redisReader *reader = redisReaderCreate();
	size_t end = 0;
	unsigned int got = 0;

	assert_non_null(reader);
	assert_int_equal(redisReaderFeed(reader, t->bytes, t->len), REDIS_OK);
	for (; got < count; got++) {
		void *reply = NULL;

		if (redisReaderGetReply(reader, &reply) != REDIS_OK || !reply) {
			if (strstr(reader->errstr, "Bad simple string"))
				end = STRICTER;
			break;
		}
		freeReplyObject(reply);
	}
	if (got == count)
		end = t->len - (reader->len - reader->pos);
	redisReaderFree(reader);
	return end;
}

static enum codec_result by_codec(const struct text *t, unsigned int count, size_t *end)
{
	struct codec_exchange *made = NULL;

	assert_int_equal(codec_exchange_new(&made, &codec_resp, NULL, NULL), 0);
	AUTO(codec_exchange) struct codec_exchange *x = made;
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(codec_request(x, "PING\r\n", 6), CODEC_DONE);
	enum codec_result r = codec_answer(x, t->bytes, t->len);
	*end = x->end;
	return r;
}

static void test_sound(void **state)
{
	static struct text t;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		unsigned int count = 1 + below(3);
		size_t end = 0;

		t.len = 0;
		for (unsigned int k = 0; k < count; k++)
			add_value(&t, DEPTH);
		size_t whole = t.len;
		if (below(2))
			add(&t, "+more");
		assert_int_equal(by_codec(&t, count, &end), CODEC_DONE);
		assert_int_equal(end, whole);
		assert_int_equal(by_hiredis(&t, count), whole);
		t.len = 1 + below((unsigned int)whole - 1);
		assert_int_equal(by_codec(&t, count, &end), CODEC_MORE);
		assert_int_equal(by_hiredis(&t, count), 0);
	}
}

static void test_damaged(void **state)
{
	static struct text t;
	int taken = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		unsigned int count = 1 + below(3);
		size_t end = 0;

		t.len = 0;
		for (unsigned int k = 0; k < count; k++)
			add_value(&t, DEPTH);
		damage(&t);
		enum codec_result r = by_codec(&t, count, &end);
		size_t theirs = by_hiredis(&t, count);

		if (theirs == STRICTER)
			continue;
		if (r == CODEC_DONE)
			assert_int_equal(theirs, end);
		if (r == CODEC_MORE) /* it may see an error that comes after the end for us */
			assert_int_equal(theirs, 0);
		taken += r == CODEC_DONE;
	}
	assert_true(taken > ROUNDS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
