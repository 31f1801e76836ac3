/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/auto.h"
#include "base/digest.h"
#include "codec/codec.h"
#include "wire/message.h"

/*
 * Codec resp - Redis, RESP2 and RESP3
 *
 * A request is one command or several (a pipeline), each an array of bulk strings or an inline
 * command; there is one answer to each, and together they are the answer. The codec reads commands as
 * Redis does, only stricter: it refuses syntax that Redis would skip or guess.
 *
 * Three kinds of commands are refused by name. The first gives other than one answer to a command. The
 * second waits for another command: requests of a session run one at a time, so it would wait for ever.
 * The third leaves a state on the connection, which ends at a cut while the container lives on. Some of
 * the third kind are taken from a user's own connection: their state can be made again (codec_connection).
 *
 * Answers are read in either version of the protocol, whichever a connection has. Pushes and attributes,
 * which RESP3 adds, go to the user with the answer that they stand before.
 */

#define WORD_SIZE   16 /* longer words are not in the table */
#define NUMBER_SIZE 20 /* of 64 bits in decimal, with a sign */
#define REAL_SIZE   64 /* of a number with a fraction */
#define WORDS       2  /* of a command whose names are looked at */
#define HELLO       "HELLO"
#define LATER       2 /* where the word after these is kept, one after the other: it may be an option */

/* effect of a command on its connection; 0: none */
enum effect {
	STREAMS = 1, /* its answers do not come one to a command */
	WAITS,
	LEAVES, /* something that cannot be made again */
	SETS,   /* something that the same command sets again; the latest of each counts */
};

static const struct {
	const char *word[WORDS]; /* the second may be NULL: any */
	enum effect effect;
} special[] = {
	{ { "SUBSCRIBE" }, STREAMS },
	{ { "PSUBSCRIBE" }, STREAMS },
	{ { "SSUBSCRIBE" }, STREAMS },
	{ { "UNSUBSCRIBE" }, STREAMS },
	{ { "PUNSUBSCRIBE" }, STREAMS },
	{ { "SUNSUBSCRIBE" }, STREAMS },
	{ { "MONITOR" }, STREAMS },
	{ { "SYNC" }, STREAMS },
	{ { "PSYNC" }, STREAMS },
	{ { "CLIENT", "REPLY" }, STREAMS },
	{ { "SHUTDOWN" }, STREAMS },
	{ { "BLPOP" }, WAITS },
	{ { "BRPOP" }, WAITS },
	{ { "BRPOPLPUSH" }, WAITS },
	{ { "BLMOVE" }, WAITS },
	{ { "BLMPOP" }, WAITS },
	{ { "BZPOPMIN" }, WAITS },
	{ { "BZPOPMAX" }, WAITS },
	{ { "BZMPOP" }, WAITS },
	{ { "WAIT" }, WAITS },
	{ { "WAITAOF" }, WAITS },
	{ { "CLIENT", "PAUSE" }, WAITS },
	{ { "DEBUG", "SLEEP" }, WAITS },
	{ { "WATCH" }, LEAVES },
	{ { "CLIENT", "TRACKING" }, LEAVES },
	{ { "READONLY" }, LEAVES },
	{ { "ASKING" }, LEAVES },
	{ { HELLO }, SETS },
	{ { "SELECT" }, SETS },
	{ { "AUTH" }, SETS },
};

/*
 * Commands that wait if they have an option, which may stand anywhere between the words that are always
 * there and a word that ends the options.
 */
static const struct {
	const char *word;
	size_t first; /* where options begin, the command itself being 0 */
	const char *option;
	const char *end;
} waits_if[] = {
	{ "XREAD", 1, "BLOCK", "STREAMS" },
	{ "XREADGROUP", 4, "BLOCK", "STREAMS" }, /* GROUP, its name, the consumer's */
};

static const char *const reasons[] = {
	[STREAMS] = "its answers do not come one to a command",
	[WAITS] = "it may wait for another request, and they run one at a time",
	[LEAVES] = "what it leaves on the connection is lost when the container moves",
	[SETS] = "what it leaves on the connection is lost when the container moves",
};

#define NOTE_QUIT 1

