/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/run_record.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"

/* struct row - Request n, in row n % WIRE_WINDOW, until its lines are written */
struct row {
	uint64_t sent_us;
	uint64_t answered_us; /* 0: not yet */
	bool given_up;
	uint64_t sent_ns; /* steady clock: response times must not jump with UTC */
	double response_ms;
	char ap[NAME_SIZE];
	struct answer_verdict verdict;
	char *answer;
	size_t answer_len;
};

struct run_record {
	char *dir;
	FILE *requests;
	FILE *answers;
	FILE *responses;
	struct row row[WIRE_WINDOW];
	uint64_t sent;
	uint64_t written; /* lines are complete up to this number */
	double *response_ms;
	uint64_t answered;
	double last_ms;
	bool failed; /* out of memory for an answer */
};

static uint64_t steady_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_file(FILE **to, const char *dir, const char *name, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "write %s", name);
	*to = fopen(path, "we");
	return *to ? 0 : err_set(err, -errno, "write %s", path);
}

static int open_files(struct run_record *rr, const char *dir, struct err *err)
{
	int r;

	rr->dir = strdup(dir);
	if (!rr->dir)
		return err_set(err, -ENOMEM, "record of the run");
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make directory %s", dir);
	r = open_file(&rr->requests, dir, "requests.txt", err);
	if (r == 0)
		r = open_file(&rr->answers, dir, "answers.txt", err);
	if (r == 0)
		r = open_file(&rr->responses, dir, "responses.csv", err);
	if (r < 0)
		return r;
	(void)fputs("number,sent_us,answered_us,response_ms,ap,status,executed,in_order\n",
		    rr->responses);
	return 0;
}

int run_record_new(struct run_record **ret, const char *dir, uint64_t requests_max, struct err *err)
{
	int r;

	AUTO(run_record) struct run_record *rr = calloc(1, sizeof(*rr));
	if (!rr)
		return err_set(err, -ENOMEM, "record of the run");
	r = dir ? open_files(rr, dir, err) : 0;
	if (r < 0)
		return r;
	rr->response_ms = calloc(requests_max, sizeof(double));
	if (!rr->response_ms)
		return err_set(err, -ENOMEM, "record of the response times");
	*ret = TAKE_PTR(rr);
	return 0;
}

struct run_record *run_record_free(struct run_record *rr)
{
	if (rr) {
		for (size_t i = 0; i < WIRE_WINDOW; i++)
			free(rr->row[i].answer);
		if (rr->requests)
			(void)fclose(rr->requests);
		if (rr->answers)
			(void)fclose(rr->answers);
		if (rr->responses)
			(void)fclose(rr->responses);
		free(rr->response_ms);
		free(rr->dir);
		free(rr);
	}
	return NULL;
}

void run_record_request(struct run_record *rr, uint64_t number, const char *payload, size_t len,
			const char *ap)
{
	struct row *row = &rr->row[number % WIRE_WINDOW];

	*row = (struct row){ .sent_us = realtime_us(), .sent_ns = steady_ns() };
	(void)snprintf(row->ap, sizeof(row->ap), "%s", ap);
	rr->sent = number;
	if (rr->requests) {
		(void)fwrite(payload, 1, len, rr->requests);
		(void)fputc('\n', rr->requests);
	}
}

/* Keeps an answer until its line may be written; a newline in it would shift all that follow */
static void keep_answer(struct run_record *rr, struct row *row, const struct wire_data *answer)
{
	row->answer = malloc(answer->len + 1);
	if (!row->answer) {
		rr->failed = true;
		return;
	}
	for (size_t i = 0; i < answer->len; i++)
		row->answer[i] = answer->bytes[i] == '\n' ? ' ' : (char)answer->bytes[i];
	row->answer_len = answer->len;
}

static void write_row(struct run_record *rr, uint64_t number, struct row *row)
{
	const struct answer_verdict *v = &row->verdict;

	if (row->answer)
		(void)fwrite(row->answer, 1, row->answer_len, rr->answers);
	(void)fputc('\n', rr->answers);
	free(TAKE_PTR(row->answer));
	if (!row->answered_us)
		(void)fprintf(rr->responses, "%" PRIu64 ",%" PRIu64 ",,,%s,lost,,\n", number,
			      row->sent_us, row->ap);
	else
		(void)fprintf(rr->responses,
			      "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.3f,%s,%s,%" PRIu64 ",%d\n",
			      number, row->sent_us, row->answered_us, row->response_ms, row->ap,
			      wire_status_name(v->status), v->executed, v->in_order);
}

/* Writes the lines that are complete, or all if @missing_too */
static void write_rows(struct run_record *rr, bool missing_too)
{
	while (rr->written < rr->sent) {
		struct row *row = &rr->row[(rr->written + 1) % WIRE_WINDOW];

		if (!row->answered_us && !row->given_up && !missing_too)
			return;
		rr->written++;
		if (rr->responses)
			write_row(rr, rr->written, row);
	}
}

void run_record_answer(struct run_record *rr, const struct wire_data *answer,
		       const struct answer_verdict *v)
{
	struct row *row = &rr->row[answer->number % WIRE_WINDOW];

	if (answer->number > rr->sent || answer->number <= rr->written || row->answered_us)
		return;
	row->answered_us = realtime_us();
	row->response_ms = (double)(steady_ns() - row->sent_ns) / 1e6;
	row->verdict = *v;
	rr->last_ms = row->response_ms;
	rr->response_ms[rr->answered++] = row->response_ms;
	if (rr->answers)
		keep_answer(rr, row, answer);
	write_rows(rr, false);
}

