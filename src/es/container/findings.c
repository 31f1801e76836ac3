/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/findings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "es/engine/docker_engine.h"

#define FINDINGS_MAX 32

/** append() - Append a finding */
__attribute__((format(printf, 4, 0))) static void
append(json_t *findings, const char *remedy, bool lasting, const char *format, va_list ap)
{
	char what[512];

	(void)vsnprintf(what, sizeof(what), format, ap);
	/* a path with bytes that JSON does not take must not keep the finding out of the list */
	text_printable(what);
	if (json_array_size(findings) < FINDINGS_MAX)
		(void)json_array_append_new(findings,
					    json_pack("{s:s, s:s, s:b}", "what", what, "remedy",
						      remedy, "lasting", lasting));
}

void finding_add(json_t *findings, const char *remedy, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	append(findings, remedy, true, format, ap);
	va_end(ap);
}

void finding_add_now(json_t *findings, const char *remedy, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	append(findings, remedy, false, format, ap);
	va_end(ap);
}

bool findings_lasting(const json_t *findings)
{
	json_t *item;
	size_t i;

	json_array_foreach(findings, i, item)
	{
		if (json_is_true(json_object_get(item, "lasting")))
			return true;
	}
	return false;
}

/** refusal_add() - Append a finding to a line, if it fits. Return: whether it did */
static bool refusal_add(char text[FINDINGS_TEXT_MAX], const json_t *finding)
{
	size_t used = strlen(text);
	size_t room = FINDINGS_TEXT_MAX - used;
	int n = snprintf(text + used, room, "%s%s (%s)", used ? "; " : "",
			 json_text(finding, "what", NULL), json_text(finding, "remedy", NULL));

	if (n > 0 && (size_t)n < room)
		return true;
	if (used) {
		text[used] = '\0';
		return false;
	}
	/* One alone is too long, for it has a path: cut it after a word. */
	char *end = strrchr(text, ' ');
	(void)snprintf(end && end < text + room - 5 ? end : text + room - 5, 5, " ...");
	return true;
}

int findings_refusal(const json_t *findings, struct err *err)
{
	char text[FINDINGS_TEXT_MAX] = "";
	char more[64] = "";
	size_t shown = 0;
	size_t count = json_array_size(findings);

	while (shown < count && refusal_add(text, json_array_get(findings, shown)))
		shown++;
	if (!count)
		return 0;
	if (shown < count)
		(void)snprintf(more, sizeof(more), "; and %zu more, see baton check",
			       count - shown);
	(void)err_set(err, -EPROTO, "the container cannot be moved: %s%s", text, more);
	if (err)
		err->code = -EPERM;
	return findings_lasting(findings) ? err_lasting(err, -EPERM) : -EPERM;
}
