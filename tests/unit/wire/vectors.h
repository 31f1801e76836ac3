/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors - messages by name, whose encodings are in vectors.txt and never change
 *
 * The messages are written by hand, field by field, and know nothing of the table in wire/fields.c: they
 * are the second witness. Each type has one message with all its fields, each with a value of its own; and
 * there are those where something is at its limit, empty, or left out.
 */

#include <stdbool.h>
#include <stddef.h>

#include "wire/message.h"

/**
 * struct vector - A message with a name
 * @name:	its type, and its special case if it is one; unique
 * @lossy:	the receiver gets something else: a text that was cleaned, or a secret that is not sent
 * @message:	the message
 */
struct vector {
	const char *name;
	bool lossy;
	struct wire_message message;
};

/**
 * vectors() - All of them
 * @count:	Set to how many there are
 *
 * Return: an array that needs no release
 */
const struct vector *vectors(size_t *count);
