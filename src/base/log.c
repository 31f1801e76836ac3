/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

/*
 * The only process-wide state of the tree: the name of the program, set once in main() before any thread,
 * and whether debug lines are wanted and the journal reads. The first line finds out the latter two.
 */
static char speaker[64] = "baton";

enum { UNKNOWN, OFF, ON };

static atomic_int debug = UNKNOWN;
static atomic_int journal = UNKNOWN;

/** known() - Answer of @ask, which is called once */
static bool known(atomic_int *state, bool (*ask)(void))
{
	int is = atomic_load_explicit(state, memory_order_relaxed);

	if (is == UNKNOWN) {
		is = ask() ? ON : OFF;
		atomic_store_explicit(state, is, memory_order_relaxed);
	}
	return is == ON;
}

static bool debug_wanted(void)
{
	return getenv("BATON_DEBUG") != NULL;
}

/* The variable is inherited by programs whose stderr goes elsewhere: it names the file that it means. */
static bool journal_reads(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(own, stream) == 0;
}

void log_name(const char *name)
{
	(void)snprintf(speaker, sizeof(speaker), "%s", name);
}

static void __attribute__((format(printf, 3, 0)))
write_line(int priority, const char *level, const char *fmt, va_list ap)
{
	char text[1024];
	struct timespec now;
	struct tm utc;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	text_printable(text);
	/* one call, so that lines of several threads do not mix */
	if (known(&journal, journal_reads)) {
		/* the journal adds time and program */
		(void)fprintf(stderr, "<%d>%s: %s\n", priority, speaker, text);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	(void)fprintf(stderr, "%02d:%02d:%02d.%03ld %s %s: %s\n", utc.tm_hour, utc.tm_min,
		      utc.tm_sec, now.tv_nsec / 1000000, level, speaker, text);
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_ERR, "error", fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_INFO, "info", fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!known(&debug, debug_wanted))
		return;
	va_start(ap, fmt);
	write_line(LOG_DEBUG, "debug", fmt, ap);
	va_end(ap);
}
