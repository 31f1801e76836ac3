/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/radio.h"

#include <math.h>

#include "mud/seeded.h"

/* Shadowing at a corner of the grid, before it is scaled */
static double corner(const struct radio *r, size_t index, double column, double row)
{
	uint64_t state = r->seed ^ ((uint64_t)index + 1) * 0xd6e8feb86659fd93u;

	state = seeded_next(&state) ^ (uint64_t)(int64_t)column;
	state = seeded_next(&state) ^ (uint64_t)(int64_t)row;
	return seeded_normal(&state);
}

/*
 * The four corners of the square the device is in, weighted by nearness. Weights are normalised by the
 * root of the sum of their squares: so the deviation is the same everywhere, between corners too.
 */
static double shadowing(const struct radio *r, size_t index, struct place at)
{
	double column = floor(at.x / r->decorrelation_m), row = floor(at.y / r->decorrelation_m);
	double u = at.x / r->decorrelation_m - column, v = at.y / r->decorrelation_m - row;
	double sum = 0, squares = 0;

	for (int i = 0; i < 4; i++) {
		double right = i & 1, up = i >> 1;
		double weight = (right > 0 ? u : 1 - u) * (up > 0 ? v : 1 - v);

		sum += weight * corner(r, index, column + right, row + up);
		squares += weight * weight;
	}
	return r->shadowing_db * sum / sqrt(squares);
}

double radio_level(const struct radio *r, size_t index, struct place ap, struct place device)
{
	/* below the reference distance of 1 m the formula does not hold: as at 1 m */
	double distance = fmax(1, hypot(device.x - ap.x, device.y - ap.y));
	double loss = r->reference_loss_db + 10 * r->exponent * log10(distance);

	if (r->shadowing_db > 0)
		loss += shadowing(r, index, device);
	return r->transmit_dbm - loss;
}
