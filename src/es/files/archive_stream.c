/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/archive_stream.h"

#include "base/err.h"

la_ssize_t archive_stream_read(struct archive *a, void *ctx, const void **bytes)
{
	struct archive_stream *s = ctx;
	ssize_t n = s->failed ? s->failed : s->source(s->ctx, bytes, s->err);

	if (n < 0) {
		s->failed = (int)n;
		archive_set_error(a, (int)-n, "the stream is broken");
		return -1;
	}
	return n;
}

la_ssize_t archive_stream_write(struct archive *a, void *ctx, const void *bytes, size_t len)
{
	struct archive_stream *s = ctx;

	if (!s->failed)
		s->failed = s->sink(s->ctx, bytes, len, s->err);
	if (s->failed) {
		archive_set_error(a, -s->failed, "the stream is broken");
		return -1;
	}
	return (la_ssize_t)len;
}

int archive_stream_complain(const struct archive_stream *stream, struct archive *a,
			    const char *what)
{
	const char *text = archive_error_string(a);

	return stream->failed ? stream->failed
			      : err_set(stream->err, -EPROTO, "%s: %s", what,
					text ? text : "no reason given");
}
