/* SPDX-License-Identifier: Apache-2.0 */
#include "report/common_metrics.h"

#include "base/clock.h"
#include "report/exposition.h"
#include "report/log_reporter.h"

#define DAY_S 86400

double common_metrics_now(void)
{
	return (double)realtime_us() / 1000000;
}

void common_metrics_write(struct exposition *x, double since, int64_t certificate_days)
{
	exposition_one(x, "baton_start_time_seconds", "gauge", "When the program started.", since);
	exposition_one(x, "baton_certificate_remaining_seconds", "gauge",
		       "How long our certificate is still valid, in whole days.",
		       (double)certificate_days * DAY_S);
}

void common_metrics_events(struct exposition *x, struct log_reporter *reporter)
{
	if (!reporter)
		return;
	exposition_one(x, "baton_events_waiting", "gauge",
		       "Events that wait for the event log repository.",
		       (double)log_reporter_waiting(reporter));
	exposition_one(x, "baton_events_dropped_total", "counter",
		       "Events dropped because too many waited, or because a link broke.",
		       (double)log_reporter_dropped(reporter));
}

void common_metrics_disks(struct exposition *x, const struct common_directory *directory,
			  size_t count)
{
	exposition_family(x, "baton_disk_free_bytes", "gauge",
			  "Room left on the file system of a directory.");
	for (size_t i = 0; i < count; i++)
		exposition_disk(x, directory[i].setting, directory[i].path, false);
	exposition_family(x, "baton_disk_size_bytes", "gauge",
			  "Size of the file system of a directory.");
	for (size_t i = 0; i < count; i++)
		exposition_disk(x, directory[i].setting, directory[i].path, true);
}