void run_record_given_up(struct run_record *rr, uint64_t number)
{
	if (number > rr->sent || number <= rr->written)
		return;
	rr->row[number % WIRE_WINDOW].given_up = true;
	write_rows(rr, false);
}

double run_record_last_ms(const struct run_record *rr)
{
	return rr->last_ms;
}

/* ---- the summary ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least @percent of all do not exceed */
static double percentile(const double *sorted, uint64_t n, unsigned int percent)
{
	uint64_t rank = (n * percent + 99) / 100;

	return n ? sorted[rank ? rank - 1 : 0] : 0;
}

static struct run_times times_of(struct run_record *rr)
{
	double sum = 0;

	for (uint64_t i = 0; i < rr->answered; i++)
		sum += rr->response_ms[i];
	qsort(rr->response_ms, rr->answered, sizeof(double), compare);
	return (struct run_times){
		.mean = rr->answered ? sum / (double)rr->answered : 0,
		.p50 = percentile(rr->response_ms, rr->answered, 50),
		.p99 = percentile(rr->response_ms, rr->answered, 99),
		.max = percentile(rr->response_ms, rr->answered, 100),
	};
}

static const char *truth(bool b)
{
	return b ? "true" : "false";
}

/* Free text; all else are names and numbers */
static void write_text(FILE *to, const char *text)
{
	(void)fputc('"', to);
	for (; *text; text++)
		(void)fputc(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '?'
											: *text,
			    to);
	(void)fputc('"', to);
}

static void write_json(FILE *to, const struct run_summary *s, const struct run_times *t)
{
	const struct answer_totals *n = &s->totals;

	(void)fprintf(to, "{\n  \"node\": \"%s\",\n  \"session\": \"%016" PRIx64 "\",\n", s->node,
		      s->session);
	(void)fprintf(to, "  \"service\": \"%s\",\n  \"way\": \"%s\",\n", s->service,
		      s->direct ? "direct" : "baton");
	if (s->direct)
		(void)fprintf(to, "  \"patience_ms\": %" PRIu64 ",\n", s->patience_ms);
	(void)fprintf(to, "  \"seed\": %" PRIu64 ",\n  \"movement\": ", s->seed);
	write_text(to, s->movement);
	(void)fprintf(to,
		      ",\n  \"requests\": %" PRIu64 ",\n  \"answered\": %" PRIu64 ",\n"
		      "  \"lost\": %" PRIu64 ",\n  \"duplicated\": %" PRIu64 ",\n"
		      "  \"reordered\": %" PRIu64 ",\n  \"wrong\": %" PRIu64 ",\n"
		      "  \"restarted\": %" PRIu64 ",\n  \"late\": %" PRIu64 ",\n"
		      "  \"waited\": %" PRIu64 ",\n",
		      n->requests, n->answered, n->lost, n->duplicated, n->reordered, n->wrong,
		      n->restarted, n->late, s->waited);
	(void)fprintf(to, "  \"chain_ok\": %s,\n  \"state_ok\": %s,\n  \"good\": %s,\n",
		      truth(n->chain_ok), truth(n->state_ok), truth(answer_totals_good(n)));
	(void)fprintf(to, "  \"session_lost\": ");
	if (s->lost_reason[0])
		write_text(to, s->lost_reason);
	else
		(void)fputs("null", to);
	(void)fprintf(to, ",\n  \"moves\": [");
	for (size_t i = 0; i < s->moves; i++)
		(void)fprintf(to,
			      "%s\n    {\"ap\": \"%s\", \"after_request\": %" PRIu64
			      ", \"moved_us\": %" PRIu64 ", \"associated_us\": %" PRIu64 "}",
			      i ? "," : "", s->move[i].ap, s->move[i].after_request,
			      s->move[i].moved_us, s->move[i].associated_us);
	(void)fprintf(to,
		      "\n  ],\n  \"response_ms\": {\"mean\": %.3f, \"p50\": %.3f, \"p99\": %.3f, "
		      "\"max\": %.3f}\n}\n",
		      t->mean, t->p50, t->p99, t->max);
}

/* Closes a file that was written. Return: false if anything did not reach it */
static bool close_file(FILE **f)
{
	if (!*f)
		return true;
	bool good = !ferror(*f);
	return fclose(TAKE_PTR(*f)) == 0 && good;
}

int run_record_finish(struct run_record *rr, const struct run_summary *s, struct run_times *times,
		      struct err *err)
{
	FILE *json = NULL;
	int r;

	write_rows(rr, true);
	*times = times_of(rr);
	if (!rr->dir)
		return 0;
	r = open_file(&json, rr->dir, "mud.json", err);
	if (r < 0)
		return r;
	write_json(json, s, times);
	bool good = close_file(&json);
	good = close_file(&rr->requests) && good;
	good = close_file(&rr->answers) && good;
	good = close_file(&rr->responses) && good;
	if (!good || rr->failed)
		return err_set(err, -EIO, "the record in %s is not complete", rr->dir);
	return 0;
}
