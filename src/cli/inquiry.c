/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/inquiry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "net/tls_stream.h"

struct inquiry {
	struct tls_stream *stream;
};

int inquiry_open(struct inquiry **ret, struct tls_context *tls, const char *name,
		 enum wire_role role, const char *address, struct err *err)
{
	int r;

	AUTO(inquiry) struct inquiry *q = calloc(1, sizeof(*q));
	if (!q)
		return err_set(err, -ENOMEM, "connect to %s", name);
	r = tls_stream_connect(&q->stream, tls, address, name, role, -1, INQUIRY_TIMEOUT_MS, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(q);
	return 0;
}

struct inquiry *inquiry_free(struct inquiry *q)
{
	if (q)
		tls_stream_free(q->stream);
	free(q);
	return NULL;
}

/* The node's links also send clock probes, which are ignored here */
static int wait_answer(struct inquiry *q, struct wire_message *m, struct err *err)
{
	int r;

	do {
		r = tls_stream_receive_message(q->stream, m, err);
		if (r == TLS_STREAM_E_END)
			return err_set(err, -ECONNRESET, "the node closed the connection");
		if (r < 0)
			return r;
		if (m->type == WIRE_REFUSAL)
			return err_set(err, -EACCES, "the node refused us: %s", m->refusal.reason);
	} while (m->type != WIRE_INQUIRY_ANSWER);
	return 0;
}

int inquiry_ask(struct inquiry *q, const char *text, json_t **ret, struct err *err)
{
	struct wire_message m = {
		.type = WIRE_INQUIRY,
		.text = { .bytes = (const uint8_t *)text, .len = strlen(text) },
	};
	json_error_t why;
	int r;

	r = tls_stream_send_message(q->stream, &m, err);
	if (r == 0)
		r = wait_answer(q, &m, err);
	if (r < 0)
		return r;
	if (m.text.status != WIRE_OK)
		/* -EINVAL keeps err_set() from adding a text of its own to the node's words */
		return err_set(err, -EINVAL, "%.*s", m.text.len > 400 ? 400 : (int)m.text.len,
			       (const char *)m.text.bytes);
	json_t *j = json_loadb((const char *)m.text.bytes, m.text.len, JSON_DECODE_ANY, &why);
	if (!j)
		return err_set(err, -EPROTO, "the answer is no JSON: %s", why.text);
	*ret = j;
	return 0;
}
