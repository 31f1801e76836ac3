/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of what a source says that CRIU forgot - put back at the only process there is, this one
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "es/checkpoint/forgotten.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const pid_t self = getpid();
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)forgotten_put_back(text, &self, 1);
	free(text);
	return 0;
}
