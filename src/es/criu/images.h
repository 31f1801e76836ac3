/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checkpoint images - judges the orders of a checkpoint to CRIU, which is root, before the restore
 * (R13, R16)
 *
 * A checkpoint comes from a peer. CRIU believes it: it gives tasks the credentials that are in it,
 * installs its system call filters, makes its mounts, and writes its control group settings. So
 * this reads the checkpoint before CRIU does, and refuses everything that the container's own
 * configuration does not grant. It judges namespaces of the host, credentials, filters, scheduling,
 * mounts, control groups, and the kinds of images. It runs in the file worker, since it is a parser
 * of foreign bytes, too.
 *
 * CRIU's formats are known to `criu/tasks.c` and `criu/mounts.c`, which judge, and to `criu/mend.c`.
 */

#include <stdbool.h>
#include <stdint.h>

struct err;

#define CHECKPOINT_IMAGE_MAX   (16u << 20) /* bytes of an image that is read */
#define CHECKPOINT_ENTRIES_MAX 65536       /* messages in one, and images */

/* How a path is closed */
enum {
	CHECKPOINT_CLOSED_MASKED = 'm',    /* nothing is there */
	CHECKPOINT_CLOSED_READ_ONLY = 'r', /* at most read */
	CHECKPOINT_CLOSED_BIND = 'b',      /* the engine's mount is there, at most read */
};

/**
 * struct checkpoint_grant - Rights that tasks of the container may have
 * @capabilities:	a bit for each
 * @no_new_privs:	each thread must have given up new privileges
 * @filtered:		each thread must have a filter that denies what the engine's default denies
 * @profile:		each thread must have this AppArmor profile; NULL: there is no AppArmor
 * @closed:		paths that are closed to the container, one a line behind how; NULL or "":
 *			none
 */
struct checkpoint_grant {
	uint64_t capabilities;
	bool no_new_privs;
	bool filtered;
	const char *profile;
	const char *closed;
};

/**
 * checkpoint_images_check() - May this checkpoint be restored?
 * @images:	Directory of the images
 * @grant:	Rights that its tasks may have
 * @err:	Filled in on failure: names the image, and the thing that is not granted; not NULL
 *
 * Return: 0, -EPERM if something is not granted, -EPROTO if a file is no image, or another negative
 * error code
 */
int checkpoint_images_check(int images, const struct checkpoint_grant *grant, struct err *err);
