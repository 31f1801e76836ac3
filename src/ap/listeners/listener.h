/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User listener - an address and port where ordinary users find a service
 *
 * Connections are taken for users that the table admits (users.h), and belong to them from then on. A
 * datagram is a request of its own; its answer goes back to the port it came from. Datagrams that find
 * no room, or whose answer is a refusal, are dropped and counted: the protocol has no message for it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ap/users/config.h"
#include "ap/users/session.h"

struct acceptor;
struct user_listener; /* opaque */

/**
 * struct user_listener_setup - Setup of a listener
 * @loop:	Event loop
 * @users:	Who may; borrowed until user_listener_close()
 * @dead_ms:	See struct user_connection_setup
 */
struct user_listener_setup {
	struct uv_loop_s *loop;
	struct users *users;
	uint32_t dead_ms;
};

/**
 * user_listener_new() - Listen
 * @ret:	Set on success only; the caller owns it, see user_listener_close()
 * @setup:	See struct user_listener_setup
 * @service:	Name of its service; copied
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int user_listener_new(struct user_listener **ret, const struct user_listener_setup *setup,
		      const struct users_service *service, struct err *err);

/** user_listener_at() - Whether it has the address and the kind of socket that @service wants */
bool user_listener_at(const struct user_listener *ul, const struct users_service *service);

/** user_listener_change() - Offer @service, for which user_listener_at(); connections keep what they have */
void user_listener_change(struct user_listener *ul, const struct users_service *service);

/** user_listener_waiter() - Who answers a datagram that came from port @port of its user */
struct user_waiter user_listener_waiter(struct user_listener *ul, uint16_t port);

/** user_listener_port() - Port it listens on, useful if the address said 0 */
uint16_t user_listener_port(const struct user_listener *ul);

/** user_listener_acceptor() - Its listening socket. Return: borrowed; NULL if it takes datagrams */
const struct acceptor *user_listener_acceptor(const struct user_listener *ul);

/** user_listener_service() - Its service. Return: borrowed */
const char *user_listener_service(const struct user_listener *ul);

/** user_listener_dropped() - Datagrams that were dropped */
uint64_t user_listener_dropped(const struct user_listener *ul);

/** user_listener_close() - Listen no more; its memory goes when the event loop has closed its handle */
void user_listener_close(struct user_listener *ul);
