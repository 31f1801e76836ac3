/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/movement.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mud/seeded.h"

#define LINE_MAX_BYTES 256
#define SECONDS_MAX    1e6

/* struct row - One line of a trace */
struct row {
	double ms;
	struct place at;
};

/* struct leg - From one waypoint to the next, and the rest there */
struct leg {
	struct place from;
	struct place to;
	double begins; /* ms */
	double arrives;
	double ends;
};

struct movement {
	char text[MOVEMENT_TEXT_MAX];
	bool random;
	struct movement_waypoints plan;
	uint64_t state;
	struct leg leg;
	struct row *row;
	size_t rows;
	size_t next; /* first row whose time was not reached when last looked at */
};

static struct place between(struct place a, struct place b, double share)
{
	return (struct place){ a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share };
}

/* ---- trace ---- */

/* A number and what must follow it. Return: false if it is none, or too large */
static bool number(const char **at, double *to, double max, char after)
{
	char *end;

	*to = strtod(*at, &end);
	if (end == *at || !isfinite(*to) || fabs(*to) > max)
		return false;
	end += strspn(end, " \t\r");
	if (*end != after)
		return false;
	*at = after ? end + 1 : end;
	return true;
}

static int parse_line(struct movement *m, const char *name, unsigned int number_of,
		      const char *line, struct err *err)
{
	struct row *row = &m->row[m->rows];
	const char *at = line;
	double seconds;

	if (!number(&at, &seconds, SECONDS_MAX, ',') ||
	    !number(&at, &row->at.x, MOVEMENT_METRES_MAX, ',') ||
	    !number(&at, &row->at.y, MOVEMENT_METRES_MAX, '\0'))
		return err_set(err, -EINVAL,
			       "%s:%u: \"%.60s\": want time_s,x_m,y_m, as in 12.5,30,-4 (at most "
			       "%.0f s, %.0f m)",
			       name, number_of, line, SECONDS_MAX, MOVEMENT_METRES_MAX);
	row->ms = seconds * 1000;
	if (row->ms < 0)
		return err_set(err, -EINVAL, "%s:%u: time %g s: the run begins at 0", name,
			       number_of, seconds);
	if (m->rows && row->ms <= row[-1].ms)
		return err_set(err, -EINVAL,
			       "%s:%u: time %g s is not after %g s in the line before", name,
			       number_of, seconds, row[-1].ms / 1000);
	m->rows++;
	return 0;
}

static bool is_heading(const char *line)
{
	static const char heading[] = "time_s,x_m,y_m";

	return strncmp(line, heading, sizeof(heading) - 1) == 0 &&
	       line[sizeof(heading) - 1 + strspn(line + sizeof(heading) - 1, " \t\r")] == '\0';
}

static int parse(struct movement *m, const char *name, const char *text, struct err *err)
{
	unsigned int number_of = 1;
	bool first = true;
	int r;

	for (const char *at = text; *at; number_of++) {
		size_t len = strcspn(at, "\n");
		char line[LINE_MAX_BYTES];

		if (len >= sizeof(line))
			return err_set(err, -EINVAL, "%s:%u: line of %zu bytes: at most %zu", name,
				       number_of, len, sizeof(line) - 1);
		memcpy(line, at, len);
		line[len] = '\0';
		at += len + (at[len] == '\n');
		if (line[0] == '#' || line[strspn(line, " \t\r")] == '\0')
			continue;
		if (first && is_heading(line)) {
			first = false;
			continue;
		}
		first = false;
		if (m->rows == MOVEMENT_ROWS_MAX)
			return err_set(err, -EINVAL, "%s:%u: at most %d positions", name, number_of,
				       MOVEMENT_ROWS_MAX);
		r = parse_line(m, name, number_of, line, err);
		if (r < 0)
			return r;
	}
	return m->rows ? 0
		       : err_set(err, -EINVAL, "%s:1: no position: want lines time_s,x_m,y_m",
				 name);
}

