/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Netlink - questions and orders to the kernel about interfaces (rtnetlink)
 *
 * A message is built in a buffer of its own, sent, and answered; a dump has many answers. The socket belongs to
 * the network namespace in which it was opened.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define NETLINK_MESSAGE_SIZE 1024 /* bytes; a message that would be longer is not sent: -EMSGSIZE */

/** struct netlink_message - A message under construction; netlink_begin() fills it */
struct netlink_message {
	_Alignas(struct nlmsghdr) char bytes[NETLINK_MESSAGE_SIZE];
	bool full;
};

/**
 * netlink_answer_fn() - Take one answer
 * @ctx:	Given at netlink_ask()
 * @head:	Message; its length is that of the received bytes at most
 *
 * Return: 0, or a negative error code that ends the exchange
 */
typedef int (*netlink_answer_fn)(void *ctx, const struct nlmsghdr *head);

/** netlink_open() - Open a socket. Return: it, or negative error code */
int netlink_open(void);

/**
 * netlink_begin() - Begin a message
 * @m:		Filled in
 * @type:	RTM_...
 * @flags:	NLM_F_...; NLM_F_REQUEST is always set, and NLM_F_ACK unless it is a dump
 * @body:	Size of the fixed part
 *
 * Return: the fixed part, all zero
 */
void *netlink_begin(struct netlink_message *m, uint16_t type, uint16_t flags, size_t body);

/** netlink_put() - Append an attribute */
void netlink_put(struct netlink_message *m, uint16_t type, const void *data, size_t len);

/** netlink_put_number() - Append an attribute of 32 bits */
void netlink_put_number(struct netlink_message *m, uint16_t type, uint32_t value);

/** netlink_nest() - Begin an attribute that has others inside. Return: for netlink_nest_end() */
size_t netlink_nest(struct netlink_message *m, uint16_t type);

/** netlink_nest_end() - End the attribute that began at @at */
void netlink_nest_end(struct netlink_message *m, size_t at);

/**
 * netlink_ask() - Send a message, and take all answers
 * @fd:		From netlink_open()
 * @m:		Message
 * @answer:	Called for each answer; may be NULL
 * @ctx:	Handed to @answer
 *
 * A dump during which the kernel's table changed is answered anew, up to ten times: @answer may see an entry more
 * than once. After a failure the socket may hold the rest of the answers: close it.
 *
 * Return: 0, -EMSGSIZE, -ETIMEDOUT after 5 s, the kernel's own refusal, or another negative error code
 */
int netlink_ask(int fd, struct netlink_message *m, netlink_answer_fn answer, void *ctx);

/**
 * netlink_find() - Find an attribute
 * @attributes:	The first one
 * @len:	Bytes of all
 * @type:	Which
 * @least:	Its contents must have so many bytes
 *
 * Return: its contents, borrowed from the message, or NULL
 */
const void *netlink_find(const void *attributes, size_t len, uint16_t type, size_t least);

/** netlink_inside() - Find an attribute that has others inside. Return: the first of them, or NULL; @len is set */
const void *netlink_inside(const void *attributes, size_t *len, uint16_t type);

/** netlink_attributes() - The attributes of an answer with a fixed part of @body bytes; @len is set */
const void *netlink_attributes(const struct nlmsghdr *head, size_t body, size_t *len);
