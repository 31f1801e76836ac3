/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/exec_answer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 20 /* digits of 64 bits, with a sign */

/* the rest of the answer */
struct rest {
	const char *at;
	size_t len;
};

static bool skip(struct rest *r, size_t len)
{
	if (len > r->len)
		return false;
	r->at += len;
	r->len -= len;
	return true;
}

/* The line of a value: its kind, and the number in it. Return: false if there is none */
static bool take_line(struct rest *r, char *kind, long long *number)
{
	const char *end = r->len ? memchr(r->at, '\n', r->len) : NULL;
	char text[NUMBER_MAX + 1] = "";

	if (!end || end - r->at < 2)
		return false;
	size_t len = (size_t)(end - r->at);
	*kind = *r->at;
	if (len - 2 <= NUMBER_MAX)
		memcpy(text, r->at + 1, len - 2); /* without CR */
	*number = strtoll(text, NULL, 10);
	return skip(r, len + 1);
}

/* Kinds of values of RESP2 and RESP3: those with a length in bytes, and those that contain other values */
static bool of_bytes(char kind)
{
	return kind == '$' || kind == '=' || kind == '!';
}

static bool of_values(char kind)
{
	return kind == '*' || kind == '~' || kind == '%' || kind == '|' || kind == '>';
}

/* Attributes and pushes stand before a value and are none themselves */
static bool beside(char kind)
{
	return kind == '|' || kind == '>';
}

/* One value, with all that is in it and before it. Return: false if it is not whole */
static bool skip_value(struct rest *r)
{
	unsigned long long left = 1;
	long long number;
	char kind;

	while (left) {
		if (!take_line(r, &kind, &number))
			return false;
		if (of_bytes(kind) && number >= 0 && !skip(r, (size_t)number + 2))
			return false;
		left -= !beside(kind);
		if (of_values(kind) && number > 0) {
			if ((unsigned long long)number > r->len)
				return false; /* each has a byte at least */
			left += (unsigned long long)number * (kind == '%' || kind == '|' ? 2 : 1);
		}
	}
	return true;
}

/* Attributes and pushes before the next value. Return: false if one is not whole */
static bool skip_beside(struct rest *r)
{
	while (r->len && beside(*r->at)) {
		long long number;
		char kind;

		if (!take_line(r, &kind, &number) || number < 0 ||
		    (unsigned long long)number > r->len)
			return false;
		for (number *= kind == '|' ? 2 : 1; number; number--)
			if (!skip_value(r))
				return false;
	}
	return true;
}

bool exec_answer_is_error(const void *bytes, size_t len)
{
	struct rest r = { .at = bytes, .len = len };

	return !skip_beside(&r) || !r.len || *r.at == '-' || *r.at == '!';
}

enum exec_answer exec_answer_of(const void *bytes, size_t len, size_t at)
{
	struct rest r = { .at = bytes, .len = len };
	long long count;
	char kind;

	if (!skip_beside(&r) || !take_line(&r, &kind, &count) || kind != '*' || count < 0 ||
	    at >= (unsigned long long)count)
		return EXEC_ANSWER_FAILED;
	for (; at; at--) {
		if (!skip_value(&r))
			return EXEC_ANSWER_BEYOND;
	}
	if (!skip_beside(&r) || !r.len)
		return EXEC_ANSWER_BEYOND;
	return *r.at == '-' || *r.at == '!' ? EXEC_ANSWER_FAILED : EXEC_ANSWER_SUCCEEDED;
}
