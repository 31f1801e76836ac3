/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checkpoint mend - what CRIU would restore wrongly at another host, set right in its images
 *
 * A socket bound to the container's own address could not be bound at the copy, whose address is
 * another one: it is bound to all addresses there. So the service is reached as before, and what it
 * sends leaves with an address that works.
 *
 * A timer with an interval that has gone off and was not read yet is written by CRIU as one that is
 * not set, for the kernel says so: it would never tick again. It is set to its interval.
 *
 * At the source, after the dump, while the tasks run again.
 */

#include <netinet/in.h>
#include <stddef.h>

struct err;

/** struct checkpoint_mended - How many were set right */
struct checkpoint_mended {
	size_t sockets;
	size_t timers;
};

/**
 * checkpoint_mend() - Set right what is in files.img
 * @images:	Directory of the images
 * @own:	The container's own addresses
 * @count:	of them
 * @mended:	Filled in on success
 * @err:	Filled in on failure
 *
 * An image of more than CHECKPOINT_IMAGE_MAX bytes is left as it is.
 *
 * Return: 0, or negative error code
 */
int checkpoint_mend(int images, const struct in_addr *own, size_t count,
		    struct checkpoint_mended *mended, struct err *err);
