/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tests/sim - run the session logic of all programs in virtual time, with faults, seed after seed
 */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

struct totals {
	uint64_t runs, failed, events, migrations, held, went_back, answers, lost, wishes, drains;
	uint64_t cuts_kept, recovered, memory_lost;
};

/** struct mode - How seeds are run: with a trace; with faults that are survived in most seeds only; for so long */
struct mode {
	bool tracing, harder;
	uint64_t hours;
};

static void run(struct world *w)
{
	w->random = w->seed * 0x2545f4914f6cdd1dull + 1;
	faults_plan(w);
	actors_start(w);
	uint64_t next_look = w->plan.faults_until;
	while (!w->failed && w->now < w->plan.end && agenda_step(w)) {
		w->events++;
		faults_after(w);
		check_always(w);
		if (w->now >= next_look) {
			check_end(w);
			next_look = w->now + 200;
		}
	}
	if (!w->failed && w->now >= w->plan.faults_until + 120000)
		check_end(w);
	long_life_check(w);
	actors_stop(w);
	agenda_clear(w);
}

static bool run_seed(uint64_t seed, const struct mode *mode, struct totals *t)
{
	struct world *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->seed = seed;
	w->trace = mode->tracing;
	w->harder = mode->harder;
	w->hours = mode->hours;
	run(w);
	t->runs++;
	t->events += w->events;
	t->migrations += w->migrations;
	t->held += w->held;
	t->went_back += w->went_back;
	t->wishes += w->wishes;
	t->drains += w->drains;
	t->cuts_kept += w->cuts_kept;
	t->recovered += w->recovered;
	t->memory_lost += w->memory_lost;
	for (unsigned int i = 0; i < w->plan.muds; i++) {
		t->answers += w->mud[i].answered;
		t->lost += w->mud[i].lost;
	}
	bool failed = w->failed;
	if (failed) {
		t->failed++;
		(void)printf("seed %llu FAILED at %llu ms: %s\n  replay: sim --seed %llu --trace%s",
			     (unsigned long long)seed, (unsigned long long)w->now, w->why,
			     (unsigned long long)seed, mode->harder ? " --harder" : "");
		if (mode->hours)
			(void)printf(" --virtual-hours %llu", (unsigned long long)mode->hours);
		(void)printf("\n");
	}
	for (unsigned int i = 0; i < w->plan.muds; i++)
		w->strikes.answers += w->mud[i].answered;
	if (mode->hours)
		long_life_report(w);
	free(w);
	return !failed;
}

static void usage(FILE *to)
{
	(void)fprintf(
		to,
		"usage: sim [--seeds N] [--from S] [--jobs N] [--seed S [--trace]] [--harder]\n"
		"           [--virtual-hours H]\n"
		"  --seeds N   run N seeds (default 20000), the first one --from S (default 1)\n"
		"  --jobs N    processes to share them (default: one per processor)\n"
		"  --seed S    run one seed; --trace shows what happens in it\n"
		"  --harder    kill containers in the grace time, too (docs/simulator.md)\n"
		"  --virtual-hours H  one seed (1, or --seed S) that lives so long, with faults "
		"all\n"
		"              the time, and looks whether anything grows\n"
		"Ends with status 1 if a rule was violated; the seed is printed.\n");
}

static int run_share(uint64_t from, uint64_t seeds, uint64_t share, uint64_t shares,
		     const struct mode *mode)
{
	struct totals t = { 0 };

	for (uint64_t i = share; i < seeds && t.failed < 5; i += shares)
		(void)run_seed(from + i, mode, &t);
	(void)printf("%llu runs: %llu failed; %llu events, %llu answers, %llu arrivals, "
		     "%llu cuts that held, %llu times back, %llu sessions lost with their host; "
		     "an operator moved %llu times, drained %llu times; "
		     "%llu cuts kept, %llu recoveries, %llu starts without memory\n",
		     (unsigned long long)t.runs, (unsigned long long)t.failed,
		     (unsigned long long)t.events, (unsigned long long)t.answers,
		     (unsigned long long)t.migrations, (unsigned long long)t.held,
		     (unsigned long long)t.went_back, (unsigned long long)t.lost,
		     (unsigned long long)t.wishes, (unsigned long long)t.drains,
		     (unsigned long long)t.cuts_kept, (unsigned long long)t.recovered,
		     (unsigned long long)t.memory_lost);
	return t.failed ? 1 : 0;
}

static int run_all(uint64_t from, uint64_t seeds, uint64_t jobs, const struct mode *mode)
{
	int result = 0;

	for (uint64_t j = 0; j < jobs; j++) {
		(void)fflush(stdout);
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 2;
		}
		if (pid == 0)
			exit(run_share(from, seeds, j, jobs, mode));
	}
	for (uint64_t j = 0; j < jobs; j++) {
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
			result = 1;
	}
	return result;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seeds", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "seed", required_argument, NULL, 's' },
		{ "trace", no_argument, NULL, 't' },
		{ "harder", no_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ "virtual-hours", required_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seeds = 20000, from = 1, seed = 0;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t jobs = cpus > 0 ? (uint64_t)cpus : 1;
	struct mode mode = { 0 };
	struct totals t = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			seeds = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			from = strtoull(optarg, NULL, 10);
			break;
		case 'j':
			jobs = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 't':
			mode.tracing = true;
			break;
		case 'x':
			mode.harder = true;
			break;
		case 'v':
			mode.hours = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (mode.hours && !seed)
		seed = 1;
	if (seed)
		return run_seed(seed, &mode, &t) ? 0 : 1;
	return run_all(from, seeds, jobs ? jobs : 1, &mode);
}
