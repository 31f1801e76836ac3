/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cut-es - one side of a migration without the daemons, for tests/e2e/cut
 *
 *     cut-es destination NAME ADDRESS:PORT PKI [OPTION...]
 *     cut-es source NAME CONTAINER PORT TO_NAME TO_ADDRESS:PORT PKI [OPTION...]
 *
 *     cut-es check NAME CONTAINER - PKI
 *     cut-es pki PKI                       make the certificates of ES-1 and ES-2
 *
 * Options: late (snapshot after the thaw), cancel=EVENT (cancel when that stage is done), delay=N
 * (say N times that the session does not drain), runtime=NAME, refuse, shared=DIRECTORY, stay (destination: go on
 * after the first transfer). BATON_HOOK names baton-cut-hook, BATON_STORE baton-store,
 * BATON_FILE_WORKER baton-file-worker, BATON_EPOCH the session's epoch.
 * Everything that happens is printed, one line each.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "es/migration/controller.h"
#include "es/worker/file_worker.h"
#include "net/pki.h"
#include "net/tls.h"

#define SESSION 0x1234

/** struct side - This program */
struct side {
	uv_loop_t loop;
	struct migration_controller *mc;
	bool source;
	bool stay;
	bool refuse;
	const char *cancel;
	int delays;
	int failed;
	uv_signal_t term;
	uv_timer_t reporting;
};

#define REPORTING_MS 5

/** closed() - The controller is gone: let the loop end */
static void closed(void *ctx)
{
	struct side *s = ctx;

	uv_close((uv_handle_t *)&s->term, NULL);
}

/** end() - Close the controller and remember the exit status */
static void end(struct side *s, int failed)
{
	s->failed = failed;
	migration_controller_close(s->mc, closed, s);
}

/** on_reporting() - The outcome is known here: end when the source has been told, too */
static void on_reporting(uv_timer_t *timer)
{
	struct side *s = timer->data;

	if (migration_controller_running(s->mc, false))
		return;
	uv_close((uv_handle_t *)timer, NULL);
	end(s, s->refuse);
}

static void end_when_reported(struct side *s)
{
	(void)uv_timer_init(&s->loop, &s->reporting); /* cannot fail */
	s->reporting.data = s;
	(void)uv_timer_start(&s->reporting, on_reporting, REPORTING_MS, REPORTING_MS);
}

static void on_term(uv_signal_t *handle, int number)
{
	struct side *s = handle->data;

	(void)number;
	uv_signal_stop(handle);
	if (uv_is_active((uv_handle_t *)&s->reporting))
		uv_close((uv_handle_t *)&s->reporting, NULL);
	end(handle->data, 0);
}

static void cut_wanted(void *ctx, uint64_t session)
{
	struct side *s = ctx;
	struct err err;

	printf("cut_wanted\n");
	if (s->delays-- > 0)
		migration_controller_cut_delayed(s->mc, session, "a request runs");
	else if (migration_controller_cut(s->mc, session, 42, "cache", 5, &err) < 0)
		printf("cut: %s\n", err.text);
}

static void cut_taken(void *ctx, uint64_t session, bool taken, uint32_t freeze_us,
		      const char *reason)
{
	(void)ctx;
	(void)session;
	printf("cut_taken %d freeze_us=%u %s\n", taken, freeze_us, reason);
}

static void source_finished(void *ctx, uint64_t session, bool restored, const char *reason,
			    bool lasting)
{
	(void)session;
	(void)lasting;
	printf("source_finished %d %s\n", restored, reason);
	end(ctx, !restored);
}

/* The test bed has no catalogue: all that was asked for is granted. */
static json_t *granted(const struct wire_message *offer)
{
	json_t *plan = json_loadb((const char *)offer->offer.plan, offer->offer.plan_len, 0, NULL);
	json_t *grant = json_pack("{s:O, s:O}", "config", json_object_get(plan, "config"), "port",
				  json_object_get(plan, "port"));

	json_decref(plan);
	return grant;
}

static void offered(void *ctx, uint64_t transfer_id, const struct wire_message *offer)
{
	struct side *s = ctx;

	printf("offered %016" PRIx64 " %s from %s\n", offer->session, offer->offer.service,
	       offer->offer.from_es);
	if (!s->refuse) {
		migration_controller_accept(s->mc, transfer_id, granted(offer));
		return;
	}
	migration_controller_refuse(s->mc, transfer_id, "no room at the inn", false);
	end_when_reported(s); /* nobody hears of the end of a refused offer */
}

static void arrived(void *ctx, uint64_t transfer_id, uint64_t session, const struct wire_cut *cut,
		    const struct container_address *where)
{
	struct side *s = ctx;

	(void)transfer_id;
	(void)session;
	printf("arrived %s %s %u cut=%" PRIu64 " cache=%.*s\n", where->id, where->ip, where->port,
	       cut->number, (int)cut->cache_len, (const char *)cut->cache);
	if (!s->stay)
		end_when_reported(s);
}

static void arrival_failed(void *ctx, uint64_t transfer_id, uint64_t session, const char *reason)
{
	struct side *s = ctx;

	(void)transfer_id;
	(void)session;
	printf("arrival_failed %s\n", reason);
	if (!s->stay)
		end(s, 1);
}

