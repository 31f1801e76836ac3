/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A service on a free port of this host, in the place of a container's; after cmocka.h
 */

#include <string.h>
#include <uv.h>

#include "es/container/management.h"

/** local_service() - Listen; @on_connection gets each, @data is that of @listener; @where says where */
static inline void local_service(uv_loop_t *loop, uv_tcp_t *listener, void *data,
				 uv_connection_cb on_connection, struct container_address *where)
{
	struct sockaddr_in at;
	int len = sizeof(at);

	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
	assert_int_equal(uv_tcp_init(loop, listener), 0);
	listener->data = data;
	assert_int_equal(uv_tcp_bind(listener, (struct sockaddr *)&at, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)listener, 128, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(listener, (struct sockaddr *)&at, &len), 0);
	strcpy(where->id, "container");
	strcpy(where->ip, "127.0.0.1");
	where->port = ntohs(at.sin_port);
}
