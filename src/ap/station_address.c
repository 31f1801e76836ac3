/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/station_address.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"

#define ANSWER_SIZE 32768
#define ANSWER_MS   1000 /* the kernel does not take that long */

/* struct neighbour - One of the table; what it points to is good until the callback returns */
struct neighbour {
	const void *ip;
	size_t ip_len;
	const uint8_t *mac;
};

typedef void (*neighbour_fn)(void *ctx, const struct neighbour *n);

static int ask(int fd, int family, struct err *err)
{
	struct {
		struct nlmsghdr head;
		struct ndmsg body;
	} request = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)),
			  .nlmsg_type = RTM_GETNEIGH,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .ndm_family = (unsigned char)family },
	};
	const struct timeval wait = { .tv_usec = ANSWER_MS * 1000L % 1000000,
				      .tv_sec = ANSWER_MS / 1000 };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (send(fd, &request, request.head.nlmsg_len, 0) < 0)
		return err_set(err, -errno, "ask for the neighbour table");
	return 0;
}

/* One entry of the table, if it tells who has an address */
static void look_at(struct nlmsghdr *h, neighbour_fn fn, void *ctx)
{
	struct ndmsg *n = NLMSG_DATA(h);
	struct neighbour found = { 0 };
	long left = (long)h->nlmsg_len - (long)NLMSG_LENGTH(sizeof(*n));

	if (h->nlmsg_type != RTM_NEWNEIGH || left < 0 ||
	    (n->ndm_state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP)))
		return;
	for (struct rtattr *a = (struct rtattr *)(n + 1); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == NDA_DST) {
			found.ip = RTA_DATA(a);
			found.ip_len = RTA_PAYLOAD(a);
		} else if (a->rta_type == NDA_LLADDR && RTA_PAYLOAD(a) == STATION_MAC_SIZE) {
			found.mac = RTA_DATA(a);
		}
	}
	if (found.ip && found.mac)
		fn(ctx, &found);
}

static int read_answer(int fd, neighbour_fn fn, void *ctx, struct err *err)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];

	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);

		if (n < 0)
			return err_set(err, -errno, "read the neighbour table");
		long left = n;
		struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return err_set(err, -EIO, "read the neighbour table");
			look_at(h, fn, ctx);
		}
		if (n == 0)
			return err_set(err, -EIO, "read the neighbour table");
	}
}

static int read_table(int family, neighbour_fn fn, void *ctx, struct err *err)
{
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return err_set(err, -errno, "neighbour table");
	int r = ask(fd, family, err);
	return r < 0 ? r : read_answer(fd, fn, ctx, err);
}

/* ---- the station of an address ---- */

struct search {
	const void *ip;
	size_t ip_len;
	uint8_t *mac;
	bool found;
};

static void match_address(void *ctx, const struct neighbour *n)
{
	struct search *s = ctx;

	if (n->ip_len != s->ip_len || memcmp(n->ip, s->ip, s->ip_len) != 0)
		return;
	memcpy(s->mac, n->mac, STATION_MAC_SIZE);
	s->found = true;
}

int station_address_find(uint8_t mac[STATION_MAC_SIZE], const struct sockaddr_storage *address,
			 struct err *err)
{
	struct search s = { .mac = mac };
	int r;

	if (address->ss_family == AF_INET) {
		s.ip = &((const struct sockaddr_in *)address)->sin_addr;
		s.ip_len = sizeof(struct in_addr);
	} else {
		s.ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
		s.ip_len = sizeof(struct in6_addr);
	}
	r = read_table(address->ss_family, match_address, &s, err);
	if (r < 0)
		return r;
	return s.found ? 0 : err_set(err, -ENOENT, "a station with this address");
}

/* ---- the addresses of a station ---- */

struct search_all {
	const uint8_t *mac;
	void (*fn)(void *ctx, const struct sockaddr_storage *address);
	void *ctx;
};

static void match_station(void *ctx, const struct neighbour *n)
{
	const struct search_all *s = ctx;
	struct sockaddr_storage a = { 0 };

	if (memcmp(n->mac, s->mac, STATION_MAC_SIZE) != 0)
		return;
	if (n->ip_len == sizeof(struct in_addr)) {
		a.ss_family = AF_INET;
		memcpy(&((struct sockaddr_in *)&a)->sin_addr, n->ip, n->ip_len);
	} else if (n->ip_len == sizeof(struct in6_addr)) {
		a.ss_family = AF_INET6;
		memcpy(&((struct sockaddr_in6 *)&a)->sin6_addr, n->ip, n->ip_len);
	} else {
		return;
	}
	s->fn(s->ctx, &a);
}

int station_address_each(const uint8_t mac[STATION_MAC_SIZE],
			 void (*fn)(void *ctx, const struct sockaddr_storage *address), void *ctx,
			 struct err *err)
{
	struct search_all s = { .mac = mac, .fn = fn, .ctx = ctx };
	int r = read_table(AF_INET, match_station, &s, err);

	return r < 0 ? r : read_table(AF_INET6, match_station, &s, err);
}