enum step {
	AT_START,   /* of a command, or of a value */
	IN_NUMBER,  /* after * $ : up to CR */
	IN_INLINE,  /* an inline command */
	IN_SIMPLE,  /* after + or - */
	IN_BULK,    /* bytes of a bulk string */
	AT_BULK_CR, /* its end */
	AT_BULK_LF,
	AT_LF, /* the end of a number's line */
};

struct resp {
	size_t commands; /* of the request, and then answers still to come */
	enum step step;
	bool carriage; /* IN_SIMPLE, IN_INLINE: the byte before was CR */
	uint8_t kind;  /* IN_NUMBER: kind of value that the number belongs to */
	char number[NUMBER_SIZE];
	size_t digits;
	int64_t bytes; /* of the bulk string still to come */

	/* a request */
	int64_t words;                   /* of the command still to come; 0: at its start */
	char word[WORDS + 1][WORD_SIZE]; /* the last is LATER */
	size_t length[WORDS + 1];        /* of the words, whole */
	size_t at_word;
	const char *waits; /* option that was found; NULL: none */
	bool options_over;
	bool in_word; /* IN_INLINE */
	bool open;    /* between MULTI and EXEC */

	/* an answer */
	size_t depth;
	int64_t left[CODEC_RESP_DEPTH]; /* values still to come in each array */
	uint32_t beside;                /* a bit for each: it is no value, but beside one */
	bool pushed;                    /* the outermost is a push, which may come at any time */
	bool unequal;                   /* the answer tells the number of the connection */
};

static_assert(CODEC_RESP_DEPTH <= 32, "a bit for each");

static enum codec_result broken(struct codec_exchange *x, const char *what)
{
	return codec_refuse(x, CODEC_BROKEN, "%s", what);
}

/*
 * Reads the number that was collected: no sign but a minus, no leading zero, as Redis does.
 * Return: whether it is one from @min to @max
 */
static bool number(const struct resp *p, int64_t *to, int64_t min, int64_t max)
{
	bool negative = p->digits && p->number[0] == '-';
	size_t first = negative ? 1 : 0;
	uint64_t value = 0;

	if (p->digits == first || (p->number[first] == '0' && p->digits > 1))
		return false;
	for (size_t i = first; i < p->digits; i++) {
		char c = p->number[i];

		if (c < '0' || c > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
			return false;
	}
	if (value > (uint64_t)INT64_MAX + negative)
		return false;
	*to = negative ? (int64_t)(0 - value) : (int64_t)value;
	return *to >= min && *to <= max;
}

static void begin_number(struct resp *p, uint8_t kind)
{
	p->step = IN_NUMBER;
	p->kind = kind;
	p->digits = 0;
}

/* One more byte of a number's line. Return: CODEC_MORE, or a refusal */
static enum codec_result take_digit(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;

	if (c == '\r') {
		p->step = AT_LF;
		return CODEC_MORE;
	}
	if (p->digits == NUMBER_SIZE)
		return broken(x, "a number of more than 20 digits");
	p->number[p->digits++] = (char)c;
	return CODEC_MORE;
}

/* --- requests ---------------------------------------------------------------------------------- */

static void take_word_byte(struct resp *p, uint8_t c)
{
	size_t slot = p->at_word < WORDS ? p->at_word : LATER;
	size_t at = p->length[slot]++;

	if (at < WORD_SIZE - 1)
		p->word[slot][at] = (char)c;
}

static bool word_is(const struct resp *p, size_t i, const char *name)
{
	return p->length[i] == strlen(name) && p->length[i] < WORD_SIZE &&
	       strncasecmp(p->word[i], name, p->length[i]) == 0;
}

/* A word is whole: is it an option that makes the command wait? */
static void look_for_options(struct resp *p)
{
	size_t slot = p->at_word < WORDS ? p->at_word : LATER;

	for (size_t i = 0; i < ARRAY_SIZE(waits_if) && !p->options_over; i++) {
		if (p->at_word < waits_if[i].first || !word_is(p, 0, waits_if[i].word))
			continue;
		p->options_over = word_is(p, slot, waits_if[i].end);
		if (word_is(p, slot, waits_if[i].option))
			p->waits = waits_if[i].option;
	}
	p->length[LATER] = 0;
	p->at_word++;
}

/* A command is whole. Return: CODEC_DONE, or a refusal */
static enum codec_result end_command(struct codec_exchange *x)
{
	struct resp *p = (struct resp *)x->state;

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		const char *second = special[i].word[1];

		if (!word_is(p, 0, special[i].word[0]) || (second && !word_is(p, 1, second)))
			continue;
		if (x->own && special[i].effect == SETS) {
			x->effect = CODEC_EFFECT_SETS;
			x->subject = (int)i;
			p->unequal = word_is(p, 0, HELLO);
			break;
		}
		x->bounded = x->first;
		return codec_refuse(x, CODEC_BROKEN, "command %s%s%s: %s", special[i].word[0],
				    second ? " " : "", second ? second : "",
				    reasons[special[i].effect]);
	}
	if (p->waits) {
		x->bounded = x->first;
		return codec_refuse(x, CODEC_BROKEN, "command %.*s with %s: %s", (int)p->length[0],
				    p->word[0], p->waits, reasons[WAITS]);
	}
	if (word_is(p, 0, "MULTI")) {
		p->open = true;
		x->effect = CODEC_EFFECT_OPENS;
	} else if (word_is(p, 0, "EXEC") || word_is(p, 0, "DISCARD")) {
		p->open = false;
		x->effect = CODEC_EFFECT_CLOSES;
	} else if (word_is(p, 0, "RESET")) {
		p->open = false;
		x->effect = CODEC_EFFECT_RESETS;
	} else if (word_is(p, 0, "QUIT")) {
		x->note = NOTE_QUIT;
		x->keep = false; /* the service ends the connection after its answer */
	}
	p->commands++;
	p->step = AT_START;
	p->at_word = 0;
	p->waits = NULL;
	p->options_over = false;
	memset(p->length, 0, sizeof(p->length));
	if (!p->open || x->own)
		return CODEC_DONE;
	/* a cut could split a transaction that continues in another request */
	return codec_refuse(x, CODEC_MORE, "MULTI without EXEC or DISCARD in the same request");
}

