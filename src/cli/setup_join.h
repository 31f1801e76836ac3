/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Join - a further host gets its certificates from the first one, by a token
 *
 * The first host shows the token and waits; it ends after one host has joined, or with the token's life. The token
 * consists of the address where it waits, and of a secret that both prove to know (net/join_channel.h). A holder of
 * the token may join in that time, once. Keys are made where they are used and stay there.
 *
 *     joining host                                  first host
 *     { version, requests: { es, ap } }        ->
 *                                              <-   { version, name, ca, crl, certificates: { es, ap },
 *                                                     hosts: [[name, address] ...] }
 *     { version }: it has stored all of it     ->
 */

#include "base/text.h"
#include "net/join_channel.h"

struct err;
struct site;

#define JOIN_TOKEN_SIZE 160 /* bytes of a token, the closing NUL included */

/**
 * struct join_token - Content of a token
 * @address:	"IP:PORT" of the first host
 * @secret:	Both hosts prove to know it
 */
struct join_token {
	char address[64];
	uint8_t secret[JOIN_SECRET_BYTES];
};

/** join_token_format() - Write a token */
void join_token_format(char text[JOIN_TOKEN_SIZE], const struct join_token *token);

/** join_token_parse() - Read a token. Return: 0, or -EINVAL */
int join_token_parse(struct join_token *token, const char *text, struct err *err);

/** join_listen() - Listen where a token says. Return: descriptor for join_serve(), or negative error code */
int join_listen(const struct join_token *token, struct err *err);

/**
 * join_serve() - Wait until one host has joined
 * @listener:	From join_listen(), before anybody was told the token; borrowed
 * @site:	All hosts, the new one among them
 * @name:	Of the new one
 * @authority:	Directory of the authority
 * @token:	That it must know
 * @minutes:	Life of the token
 * @err:	Filled in on failure
 *
 * Connections without the secret are answered one after the other, each for at most 2 seconds. The first one with it
 * uses the token up, also if its host then says nothing more.
 *
 * Return: 0, -ETIMEDOUT, or another negative error code
 */
int join_serve(int listener, const struct site *site, const char *name, const char *authority,
	       const struct join_token *token, int minutes, struct err *err);

/**
 * join_ask() - Join: store keys, certificates and authority of this host, and learn all hosts
 * @site:	Its @etc is used; the hosts are filled in
 * @token:	From the first host
 * @name:	Set on success to the name of this host
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int join_ask(struct site *site, const struct join_token *token, char name[NAME_SIZE],
	     struct err *err);
