/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TCP options - common to all our connections
 */

#include <stdint.h>

/**
 * tcp_tune() - Prepare a TCP socket for requests and for a long, slow WAN
 * @fd:		Socket, connected or not
 * @dead_ms:	Unacknowledged bytes for this long end the connection; 0 leaves the kernel's limit
 *
 * Sends without delay (Nagle), and replaces the congestion control by bbr or reno if it is neither
 * and the kernel allows: cubic fell to a fifth of the rate of a shaped 200 ms link. Nothing here is
 * needed to work, so failures are ignored. Buffer sizes are left to the kernel's own tuning, which
 * a fixed size would switch off.
 */
void tcp_tune(int fd, uint32_t dead_ms);

/**
 * tcp_tune_bulk() - Prepare the sending side of a TCP socket for much data over a long, fast path
 * @fd:		Socket, connected or not
 *
 * The kernel lets a send buffer grow to 4 MiB, of which half is bookkeeping. Where that is less than
 * bbr's first guess of the path's capacity, bbr takes us for the bottleneck, never ends its start-up
 * phase, and keeps the path's queue full, which delays other connections. Needs CAP_NET_ADMIN;
 * without it nothing changes.
 */
void tcp_tune_bulk(int fd);