int movement_trace(struct movement **ret, const char *name, const char *text, struct err *err)
{
	size_t lines = 1;
	int r;

	for (const char *at = text; *at; at++)
		lines += *at == '\n';
	if (lines > MOVEMENT_ROWS_MAX)
		lines = MOVEMENT_ROWS_MAX;
	AUTO(movement) struct movement *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(err, -ENOMEM, "trace %s", name);
	m->row = calloc(lines, sizeof(*m->row));
	if (!m->row)
		return err_set(err, -ENOMEM, "trace %s", name);
	r = parse(m, name, text, err);
	if (r < 0)
		return r;
	(void)snprintf(m->text, sizeof(m->text), "trace %.100s, %zu positions", name, m->rows);
	*ret = TAKE_PTR(m);
	return 0;
}

static struct place on_trace(struct movement *m, double ms)
{
	while (m->next < m->rows && m->row[m->next].ms <= ms)
		m->next++;
	if (m->next == 0)
		return m->row[0].at;
	const struct row *a = &m->row[m->next - 1];
	if (m->next == m->rows)
		return a->at;
	return between(a->at, a[1].at, (ms - a->ms) / (a[1].ms - a->ms));
}

/* ---- random waypoint ---- */

static struct place somewhere(struct movement *m)
{
	struct place p;

	p.x = seeded_uniform(&m->state) * m->plan.width;
	p.y = seeded_uniform(&m->state) * m->plan.height;
	return p;
}

static void next_leg(struct movement *m)
{
	struct leg *l = &m->leg;

	l->from = l->to;
	l->begins = l->ends;
	l->to = somewhere(m);
	double speed = m->plan.speed_min +
		       seeded_uniform(&m->state) * (m->plan.speed_max - m->plan.speed_min);
	double way = hypot(l->to.x - l->from.x, l->to.y - l->from.y);
	/* a millisecond at least, so that legs without way or rest come to an end */
	l->arrives = l->begins + fmax(1, way / speed * 1000);
	l->ends = l->arrives + (double)m->plan.pause_ms;
}

int movement_random(struct movement **ret, const struct movement_waypoints *plan, struct err *err)
{
	if (!(plan->width > 0 && plan->width <= MOVEMENT_METRES_MAX && plan->height > 0 &&
	      plan->height <= MOVEMENT_METRES_MAX))
		return err_set(err, -EINVAL, "area of %g by %g m: want above 0 and at most %.0f m",
			       plan->width, plan->height, MOVEMENT_METRES_MAX);
	if (!(plan->speed_min > 0 && plan->speed_max >= plan->speed_min &&
	      plan->speed_max <= MOVEMENT_METRES_MAX))
		return err_set(err, -EINVAL,
			       "speed of %g to %g m/s: want above 0, the lower one first",
			       plan->speed_min, plan->speed_max);
	struct movement *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(err, -ENOMEM, "random waypoint");
	m->random = true;
	m->plan = *plan;
	m->state = plan->seed;
	m->leg.to = somewhere(m);
	next_leg(m);
	(void)snprintf(m->text, sizeof(m->text),
		       "random waypoint, %g x %g m, %g to %g m/s, pause %llu ms", plan->width,
		       plan->height, plan->speed_min, plan->speed_max,
		       (unsigned long long)plan->pause_ms);
	*ret = m;
	return 0;
}

static struct place on_way(struct movement *m, double ms)
{
	const struct leg *l = &m->leg;

	while (ms >= l->ends)
		next_leg(m);
	if (ms >= l->arrives)
		return l->to;
	return between(l->from, l->to, (ms - l->begins) / (l->arrives - l->begins));
}

/* ---- both ---- */

struct place movement_at(struct movement *m, uint64_t ms)
{
	return m->random ? on_way(m, (double)ms) : on_trace(m, (double)ms);
}

const char *movement_text(const struct movement *m)
{
	return m->text;
}

struct movement *movement_free(struct movement *m)
{
	if (m) {
		free(m->row);
		free(m);
	}
	return NULL;
}
