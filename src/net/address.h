/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Addresses - "IP:PORT" as configuration files give them
 *
 * Only numeric addresses: a name service that answers late or wrongly must not be able to stall an
 * event loop. Names in a configuration become numbers when it is read (conf/conf_address.c).
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct err;

#define ADDRESS_TEXT_SIZE 64 /* longest address_format() result, the closing NUL included */

/**
 * struct address - Socket address of either family
 * @any:	The address, ready for connect() and bind()
 * @len:	Its valid length
 */
struct address {
	struct sockaddr_storage any;
	socklen_t len;
};

/**
 * address_parse() - Read "192.0.2.1:7000" or "[2001:db8::1]:7000"
 * @to:		Changed only on success
 * @text:	Text; port 0 is allowed and means "any free port" to a listener
 * @err:	Filled in on failure
 *
 * Return: 0, or -EINVAL
 */
int address_parse(struct address *to, const char *text, struct err *err);

/** address_format() - Write @a to @text as address_parse() reads it; "?" for a foreign family */
void address_format(char text[ADDRESS_TEXT_SIZE], const struct sockaddr *a);

/** address_port() - Port of an address of either family, in the host's order */
uint16_t address_port(const struct sockaddr *a);

/** address_set_port() - Give an address of either family a port, in the host's order */
void address_set_port(struct sockaddr_storage *a, uint16_t port);
