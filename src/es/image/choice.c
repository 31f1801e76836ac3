/* SPDX-License-Identifier: Apache-2.0 */
#include "es/image/choice.h"

#include <stdio.h>
#include <string.h>

/*
 * Measured with an image of 929 MB on two cores, one of them busy. They need not be right: they
 * give a first prediction, which is corrected by the measured time.
 */
#define SAVE_RATE     230000000 /* an engine saves an image */
#define LOAD_RATE     110000000 /* an engine makes layers of an archive, mostly as it comes */
#define UNPACK_RATE   80000000  /* the same of layers pulled, which it has to decompress */
#define TAIL_PERCENT  30        /* of that is left when the last byte is here */
#define ZSTD_PERMILLE 240       /* bytes on the wire for bytes of an image: our stream */
#define GZIP_PERMILLE 330       /* registry */
#define RATE_UNKNOWN  10000000

#define OLD_US         (3600ull * 1000000)
#define CORRECTION_MIN 250
#define CORRECTION_MAX 4000

const char *image_source_name(enum image_source way)
{
	return way == IMAGE_FROM_REGISTRY ? "registry" : "source";
}

static uint64_t time_of(uint64_t bytes, uint64_t rate)
{
	return bytes * 1000 / (rate / 1000 ? rate / 1000 : 1);
}

/** arrival() - Bytes come at @rate while the engine works on earlier ones, and then on the rest */
static uint64_t arrival(uint64_t sent, uint64_t rate, uint64_t bytes, uint64_t work_rate)
{
	uint64_t coming = time_of(sent, rate ? rate : RATE_UNKNOWN);
	uint64_t work = time_of(bytes, work_rate);
	uint64_t tail = work / 100 * TAIL_PERCENT;

	return coming + tail > work ? coming + tail : work;
}

uint64_t image_predict(const struct image_costs *costs, enum image_source way)
{
	uint64_t sent = costs->registry_bytes;

	if (way == IMAGE_FROM_SOURCE)
		return time_of(costs->image_bytes, SAVE_RATE) +
		       arrival(costs->missing_bytes / 1000 * ZSTD_PERMILLE, costs->link_rate,
			       costs->missing_bytes, LOAD_RATE);
	if (!sent)
		sent = costs->missing_bytes / 1000 * GZIP_PERMILLE;
	return arrival(sent, costs->registry_rate, costs->missing_bytes, UNPACK_RATE);
}

void image_rates_init(struct image_rates *ir)
{
	memset(ir, 0, sizeof(*ir));
	(void)pthread_mutex_init(&ir->lock, NULL);
	for (int i = 0; i < IMAGE_SOURCES; i++)
		ir->correction[i] = 1000;
}

void image_rates_deinit(struct image_rates *ir)
{
	(void)pthread_mutex_destroy(&ir->lock);
}

/** slot_of() - Where a key is, or would be */
static struct image_rate *slot_of(struct image_rates *ir, const char *key)
{
	struct image_rate *oldest = &ir->rate[0];

	for (int i = 0; i < IMAGE_RATES_MAX; i++) {
		if (!strcmp(ir->rate[i].key, key))
			return &ir->rate[i];
		if (ir->rate[i].at_us < oldest->at_us)
			oldest = &ir->rate[i];
	}
	return oldest;
}

void image_rates_note(struct image_rates *ir, const char *key, uint64_t rate, uint64_t now_us)
{
	struct image_rate *slot;

	(void)pthread_mutex_lock(&ir->lock);
	slot = slot_of(ir, key);
	(void)snprintf(slot->key, sizeof(slot->key), "%s", key);
	slot->rate = rate;
	slot->at_us = now_us;
	(void)pthread_mutex_unlock(&ir->lock);
}

uint64_t image_rates_ask(struct image_rates *ir, const char *key, uint64_t now_us)
{
	const struct image_rate *slot;
	uint64_t rate = 0;

	(void)pthread_mutex_lock(&ir->lock);
	slot = slot_of(ir, key);
	if (!strcmp(slot->key, key) && now_us - slot->at_us < OLD_US)
		rate = slot->rate;
	(void)pthread_mutex_unlock(&ir->lock);
	return rate;
}

void image_rates_learn(struct image_rates *ir, enum image_source way, uint64_t predicted_us,
		       uint64_t took_us)
{
	uint64_t seen = predicted_us ? took_us * 1000 / predicted_us : 1000;

	seen = seen < CORRECTION_MIN   ? CORRECTION_MIN
	       : seen > CORRECTION_MAX ? CORRECTION_MAX
				       : seen;
	(void)pthread_mutex_lock(&ir->lock);
	/* Half of the old value stays: one odd image is not the rule. */
	ir->correction[way] = (uint32_t)((ir->correction[way] + seen) / 2);
	(void)pthread_mutex_unlock(&ir->lock);
}

uint64_t image_rates_correct(struct image_rates *ir, enum image_source way, uint64_t predicted_us)
{
	uint64_t corrected;

	(void)pthread_mutex_lock(&ir->lock);
	corrected = predicted_us / 1000 * ir->correction[way];
	(void)pthread_mutex_unlock(&ir->lock);
	return corrected;
}
