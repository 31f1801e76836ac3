/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Apart filter - the program that the kernel runs for each frame that a container sends, see apart.h
 *
 * Docker gives containers CAP_NET_RAW, so they can send any frame. The program passes
 *
 * - ARP whose sender is the container, by both of its addresses;
 * - IPv4 from the container's addresses, to the gateway, or to somewhere outside of the network.
 *
 * All else is dropped: other kinds of frames, IPv6 among them, which the network does not have; frames with a VLAN's
 * tag; addresses of others. So a container can neither take another one's place for the host, nor reach it by way
 * of the host's routing.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/if_ether.h>
#include <netinet/in.h>

/**
 * struct apart_sender - Addresses that the filter goes by
 * @mac:	of the container's interface
 * @address:	likewise
 * @gateway:	the host's own address in the network
 * @mask:	of the network
 */
struct apart_sender {
	uint8_t mac[ETH_ALEN];
	struct in_addr address;
	struct in_addr gateway;
	struct in_addr mask;
};

/** apart_filter_load() - Have the kernel take the program. Return: descriptor, or negative error code */
int apart_filter_load(const struct apart_sender *sender);
