/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Common metrics - those that every daemon has
 */

#include <stddef.h>
#include <stdint.h>

struct exposition;
struct log_reporter;

/** common_metrics_now() - The time of day. Return: seconds since 1970 */
double common_metrics_now(void);

/**
 * common_metrics_write() - Since when the program runs, and how long its certificate is good
 * @x:		Exposition
 * @since:	common_metrics_now() of its start
 * @certificate_days: Whole days left, as tls_watch_days() says
 */
void common_metrics_write(struct exposition *x, double since, int64_t certificate_days);

/** common_metrics_events() - How the Log Reporter stands; nothing if @reporter is NULL */
void common_metrics_events(struct exposition *x, struct log_reporter *reporter);

/** struct common_directory - A setting, and the directory it names; or NULL */
struct common_directory {
	const char *setting;
	const char *path;
};

/** common_metrics_disks() - Room on the file systems of @count directories */
void common_metrics_disks(struct exposition *x, const struct common_directory *directory,
			  size_t count);
