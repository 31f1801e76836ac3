/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Access point choice - when a device that hears several leaves one for another
 *
 * Another access point must be the strongest, and better than the present one by the hysteresis, all
 * the time for the dwell time; so noise and standing at the border cause no moves to and fro. A device
 * whose present access point is below the sensitivity has nothing to lose: it takes the strongest one
 * at once, or is without association until it hears one again.
 *
 * Time comes in, decisions go out; nothing here reads a clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct ap_choice_rules - Levels in dBm, differences in dB */
struct ap_choice_rules {
	double hysteresis_db;
	double sensitivity_dbm;
	uint64_t dwell_ms;
};

/** enum ap_choice_e - Decision of a step */
enum ap_choice_e {
	AP_CHOICE_STAY,
	AP_CHOICE_MOVE,     /* to @present */
	AP_CHOICE_LOST,     /* no access point is heard any more; @present is the last one */
	AP_CHOICE_REGAINED, /* @present is heard again */
};

/**
 * struct ap_choice - Where the device is, and where it thinks of going
 * @rules:	See struct ap_choice_rules
 * @present:	Number of the access point
 * @candidate:	Number of a better one, @present: none
 * @since_ms:	Since when it is better
 * @lost:	No access point is heard
 */
struct ap_choice {
	struct ap_choice_rules rules;
	size_t present;
	size_t candidate;
	uint64_t since_ms;
	bool lost;
};

/**
 * ap_choice_init() - Begin at the strongest access point; of equals, at the first
 * @c:		Choice
 * @rules:	Copied
 * @level:	Levels in dBm
 * @count:	How many, 1 at least
 */
void ap_choice_init(struct ap_choice *c, const struct ap_choice_rules *rules, const double *level,
		    size_t count);

/**
 * ap_choice_step() - Decide
 * @c:		Choice
 * @now_ms:	Time, which must not go back
 * @level:	Levels now
 * @count:	As with ap_choice_init()
 *
 * Return: the decision
 */
enum ap_choice_e ap_choice_step(struct ap_choice *c, uint64_t now_ms, const double *level,
				size_t count);
