/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TCP options - what all our connections have in common
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
