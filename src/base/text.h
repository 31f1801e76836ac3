/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Text helpers - bounded copies of names, hexadecimal
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define NAME_SIZE 64 /* bytes of a name field, the closing NUL included */

/**
 * name_set() - Copy a name into a fixed field
 * @to:		Field of NAME_SIZE bytes; changed only if the name is acceptable
 * @from:	NUL-terminated name
 * @err:	Filled in on failure
 *
 * A name is 1 to 63 of the characters A-Z a-z 0-9 . _ - and does not begin with a dot or a dash, so
 * it can be used unchanged in file names, container names and certificate subjects.
 *
 * Return: 0, or -EINVAL
 */
int name_set(char to[NAME_SIZE], const char *from, struct err *err);

/** name_valid() - Whether name_set() would take @name */
bool name_valid(const char *name);

/** name_equal() - Whether two name fields hold the same name */
bool name_equal(const char *a, const char *b);

/**
 * text_printable() - Put '?' for each byte that is not printable ASCII
 * @text:	Changed in place
 *
 * For texts of foreign origin, such as the name of a process in a container. A terminal would obey an
 * escape sequence, a line break would forge a line of our log, and JSON allows only UTF-8.
 */
void text_printable(char *text);

/** hex_encode() - Write 2 * @len lower-case digits and a NUL to @to */
void hex_encode(char *to, const void *bytes, size_t len);

/** hex_digit() - Value of a hexadecimal digit, in large or small letters. Return: -EINVAL if it is none */
int hex_digit(char c);

/**
 * hex_decode() - Read exactly 2 * @len hexadecimal digits
 *
 * Return: 0, or -EINVAL if @from is shorter, longer or has another character
 */
int hex_decode(void *to, size_t len, const char *from);
