/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/big_numbers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/auto.h"
#include "base/buf.h"

#define DIGITS "0123456789"
#define SURE   18 /* digits; each number of as many has room in 63 bits */

int big_numbers_mark(char mark[BIG_NUMBERS_MARK])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return errno ? -errno : -EIO;
	(void)snprintf(mark, BIG_NUMBERS_MARK, "big-%016llx-", (unsigned long long)random);
	return 0;
}

/** string_len() - Length of a string with its quotation marks, or of the rest of the text */
static size_t string_len(const char *text, size_t len)
{
	size_t n = 1;

	while (n < len && text[n] != '"')
		n += text[n] == '\\' ? 2 : 1;
	return n < len ? n + 1 : len;
}

/** number_len() - Length of a number of any kind. @big: set to whether it is a long integer */
static size_t number_len(const char *text, size_t len, bool *big)
{
	size_t sign = text[0] == '-';
	size_t n = sign;

	while (n < len && strchr(DIGITS, text[n]) && text[n])
		n++;
	*big = n - sign > SURE;
	while (n < len && text[n] && strchr(DIGITS "+-.eE", text[n])) {
		*big = false;
		n++;
	}
	return n;
}

/** hidden_append() - Append a number as a string. Return: 0, or negative error code */
static int hidden_append(struct buf *to, const char *number, size_t len, const char *mark)
{
	int r = buf_append(to, "\"", 1, NULL);

	if (r == 0)
		r = buf_append(to, mark, strlen(mark), NULL);
	if (r == 0)
		r = buf_append(to, number, len, NULL);
	return r == 0 ? buf_append(to, "\"", 1, NULL) : r;
}

char *big_numbers_hide(const char *text, size_t len, const char *mark)
{
	struct buf to;
	char *hidden = NULL;
	int r = 0;

	buf_init(&to, 0);
	for (size_t at = 0, n; r == 0 && at < len; at += n) {
		bool big = false;

		n = 1;
		if (text[at] == '"')
			n = string_len(text + at, len - at);
		else if (text[at] && strchr("-" DIGITS, text[at]))
			n = number_len(text + at, len - at, &big);
		r = big ? hidden_append(&to, text + at, n, mark)
			: buf_append(&to, text + at, n, NULL);
	}
	if (r == 0)
		r = buf_append(&to, "", 1, NULL);
	if (r == 0)
		hidden = strdup((const char *)buf_bytes(&to));
	buf_deinit(&to);
	return hidden;
}

void big_numbers_show(char *text, const char *mark)
{
	size_t mark_len = strlen(mark);
	char *to = text;
	const char *from = text;

	while (*from) {
		if (*from == '"' && !strncmp(from + 1, mark, mark_len)) {
			const char *number = from + 1 + mark_len;
			size_t digits = strspn(number, "-" DIGITS);

			memmove(to, number, digits);
			to += digits;
			from = number + digits + (number[digits] == '"');
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}