static enum codec_result end_word(struct codec_exchange *x)
{
	struct resp *p = (struct resp *)x->state;

	look_for_options(p);
	p->step = AT_START;
	return --p->words ? CODEC_MORE : end_command(x);
}

/* Whether the command is one that an option makes wait, and may still come */
static bool waits_perhaps(const struct resp *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(waits_if); i++)
		if (word_is(p, 0, waits_if[i].word))
			return !p->options_over;
	return false;
}

static enum codec_result take_inline(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;
	bool space = c == ' ' || c == '\t' || c == '\r';

	if (c == '\n') {
		if (p->in_word)
			look_for_options(p);
		p->in_word = false;
		return p->at_word ? end_command(x) : broken(x, "an empty inline command");
	}
	if (p->carriage)
		return broken(x, "an inline command with CR in the middle");
	p->carriage = c == '\r';
	if (c == '\0')
		return broken(x, "an inline command with a NUL byte");
	if ((c == '"' || c == '\'') && (p->at_word < WORDS || waits_perhaps(p)))
		return broken(x, "quotes in the first two words of an inline command, or where it "
				 "may have options");
	if (space) {
		if (p->in_word)
			look_for_options(p);
		p->in_word = false;
		return CODEC_MORE;
	}
	p->in_word = true;
	take_word_byte(p, c);
	return CODEC_MORE;
}

static enum codec_result take_request_number(struct codec_exchange *x)
{
	struct resp *p = (struct resp *)x->state;
	int64_t n;

	if (p->kind == '*') {
		if (!number(p, &n, 1, WIRE_PAYLOAD_MAX))
			return broken(x, "a command with a bad number of words");
		p->words = n;
		p->step = AT_START;
		return CODEC_MORE;
	}
	if (!number(p, &n, 0, (int64_t)codec_limit(x)))
		return broken(x, "a word of a command with a bad length");
	p->bytes = n;
	p->step = n ? IN_BULK : AT_BULK_CR;
	return CODEC_MORE;
}

static enum codec_result start_request(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;

	if (p->words) {
		if (c != '$')
			return broken(x, "a command with a word that is no bulk string");
		begin_number(p, c);
		return CODEC_MORE;
	}
	if (c == '*') {
		begin_number(p, c);
		return CODEC_MORE;
	}
	p->step = IN_INLINE;
	p->carriage = false;
	return take_inline(x, c);
}

