/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/metrics.h"

#include "es/migration/common/migration.h"

void migration_metrics_ended(struct migration_metrics *to, const struct migration *m)
{
	int side = m->is_source ? MIGRATION_SOURCE : MIGRATION_DESTINATION;

	/* a connection that brought no offer was no migration */
	if (!m->is_source && !m->session)
		return;
	if (m->is_source && m->order.purpose != MIGRATION_MOVE)
		return; /* its stages are others */
	for (size_t i = 0; i < MIGRATION_STAGES_MAX; i++) {
		if (m->stage_us[i])
			histogram_add(&to->side[side].stage[i], (double)m->stage_us[i] / 1000000);
	}
	if (m->good)
		to->side[side].good++;
	else if (m->cancelled)
		to->side[side].cancelled++;
	else
		to->side[side].failed[m->stage]++;
	to->side[side].lasting += !m->good && m->err.lasting;
	if (m->is_source && m->cut.freeze_us) {
		histogram_add(&to->side[side].freeze, (double)m->cut.freeze_us / 1000000);
		to->side[side].sent_bytes += m->cut_bytes;
	}
}
