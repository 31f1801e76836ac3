/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/ap_choice.h"

/* The strongest one; the present one wins over its equals, then the first */
static size_t strongest(const double *level, size_t count, size_t present)
{
	size_t best = present;

	for (size_t i = 0; i < count; i++) {
		if (level[i] > level[best])
			best = i;
	}
	return best;
}

void ap_choice_init(struct ap_choice *c, const struct ap_choice_rules *rules, const double *level,
		    size_t count)
{
	*c = (struct ap_choice){ .rules = *rules, .present = strongest(level, count, 0) };
	c->candidate = c->present;
	c->lost = level[c->present] < rules->sensitivity_dbm;
}

static enum ap_choice_e move_to(struct ap_choice *c, size_t ap)
{
	c->present = ap;
	c->candidate = ap;
	c->lost = false;
	return AP_CHOICE_MOVE;
}

static enum ap_choice_e without_signal(struct ap_choice *c, const double *level, size_t best)
{
	c->candidate = c->present;
	if (level[best] >= c->rules.sensitivity_dbm)
		return move_to(c, best);
	if (c->lost)
		return AP_CHOICE_STAY;
	c->lost = true;
	return AP_CHOICE_LOST;
}

enum ap_choice_e ap_choice_step(struct ap_choice *c, uint64_t now_ms, const double *level,
				size_t count)
{
	size_t best = strongest(level, count, c->present);

	if (level[c->present] < c->rules.sensitivity_dbm)
		return without_signal(c, level, best);
	if (c->lost) {
		c->lost = false;
		return AP_CHOICE_REGAINED;
	}
	if (best == c->present || level[best] < level[c->present] + c->rules.hysteresis_db) {
		c->candidate = c->present;
		return AP_CHOICE_STAY;
	}
	if (c->candidate != best) {
		c->candidate = best;
		c->since_ms = now_ms;
	}
	return now_ms - c->since_ms >= c->rules.dwell_ms ? move_to(c, best) : AP_CHOICE_STAY;
}
