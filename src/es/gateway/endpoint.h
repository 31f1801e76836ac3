/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Endpoint - the way into one container: inner header of gateway.c and endpoint_connection.c, not for others
 *
 *     gateway.c              requests of sessions, and their outcomes
 *          |  calls below              ^
 *          v                           | struct endpoint_events
 *     endpoint_connection.c  connections into the container: requests in, answers out
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/number_table.h"
#include "codec/codec.h"
#include "es/container/management.h"
#include "es/gateway/gateway.h"
#include "es/gateway/segments.h"
#include "es/gateway/streams.h"
#include "wire/message.h"

#define ENDPOINT_READ_SIZE   65536
#define ENDPOINT_MESSAGE_MAX (CODEC_PREFIX_MAX + WIRE_PAYLOAD_MAX)

struct endpoint;
struct request;

/**
 * struct endpoint_events - Reports of connections on the request that the container has
 * @prepared:	The preamble was answered: the request itself comes next
 * @answered:	The answer is complete, or its first segment is: the container is free again
 * @failed:	The connection broke. The request is in doubt if any of it was written, else still ours
 * @doubt:	Something came, or ended, that cannot be the answer. The request becomes in doubt
 *		after @after_ms, unless the container is reported dead first
 */
struct endpoint_events {
	void (*prepared)(struct endpoint *e);
	void (*answered)(struct endpoint *e, const struct wire_data *answer);
	void (*failed)(struct endpoint *e, const char *what, int code);
	void (*doubt)(struct endpoint *e, const char *reason, uint64_t after_ms);
};

/**
 * struct connection - One connection into a container
 *
 * It outlives its container's entry until libuv has closed the handle, so it is an object of its
 * own.
 *
 * @link:	In its endpoint's list
 * @endpoint:	NULL once nobody cares for it any more
 * @number:	Of the user's connection that it serves
 * @in:		Received bytes of the answer that are not in the spool
 * @out:	Bytes of a long request that are being written
 * @from, @left: The rest of it, which is written after @out
 * @sending, @prefix: The request whose bytes libuv writes, for the socket did not take them at once; else NULL
 * @made:	It has the state of the user's: its preamble, if any, was answered
 */
struct connection {
	union {
		uv_handle_t handle;
		uv_tcp_t tcp;
		uv_udp_t udp;
	};
	uv_connect_t connect;
	uv_write_t write;
	struct list link;
	struct endpoint *endpoint;
	uint32_t number;
	struct buf in;
	struct buf out;
	uint64_t from;
	uint64_t left;
	struct request *sending;
	uint8_t prefix[CODEC_PREFIX_MAX];
	bool up;
	bool made;
	bool writing;
	uint64_t idle_since;
};

/**
 * struct endpoint - The way into one container
 * @by_session:	In the gateway's table
 * @connection:	The one that serves the request, or served the last one
 * @exchange:	Of the request; that of @whole, or @own_exchange
 * @preparation: Of the preamble
 * @streams:	Codec tcp: instead of connections
 * @segments:	Codecs whose messages may be long; else NULL
 * @whole:	The request, if it is a long one; else NULL, and it is @request
 * @answer:	The beginning of a long answer; else NULL, and all of it is in the connection's
 *		buffer
 * @ready:	In the gateway's list while the request has not been tried
 * @timer:	Until the next try, the end of a silence, or of a doubt
 * @request:	The one that the container has, its bytes without the preamble, not looked at; number 0: none
 * @kept:	The object that the bytes of @request are part of, with the preamble in front; NULL: there was no memory
 * @prefix, @prefix_len: Bytes that the service gets in front of them
 * @preparing:	The preamble is in the container, the request is not
 * @checked:	It is one for this service
 * @written:	At least a byte of it may have reached the container
 */
struct endpoint {
	struct list link;
	struct number_entry by_session;
	struct list ready;
	struct gateway *gateway;
	const struct endpoint_events *events;
	uint64_t session;
	uint32_t epoch;
	struct container_address where;
	struct sockaddr_storage address;
	struct list connections;
	size_t connection_count;
	struct connection *connection;
	struct codec_exchange *exchange;
	struct codec_exchange *own_exchange;
	struct codec_exchange *preparation;
	struct streams *streams;
	struct segments *segments;
	struct segments_request *whole;
	struct spool *answer;
	uv_timer_t timer;
	struct wire_data request;
	struct request *kept;
	uint8_t prefix[CODEC_PREFIX_MAX];
	size_t prefix_len;
	bool preparing;
	bool checked;
	bool written;
	uint64_t failing_since;
	char doubt[WIRE_REASON_SIZE];
};

/** struct gateway - See gateway/gateway.h */
struct gateway {
	uv_loop_t *loop;
	struct spools *spools;
	const struct gateway_ops *ops;
	void *ctx;
	struct list endpoints;
	struct number_table by_session;
	struct list ready; /* endpoints with a new request */
	uv_idle_t turn;    /* runs while there are any */
};

/** endpoint_open() - Open a connection for the request. Return: 0, or a code of libuv */
int endpoint_open(struct endpoint *e);

/** endpoint_write() - Write the request to its connection, which is up; or first the preamble */
void endpoint_write(struct endpoint *e);

/** endpoint_close() - Close a connection */
void endpoint_close(struct connection *c);

/** endpoint_hang_up() - Close the connection that serves the request, or served the last one */
void endpoint_hang_up(struct endpoint *e);

/** endpoint_hang_up_all() - Close all connections */
void endpoint_hang_up_all(struct endpoint *e);
