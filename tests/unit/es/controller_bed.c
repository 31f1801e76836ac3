/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "es/files/layer_node.h"
#include "controller_bed.h"

static void on_offered(void *ctx, uint64_t transfer_id, const struct wire_message *offer)
{
	struct controller_bed *b = ctx;

	b->offered++;
	if (b->cancels)
		migration_controller_cancel(b->mc, offer->session, "a newer offer came");
	migration_controller_refuse(b->mc, transfer_id, "that will do", true);
}

static void on_arrival_failed(void *ctx, uint64_t transfer_id, uint64_t session, const char *reason)
{
	struct controller_bed *b = ctx;

	(void)transfer_id;
	(void)session;
	(void)reason;
	b->failed++;
}

static void on_stage(void *ctx, uint64_t session, const char *event, uint64_t time_us,
		     uint64_t number, const char *detail)
{
	(void)ctx;
	(void)session;
	(void)event;
	(void)time_us;
	(void)number;
	(void)detail;
}

static const struct migration_controller_ops ops = {
	.offered = on_offered,
	.stage = on_stage,
	.arrival_failed = on_arrival_failed,
};

/* A program that tells a version: the controller asks for those of criu and runc */
static void tool_write(const char *dir, const char *name, const char *says)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\necho '%s'\n", says) > 0);
	close(fd);
}

/* A port that nobody uses just now */
static void free_address(char to[32])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(to, 32, "127.0.0.1:%u", ntohs(a.sin_port));
	close(fd);
}

void controller_bed_open(struct controller_bed *b, const char *dir, struct tls_context *tls,
			 uint32_t slots)
{
	static const char *const names[] = { "prefix", "work", "staged", "prefix/bin" };
	struct err err = { 0 };

	*b = (struct controller_bed){ .offered = 0 };
	free_address(b->address);
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(b->dir[i], sizeof(b->dir[i]), "%s/%s", dir, names[i]);
		assert_true(mkdir(b->dir[i], 0700) == 0 || errno == EEXIST);
	}
	tool_write(b->dir[3], "criu", "Version: 4.1");
	tool_write(b->dir[3], "runc", "runc version 1.1.5");
	const struct migration_config config = {
		.name = "EdgeServer-1",
		.listen = b->address,
		.docker_socket = "/nonexistent/docker.sock",
		.docker_exec_root = "/nonexistent",
		.runtime = "baton",
		.checkpoint_dir = b->dir[1],
		.image_dir = b->dir[1],
		.arrival_ms = 600000,
		.staged_dir = b->dir[2],
		.prefix = b->dir[0],
		.max_destinations = slots,
	};
	assert_int_equal(uv_loop_init(&b->loop), 0);
	if (migration_controller_new(&b->mc, &b->loop, &config, tls, &ops, b, &err) < 0)
		fail_msg("%s", err.text);
}

void controller_bed_shut(struct controller_bed *b)
{
	migration_controller_close(b->mc, NULL, NULL);
	(void)uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(layer_path_remove(b->dir[i], NULL), 0);
}