static enum codec_result take_request(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;

	switch (p->step) {
	case AT_START:
		return start_request(x, c);
	case IN_NUMBER:
		return take_digit(x, c);
	case AT_LF:
		return c == '\n' ? take_request_number(x) : broken(x, "CR without LF");
	case IN_INLINE:
		return take_inline(x, c);
	case IN_BULK:
		take_word_byte(p, c);
		if (--p->bytes == 0)
			p->step = AT_BULK_CR;
		return CODEC_MORE;
	case AT_BULK_CR:
		p->step = AT_BULK_LF;
		return c == '\r' ? CODEC_MORE : broken(x, "a word longer than it says");
	case AT_BULK_LF:
		return c == '\n' ? end_word(x) : broken(x, "a word longer than it says");
	case IN_SIMPLE:
		break; /* of answers only */
	}
	return broken(x, "no command");
}

static enum codec_result resp_request(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	enum codec_result r = x->result;

	if (r == CODEC_DONE && x->first)
		return r;
	for (size_t i = 0; i < len; i++) {
		r = take_request(x, bytes[i]);
		if (x->bounded)
			x->end = x->seen + i + 1;
		if (r == CODEC_BROKEN || r == CODEC_TOO_LONG)
			return r;
		if (r == CODEC_DONE && x->first) {
			x->end = x->seen + i + 1;
			return r;
		}
	}
	x->end = x->seen + len;
	return r;
}

/* --- answers ----------------------------------------------------------------------------------- */

/* A value is whole, and with it perhaps the arrays it is the last of. */
static enum codec_result end_value(struct resp *p)
{
	p->step = AT_START;
	while (p->depth && --p->left[p->depth - 1] == 0) {
		p->depth--;
		if (p->beside >> p->depth &
		    1) { /* the value that it stands before is still to come */
			p->pushed = false;
			return CODEC_MORE;
		}
	}
	if (p->depth)
		return CODEC_MORE;
	return --p->commands ? CODEC_MORE : CODEC_DONE;
}

/* An array, set, map, attribute or push of @n values begins */
static enum codec_result begin_array(struct codec_exchange *x, int64_t n)
{
	struct resp *p = (struct resp *)x->state;
	bool beside = p->kind == '|' || p->kind == '>';

	if (p->kind == '%' || p->kind == '|')
		n *= 2;
	if (p->depth == CODEC_RESP_DEPTH)
		return codec_refuse(x, CODEC_TOO_LONG, "arrays nested deeper than the limit of %d",
				    CODEC_RESP_DEPTH);
	p->step = AT_START;
	if (n == 0 && beside) {
		p->pushed = false;
		return CODEC_MORE;
	}
	if (n == 0)
		return end_value(p);
	p->beside &= ~(1u << p->depth);
	p->beside |= (uint32_t)beside << p->depth;
	p->left[p->depth++] = n;
	return CODEC_MORE;
}

static enum codec_result take_answer_number(struct codec_exchange *x)
{
	struct resp *p = (struct resp *)x->state;
	bool null = p->kind == '*' || p->kind == '$';
	int64_t n;

	if (p->kind == ':')
		return number(p, &n, INT64_MIN, INT64_MAX) ? end_value(p)
							   : broken(x, "a bad integer");
	if (!number(p, &n, null ? -1 : 0, INT64_MAX))
		return broken(x, "a bad length");
	if (n > (int64_t)codec_limit(x))
		return codec_refuse(x, CODEC_TOO_LONG, "a value of %lld, the limit is %zu",
				    (long long)n, codec_limit(x));
	if (n == -1)
		return end_value(p);
	if (p->kind == '$' || p->kind == '=' || p->kind == '!') {
		p->bytes = n;
		p->step = n ? IN_BULK : AT_BULK_CR;
		return CODEC_MORE;
	}
	return begin_array(x, n);
}

static enum codec_result start_answer(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;

	switch (c) {
	case '>':
		if (p->depth)
			return broken(x, "a push within a value");
		p->pushed = true;
		begin_number(p, c);
		return CODEC_MORE;
	case '*':
	case '$':
	case ':':
	case '%':
	case '~':
	case '|':
	case '=':
	case '!':
		begin_number(p, c);
		return CODEC_MORE;
	case '+':
	case '-':
	case '_':
	case '#':
	case ',':
	case '(':
		p->step = IN_SIMPLE;
		p->kind = c;
		p->carriage = false;
		p->digits = 0;
		return CODEC_MORE;
	default:
		return codec_refuse(x, CODEC_BROKEN, "byte 0x%02x where a value begins", c);
	}
}

