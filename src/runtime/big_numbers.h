/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Big numbers - lead JSON numbers that the library cannot hold past it, unchanged
 *
 * An engine writes an unlimited ulimit as 18446744073709551615, all 64 bits set. jansson holds 63 of them and
 * refuses the whole text. So long integers are hidden in strings before the text is read, and shown again in
 * the text that is written.
 */

#include <stddef.h>

#define BIG_NUMBERS_MARK 24 /* bytes of a mark, with its end */

/**
 * big_numbers_mark() - Make a mark that identifies hidden numbers
 * @mark:	Set to it: a text written before contains it with a chance of 1 in 2^64 only
 *
 * Return: 0, or negative error code of getrandom(2)
 */
int big_numbers_mark(char mark[BIG_NUMBERS_MARK]);

/**
 * big_numbers_hide() - Make strings of the integers with more digits than the library surely holds
 * @text:	JSON, of the engine
 * @len:	Its bytes
 * @mark:	From big_numbers_mark()
 *
 * Return: the new text, which ends with a NUL, to be freed; NULL without memory
 */
char *big_numbers_hide(const char *text, size_t len, const char *mark);

/**
 * big_numbers_show() - Make numbers of the strings again, in place
 * @text:	Output of the library; strings of it need not be those that were hidden
 * @mark:	The same
 */
void big_numbers_show(char *text, const char *mark);
