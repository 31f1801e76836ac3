/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checkpoint images - what a checkpoint makes CRIU do as root, judged before it is restored (R13,
 * R16)
 *
 * A checkpoint comes from a peer. CRIU believes it: it gives tasks the credentials that are in it,
 * installs its system call filters, mounts what it names, writes the control group settings it
 * lists. So before CRIU sees it, this reads it and refuses what the container's own configuration
 * does not grant: namespaces of the host, credentials, filters, a place in the scheduler, mounts,
 * control groups, and images of a kind that a container of ours has not. Read in the file worker,
 * since this is a parser of foreign bytes, too.
 *
 * It and criu/mend.c know CRIU's formats, and besides wire/envelope.c and engine/containerd.c protobuf-c.
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
 * struct checkpoint_grant - What tasks of the container may have
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
 * @grant:	What its tasks may have
 * @err:	Filled in on failure: names the image, and what is not granted; not NULL
 *
 * Return: 0, -EPERM for what is not granted, -EPROTO for what is no image, or another negative
 * error code
 */
int checkpoint_images_check(int images, const struct checkpoint_grant *grant, struct err *err);
