/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/stations/text.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/text.h"

/* struct rest - Bytes that are still to be read */
struct rest {
	const char *at;
	size_t len;
};

static bool skip(struct rest *r, const char *word)
{
	size_t len = strlen(word);

	if (r->len < len || memcmp(r->at, word, len) != 0)
		return false;
	r->at += len;
	r->len -= len;
	return true;
}

/* Reads "02:00:00:00:01:01" and the end of it: a space, a newline or the end of the text */
static bool read_mac(struct rest *r, uint8_t mac[STATION_MAC_SIZE])
{
	uint8_t found[STATION_MAC_SIZE];

	if (r->len < STATION_MAC_TEXT - 1)
		return false;
	for (size_t i = 0; i < STATION_MAC_SIZE; i++) {
		const char *at = r->at + 3 * i;
		int high = hex_digit(at[0]);
		int low = hex_digit(at[1]);

		if (high < 0 || low < 0 || (i + 1 < STATION_MAC_SIZE && at[2] != ':'))
			return false;
		found[i] = (uint8_t)(high << 4 | low);
	}
	if (found[0] & 1) /* a group's address is no station's */
		return false;
	r->at += STATION_MAC_TEXT - 1;
	r->len -= STATION_MAC_TEXT - 1;
	if (r->len && *r->at != ' ' && *r->at != '\n')
		return false;
	memcpy(mac, found, sizeof(found));
	return true;
}

/* Skips "<3>". Return: whether it was there */
static bool skip_level(struct rest *r)
{
	if (r->len < 3 || r->at[0] != '<' || r->at[1] < '0' || r->at[1] > '9' || r->at[2] != '>')
		return false;
	r->at += 3;
	r->len -= 3;
	return true;
}

enum station_text_kind station_text_event(const char *text, size_t len,
					  uint8_t mac[STATION_MAC_SIZE])
{
	struct rest r = { text, len };

	if (!skip_level(&r))
		return len && *text == '<' ? STATION_TEXT_OTHER : STATION_TEXT_ANSWER;
	if (skip(&r, "AP-STA-CONNECTED "))
		return read_mac(&r, mac) ? STATION_TEXT_CONNECTED : STATION_TEXT_OTHER;
	if (skip(&r, "AP-STA-DISCONNECTED "))
		return read_mac(&r, mac) ? STATION_TEXT_DISCONNECTED : STATION_TEXT_OTHER;
	if (skip(&r, "CTRL-EVENT-TERMINATING"))
		return STATION_TEXT_TERMINATING;
	return STATION_TEXT_OTHER;
}

bool station_text_entry(const char *text, size_t len, uint8_t mac[STATION_MAC_SIZE],
			bool *authorized)
{
	struct rest r = { text, len };

	if (!read_mac(&r, mac) || !skip(&r, "\nflags="))
		return false;
	const char *end = memchr(r.at, '\n', r.len);
	size_t line = end ? (size_t)(end - r.at) : r.len;
	*authorized = memmem(r.at, line, "[AUTHORIZED]", strlen("[AUTHORIZED]")) != NULL;
	return true;
}

bool station_text_parse(uint8_t mac[STATION_MAC_SIZE], const char *text)
{
	struct rest r = { text, strlen(text) };

	return read_mac(&r, mac) && !r.len;
}

void station_text_mac(char text[STATION_MAC_TEXT], const uint8_t mac[STATION_MAC_SIZE])
{
	(void)snprintf(text, STATION_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		       mac[2], mac[3], mac[4], mac[5]);
}
