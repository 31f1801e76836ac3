/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

double histogram_limit(int i)
{
	static const double limits[HISTOGRAM_BUCKETS] = {
		0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
	};

	return limits[i];
}

void histogram_add(struct histogram *h, double seconds)
{
	int i = 0;

	while (i < HISTOGRAM_BUCKETS && seconds > histogram_limit(i))
		i++;
	h->bucket[i]++;
	h->count++;
	h->sum += seconds;
}
