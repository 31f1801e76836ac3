/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Judging - a checkpoint being judged; inner header of images.c, tasks.c and mounts.c
 */

#include <stddef.h>

#include "es/criu/image.h"
#include "es/criu/images.h"

/** enum filtering - Whether a filter keeps a container in: alone, or all threads of its process */
enum filtering {
	FILTER_OPEN,
	FILTER_GOOD,
	FILTER_GOOD_FOR_ALL,
};

/**
 * struct judging - A checkpoint being judged
 * @images:	Directory
 * @grant:	Rights that its tasks may have
 * @filter:	Each of seccomp.img by its index, to be freed
 * @filters:	How many
 * @roots:	Mount namespaces seen so far
 */
struct judging {
	int images;
	const struct checkpoint_grant *grant;
	enum filtering *filter;
	size_t filters;
	size_t roots;
};

/* All return 0, -EPERM if something is not granted, -EPROTO if a file is no image, or another negative error code */

/** judge_filters() - Judge each filter of seccomp.img by itself, for judge_tasks() */
int judge_filters(struct judging *j, struct criu_image *in, struct err *err);

/** judge_tasks() - Judge all processes that CRIU will restore: those of pstree.img alone */
int judge_tasks(const struct judging *j, struct err *err);

/** judge_mounts() - Judge the mounts of one namespace, of which there may be one */
int judge_mounts(struct judging *j, struct criu_image *in, struct err *err);

/** judge_groups() - Judge control groups and their settings */
int judge_groups(struct criu_image *in, struct err *err);
