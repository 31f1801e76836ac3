/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/predict.h"

#include "es/image/choice.h"

/* Measured with containers of 1 to 256 MB of memory and 20 MB of files on two cores. */
#define PREPARE_US      400000 /* container created there, staging copies made here */
#define CRIU_US         80000  /* CRIU gets ready while requests are held */
#define FREEZE_US       80000
#define RESTORE_US      250000
#define DUMP_RATE       200000000 /* memory into images, frozen */
#define TMPFS_RATE      250000000 /* CRIU packs what is on a tmpfs by tar, frozen */
#define RESTORE_RATE    400000000
#define MEMORY_PERMILLE 360 /* bytes on the wire for bytes of memory */
#define FILES_PERMILLE  500
#define ROUND_TRIPS     8 /* connect, offer, slow starts, the last byte, fence */

static uint64_t time_of(uint64_t bytes, uint64_t rate)
{
	return bytes * 1000 / (rate / 1000 ? rate / 1000 : 1);
}

uint64_t migration_predict_freeze(const struct migration_sizes *s)
{
	return FREEZE_US + time_of(s->memory, DUMP_RATE) + time_of(s->tmpfs, TMPFS_RATE);
}

uint64_t migration_predict_total(const struct migration_sizes *s, bool image)
{
	const struct image_costs costs = {
		.image_bytes = s->image,
		.missing_bytes = s->image,
		.link_rate = s->rate,
	};
	uint64_t memory = (s->memory + s->tmpfs) / 1000 * MEMORY_PERMILLE;
	uint64_t files = s->files / 1000 * FILES_PERMILLE;

	return PREPARE_US + CRIU_US + ROUND_TRIPS * s->rtt_us + time_of(files, s->rate) +
	       migration_predict_freeze(s) + time_of(memory, s->rate) + RESTORE_US +
	       time_of(s->memory, RESTORE_RATE) +
	       (image ? image_predict(&costs, IMAGE_FROM_SOURCE) : 0);
}
