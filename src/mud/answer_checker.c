/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/answer_checker.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "mud/state_follower.h"
#include "net/crypto.h"

#define CHAIN CRYPTO_SHA256_SIZE

/* struct slot - Request n, in slot n % WIRE_WINDOW: at most WIRE_WINDOW are unanswered */
struct slot {
	uint8_t chain[CHAIN]; /* after this request */
	bool answered;
	uint8_t *bytes; /* the request, if there may be gaps, until its outcome is here */
	size_t len;
	struct answer_verdict verdict;
};

struct answer_checker {
	struct crypto_sha256 *sha;
	uint8_t chain[CHAIN];            /* after the last request sent */
	struct state_follower *follower; /* NULL: no gaps */
	struct slot slot[WIRE_WINDOW];
	uint64_t judged;   /* answers up to this number are in the totals */
	uint64_t highest;  /* number of an answer that is here */
	uint64_t executed; /* executions that the judged answers account for */
	uint64_t holes;    /* of these, executions that no answer has claimed */
	uint64_t unknown;  /* requests since the last answer, executed or not */
	struct answer_totals totals;
};

int answer_checker_new(struct answer_checker **ret, const char *seed, bool gaps, struct err *err)
{
	int r;

	AUTO(answer_checker) struct answer_checker *ac = calloc(1, sizeof(*ac));
	if (!ac)
		return err_set(err, -ENOMEM, "answer checker");
	r = crypto_sha256_new(&ac->sha, err);
	if (r < 0)
		return r;
	if (crypto_sha256_update(ac->sha, seed, strlen(seed)) < 0 ||
	    crypto_sha256_final(ac->sha, ac->chain) < 0)
		return err_set(err, -EIO, "answer checker: digest");
	r = gaps ? state_follower_new(&ac->follower, ac->chain, err) : 0;
	if (r < 0)
		return r;
	ac->totals.chain_ok = true;
	ac->totals.state_ok = true;
	*ret = TAKE_PTR(ac);
	return 0;
}

struct answer_checker *answer_checker_free(struct answer_checker *ac)
{
	if (ac) {
		for (size_t i = 0; i < WIRE_WINDOW; i++)
			free(ac->slot[i].bytes);
		state_follower_free(ac->follower);
		crypto_sha256_free(ac->sha);
		free(ac);
	}
	return NULL;
}

/* Keeps a request until its answer can be judged */
static int keep_request(struct slot *s, const void *bytes, size_t len, struct err *err)
{
	s->bytes = malloc(len ? len : 1);
	if (!s->bytes)
		return err_set(err, -ENOMEM, "keep a request of %zu bytes", len);
	if (len)
		memcpy(s->bytes, bytes, len);
	s->len = len;
	return 0;
}

int answer_checker_request(struct answer_checker *ac, uint64_t number, const void *bytes,
			   size_t len, struct err *err)
{
	struct slot *s = &ac->slot[number % WIRE_WINDOW];

	if (number != ac->totals.requests + 1 || number - ac->judged > WIRE_WINDOW)
		return err_set(err, -EINVAL, "request %llu is not the next one",
			       (unsigned long long)number);
	if (crypto_sha256_update(ac->sha, ac->chain, CHAIN) < 0 ||
	    crypto_sha256_update(ac->sha, bytes, len) < 0 ||
	    crypto_sha256_final(ac->sha, ac->chain) < 0)
		return err_set(err, -EIO, "chain of request %llu", (unsigned long long)number);
	free(s->bytes);
	*s = (struct slot){ 0 };
	memcpy(s->chain, ac->chain, CHAIN);
	ac->totals.requests = number;
	return ac->follower ? keep_request(s, bytes, len, err) : 0;
}

/* Judges whether the state in an answer is possible, and whether the service has begun anew before it */
static void follow(struct answer_checker *ac, const struct slot *s, const uint8_t *theirs,
		   struct answer_verdict *v)
{
	const struct state_follower_request request = { s->bytes, s->len };
	enum state_follower_e shows =
		state_follower_answer(ac->follower, &request, v->executed, theirs);

	v->chain_ok = shows == STATE_FOLLOWER_GOES_ON;
	v->restarted = shows == STATE_FOLLOWER_RESTARTED;
}

/* Fields of the JSON of an answer; one that is missing or of another type makes the answer invalid */
static void read_answer(struct answer_checker *ac, const struct wire_data *a, const struct slot *s,
			struct answer_verdict *v)
{
	uint8_t theirs[CHAIN];

