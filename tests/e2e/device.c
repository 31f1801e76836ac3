/* SPDX-License-Identifier: Apache-2.0 */

/*
 * device - a mobile user device that a test leads by hand, built on libbaton_client
 *
 *	device --config FILE --service NAME
 *
 * Standard input, a line each; its end ends the session:
 *	move AP		the device is there now
 *	request HEX	a payload
 * Standard output:
 *	associated AP
 *	answer NUMBER STATUS HEX
 *	lost REASON
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "core/common/policy.h"
#include "mud/client.h"
#include "net/tls.h"

#define LINE_MAX_BYTES (2 * WIRE_PAYLOAD_MAX + 64)

struct device {
	uv_loop_t loop;
	uv_pipe_t input;
	struct client *client;
	struct buf line;
	char bytes[65536];
	const char *service;
	bool failed;
};

static void fail(struct device *d, const char *what)
{
	log_error("%s", what);
	d->failed = true;
	if (!uv_is_closing((uv_handle_t *)&d->input))
		uv_close((uv_handle_t *)&d->input, NULL);
	client_close(TAKE_PTR(d->client), NULL, NULL);
}

static void on_associated(void *ctx, const char *ap)
{
	(void)ctx;
	(void)printf("associated %s\n", ap);
	(void)fflush(stdout);
}

static void on_lost(void *ctx, enum wire_status status, const char *reason)
{
	(void)ctx;
	(void)printf("lost %s: %s\n", wire_status_name(status), reason);
	(void)fflush(stdout);
}

static const struct client_ops ops = { .associated = on_associated, .lost = on_lost };

static void on_answer(void *ctx, const struct wire_data *answer)
{
	(void)ctx;
	(void)printf("answer %llu %d ", (unsigned long long)answer->number, (int)answer->status);
	for (size_t i = 0; i < answer->len; i++)
		(void)printf("%02x", answer->bytes[i]);
	(void)printf("\n");
	(void)fflush(stdout);
}

/* Return: bytes written over the text, or negative */
static long from_hex(char *text)
{
	size_t len = strlen(text);

	if (len % 2)
		return -EINVAL;
	for (size_t i = 0; i < len / 2; i++) {
		char pair[3] = { text[2 * i], text[2 * i + 1], '\0' };
		char *end;

		text[i] = (char)strtoul(pair, &end, 16);
		if (*end)
			return -EINVAL;
	}
	return (long)(len / 2);
}

static int obey(struct device *d, char *line, struct err *err)
{
	uint64_t number;

	if (strncmp(line, "move ", 5) == 0)
		return client_move(d->client, line + 5, err);
	if (strncmp(line, "request ", 8) != 0)
		return err_set(err, -EINVAL, "unknown command");
	long len = from_hex(line + 8);
	if (len < 0)
		return err_set(err, -EINVAL, "no hexadecimal digits");
	int r = client_request(d->client, line + 8, (size_t)len, on_answer, d, &number, err);
	return r > 0 ? err_set(err, -EBUSY, "request: result %d", r) : r;
}

static void obey_lines(struct device *d)
{
	struct err err = { 0 };

	while (d->client) {
		char *text = (char *)buf_bytes(&d->line);
		char *end = d->line.len ? memchr(text, '\n', d->line.len) : NULL;

		if (!end)
			return;
		*end = '\0';
		size_t len = (size_t)(end - text) + 1;
		if (obey(d, text, &err) < 0)
			fail(d, err.text);
		buf_consume(&d->line, len);
	}
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct device *d = handle->data;

	(void)suggested;
	*buf = uv_buf_init(d->bytes, sizeof(d->bytes));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct device *d = stream->data;

	if (n < 0) {
		uv_close((uv_handle_t *)&d->input, NULL);
		client_close(TAKE_PTR(d->client), NULL, NULL);
		return;
	}
	if (buf_append(&d->line, buf->base, (size_t)n, NULL) < 0)
		fail(d, "a line too long");
	obey_lines(d);
}

static int run(struct device *d, const struct conf *c, struct err *err)
{
	struct client_ap aps[CONF_PEERS_MAX];
	const struct policy policy = policy_default();
	struct tls_context *tls = NULL;
	const struct tls_files files = {
		.ca = c->pki.ca, .cert = c->pki.cert, .key = c->pki.key, .crl = c->pki.crl
	};
	int r = tls_context_new(&tls, &files, err);
	struct client_setup setup = {
		.loop = &d->loop,
		.tls = tls,
		.service = d->service,
		.policy = &policy,
		.limits = { .queue_bytes = (size_t)c->limit[CONF_QUEUE_BYTES],
			    .handshake_ms = (uint32_t)c->limit[CONF_HANDSHAKE_MS],
			    .dead_ms = (uint32_t)c->limit[CONF_DEAD_MS] },
		.aps = aps,
		.ops = &ops,
		.ctx = d,
	};

	for (size_t i = 0; i < c->peers; i++) {
		if (c->peer[i].role == WIRE_ROLE_AP)
			aps[setup.ap_count++] =
				(struct client_ap){ c->peer[i].name, c->peer[i].address };
	}
	if (r == 0)
		r = uv_loop_init(&d->loop);
	if (r == 0)
		r = uv_pipe_init(&d->loop, &d->input, 0);
	if (r == 0)
		r = uv_pipe_open(&d->input, STDIN_FILENO);
	if (r == 0)
		r = client_new(&d->client, &setup, err);
	d->input.data = d;
	if (r == 0)
		r = uv_read_start((uv_stream_t *)&d->input, on_alloc, on_input);
	if (r == 0)
		(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	tls_context_free(tls);
	return r;
}

static int set_service(void *ctx, const char *value, struct err *err)
{
	struct device *d = ctx;

	(void)err;
	d->service = value;
	return 0;
}

int main(int argc, char **argv)
{
	static struct device d;
	static const struct options_extra extra[] = {
		{ "service", "NAME", "service to ask for", set_service }, { 0 }
	};
	const struct options options = {
		.program = "device",
		.summary = "a device led by hand",
		.role = WIRE_ROLE_MUD,
		.extra = extra,
		.ctx = &d,
	};
	struct conf *loaded = NULL;
	struct err err = { 0 };

	log_name("device");
	buf_init(&d.line, LINE_MAX_BYTES);
	int r = options_load(&options, argc, argv, &loaded, &err);
	if (r == OPTIONS_E_DONE)
		return EXIT_SUCCESS;
	AUTO(conf) struct conf *c = loaded;
	if (r == 0)
		r = run(&d, c, &err);
	if (r < 0)
		log_error("%s", err.text);
	buf_deinit(&d.line);
	return r < 0 || d.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
