/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

static bool name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool name_valid(const char *name)
{
	size_t len = strnlen(name, NAME_SIZE);

	if (len == 0 || len == NAME_SIZE || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!name_character(name[i]))
			return false;
	}
	return true;
}

int name_set(char to[NAME_SIZE], const char *from, struct err *err)
{
	if (!name_valid(from))
		return err_set(err, -EINVAL,
			       "name \"%.80s\": want 1 to 63 of A-Z a-z 0-9 . _ -, "
			       "no dot or dash first",
			       from);
	memset(to, 0, NAME_SIZE);
	memcpy(to, from, strlen(from));
	return 0;
}

bool name_equal(const char *a, const char *b)
{
	return strncmp(a, b, NAME_SIZE) == 0;
}

void text_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~') /* also above 127, with a sign or without */
			*text = '?';
}

void hex_encode(char *to, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		to[2 * i] = digits[b[i] >> 4];
		to[2 * i + 1] = digits[b[i] & 15];
	}
	to[2 * len] = '\0';
}

int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -EINVAL;
}

int hex_decode(void *to, size_t len, const char *from)
{
	uint8_t *b = to;

	if (strnlen(from, 2 * len + 1) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(from[2 * i]);
		int low = hex_digit(from[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		b[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