	json_t *json = json_loadb((const char *)a->bytes, a->len, 0, NULL);
	const char *chain_text = json_string_value(json_object_get(json, "chain"));
	const json_t *executed = json_object_get(json, "executed");
	const json_t *seq = json_object_get(json, "seq");
	const json_t *log_agrees = json_object_get(json, "log_agrees");

	if (json_integer_value(executed) > 0)
		v->executed = (uint64_t)json_integer_value(executed);
	v->valid = json_is_integer(seq) && (uint64_t)json_integer_value(seq) == a->number &&
		   v->executed && chain_text;
	if (chain_text && hex_decode(theirs, CHAIN, chain_text) == 0) {
		v->chain_ok = memcmp(theirs, s->chain, CHAIN) == 0;
		if (ac->follower && v->valid)
			follow(ac, s, theirs, v);
	}
	v->state_ok = !log_agrees || json_is_true(log_agrees);
	json_decref(json);
}

/* Judges the next answer in the order of numbers, see the head of answer_checker.h */
static void judge(struct answer_checker *ac, const struct answer_verdict *v)
{
	struct answer_totals *t = &ac->totals;
	uint64_t expected = ac->executed + 1;

	if (!v->state_ok)
		t->state_ok = false;
	if (v->status != WIRE_OK) {
		t->lost++;
		ac->unknown++;
		return;
	}
	if (!v->chain_ok)
		t->chain_ok = false;
	if (!v->valid || (ac->follower && !v->chain_ok && !v->restarted)) {
		t->wrong++;
		return;
	}
	if (ac->follower) {
		t->restarted += v->restarted;
		return;
	}
	if (v->executed >= expected) {
		uint64_t more = v->executed - expected;

		ac->holes += more - (more < ac->unknown ? more : ac->unknown);
		ac->executed = v->executed;
	} else if (ac->holes) { /* this one belongs where an execution too many was seen */
		t->reordered++;
		ac->holes--;
	} else { /* an execution that was answered is gone */
		t->lost++;
		ac->executed = v->executed;
	}
	ac->unknown = 0;
	t->duplicated = ac->holes;
}

static void judge_all(struct answer_checker *ac)
{
	while (ac->judged < ac->totals.requests) {
		const struct slot *s = &ac->slot[(ac->judged + 1) % WIRE_WINDOW];

		if (!s->answered)
			return;
		judge(ac, &s->verdict);
		ac->judged++;
	}
}

void answer_checker_answer(struct answer_checker *ac, const struct wire_data *answer,
			   struct answer_verdict *verdict)
{
	struct slot *s = &ac->slot[answer->number % WIRE_WINDOW];
	struct answer_verdict v = {
		.status = answer->status,
		.in_order = answer->number > ac->highest,
		.state_ok = true,
	};

	*verdict = v;
	if (answer->number <= ac->judged || answer->number > ac->totals.requests || s->answered)
		return; /* no such request waits: not judged */
	if (answer->status == WIRE_OK) {
		ac->totals.answered++;
		read_answer(ac, answer, s, &v);
	}
	if (v.in_order)
		ac->highest = answer->number;
	else
		ac->totals.late++;
	s->answered = true;
	s->verdict = v;
	*verdict = v;
	judge_all(ac);
}

void answer_checker_given_up(struct answer_checker *ac, uint64_t number, uint32_t connection)
{
	struct slot *s = &ac->slot[number % WIRE_WINDOW];
	const struct state_follower_request request = { s->bytes, s->len };

	if (number <= ac->judged || number > ac->totals.requests || s->answered)
		return;
	if (connection && s->bytes)
		state_follower_doubt(ac->follower, &request, connection);
	s->answered = true;
	s->verdict = (struct answer_verdict){ .status = WIRE_E_FAILED, .state_ok = true };
	judge_all(ac);
}

void answer_checker_end(struct answer_checker *ac)
{
	for (uint64_t n = ac->judged + 1; n <= ac->totals.requests; n++) {
		struct slot *s = &ac->slot[n % WIRE_WINDOW];

		if (s->answered)
			continue;
		s->answered = true;
		s->verdict = (struct answer_verdict){ .status = WIRE_E_FAILED, .state_ok = true };
	}
	judge_all(ac);
}

struct answer_totals answer_checker_totals(const struct answer_checker *ac)
{
	return ac->totals;
}

bool answer_totals_good(const struct answer_totals *t)
{
	return t->requests > 0 && t->answered == t->requests && !t->lost && !t->duplicated &&
	       !t->reordered && !t->wrong && !t->restarted && t->chain_ok && t->state_ok;
}
