/* SPDX-License-Identifier: Apache-2.0 */

/*
 * containers-es - container management against a real engine
 *
 *     containers-es IMAGE PORT
 *
 * Creates a container, finds it in the list, has it killed behind our back and hears of it, fails
 * to create what cannot be, removes all. Exit status 0 if every step went as it should.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "es/container/management.h"

#define SESSION 0xabcdef

/** struct run - Where we are */
struct run {
	uv_loop_t loop;
	struct container_management *cm;
	struct container_service service;
	struct container_address where;
	uv_timer_t limit;
	int failed;
};

/** gone() - Closed: let the loop end */
static void gone(void *ctx)
{
	struct run *run = ctx;

	uv_close((uv_handle_t *)&run->limit, NULL);
}

/** end() - Close, with the given outcome */
static void end(struct run *run, const char *failure)
{
	if (failure)
		printf("containers-es: %s\n", failure);
	run->failed = failure != NULL;
	container_management_close(run->cm, gone, run);
}

static void late(uv_timer_t *timer)
{
	end(timer->data, "a step takes too long");
}

static void listed_last(void *ctx, const struct container_found *found, size_t count,
			const char *reason)
{
	(void)found;
	end(ctx, reason ? reason : count ? "a container is left" : NULL);
}

static void removed(void *ctx, const struct container_address *where, const char *reason)
{
	struct run *run = ctx;
	struct err err;

	(void)where;
	if (reason || container_management_list(run->cm, listed_last, run, &err) < 0)
		end(run, reason ? reason : err.text);
}

static void not_created(void *ctx, const struct container_address *where, const char *reason)
{
	struct run *run = ctx;
	struct err err;

	printf("refused as it should: %s\n", reason ? reason : "");
	if (where || !reason)
		end(run, "a service that never answers was created");
	else if (container_management_remove(run->cm, SESSION, run->where.id, removed, run, &err) <
		 0)
		end(run, err.text);
}

static void no_image(void *ctx, const struct container_address *where, const char *reason)
{
	struct run *run = ctx;
	struct err err;

	printf("refused as it should: %s\n", reason ? reason : "");
	run->service.port = 1;
	run->service.start_ms = 500;
	if (where || !reason || !strstr(reason, "no image"))
		end(run, "an image that is not there was found");
	else if (container_management_create(run->cm, SESSION, 8, &run->service, not_created, run,
					     &err) < 0)
		end(run, err.text);
}

static void died(void *ctx, uint64_t session, const char *id, int exit_code)
{
	struct run *run = ctx;
	struct container_service none = run->service;
	struct err err;

	if (strcmp(id, run->where.id) != 0)
		return; /* the one that never answered */
	printf("died: session %llx, exit code %d\n", (unsigned long long)session, exit_code);
	none.image = "baton/none:1";
	if (session != SESSION || exit_code != 137)
		end(run, "somebody else died");
	else if (container_management_create(run->cm, SESSION, 9, &none, no_image, run, &err) < 0)
		end(run, err.text);
}

static void listed(void *ctx, const struct container_found *found, size_t count, const char *reason)
{
	struct run *run = ctx;
	char command[256];

	if (reason || count != 1 || found->session != SESSION || found->epoch != 7 ||
	    !found->running || strcmp(found->where.ip, run->where.ip) != 0 ||
	    strcmp(found->service, "offload") != 0) {
		end(run, reason ? reason : "the list is wrong");
		return;
	}
	(void)snprintf(command, sizeof(command),
		       "docker -H unix:///run/docker.sock kill %s >/dev/null", run->where.id);
	if (system(command) != 0)
		end(run, "docker kill failed");
}

static void created(void *ctx, const struct container_address *where, const char *reason)
{
	struct run *run = ctx;
	struct err err;

	if (!where) {
		end(run, reason);
		return;
	}
	printf("created: %s %s %u\n", where->id, where->ip, where->port);
	run->where = *where;
	if (container_management_list(run->cm, listed, run, &err) < 0)
		end(run, err.text);
}

/** main() - See the top of this file */
int main(int argc, char **argv)
{
	const struct container_config config = { .docker_socket = "/run/docker.sock",
						 .runtime = "baton" };
	struct container_config wrong = config;
	struct run run = { .failed = 1 };
	struct container_management *none = NULL;
	struct err err = { 0 };

	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)uv_loop_init(&run.loop);
	wrong.runtime = "nobody-knows";
	if (container_management_new(&none, &run.loop, &wrong, NULL, NULL, NULL, &err) >= 0)
		return 1;
	printf("refused as it should: %s\n", err.text);
	if (container_management_new(&run.cm, &run.loop, &config, died, NULL, &run, &err) < 0) {
		printf("containers-es: %s\n", err.text);
		return 1;
	}
	(void)uv_timer_init(&run.loop, &run.limit);
	run.limit.data = &run;
	(void)uv_timer_start(&run.limit, late, 60000, 0);
	run.service = (struct container_service){ .name = "offload",
						  .image = argv[1],
						  .port = (uint16_t)atoi(argv[2]) };
	if (container_management_create(run.cm, SESSION, 7, &run.service, created, &run, &err) < 0)
		end(&run, err.text);
	(void)uv_run(&run.loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&run.loop) < 0)
		printf("containers-es: the loop has something left\n");
	return run.failed;
}
