/* SPDX-License-Identifier: Apache-2.0 */
#include "mud/service_client.h"

#include "mud/direct_client.h"

struct service_client_kind {
	int (*move)(void *self, const char *ap, struct err *err);
	int (*request)(void *self, const void *bytes, size_t len, client_done_fn done, void *ctx,
		       uint64_t *number, struct err *err);
	const char *(*ap)(const void *self);
	uint64_t (*session)(const void *self);
	size_t (*unanswered)(const void *self);
	void (*close)(void *self, void (*done)(void *ctx), void *ctx);
};

/* One table of functions; they differ from those named only in the type of the first argument */
#define KIND(name)                                                                                 \
	static int name##_move_(void *self, const char *ap, struct err *err)                       \
	{                                                                                          \
		return name##_move(self, ap, err);                                                 \
	}                                                                                          \
	static int name##_request_(void *self, const void *bytes, size_t len, client_done_fn done, \
				   void *ctx, uint64_t *number, struct err *err)                   \
	{                                                                                          \
		return name##_request(self, bytes, len, done, ctx, number, err);                   \
	}                                                                                          \
	static const char *name##_ap_(const void *self)                                            \
	{                                                                                          \
		return name##_ap(self);                                                            \
	}                                                                                          \
	static uint64_t name##_session_(const void *self)                                          \
	{                                                                                          \
		return name##_session(self);                                                       \
	}                                                                                          \
	static size_t name##_unanswered_(const void *self)                                         \
	{                                                                                          \
		return name##_unanswered(self);                                                    \
	}                                                                                          \
	static void name##_close_(void *self, void (*done)(void *ctx), void *ctx)                  \
	{                                                                                          \
		name##_close(self, done, ctx);                                                     \
	}                                                                                          \
	static const struct service_client_kind name##_kind = {                                    \
		name##_move_,    name##_request_,    name##_ap_,                                   \
		name##_session_, name##_unanswered_, name##_close_,                                \
	}

KIND(client);
KIND(direct_client);

struct service_client service_client_by_baton(struct client *c)
{
	return (struct service_client){ &client_kind, c };
}

struct service_client service_client_direct(struct direct_client *c)
{
	return (struct service_client){ &direct_client_kind, c };
}

int service_client_move(const struct service_client *s, const char *ap, struct err *err)
{
	return s->kind->move(s->self, ap, err);
}

int service_client_request(const struct service_client *s, const void *bytes, size_t len,
			   client_done_fn done, void *ctx, uint64_t *number, struct err *err)
{
	return s->kind->request(s->self, bytes, len, done, ctx, number, err);
}

const char *service_client_ap(const struct service_client *s)
{
	return s->kind->ap(s->self);
}

uint64_t service_client_session(const struct service_client *s)
{
	return s->kind->session(s->self);
}

size_t service_client_unanswered(const struct service_client *s)
{
	return s->kind->unanswered(s->self);
}

void service_client_close(struct service_client *s, void (*done)(void *ctx), void *ctx)
{
	const struct service_client it = *s;

	*s = (struct service_client){ 0 };
	if (it.kind)
		it.kind->close(it.self, done, ctx);
	else if (done)
		done(ctx);
}
