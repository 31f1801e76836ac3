/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"

/*
 * The only process-wide state of the tree: who speaks, set once in main() before any thread; and
 * whether debug lines are wanted, which the first one asks and all others know.
 */
static char speaker[64] = "baton";

enum { DEBUG_UNKNOWN, DEBUG_OFF, DEBUG_ON };

static atomic_int debug = DEBUG_UNKNOWN;

static bool debugging(void)
{
	int known = atomic_load_explicit(&debug, memory_order_relaxed);

	if (known == DEBUG_UNKNOWN) {
		known = getenv("BATON_DEBUG") ? DEBUG_ON : DEBUG_OFF;
		atomic_store_explicit(&debug, known, memory_order_relaxed);
	}
	return known == DEBUG_ON;
}

void log_name(const char *name)
{
	(void)snprintf(speaker, sizeof(speaker), "%s", name);
}

static void __attribute__((format(printf, 2, 0)))
write_line(const char *level, const char *fmt, va_list ap)
{
	char text[1024];
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	text_printable(text);
	/* one call, so that lines of several threads do not mix */
	(void)fprintf(stderr, "%02d:%02d:%02d.%03ld %s %s: %s\n", utc.tm_hour, utc.tm_min,
		      utc.tm_sec, now.tv_nsec / 1000000, level, speaker, text);
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line("error", fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line("info", fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!debugging())
		return;
	va_start(ap, fmt);
	write_line("debug", fmt, ap);
	va_end(ap);
}
