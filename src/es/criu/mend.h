/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checkpoint repair - corrects CRIU's images where the restore at another host would go wrong
 *
 * A socket bound to the container's own address could not be bound in the replica, which has
 * another address. It is bound to all addresses there. So the service is reached as before, and its
 * packets leave with a valid address.
 *
 * CRIU writes a timer with an interval that has expired and was not read yet as one that is not
 * set, because the kernel reports it so. It would never expire again. It is set to its interval.
 *
 * This runs at the source after the dump, when the tasks run again.
 */

#include <netinet/in.h>
#include <stddef.h>

struct err;

/** struct checkpoint_mended - Number of corrections */
struct checkpoint_mended {
	size_t sockets;
	size_t timers;
};

/**
 * checkpoint_mend() - Correct sockets and timers in files.img
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
