/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/scratch.h"

#include <stdalign.h>
#include <stdlib.h>

#include "wire/codec.h"

/*
 * Blocks that are used from front to back and never freed one by one. WIRE_SCRATCH_MAX bounds them all together:
 * protobuf-c allocates what a frame tells it to, so a small frame that claims a million fields must fail here
 * instead of filling the memory.
 */

#define BLOCK_SIZE 16384u

/* One piece of scratch memory */
struct wire_block {
	struct wire_block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) uint8_t bytes[];
};

void *wire_scratch_alloc(struct wire_scratch *s, size_t size)
{
	size_t want = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

	if (size > WIRE_SCRATCH_MAX)
		return NULL;
	if (!s->first || s->first->size - s->first->used < want) {
		size_t block_size = want > BLOCK_SIZE ? want : BLOCK_SIZE;

		if (s->used + block_size > WIRE_SCRATCH_MAX)
			return NULL;
		struct wire_block *block = malloc(sizeof(*block) + block_size);
		if (!block)
			return NULL;
		block->next = s->first;
		block->size = block_size;
		block->used = 0;
		s->first = block;
		s->used += block_size;
	}
	void *p = s->first->bytes + s->first->used;
	s->first->used += want;
	return p;
}

void wire_scratch_reset(struct wire_scratch *s)
{
	struct wire_block *kept = NULL;

	while (s->first) {
		struct wire_block *block = s->first;

		s->first = block->next;
		if (!kept && block->size == BLOCK_SIZE)
			kept = block;
		else
			free(block);
	}
	if (kept) {
		kept->next = NULL;
		kept->used = 0;
	}
	*s = (struct wire_scratch){ .first = kept, .used = kept ? BLOCK_SIZE : 0 };
}

void wire_scratch_deinit(struct wire_scratch *s)
{
	wire_scratch_reset(s);
	free(s->first);
	*s = (struct wire_scratch){ 0 };
}
