/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of what hostapd says - datagrams from another program, which itself repeats what stations send
 *
 * Whatever is taken for a station must have an address of one, and that address must be in the text.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ap/stations/text.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_address(const char *at, size_t len, const uint8_t mac[STATION_MAC_SIZE])
{
	char text[STATION_MAC_TEXT];

	station_text_mac(text, mac);
	require(strlen(text) == STATION_MAC_TEXT - 1 && !(mac[0] & 1));
	require(len >= STATION_MAC_TEXT - 1 && strncasecmp(at, text, STATION_MAC_TEXT - 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	uint8_t mac[STATION_MAC_SIZE];
	bool authorized;
	size_t before = 0;

	switch (station_text_event(text, size, mac)) {
	case STATION_TEXT_CONNECTED:
		before = strlen("<3>AP-STA-CONNECTED ");
		break;
	case STATION_TEXT_DISCONNECTED:
		before = strlen("<3>AP-STA-DISCONNECTED ");
		break;
	case STATION_TEXT_ANSWER:
		if (station_text_entry(text, size, mac, &authorized))
			require_address(text, size, mac);
		return 0;
	case STATION_TEXT_TERMINATING:
	case STATION_TEXT_OTHER:
		return 0;
	}
	require(size >= before);
	require_address(text + before, size - before, mac);
	return 0;
}
