/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Radio - the settings of what a device hears, one table
 */

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "conf/conf_reader.h"

/* The radio of a device; docs/mobility.md says where the numbers come from */
static const struct {
	const char *name;
	double standard;
	double min;
	double max;
	const char *unit;
	const char *help;
	size_t offset;
} radio[] = {
#define RADIO(name, standard, min, max, unit, help)                                                \
	{                                                                                          \
#name, standard, min, max, unit, help, offsetof(struct conf_radio, name)           \
	}
	RADIO(transmit_dbm, 20, -30, 60, "dBm", "power of each access point"),
	RADIO(reference_loss_db, 40, 0, 150, "dB", "path loss at 1 m"),
	RADIO(exponent, 3, 1, 8, "", "path loss exponent"),
	RADIO(shadowing_db, 0, 0, 20, "dB", "standard deviation of the shadowing; 0: none"),
	RADIO(decorrelation_m, 20, 0.1, 10000, "m", "distance over which shadowing changes"),
	RADIO(sensitivity_dbm, -82, -130, 0, "dBm", "below this an access point is not heard"),
	RADIO(hysteresis_db, 6, 0, 60, "dB", "another access point must be better by this"),
	RADIO(dwell_ms, 500, 0, 60000, "ms", "for so long"),
};

static_assert(ARRAY_SIZE(radio) == CONF_RADIO_SETTINGS, "conf_reader.h gives the number");

void conf_radio_section(cfg_opt_t section[CONF_RADIO_SETTINGS + 1])
{
	for (size_t i = 0; i < ARRAY_SIZE(radio); i++)
		section[i] = (cfg_opt_t)CFG_FLOAT(radio[i].name, radio[i].standard, CFGF_NONE);
	section[ARRAY_SIZE(radio)] = (cfg_opt_t)CFG_END();
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	for (size_t i = 0; i < ARRAY_SIZE(radio); i++) {
		if (strcmp(radio[i].name, opt->name) == 0)
			return conf_want_number(cfg, opt, radio[i].min, radio[i].max);
	}
	return 0;
}

void conf_radio_copy(struct conf_radio *to, cfg_t *cfg)
{
	cfg_t *from = cfg_size(cfg, "radio") ? cfg_getsec(cfg, "radio") : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(radio); i++)
		*(double *)(void *)((char *)to + radio[i].offset) =
			from ? cfg_getfloat(from, radio[i].name) : radio[i].standard;
}

void conf_radio_watch(cfg_t *cfg)
{
	for (size_t i = 0; i < ARRAY_SIZE(radio); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "radio|%s", radio[i].name);
		(void)cfg_set_validate_func(cfg, name, on_value);
	}
}

void conf_radio_print(FILE *to)
{
	(void)fprintf(to, "Radio, with defaults and ranges:\n");
	for (size_t i = 0; i < ARRAY_SIZE(radio); i++)
		(void)fprintf(to, "  %-19s %6g %-4s %s (%g to %g)\n", radio[i].name,
			      radio[i].standard, radio[i].unit, radio[i].help, radio[i].min,
			      radio[i].max);
}