static void stage(void *ctx, uint64_t session, const char *event, uint64_t time_us, uint64_t number,
		  const char *detail)
{
	struct side *s = ctx;

	(void)number;
	printf("stage %" PRIu64 " %s %s\n", time_us, event, detail);
	if (s->cancel && !strcmp(event, s->cancel))
		migration_controller_cancel(s->mc, session, "the test cancels");
}

static const struct migration_controller_ops ops = {
	.cut_wanted = cut_wanted,
	.cut_taken = cut_taken,
	.source_finished = source_finished,
	.offered = offered,
	.arrived = arrived,
	.arrival_failed = arrival_failed,
	.stage = stage,
};

static void checked(void *ctx, const char *json, const char *reason)
{
	printf("check %s\n", json ? json : reason);
	end(ctx, !json);
}

/** main() - See the top of this file. Return: 0 if the migration succeeded */
int main(int argc, char **argv)
{
	struct side s = { .loop = { 0 } };
	struct err err = { 0 };
	const char *shared[2] = { NULL, NULL };
	char file[3][512];
	bool check = argc > 1 && !strcmp(argv[1], "check");
	int fixed;

	if (argc == 3 && !strcmp(argv[1], "pki")) {
		if (pki_init(argv[2], true, &err) < 0 ||
		    pki_issue(argv[2], "ES-1", WIRE_ROLE_ES, 0, true, &err) < 0 ||
		    pki_issue(argv[2], "ES-2", WIRE_ROLE_ES, 0, true, &err) < 0)
			printf("error %s\n", err.text);
		return -err.code;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	s.source = argc > 1 && !strcmp(argv[1], "source");
	fixed = s.source ? 8 : check ? 6 : 5;
	if (argc < fixed)
		return 2;
	const char *pki = argv[fixed - 1];
	AUTO(file_workers) struct file_workers *workers = NULL;
	if (file_workers_new(&workers, getenv("BATON_FILE_WORKER"), NULL, &err) < 0) {
		printf("error %s\n", err.text);
		return 1;
	}
	struct migration_config config = {
		.name = argv[2],
		.listen = s.source || check ? NULL : argv[3],
		.docker_socket = "/run/docker.sock",
		.docker_exec_root = "/run/docker",
		.runtime = "baton",
		.checkpoint_dir = "/run/baton/checkpoint",
		.image_dir = "/run/baton/images",
		.staged_dir = "/run/baton/staged",
		.prefix = "/opt/baton",
		.cut_hook = getenv("BATON_HOOK"),
		.store = getenv("BATON_STORE"),
		.workers = workers,
		.shared = shared,
	};
	for (int i = fixed; i < argc; i++) {
		if (!strcmp(argv[i], "late"))
			config.test_late_snapshot = true;
		else if (!strcmp(argv[i], "stay"))
			s.stay = true;
		else if (!strcmp(argv[i], "refuse"))
			s.refuse = true;
		else if (!strncmp(argv[i], "runtime=", 8))
			config.runtime = argv[i] + 8;
		else if (!strncmp(argv[i], "patience=", 9))
			config.patience = (uint32_t)atoi(argv[i] + 9);
		else if (!strncmp(argv[i], "shared=", 7))
			shared[0] = argv[i] + 7;
		else if (!strncmp(argv[i], "cancel=", 7))
			s.cancel = argv[i] + 7;
		else if (!strncmp(argv[i], "delay=", 6))
			s.delays = atoi(argv[i] + 6);
	}
	(void)snprintf(file[0], sizeof(file[0]), "%s/ca.crt", pki);
	(void)snprintf(file[1], sizeof(file[1]), "%s/%s.crt", pki, argv[2]);
	(void)snprintf(file[2], sizeof(file[2]), "%s/%s.key", pki, argv[2]);
	const struct tls_files files = { .ca = file[0], .cert = file[1], .key = file[2] };
	AUTO(tls_context) struct tls_context *tls = NULL;
	(void)uv_loop_init(&s.loop);
	(void)uv_signal_init(&s.loop, &s.term);
	s.term.data = &s;
	(void)uv_signal_start(&s.term, on_term, SIGTERM);
	if (tls_context_new(&tls, &files, &err) < 0 ||
	    migration_controller_new(&s.mc, &s.loop, &config, tls, &ops, &s, &err) < 0) {
		printf("error %s\n", err.text);
		return 1;
	}
	printf("ready\n");
	const struct migration_link link = { .rate = 10000000 };
	if (check && migration_controller_check(s.mc, argv[3], &link, checked, &s, &err) < 0)
		printf("error %s\n", err.text);
	if (s.source) {
		char pid[16];

		/* For a hook of the test that kills us. */
		(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
		(void)setenv("CUT_ES_PID", pid, 1);
		struct migration_source source = { .association = 1,
						   .epoch = (uint32_t)strtoul(
							   getenv("BATON_EPOCH") ?: "1", NULL, 10),
						   .port = (uint16_t)atoi(argv[4]),
						   .service = "offload",
						   .mud = "MUD",
						   .ap = "AP" };

		(void)snprintf(source.container, sizeof(source.container), "%s", argv[3]);
		(void)snprintf(source.to_es, sizeof(source.to_es), "%s", argv[5]);
		(void)snprintf(source.to_address, sizeof(source.to_address), "%s", argv[6]);
		if (migration_controller_start(s.mc, SESSION, &source, &err) < 0) {
			printf("error %s\n", err.text);
			return 1;
		}
	}
	(void)uv_run(&s.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&s.loop);
	return s.failed;
}
