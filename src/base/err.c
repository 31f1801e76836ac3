/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* names in parentheses: the static analyzer's macros do not apply here */
int(err_set)(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;
	size_t used;

	if (!err)
		return code;
	err->code = code;
	err->lasting = false;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	if (code != -EPROTO && code != -EINVAL)
		(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(-code));
	return code;
}

int(err_wrap)(struct err *err, int code, const char *fmt, ...)
{
	char below[ERR_TEXT_MAX];
	va_list ap;
	size_t used;

	if (!err)
		return code;
	memcpy(below, err->text, sizeof(below));
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", below);
	return code;
}

int err_lasting(struct err *err, int code)
{
	if (err)
		err->lasting = true;
	return code;
}
