/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_entries.h"

#include <stdlib.h>

#include "base/buf.h"
#include "es/system/entry.h"
#include "fuzz_input.h"

void fuzz_entries(struct buf *to, const char *magic, const uint8_t *data, size_t size)
{
	bool as_it_is = !(data[0] & 1);

	data++;
	size--;
	if (as_it_is) {
		require(buf_append(to, data, size, NULL) == 0);
		return;
	}
	require(buf_append(to, magic, 8, NULL) == 0);
	while (size > 3) {
		size_t len = (size_t)data[1] << 8 | data[2];

		if (len > size - 3)
			len = size - 3;
		require(entry_add(to, data[0], data + 3, len, NULL, 0, NULL) == 0);
		data += 3 + len;
		size -= 3 + len;
	}
}
