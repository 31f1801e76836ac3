/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/listeners/datagrams.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/list.h"

#define LOOK_MS 10

struct waiting {
	struct list link;
	struct sockaddr_storage from;
	uint64_t since;
	bool first; /* of its address */
	size_t len;
	uint8_t bytes[];
};

struct user_datagrams {
	uv_timer_t timer;
	user_datagrams_take_fn take;
	void *ctx;
	struct list all;
	size_t count;
	size_t bytes;
	uint64_t dropped;
};

int user_datagrams_new(struct user_datagrams **ret, struct uv_loop_s *loop,
		       user_datagrams_take_fn take, void *ctx, struct err *err)
{
	struct user_datagrams *ud = calloc(1, sizeof(*ud));

	if (!ud)
		return err_set(err, -ENOMEM, "datagrams that wait");
	ud->take = take;
	ud->ctx = ctx;
	list_init(&ud->all);
	(void)uv_timer_init(loop, &ud->timer); /* cannot fail */
	ud->timer.data = ud;
	*ret = ud;
	return 0;
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	const struct sockaddr_in *in_a = (const void *)a, *in_b = (const void *)b;
	const struct sockaddr_in6 *in6_a = (const void *)a, *in6_b = (const void *)b;

	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET6)
		return memcmp(&in6_a->sin6_addr, &in6_b->sin6_addr, sizeof(in6_a->sin6_addr)) == 0;
	return in_a->sin_addr.s_addr == in_b->sin_addr.s_addr;
}

/* How many wait from an address, and the first of them */
static size_t waiting_from(const struct user_datagrams *ud, const struct sockaddr *from,
			   struct waiting **first)
{
	size_t n = 0;

	list_for_each_safe(at, next, (struct list *)(uintptr_t)&ud->all)
	{
		struct waiting *w = list_entry(at, struct waiting, link);

		if (!same_address((const struct sockaddr *)&w->from, from))
			continue;
		if (n++ == 0 && first)
			*first = w;
	}
	return n;
}

static void forget(struct user_datagrams *ud, struct waiting *w)
{
	struct waiting *heir = NULL;

	list_remove(&w->link);
	if (w->first && waiting_from(ud, (struct sockaddr *)&w->from, &heir))
		heir->first = true;
	ud->count--;
	ud->bytes -= w->len;
	free(w);
}

/* Those of an address go in their order: when the first has gone, the next one behind it is the first. */
static void on_look(uv_timer_t *timer)
{
	struct user_datagrams *ud = timer->data;
	uint64_t now = uv_now(timer->loop);

	list_for_each_safe(at, next, &ud->all)
	{
		struct waiting *w = list_entry(at, struct waiting, link);

		if (!w->first)
			continue;
		int r = ud->take(ud->ctx, (struct sockaddr *)&w->from, w->bytes, w->len);
		if (r == -EAGAIN && now < w->since + USER_DATAGRAMS_MS)
			continue;
		ud->dropped += r < 0;
		forget(ud, w);
	}
	if (!ud->count)
		(void)uv_timer_stop(&ud->timer);
}

bool user_datagrams_waiting(const struct user_datagrams *ud, const struct sockaddr *from)
{
	return ud->count && waiting_from(ud, from, NULL);
}

bool user_datagrams_add(struct user_datagrams *ud, const struct sockaddr *from, const void *bytes,
			size_t len)
{
	size_t address_len = from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
							 : sizeof(struct sockaddr_in);

	size_t before = waiting_from(ud, from, NULL);

	if (ud->count >= USER_DATAGRAMS_MAX || before >= USER_DATAGRAMS_EACH ||
	    ud->bytes + len > USER_DATAGRAMS_BYTES)
		return false;
	struct waiting *w = calloc(1, sizeof(*w) + len);
	if (!w)
		return false;
	memcpy(&w->from, from, address_len);
	w->since = uv_now(ud->timer.loop);
	w->first = before == 0;
	w->len = len;
	if (len)
		memcpy(w->bytes, bytes, len);
	list_append(&ud->all, &w->link);
	ud->count++;
	ud->bytes += len;
	if (!uv_is_active((uv_handle_t *)&ud->timer))
		(void)uv_timer_start(&ud->timer, on_look, LOOK_MS, LOOK_MS);
	return true;
}

uint64_t user_datagrams_dropped(const struct user_datagrams *ud)
{
	return ud->dropped;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void user_datagrams_close(struct user_datagrams *ud)
{
	if (!ud)
		return;
	list_for_each_safe(at, next, &ud->all) forget(ud, list_entry(at, struct waiting, link));
	uv_close((uv_handle_t *)&ud->timer, on_closed);
}
