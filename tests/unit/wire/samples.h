/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Samples - messages of every type made from the table of fields, for round trips and the fuzzer's seeds
 */

#include <stdbool.h>
#include <stdint.h>

#include "wire/message.h"

/** enum sample_size - How full a sample is */
enum sample_size {
	SAMPLE_LEAST, /* numbers 0, names and lists empty, where that is allowed */
	SAMPLE_USUAL, /* each field has something, and numbers differ */
	SAMPLE_MOST,  /* numbers, texts and lists at their limits; of bytes there are few */
	SAMPLE_SIZES,
};

#define SAMPLE_TYPES 256 /* more than there are types */

/** sample_type() - Whether there are messages of type @type */
bool sample_type(uint32_t type);

/**
 * sample_of() - A sample
 * @type:	for which sample_type() is true
 * @size:	how full; those of SAMPLE_USUAL can all be encoded, others may break a rule about several fields
 *
 * Return: the message; what it points to is valid until the next call
 */
struct wire_message sample_of(enum wire_type type, enum sample_size size);

/** sample_message() - A sample of SAMPLE_USUAL. Return: as for sample_of() */
struct wire_message sample_message(enum wire_type type);
