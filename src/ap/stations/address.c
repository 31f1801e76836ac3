/* SPDX-License-Identifier: Apache-2.0 */
#include "ap/stations/address.h"

#include <assert.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"

#define ANSWER_SIZE        32768
#define ANSWER_ONE_SIZE    2048 /* to a question about one address */
#define LOOPBACK_INTERFACE 1    /* in every network namespace */
#define ANSWER_MS          1000 /* the kernel does not take that long */

/* struct neighbour - One of the table; its pointers are valid until the callback returns */
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

/* struct question - About one address: a route to it, or its entry in the neighbour table of an interface */
struct question {
	struct nlmsghdr head;
	union {
		struct rtmsg route;
		struct ndmsg neighbour;
	};
	char address[RTA_SPACE(sizeof(struct in6_addr))];
};

static_assert(sizeof(struct rtmsg) == sizeof(struct ndmsg), "one body fits both questions");

static void question_set(struct question *q, int type, const struct sockaddr_storage *about)
{
	bool four = about->ss_family == AF_INET;
	const void *ip = four ? (const void *)&((const struct sockaddr_in *)about)->sin_addr
			      : &((const struct sockaddr_in6 *)about)->sin6_addr;
	size_t len = four ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	struct rtattr *to = (struct rtattr *)(void *)q->address;

	*q = (struct question){ .head = { .nlmsg_type = (unsigned short)type,
					  .nlmsg_flags = NLM_F_REQUEST } };
	if (type == RTM_GETROUTE) {
		q->route.rtm_family = (unsigned char)about->ss_family;
		q->route.rtm_dst_len = (unsigned char)(len * 8);
	} else {
		q->neighbour.ndm_family = (unsigned char)about->ss_family;
	}
	to->rta_type = type == RTM_GETROUTE ? RTA_DST : NDA_DST;
	to->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(to), ip, len);
	q->head.nlmsg_len = NLMSG_LENGTH(sizeof(q->route)) + RTA_ALIGN(to->rta_len);
}

/* Asks, and takes the answer without waiting: it is there when send() returns */
static int answer_get(int fd, const struct question *q, char *answer, size_t size, struct err *err)
{
	struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer;

	if (send(fd, q, q->head.nlmsg_len, MSG_DONTWAIT) < 0)
		return err_set(err, -errno, "ask for a neighbour");
	ssize_t n = recv(fd, answer, size, MSG_DONTWAIT);
	if (n < 0)
		return err_set(err, -errno, "ask for a neighbour");
	if (!NLMSG_OK(h, n))
		return err_set(err, -EIO, "ask for a neighbour");
	if (h->nlmsg_type == NLMSG_ERROR)
		return err_set(err, -ENOENT, "a station with this address");
	return 0;
}

/* The interface behind which an address is: 0 if there is none */
static int interface_of(int fd, const struct sockaddr_storage *address)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_ONE_SIZE];
	struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer;
	struct question q;

	if (address->ss_family == AF_INET6 && ((const struct sockaddr_in6 *)address)->sin6_scope_id)
		return (int)((const struct sockaddr_in6 *)address)->sin6_scope_id;
	question_set(&q, RTM_GETROUTE, address);
	if (answer_get(fd, &q, answer, sizeof(answer), NULL) < 0 || h->nlmsg_type != RTM_NEWROUTE)
		return 0;
	long left = (long)h->nlmsg_len - (long)NLMSG_LENGTH(sizeof(struct rtmsg));
	for (struct rtattr *a = (struct rtattr *)((struct rtmsg *)NLMSG_DATA(h) + 1);
	     RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) == sizeof(int)) {
			int index;

			memcpy(&index, RTA_DATA(a), sizeof(index));
			return index;
		}
	}
	return 0;
}

static void take_station(void *ctx, const struct neighbour *n)
{
	memcpy(ctx, n->mac, STATION_MAC_SIZE);
}

static int neighbour_get(uint8_t mac[STATION_MAC_SIZE], int fd, int interface,
			 const struct sockaddr_storage *address, struct err *err)
{
	static const uint8_t none[STATION_MAC_SIZE];
	_Alignas(struct nlmsghdr) char answer[ANSWER_ONE_SIZE];
	uint8_t found[STATION_MAC_SIZE] = { 0 };
	struct question q;
	int r;

	question_set(&q, RTM_GETNEIGH, address);
	q.neighbour.ndm_ifindex = interface;
	r = answer_get(fd, &q, answer, sizeof(answer), err);
	if (r < 0)
		return r;
	look_at((struct nlmsghdr *)(void *)answer, take_station, found);
	if (memcmp(found, none, sizeof(found)) == 0)
		return err_set(err, -ENOENT, "a station with this address");
	memcpy(mac, found, sizeof(found));
	return 0;
}

/* An address of this machine's own network: no packet from outside can have it, so it may cost more */
static int find_on_any(uint8_t mac[STATION_MAC_SIZE], int fd,
		       const struct sockaddr_storage *address, struct err *err)
{
	struct if_nameindex *all = if_nameindex();
	int r = err_set(err, -ENOENT, "a station with this address");

	for (struct if_nameindex *i = all; i && i->if_index && r < 0; i++)
		r = neighbour_get(mac, fd, (int)i->if_index, address, err);
	if_freenameindex(all);
	return r;
}

int station_address_find(uint8_t mac[STATION_MAC_SIZE], const struct sockaddr_storage *address,
			 struct err *err)
{
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return err_set(err, -errno, "neighbour table");
	int interface = interface_of(fd, address);
	if (interface == LOOPBACK_INTERFACE)
		return find_on_any(mac, fd, address, err);
	return neighbour_get(mac, fd, interface, address, err);
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
