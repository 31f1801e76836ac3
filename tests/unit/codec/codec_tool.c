/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads what a codec makes of answers, for tests in other languages
 *
 * Standard input, again and again: "CODEC REQUEST-LENGTH ANSWER-LENGTH CLOSED\n", the request, the
 * answer. Standard output, a line each: "RESULT FROM END REASON", or "refused REASON" for a request.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "codec/codec.h"

#define LENGTH_MAX (8u << 20)

static void *read_bytes(size_t len)
{
	void *bytes = malloc(len + 1);

	if (bytes && fread(bytes, 1, len, stdin) == len)
		return bytes;
	free(bytes);
	return NULL;
}

static void judge(struct codec_exchange *x, const void *request, size_t request_len,
		  const void *answer, size_t answer_len, int closed)
{
	static const char *const names[] = { "more", "done", "broken", "too-long" };
	struct err err = { 0 };

	if (codec_request_whole(x, request, request_len, &err) < 0) {
		(void)printf("refused %s\n", err.text);
		return;
	}
	if (answer_len)
		(void)codec_answer(x, answer, answer_len);
	if (closed)
		(void)codec_answer_closed(x);
	(void)printf("%s %zu %zu %s\n", names[x->result], x->from, x->end, x->reason);
}

int main(void)
{
	char name[16];
	unsigned int request_len, answer_len;
	int closed;

	while (scanf("%15s %u %u %d", name, &request_len, &answer_len, &closed) == 4) {
		const struct codec *codec = codec_find(name);
		struct codec_exchange *x = NULL;

		if (getchar() != '\n' || !codec || request_len > LENGTH_MAX ||
		    answer_len > LENGTH_MAX || codec_exchange_new(&x, codec, NULL, NULL) < 0)
			return EXIT_FAILURE;
		void *request = read_bytes(request_len);
		void *answer = read_bytes(answer_len);
		if (!request || !answer)
			return EXIT_FAILURE;
		judge(x, request, request_len, answer, answer_len, closed);
		free(request);
		free(answer);
		codec_exchange_free(x);
	}
	return EXIT_SUCCESS;
}
