/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/state_follower.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define CHAIN CRYPTO_SHA256_SIZE

/* struct doubt - A request that may have been executed */
struct doubt {
	uint8_t *bytes;
	size_t len;
	uint32_t connection;
};

struct state_follower {
	struct crypto_sha256 *sha;
	uint8_t beginning[CHAIN];
	uint8_t chain[CHAIN];
	uint64_t executed;
	struct doubt doubt[STATE_FOLLOWER_DOUBTS_MAX];
	size_t doubts;
};

/* struct search - For the choice of requests in doubt that an answer shows */
struct search {
	struct state_follower *f;
	const struct state_follower_request *request;
	const uint8_t *wanted;
	unsigned int steps;
};

int state_follower_new(struct state_follower **ret, const uint8_t chain[CHAIN], struct err *err)
{
	int r;

	AUTO(state_follower) struct state_follower *f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(err, -ENOMEM, "state follower");
	r = crypto_sha256_new(&f->sha, err);
	if (r < 0)
		return r;
	memcpy(f->beginning, chain, CHAIN);
	memcpy(f->chain, chain, CHAIN);
	*ret = TAKE_PTR(f);
	return 0;
}

static void forget_doubts(struct state_follower *f)
{
	for (size_t i = 0; i < f->doubts; i++)
		free(f->doubt[i].bytes);
	f->doubts = 0;
}

struct state_follower *state_follower_free(struct state_follower *f)
{
	if (f) {
		forget_doubts(f);
		crypto_sha256_free(f->sha);
		free(f);
	}
	return NULL;
}

void state_follower_doubt(struct state_follower *f, const struct state_follower_request *request,
			  uint32_t connection)
{
	if (f->doubts == STATE_FOLLOWER_DOUBTS_MAX)
		return;
	uint8_t *copy = malloc(request->len ? request->len : 1);
	if (!copy)
		return; /* taken as not executed, as at the limit */
	if (request->len)
		memcpy(copy, request->bytes, request->len);
	f->doubt[f->doubts++] = (struct doubt){ copy, request->len, connection };
}

/* The chain after one more request. Return: false at the limit of the search */
static bool step(struct search *s, uint8_t to[CHAIN], const uint8_t from[CHAIN], const void *bytes,
		 size_t len)
{
	return s->steps++ < STATE_FOLLOWER_STEPS_MAX &&
	       crypto_sha256_update(s->f->sha, from, CHAIN) == 0 &&
	       crypto_sha256_update(s->f->sha, bytes, len) == 0 &&
	       crypto_sha256_final(s->f->sha, to) == 0;
}

/*
 * Whether @chain, @left of the requests in doubt from the one at @from on, and then the answered
 * request lead to the chain wanted; @from is the first one of a connection.
 */
static bool leads_there(struct search *s, const uint8_t chain[CHAIN], uint64_t left, size_t from)
{
	const struct doubt *d = &s->f->doubt[from];
	uint8_t at[CHAIN];
	size_t end = from;

	if (left == 0)
		return step(s, at, chain, s->request->bytes, s->request->len) &&
		       memcmp(at, s->wanted, CHAIN) == 0;
	if (left > s->f->doubts - from)
		return false;
	while (end < s->f->doubts && s->f->doubt[end].connection == d->connection)
		end++;
	memcpy(at, chain, CHAIN);
	for (size_t i = from; i < end && left; i++, left--) {
		if (leads_there(s, at, left, end))
			return true;
		if (!step(s, at, at, s->f->doubt[i].bytes, s->f->doubt[i].len))
			return false;
	}
	return leads_there(s, at, left, end);
}

static bool comes_of(struct state_follower *f, const struct state_follower_request *request,
		     const uint8_t from[CHAIN], uint64_t before, uint64_t executed,
		     const uint8_t wanted[CHAIN])
{
	struct search s = { .f = f, .request = request, .wanted = wanted };

	return executed > before && leads_there(&s, from, executed - before - 1, 0);
}

enum state_follower_e state_follower_answer(struct state_follower *f,
					    const struct state_follower_request *request,
					    uint64_t executed, const uint8_t chain[CHAIN])
{
	enum state_follower_e shows = STATE_FOLLOWER_OTHER;

	if (comes_of(f, request, f->chain, f->executed, executed, chain))
		shows = STATE_FOLLOWER_GOES_ON;
	else if (comes_of(f, request, f->beginning, 0, executed, chain))
		shows = STATE_FOLLOWER_RESTARTED;
	forget_doubts(f);
	memcpy(f->chain, chain, CHAIN);
	f->executed = executed;
	return shows;
}
