/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Exposition - metrics as text, in version 0.0.4 of Prometheus' format
 *
 * Names of metrics and labels are constants of ours. Values of labels are constants, too, or names
 * from the configuration and from certificates: never a text that a container, a device or a peer
 * chose, so that nobody can fill the memory of whoever collects them (R9).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct histogram;

#define EXPOSITION_MAX (4u << 20) /* bytes; a longer text is cut off, and nothing is sent */

/**
 * struct exposition - Being written
 * @text:	So far
 * @family:	Metric that samples belong to
 * @failed:	Something did not fit, or there was no memory
 */
struct exposition {
	struct buf text;
	const char *family;
	bool failed;
};

/** exposition_init() - Begin an empty one */
void exposition_init(struct exposition *x);

/** exposition_deinit() - Release it */
void exposition_deinit(struct exposition *x);

/**
 * exposition_family() - Begin a metric; the samples that follow are of it
 * @x:		Exposition
 * @name:	"baton_moves_total"; a constant
 * @type:	"counter", "gauge" or "histogram"
 * @help:	One line
 */
void exposition_family(struct exposition *x, const char *name, const char *type, const char *help);

/**
 * exposition_sample() - A value, with names and values of labels in turn, ended by NULL
 * @x:		Exposition
 * @value:	Value
 */
void exposition_sample(struct exposition *x, double value, ...) __attribute__((sentinel));

/** exposition_one() - A metric with a single value and no labels */
void exposition_one(struct exposition *x, const char *name, const char *type, const char *help,
		    double value);

/** exposition_histogram() - The samples of a histogram; labels as for exposition_sample() */
void exposition_histogram(struct exposition *x, const struct histogram *h, ...)
	__attribute__((sentinel));

/**
 * exposition_disk() - How much room a directory's file system has
 * @x:		Exposition; the family "baton_disk_free_bytes" or "baton_disk_size_bytes" is begun
 * @directory:	The setting that names it, as label
 * @path:	Directory; NULL: no sample
 * @size:	Its size, not the free space
 */
void exposition_disk(struct exposition *x, const char *directory, const char *path, bool size);
