/* SPDX-License-Identifier: Apache-2.0 */
#include "logrepo/event_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

/* JSON wants UTF-8; a text that is not, such as one cut inside a character, loses all that is not ASCII */
static json_t *text(const char *s)
{
	json_t *j = json_string(s);
	char ascii[WIRE_REASON_SIZE];
	size_t i;

	if (j)
		return j;
	for (i = 0; i < sizeof(ascii) - 1 && s[i]; i++)
		ascii[i] = (unsigned char)s[i] < 0x80 ? s[i] : '?';
	ascii[i] = '\0';
	return json_string(ascii);
}

json_t *event_json_pack(const struct wire_event *e)
{
	time_t seconds = (time_t)(e->time_us / 1000000);
	char time[64] = "?", session[17];
	struct tm utc;

	if (gmtime_r(&seconds, &utc)) {
		size_t n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);

		(void)snprintf(time + n, sizeof(time) - n, ".%06uZ",
			       (unsigned int)(e->time_us % 1000000));
	}
	json_t *j = json_pack("{s:s, s:I, s:o, s:o}", "time", time, "time_us",
			      (json_int_t)e->time_us, "node", text(e->node), "kind", text(e->kind));
	if (!j)
		return NULL;
	int r = 0;
	if (e->session) {
		(void)snprintf(session, sizeof(session), "%016" PRIx64, e->session);
		r |= json_object_set_new(j, "session", json_string(session));
	}
	if (e->number)
		r |= json_object_set_new(j, "number", json_integer((json_int_t)e->number));
	if (e->detail[0])
		r |= json_object_set_new(j, "detail", text(e->detail));
	if (r != 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

int event_json_unpack(struct wire_event *e, const char *line, size_t len, struct err *err)
{
	const char *node, *kind, *session = "0", *detail = "";
	json_int_t time_us, number = 0;
	json_error_t why;

	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!j)
		return err_set(err, -EPROTO, "no JSON: %s", why.text);
	if (json_unpack_ex(j, &why, 0, "{s:I, s:s, s:s, s?s, s?I, s?s}", "time_us", &time_us,
			   "node", &node, "kind", &kind, "session", &session, "number", &number,
			   "detail", &detail) < 0) {
		json_decref(j);
		return err_set(err, -EPROTO, "no event: %s", why.text);
	}
	*e = (struct wire_event){
		.time_us = (uint64_t)time_us,
		.session = strtoull(session, NULL, 16),
		.number = (uint64_t)number,
	};
	(void)snprintf(e->node, sizeof(e->node), "%s", node);
	(void)snprintf(e->kind, sizeof(e->kind), "%s", kind);
	(void)snprintf(e->detail, sizeof(e->detail), "%s", detail);
	json_decref(j);
	return 0;
}
