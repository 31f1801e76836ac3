/* SPDX-License-Identifier: Apache-2.0 */
#include "core/common/replay_buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/err.h"
#include "core/common/request.h"

/* a ring of @size slots that grows to @count_max; the copy of number n is at n - @floor - 1 */
struct replay_buffer {
	struct replay_copy *ring;
	size_t size;
	size_t first;
	size_t count;
	size_t bytes;
	uint32_t count_max;
	size_t bytes_max;
	uint64_t floor;
	bool started;
};

#define RING_START 64

int replay_buffer_new(struct replay_buffer **ret, uint32_t count_max, size_t bytes_max,
		      struct err *err)
{
	struct replay_buffer *rb = calloc(1, sizeof(*rb));

	if (!rb)
		return err_set(err, -ENOMEM, "create replay buffer");
	rb->count_max = count_max;
	rb->bytes_max = bytes_max;
	*ret = rb;
	return 0;
}

struct replay_buffer *replay_buffer_free(struct replay_buffer *rb)
{
	if (rb) {
		replay_buffer_drop_through(rb, UINT64_MAX);
		free(rb->ring);
		free(rb);
	}
	return NULL;
}

static struct replay_copy *copy_at(struct replay_buffer *rb, size_t i)
{
	return &rb->ring[(rb->first + i) % rb->size];
}

static int ring_grow(struct replay_buffer *rb, struct err *err)
{
	size_t size = rb->size ? rb->size * 2 : RING_START;
	struct replay_copy *ring = calloc(size, sizeof(*ring));

	if (!ring)
		return err_set(err, -ENOMEM, "grow replay buffer to %zu copies", size);
	for (size_t i = 0; i < rb->count; i++)
		ring[i] = *copy_at(rb, i);
	free(rb->ring);
	rb->ring = ring;
	rb->size = size;
	rb->first = 0;
	return 0;
}

int replay_buffer_push(struct replay_buffer *rb, const struct wire_data *d, struct err *err)
{
	uint64_t highest = replay_buffer_highest(rb);
	int r;

	if (rb->started && d->number <= highest)
		return REPLAY_BUFFER_E_STALE;
	if (rb->started && d->number != highest + 1)
		return REPLAY_BUFFER_E_GAP;
	if (rb->count >= rb->count_max || rb->bytes + d->len > rb->bytes_max)
		return REPLAY_BUFFER_E_FULL;
	if (rb->count == rb->size) {
		r = ring_grow(rb, err);
		if (r < 0)
			return r;
	}
	struct request *request = request_keep(d);
	if (!request)
		return err_set(err, -ENOMEM, "keep a request of %zu bytes", d->len);
	if (!rb->started) {
		rb->started = true;
		rb->floor = d->number - 1;
	}
	*copy_at(rb, rb->count++) = (struct replay_copy){ .request = request, .ack = d->ack };
	rb->bytes += d->len;
	return 0;
}

struct replay_copy *replay_buffer_find(struct replay_buffer *rb, uint64_t number)
{
	if (number <= rb->floor || number - rb->floor > rb->count)
		return NULL;
	return copy_at(rb, (size_t)(number - rb->floor - 1));
}

int replay_buffer_withhold(struct replay_buffer *rb, struct replay_copy *copy,
			   const struct wire_data *answer, struct err *err)
{
	replay_buffer_release(rb, copy);
	if (rb->bytes + answer->len > rb->bytes_max)
		return REPLAY_BUFFER_E_FULL;
	uint8_t *bytes = malloc(answer->len ? answer->len : 1);
	if (!bytes)
		return err_set(err, -ENOMEM, "withhold an answer of %zu bytes", answer->len);
	if (answer->len)
		memcpy(bytes, answer->bytes, answer->len);
	copy->answer = bytes;
	copy->answer_len = answer->len;
	copy->answer_status = answer->status;
	copy->answer_digest = answer->digest;
	rb->bytes += answer->len;
	return 0;
}

void replay_buffer_release(struct replay_buffer *rb, struct replay_copy *copy)
{
	if (!copy->answer)
		return;
	rb->bytes -= copy->answer_len;
	free(copy->answer);
	copy->answer = NULL;
	copy->answer_len = 0;
}

void replay_buffer_drop_through(struct replay_buffer *rb, uint64_t number)
{
	while (rb->count && rb->floor < number) {
		struct replay_copy *c = copy_at(rb, 0);

		replay_buffer_release(rb, c);
		rb->bytes -= c->request->len;
		request_free(c->request);
		rb->first = (rb->first + 1) % rb->size;
		rb->count--;
		rb->floor++;
	}
	/* nothing held: numbers up to @number will not be wanted when they come */
	if (number != UINT64_MAX && rb->floor < number) {
		rb->floor = number;
		rb->started = true;
	}
}

uint64_t replay_buffer_floor(const struct replay_buffer *rb)
{
	return rb->floor;
}

uint64_t replay_buffer_highest(const struct replay_buffer *rb)
{
	return rb->floor + rb->count;
}

bool replay_buffer_started(const struct replay_buffer *rb)
{
	return rb->started;
}

bool replay_buffer_half_full(const struct replay_buffer *rb)
{
	return rb->count >= rb->count_max / 2 || rb->bytes >= rb->bytes_max / 2;
}

size_t replay_buffer_bytes(const struct replay_buffer *rb)
{
	return rb->bytes;
}

uint64_t replay_digest(const struct wire_data *answer)
{
	uint8_t status = (uint8_t)answer->status;
	uint64_t h = digest_add(DIGEST_START, &status, 1);

	h = digest_add(h, answer->bytes, answer->len) ^ ((uint64_t)answer->len << 32);
	return h ? h : 1;
}
