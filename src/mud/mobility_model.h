/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Mobility model - moves that follow from the device's way and from the signals on it
 *
 *	movement ---> radio (a level for each access point) ---> ap_choice ---> moves
 *
 * It looks every MOBILITY_STEP_MS of the run's time, however late it is asked: the same setup makes
 * the same moves at the same times. It reads no clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/text.h"
#include "mud/ap_choice.h"
#include "mud/movement.h"
#include "mud/radio.h"

struct err;
struct mobility_model; /* opaque */

#define MOBILITY_STEP_MS     100
#define MOBILITY_APS_MAX     256
#define MOBILITY_DETAIL_SIZE 192

/** struct mobility_ap - An access point and where it stands; the name is copied */
struct mobility_ap {
	const char *name;
	struct place at;
};

/**
 * struct mobility_setup - Settings of a model; copied, but for @movement
 * @ap, @aps:	Access points, 1 to MOBILITY_APS_MAX
 * @radio:	Propagation of their signals
 * @rules:	When to leave an access point
 * @movement:	The way; the model owns it when mobility_model_new() has succeeded
 */
struct mobility_setup {
	const struct mobility_ap *ap;
	size_t aps;
	struct radio radio;
	struct ap_choice_rules rules;
	struct movement *movement;
};

/**
 * struct mobility_news - Event of a step
 * @what:	AP_CHOICE_MOVE, AP_CHOICE_LOST or AP_CHOICE_REGAINED
 * @ap:		Access point the device is at from now on, or was last; valid as long as the model
 * @at_ms:	When, from the start of the run
 * @detail:	Place, and levels of the strongest access points, as key=value words:
 *		"x_m=12.0 y_m=3.5 signal_dbm=AP-2:-51.3,AP-1:-58.0"
 */
struct mobility_news {
	enum ap_choice_e what;
	const char *ap;
	uint64_t at_ms;
	char detail[MOBILITY_DETAIL_SIZE];
};

/**
 * mobility_model_new() - Begin: the device is at the strongest access point
 * @ret:	Set on success only; the caller owns it, see mobility_model_free()
 * @setup:	See struct mobility_setup
 * @err:	Filled in on failure
 *
 * Return: 0, -EINVAL for a number of access points, or -ENOMEM
 */
int mobility_model_new(struct mobility_model **ret, const struct mobility_setup *setup,
		       struct err *err);

/** mobility_model_ap() - Access point the device is at. Return: valid as long as @m */
const char *mobility_model_ap(const struct mobility_model *m);

/** mobility_model_text() - Description, one line for a person. Return: valid as long as @m */
const char *mobility_model_text(const struct mobility_model *m);

/**
 * mobility_model_step() - Next event until now
 * @m:		Model
 * @elapsed_ms:	Time since the start of the run
 * @news:	Filled in if there is any
 *
 * Call until it returns false: there can be several events.
 *
 * Return: whether there was one
 */
bool mobility_model_step(struct mobility_model *m, uint64_t elapsed_ms, struct mobility_news *news);

/** mobility_model_due() - When to ask again. Return: ms from the start */
uint64_t mobility_model_due(const struct mobility_model *m);

/** mobility_model_free() - Release it; @m may be NULL. Return: NULL, always */
struct mobility_model *mobility_model_free(struct mobility_model *m);

AUTO_DEFINE(mobility_model)
