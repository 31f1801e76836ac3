/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scratch - memory for one message, which is taken back as a whole
 *
 * struct wire_scratch and its end are in wire/codec.h, for those who decode; this is for the codec itself.
 */

#include <stddef.h>

struct wire_scratch;

/** wire_scratch_alloc() - Bytes that live until the next reset. Return: NULL at the limit */
void *wire_scratch_alloc(struct wire_scratch *s, size_t size);

/** wire_scratch_reset() - Take all bytes back; a small block is kept for the next time */
void wire_scratch_reset(struct wire_scratch *s);
