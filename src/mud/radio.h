/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Radio - how strongly the device hears an access point
 *
 * Log-distance path loss with log-normal shadowing; docs/mobility.md has formulas and sources.
 */

#include <stddef.h>
#include <stdint.h>

#include "mud/movement.h"

/**
 * struct radio - The model
 * @transmit_dbm:	Power of each access point, antenna gains included
 * @reference_loss_db:	Path loss at 1 m
 * @exponent:		Path loss exponent: 2 in free space, about 3 in buildings and streets
 * @shadowing_db:	Standard deviation of the shadowing; 0: none
 * @decorrelation_m:	Distance over which shadowing changes
 * @seed:		Makes the shadowing
 */
struct radio {
	double transmit_dbm;
	double reference_loss_db;
	double exponent;
	double shadowing_db;
	double decorrelation_m;
	uint64_t seed;
};

/**
 * radio_level() - Strength of access point number @index, which stands at @ap, heard at @device
 *
 * It depends on nothing else: the same place is always the same level.
 *
 * Return: dBm
 */
double radio_level(const struct radio *r, size_t index, struct place ap, struct place device);
