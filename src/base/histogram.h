/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Histogram - how long things took, for metrics
 *
 * The limits suit everything here, from a freeze of milliseconds to an image on its way for minutes.
 */

#include <stdint.h>

#define HISTOGRAM_BUCKETS 15

/** struct histogram - All zero at first. @bucket: how many took at most histogram_limit(i), and more than i - 1 */
struct histogram {
	uint64_t bucket[HISTOGRAM_BUCKETS + 1]; /* the last one: more than any limit */
	uint64_t count;
	double sum;
};

/** histogram_limit() - Upper limit of bucket @i, below HISTOGRAM_BUCKETS. Return: seconds */
double histogram_limit(int i);

/** histogram_add() - Something took @seconds */
void histogram_add(struct histogram *h, double seconds);
