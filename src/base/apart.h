/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Apart - keeps a container from the other containers of its bridge
 *
 * The container's port of the bridge is isolated: the bridge passes no frame, of whatever kind, between two isolated
 * ports. It learns no address from the port, and has the container's own for good, so nobody is sent another one's
 * frames. A filter sees to the sender's addresses, and drops what the host would route back into the network
 * (base/apart_filter.h). All of this is the kernel's and belongs to the port: it works without any process of
 * Baton, needs no rule of a firewall, and goes with the container.
 *
 * Ports belong to the network namespace that we are in. The kernel must have "isolated" (4.18), cls_bpf and clsact.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

/* In the environment of a container that is to be kept apart: where baton-runtime can see it at each start */
#define APART_ENV     "BATON_APART=yes"
#define APART_ENV_KEY "BATON_APART="

/** struct apart_ports - The ports of a container; @open: those at which it is not kept apart */
struct apart_ports {
	size_t all;
	size_t open;
};

/**
 * apart_guard() - Keep a container apart
 * @pid:	A process of it
 * @err:	Filled in on failure
 *
 * Ports that are apart already may be told again.
 *
 * Return: number of ports, 0 also for a process in our own network namespace; or negative error code
 */
int apart_guard(pid_t pid, struct err *err);

/**
 * apart_possible() - Try whether this kernel can keep containers apart
 * @err:	Filled in on failure
 *
 * A child process tries it in a network namespace of its own, where nothing else is.
 *
 * Return: 0, or negative error code
 */
int apart_possible(struct err *err);

/**
 * apart_look() - See whether a container is kept apart
 * @pid:	A process of it
 * @to:		Filled in
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int apart_look(pid_t pid, struct apart_ports *to, struct err *err);
