/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image choice - chooses the faster image source for a missing image: source edge server, or
 * registry
 *
 * The paper's C-Migr sends the image, its P-Migr relies on the destination having it or pulling it
 * quickly; the faster one depends on image, link and registry. So both times are predicted from
 * known sizes, and from rates that were measured before. When the image is here, the prediction is
 * compared with the real time, and the next one is corrected by that.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define IMAGE_RATES_MAX 64

/** enum image_source - Source of an image */
enum image_source {
	IMAGE_FROM_SOURCE,
	IMAGE_FROM_REGISTRY,
	IMAGE_SOURCES,
};

/** image_source_name() - "source", "registry" */
const char *image_source_name(enum image_source way);

/**
 * struct image_costs - Known sizes and rates of an image that is not here
 * @image_bytes:	of the whole image, uncompressed: the source's engine saves all of it
 * @missing_bytes:	of the layers of it that are missing here
 * @registry_bytes:	that the registry would send, compressed; 0: not known
 * @link_rate:		from the source, bytes per second; 0: not known
 * @registry_rate:	from the registry; 0: not known
 */
struct image_costs {
	uint64_t image_bytes;
	uint64_t missing_bytes;
	uint64_t registry_bytes;
	uint64_t link_rate;
	uint64_t registry_rate;
};

/**
 * image_predict() - How long an image would take until a container can be made of it
 * @costs:	Known sizes and rates; usual values stand for unknown ones
 * @way: Its source
 *
 * Return: microseconds
 */
uint64_t image_predict(const struct image_costs *costs, enum image_source way);

/** struct image_rate - A rate that was measured */
struct image_rate {
	char key[300];
	uint64_t rate;
	uint64_t at_us;
};

/**
 * struct image_rates - Measured rates; any thread may use them
 * @rate:	by key; a new key replaces the oldest
 * @correction:	factor of predictions, in thousandths
 */
struct image_rates {
	pthread_mutex_t lock;
	struct image_rate rate[IMAGE_RATES_MAX];
	uint32_t correction[IMAGE_SOURCES];
};

/** image_rates_init() - Begin with nothing known; image_rates_deinit() is owed */
void image_rates_init(struct image_rates *ir);

/** image_rates_deinit() - Release it */
void image_rates_deinit(struct image_rates *ir);

/** image_rates_note() - Remember a rate, in bytes per second, measured at @now_us */
void image_rates_note(struct image_rates *ir, const char *key, uint64_t rate, uint64_t now_us);

/** image_rates_ask() - A rate that is not older than an hour. Return: 0 if there is none */
uint64_t image_rates_ask(struct image_rates *ir, const char *key, uint64_t now_us);

/** image_rates_learn() - @predicted_us were predicted, before correction, it took @took_us */
void image_rates_learn(struct image_rates *ir, enum image_source way, uint64_t predicted_us,
		       uint64_t took_us);

/** image_rates_correct() - A prediction, corrected by the errors of earlier ones */
uint64_t image_rates_correct(struct image_rates *ir, enum image_source way, uint64_t predicted_us);