/* Whether a byte may stand in a line of this kind, after @before others */
static bool fits_line(uint8_t kind, size_t before, uint8_t c)
{
	static const char digits[] = "0123456789";
	static const char real[] = "0123456789+-.eEinfa"; /* inf, nan */

	switch (kind) {
	case '_':
		return false;
	case '#':
		return before == 0 && (c == 't' || c == 'f');
	case ',':
		return before < REAL_SIZE && c && strchr(real, c);
	case '(':
		return c && (strchr(digits, c) || (before == 0 && (c == '-' || c == '+')));
	default:
		return true;
	}
}

/* One more byte of a value of one line */
static enum codec_result take_line(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;
	bool text = p->kind == '+' || p->kind == '-';

	if (p->carriage && c == '\n')
		return text || p->kind == '_' || p->digits ? end_value(p)
							   : broken(x, "a value without bytes");
	if (!text && p->carriage)
		return broken(x, "CR without LF");
	p->carriage = c == '\r';
	if (p->carriage || text)
		return CODEC_MORE;
	return fits_line(p->kind, p->digits++, c) ? CODEC_MORE : broken(x, "a bad value");
}

static enum codec_result take_answer(struct codec_exchange *x, uint8_t c)
{
	struct resp *p = (struct resp *)x->state;

	switch (p->step) {
	case AT_START:
		return start_answer(x, c);
	case IN_NUMBER:
		return take_digit(x, c);
	case AT_LF:
		return c == '\n' ? take_answer_number(x) : broken(x, "CR without LF");
	case IN_SIMPLE:
		return take_line(x, c);
	case IN_BULK:
		if (--p->bytes == 0)
			p->step = AT_BULK_CR;
		return CODEC_MORE;
	case AT_BULK_CR:
		p->step = AT_BULK_LF;
		return c == '\r' ? CODEC_MORE : broken(x, "a bulk string longer than it says");
	case AT_BULK_LF:
		return c == '\n' ? end_value(p) : broken(x, "a bulk string longer than it says");
	case IN_INLINE:
		break; /* of requests only */
	}
	return broken(x, "no value");
}

static enum codec_result resp_answer(struct codec_exchange *x, const uint8_t *bytes, size_t len)
{
	struct resp *p = (struct resp *)x->state;

	if (x->result == CODEC_DONE)
		return CODEC_DONE;
	for (size_t i = 0; i < len; i++) {
		bool aside = p->pushed || p->unequal;
		enum codec_result r = take_answer(x, bytes[i]);

		if (!aside && !p->pushed)
			x->digest = digest_add(x->digest, &bytes[i], 1);
		if (r == CODEC_DONE)
			x->end = x->seen + i + 1;
		if (r != CODEC_MORE)
			return r;
	}
	return CODEC_MORE;
}

static void resp_start(struct codec_exchange *x)
{
	struct resp *p = (struct resp *)x->state;

	p->step = AT_START;
	p->depth = 0;
	p->pushed = false;
}

static bool resp_last(int note, const uint8_t *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	return note == NOTE_QUIT;
}

static int resp_refusal(char *to, size_t size, enum codec_refusal why, const char *reason)
{
	static const char hello[] = "command HELLO";
	static const char *const words[] = {
		[CODEC_REFUSAL_BROKEN] = "ERR",
		[CODEC_REFUSAL_TOO_LONG] = "ERR",
		[CODEC_REFUSAL_DOUBT] = "ERR outcome in doubt:",
		[CODEC_REFUSAL_AWAY] = "LOADING", /* clients try again after this one */
	};
	/* a client that reads NOPROTO continues with the version that it has */
	bool version = strncmp(reason, hello, strlen(hello)) == 0;

	return snprintf(to, size, "-%s %s\r\n", version ? "NOPROTO" : words[why], reason);
}

const struct codec codec_resp = {
	.name = "resp",
	.segments = true,
	.state_size = sizeof(struct resp),
	.digests = true,
	.start = resp_start,
	.request = resp_request,
	.answer = resp_answer,
	.last = resp_last,
	.refusal = resp_refusal,
};
