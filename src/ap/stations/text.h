/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Station text - hostapd's messages on its control interface, one datagram each
 *
 *	<3>AP-STA-CONNECTED 02:00:00:00:01:01	an event: its level in angle brackets, then its text
 *	02:00:00:00:01:01\nflags=[AUTHORIZED]\n...	an answer to STA-FIRST and STA-NEXT
 *
 * Pure: bytes in, verdict out. Other events and lines than these are not looked at.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATION_MAC_SIZE 6
#define STATION_MAC_TEXT 18 /* "02:00:00:00:01:01" and its NUL */

/** enum station_text_kind - Kind of a datagram */
enum station_text_kind {
	STATION_TEXT_ANSWER,       /* no event: the answer to a command */
	STATION_TEXT_CONNECTED,    /* a station may use the network from now on */
	STATION_TEXT_DISCONNECTED, /* it may no more */
	STATION_TEXT_TERMINATING,  /* hostapd ends */
	STATION_TEXT_OTHER,        /* an event that we ignore, or a malformed one */
};

/**
 * station_text_event() - Find the kind of a datagram
 * @text:	Its bytes, not necessarily with a NUL at the end
 * @len:	Their number
 * @mac:	Set to the station's address if the result is CONNECTED or DISCONNECTED
 *
 * Return: its kind
 */
enum station_text_kind station_text_event(const char *text, size_t len,
					  uint8_t mac[STATION_MAC_SIZE]);

/**
 * station_text_entry() - Read an answer to STA-FIRST or STA-NEXT
 * @text:	Its bytes
 * @len:	Their number
 * @mac:	Set to the station's address on success
 * @authorized: Set on success: whether the station may use the network
 *
 * Return: whether the answer is a station; all else ends the list
 */
bool station_text_entry(const char *text, size_t len, uint8_t mac[STATION_MAC_SIZE],
			bool *authorized);

/** station_text_parse() - Reverse of station_text_mac(). Return: false if @text is no station's address */
bool station_text_parse(uint8_t mac[STATION_MAC_SIZE], const char *text);

/** station_text_mac() - Write an address as hostapd reads it, e.g. "02:00:00:00:01:01" */
void station_text_mac(char text[STATION_MAC_TEXT], const uint8_t mac[STATION_MAC_SIZE]);
