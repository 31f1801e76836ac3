/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of answers to EXEC - what a service says, of which the access point must know what took effect
 *
 * The first byte chooses the command. One that succeeded must have that many before it, each of a line at least;
 * and what is cut off at the end never makes a success of a failure.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/exec_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = size ? data[0] : 0;
	size_t len = size ? size - 1 : 0;
	char *answer = malloc(len + 1); /* its own, so that reading beyond it is seen */

	if (!answer)
		return 0;
	if (len)
		memcpy(answer, data + 1, len);
	bool whole = exec_answer_of(answer, len, at) == EXEC_ANSWER_SUCCEEDED;
	/* pushes and attributes of RESP3 may stand before it */
	if (whole && (len < 4 + 3 * at || !strchr("*>|", answer[0])))
		abort();
	if (!whole && len && exec_answer_of(answer, len - 1, at) == EXEC_ANSWER_SUCCEEDED)
		abort();
	free(answer);
	return 0;
}
