/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/mobility_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define LEVELS_TOLD 4 /* of the strongest: an event has little room */

/* struct station - An access point */
struct station {
	char name[NAME_SIZE];
	struct place at;
};

struct mobility_model {
	struct radio radio;
	struct ap_choice choice;
	struct movement *movement;
	uint64_t next_ms; /* of the run: when to look next */
	struct place here;
	double level[MOBILITY_APS_MAX];
	size_t stations;
	struct station station[];
};

static void look(struct mobility_model *m, uint64_t ms)
{
	m->here = movement_at(m->movement, ms);
	for (size_t i = 0; i < m->stations; i++)
		m->level[i] = radio_level(&m->radio, i, m->station[i].at, m->here);
}

int mobility_model_new(struct mobility_model **ret, const struct mobility_setup *setup,
		       struct err *err)
{
	int r;

	if (setup->aps < 1 || setup->aps > MOBILITY_APS_MAX)
		return err_set(err, -EINVAL, "mobility: want 1 to %d access points",
			       MOBILITY_APS_MAX);
	AUTO(mobility_model)
	struct mobility_model *m = calloc(1, sizeof(*m) + setup->aps * sizeof(struct station));
	if (!m)
		return err_set(err, -ENOMEM, "mobility");
	for (; m->stations < setup->aps; m->stations++) {
		struct station *s = &m->station[m->stations];

		r = name_set(s->name, setup->ap[m->stations].name, err);
		if (r < 0)
			return r;
		s->at = setup->ap[m->stations].at;
	}
	m->radio = setup->radio;
	m->movement = setup->movement;
	look(m, 0);
	ap_choice_init(&m->choice, &setup->rules, m->level, m->stations);
	m->next_ms = MOBILITY_STEP_MS;
	*ret = TAKE_PTR(m);
	return 0;
}

const char *mobility_model_ap(const struct mobility_model *m)
{
	return m->station[m->choice.present].name;
}

const char *mobility_model_text(const struct mobility_model *m)
{
	return movement_text(m->movement);
}

/* Levels of the strongest access points, the strongest first */
static void write_detail(const struct mobility_model *m, char to[MOBILITY_DETAIL_SIZE])
{
	bool told[MOBILITY_APS_MAX] = { false };
	int len = snprintf(to, MOBILITY_DETAIL_SIZE, "x_m=%.1f y_m=%.1f signal_dbm=", m->here.x,
			   m->here.y);

	for (int n = 0; n < LEVELS_TOLD && n < (int)m->stations; n++) {
		size_t best = m->stations;
		char level[NAME_SIZE + 16];

		for (size_t i = 0; i < m->stations; i++) {
			if (!told[i] && (best == m->stations || m->level[i] > m->level[best]))
				best = i;
		}
		told[best] = true;
		int more = snprintf(level, sizeof(level), "%s%s:%.1f", n ? "," : "",
				    m->station[best].name, m->level[best]);
		if (len + more >= MOBILITY_DETAIL_SIZE)
			return; /* long names: as many as there is room for */
		memcpy(to + len, level, (size_t)more + 1);
		len += more;
	}
}

bool mobility_model_step(struct mobility_model *m, uint64_t elapsed_ms, struct mobility_news *news)
{
	while (m->next_ms <= elapsed_ms) {
		uint64_t now = m->next_ms;

		m->next_ms += MOBILITY_STEP_MS;
		look(m, now);
		enum ap_choice_e what = ap_choice_step(&m->choice, now, m->level, m->stations);
		if (what == AP_CHOICE_STAY)
			continue;
		*news = (struct mobility_news){ .what = what,
						.ap = mobility_model_ap(m),
						.at_ms = now };
		write_detail(m, news->detail);
		return true;
	}
	return false;
}

uint64_t mobility_model_due(const struct mobility_model *m)
{
	return m->next_ms;
}

struct mobility_model *mobility_model_free(struct mobility_model *m)
{
	if (m) {
		/* one that never came to be does not own its way */
		movement_free(m->movement);
		free(m);
	}
	return NULL;
}
