/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/mobility_management.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

int mobility_management_add(struct mobility_management *mm, const char *text, struct err *err)
{
	struct mobility_move m = { .when = MOBILITY_AFTER_REQUEST };
	char *end;

	/* strtoull would take a sign and spaces */
	if (!isdigit((unsigned char)text[0]))
		goto bad;
	errno = 0;
	m.at = strtoull(text, &end, 10);
	if (errno)
		goto bad;
	if (strncmp(end, "ms", 2) == 0) {
		m.when = MOBILITY_AFTER_MS;
		end += 2;
	}
	if (*end != ':' || name_set(m.ap, end + 1, NULL) < 0)
		goto bad;
	if (mm->count == MOBILITY_MOVES_MAX)
		return err_set(err, -ENOSPC, "move \"%.80s\": at most %d moves", text,
			       MOBILITY_MOVES_MAX);
	mm->move[mm->count++] = m;
	return 0;
bad:
	return err_set(err, -EINVAL,
		       "move \"%.80s\": want REQUEST:AP or TIMEms:AP, as in 50:AP-2 or 5000ms:AP-2",
		       text);
}

const struct mobility_move *mobility_management_step(struct mobility_management *mm, uint64_t sent,
						     uint64_t elapsed_ms)
{
	if (mm->next == mm->count)
		return NULL;
	const struct mobility_move *m = &mm->move[mm->next];
	uint64_t reached = m->when == MOBILITY_AFTER_REQUEST ? sent : elapsed_ms;
	if (reached < m->at)
		return NULL;
	mm->next++;
	return m;
}

uint64_t mobility_management_due(const struct mobility_management *mm)
{
	if (mm->next == mm->count || mm->move[mm->next].when != MOBILITY_AFTER_MS)
		return UINT64_MAX;
	return mm->move[mm->next].at;
}
