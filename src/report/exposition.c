/* SPDX-License-Identifier: Apache-2.0 */
#include "report/exposition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/histogram.h"

#define PIECE_MAX 512

void exposition_init(struct exposition *x)
{
	*x = (struct exposition){ 0 };
	buf_init(&x->text, EXPOSITION_MAX);
}

void exposition_deinit(struct exposition *x)
{
	buf_deinit(&x->text);
}

static void add(struct exposition *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct exposition *x, const char *fmt, ...)
{
	char piece[PIECE_MAX];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(piece) || buf_append(&x->text, piece, (size_t)n, NULL) < 0)
		x->failed = true;
}

void exposition_family(struct exposition *x, const char *name, const char *type, const char *help)
{
	x->family = name;
	add(x, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* In a value of a label, backslash, quote and line feed are written as escapes */
static void add_value(struct exposition *x, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			add(x, "\\n");
		else
			add(x, *value == '\\' || *value == '"' ? "\\%c" : "%c", *value);
	}
}

/* name="value", ...; @first: whether a comma is needed before the first. Return: how many */
static int add_labels(struct exposition *x, va_list ap)
{
	const char *name;
	int n = 0;

	while ((name = va_arg(ap, const char *))) {
		add(x, "%s%s=\"", n++ ? "," : "{", name);
		add_value(x, va_arg(ap, const char *));
		add(x, "\"");
	}
	return n;
}

void exposition_sample(struct exposition *x, double value, ...)
{
	va_list ap;

	add(x, "%s", x->family);
	va_start(ap, value);
	int labels = add_labels(x, ap);
	va_end(ap);
	add(x, "%s %.15g\n", labels ? "}" : "", value);
}

void exposition_one(struct exposition *x, const char *name, const char *type, const char *help,
		    double value)
{
	exposition_family(x, name, type, help);
	exposition_sample(x, value, NULL);
}

/* One line of a histogram: @suffix, the labels, and "le" if @limit says so */
static void histogram_line(struct exposition *x, const char *suffix, const char *limit,
			   double value, va_list labels)
{
	va_list ap;

	add(x, "%s%s", x->family, suffix);
	va_copy(ap, labels);
	int n = add_labels(x, ap);
	va_end(ap);
	if (limit)
		add(x, "%sle=\"%s\"", n++ ? "," : "{", limit);
	add(x, "%s %.15g\n", n ? "}" : "", value);
}

void exposition_histogram(struct exposition *x, const struct histogram *h, ...)
{
	uint64_t through = 0;
	va_list labels;

	va_start(labels, h);
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		char limit[32];

		through += h->bucket[i];
		(void)snprintf(limit, sizeof(limit), "%g", histogram_limit(i));
		histogram_line(x, "_bucket", limit, (double)through, labels);
	}
	histogram_line(x, "_bucket", "+Inf", (double)h->count, labels);
	histogram_line(x, "_sum", NULL, h->sum, labels);
	histogram_line(x, "_count", NULL, (double)h->count, labels);
	va_end(labels);
}

void exposition_disk(struct exposition *x, const char *directory, const char *path, bool size)
{
	struct statvfs fs;

	if (!path || statvfs(path, &fs) < 0)
		return;
	exposition_sample(x, (double)(size ? fs.f_blocks : fs.f_bavail) * (double)fs.f_frsize,
			  "directory", directory, NULL);
}
