/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checklist.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#define TEXT_MAX 501

void checklist_begin(struct checklist *list, FILE *to, bool json)
{
	*list = (struct checklist){ .to = to, .json = json };
	if (json)
		(void)fputs("[", to);
}

/** json_text() - Print a string in JSON syntax; bytes other than ASCII are printed unchanged */
static void json_text(FILE *to, const char *text)
{
	(void)fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			(void)fputc('\\', to);
		(void)fputc(*text, to);
	}
	(void)fputc('"', to);
}

/** line() - Print one line; @remedy may be NULL */
__attribute__((format(printf, 5, 0))) static void line(struct checklist *list, const char *word,
						       const char *what, const char *remedy,
						       const char *fmt, va_list ap)
{
	char text[TEXT_MAX];
	bool first = list->oks + list->notes + list->lacks == 0;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	if (!list->json) {
		(void)fprintf(list->to, "%-6s %-15s %s\n", word, what, text);
		if (remedy)
			(void)fprintf(list->to, "%-6s %-15s %s\n", "", "", remedy);
		return;
	}
	(void)fprintf(list->to, "%s\n  {\"result\": ", first ? "" : ",");
	json_text(list->to, word);
	(void)fputs(", \"what\": ", list->to);
	json_text(list->to, what);
	(void)fputs(", \"found\": ", list->to);
	json_text(list->to, text);
	if (remedy) {
		(void)fputs(", \"remedy\": ", list->to);
		json_text(list->to, remedy);
	}
	(void)fputs("}", list->to);
}

void checklist_ok(struct checklist *list, const char *what, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(list, "ok", what, NULL, fmt, ap);
	va_end(ap);
	list->oks++;
}

void checklist_note(struct checklist *list, const char *what, const char *remedy, const char *fmt,
		    ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(list, "note", what, remedy, fmt, ap);
	va_end(ap);
	list->notes++;
}

void checklist_lacks(struct checklist *list, const char *what, const char *remedy, const char *fmt,
		     ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(list, list->json ? "lacks" : "LACKS", what, remedy, fmt, ap);
	va_end(ap);
	list->lacks++;
}

bool checklist_end(struct checklist *list)
{
	if (list->json)
		(void)fputs("\n]\n", list->to);
	else
		(void)fprintf(list->to, "%u ok, %u to be noted, %u lacking\n", list->oks,
			      list->notes, list->lacks);
	return list->lacks == 0;
}

void checklist_clock(struct checklist *list)
{
	struct timex state = { 0 };
	int r = adjtimex(&state);

	if (r < 0 || r == TIME_ERROR || (state.status & STA_UNSYNC))
		checklist_note(list, "clock",
			       "run a time service, for example: apt-get install chrony",
			       "nobody keeps it right; certificates and the event log count on it");
	else
		checklist_ok(list, "clock", "synchronized, at most %.3f s off",
			     (double)state.maxerror / 1e6);
}

/** existing() - The nearest part of a path that is there, in place */
static void existing(char path[PATH_MAX])
{
	char *end;

	while (access(path, F_OK) < 0 && (end = strrchr(path, '/')))
		end[end == path] = '\0';
}

void checklist_directory(struct checklist *list, const char *what, const char *path, uint64_t least)
{
	char at[PATH_MAX];
	struct statvfs fs;

	if (!path)
		return;
	if (snprintf(at, sizeof(at), "%s", path) >= PATH_MAX) {
		checklist_lacks(list, what, "choose a shorter path", "%s: %s", path,
				strerror(ENAMETOOLONG));
		return;
	}
	existing(at);
	if (access(at, W_OK | X_OK) < 0 || statvfs(at, &fs) < 0) {
		checklist_lacks(list, what, "choose a directory that this program may write to",
				"%s: %s", at, strerror(errno));
		return;
	}
	uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (room < least)
		checklist_note(list, what, "make room, or choose a directory on a larger disk",
			       "%s has %.1f GiB free, and should have %.1f", path,
			       (double)room / (1 << 30), (double)least / (1 << 30));
	else
		checklist_ok(list, what, "%s, %.1f GiB free", path, (double)room / (1 << 30));
}
