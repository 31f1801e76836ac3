/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Output - the bytes to a client, in order
 */

#include <stdlib.h>
#include <uv.h>

#include "ap/clients/connection_inner.h"
#include "ap/users/table.h"
#include "base/log.h"

static void on_written(uv_write_t *write, int status)
{
	struct user_connection *c = write->data;

	c->is_writing = false;
	if (c->closing)
		return;
	if (status < 0) {
		c->life->broken(c, status);
		return;
	}
	buf_consume(&c->writing, c->writing.len);
	if (c->writing.capacity > USER_CONNECTION_SMALL)
		buf_deinit(&c->writing);
	c->life->written(c);
}

void user_connection_write(struct user_connection *c)
{
	if (c->is_writing || c->closing || !c->out.len)
		return;
	struct buf all = c->out;
	c->out = c->writing;
	c->writing = all;
	uv_buf_t buf = uv_buf_init((char *)buf_bytes(&all), (unsigned int)all.len);
	c->write.data = c;
	c->is_writing = true;
	if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0) {
		c->is_writing = false;
		c->life->close(c, false);
	}
}

/* Writes at once what the kernel takes. Return: false if the connection is closed now */
bool user_connection_say(struct user_connection *c, const void *bytes, size_t len)
{
	size_t done = 0;

	if (!c->is_writing && !c->out.len && len) {
		uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned int)len);
		int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);

		done = n > 0 ? (size_t)n : 0;
	}
	if (done < len && buf_append(&c->out, (const char *)bytes + done, len - done, NULL) < 0) {
		log_error("%s: connection ended: out of memory", c->user->name);
		c->life->close(c, true);
	}
	return !c->closing;
}

/* Write a refusal in place of the answer. Return: false if the connection must end with it */
bool user_connection_compose(struct user_connection *c, struct pending *p, enum codec_refusal why,
			     const char *reason)
{
	char text[CODEC_REFUSAL_SIZE];
	size_t len = codec_refusal(c->codec, text, sizeof(text), why, reason);

	p->answered = true;
	if (len)
		(void)buf_append(&p->answer, text, len, NULL);
	return p->answer.len && !c->codec->refusal_ends;
}

struct pending *user_connection_pending(struct user_connection *c)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		log_error("%s: connection ended: out of memory", c->user->name);
		c->life->close(c, true);
		return NULL;
	}
	list_append(&c->pending, &p->link);
	c->pending_count++;
	return p;
}
