/* SPDX-License-Identifier: Apache-2.0 */
#include "core/common/request.h"

#include <stdlib.h>
#include <string.h>

struct request *request_new(const struct wire_data *d, uint64_t number)
{
	struct request *r = malloc(sizeof(*r) + d->len);

	if (!r)
		return NULL;
	*r = (struct request){ .shares = 1,
			       .number = number,
			       .preamble = d->preamble,
			       .connection = d->connection,
			       .segment = d->segment,
			       .len = d->len };
	if (d->len)
		memcpy(r->bytes, d->bytes, d->len);
	return r;
}

/* @d may be a copy whose bytes are elsewhere: then @kept says nothing, and may be gone. */
static int part_of(const struct wire_data *d, const struct request *r)
{
	return r && d->bytes == r->bytes && d->number == r->number && d->len == r->len &&
	       d->preamble == r->preamble && d->connection == r->connection &&
	       d->segment == r->segment;
}

struct request *request_keep(const struct wire_data *d)
{
	return part_of(d, d->kept) ? request_share(d->kept) : request_new(d, d->number);
}

struct request *request_share(struct request *r)
{
	r->shares++;
	return r;
}

struct request *request_free(struct request *r)
{
	if (r && --r->shares == 0)
		free(r);
	return NULL;
}

struct wire_data request_data(struct request *r)
{
	return (struct wire_data){ .number = r->number,
				   .preamble = r->preamble,
				   .connection = r->connection,
				   .segment = r->segment,
				   .bytes = r->bytes,
				   .len = r->len,
				   .kept = r };
}
