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

/* what is looked for, and found */
struct search {
	const void *ip;
	size_t ip_len;
	uint8_t *mac;
	bool found;
};

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

/* One neighbour: is it the one? */
static void look_at(struct search *s, struct nlmsghdr *h)
{
	struct ndmsg *n = NLMSG_DATA(h);
	const uint8_t *mac = NULL;
	bool same = false;
	long left = (long)h->nlmsg_len - (long)NLMSG_LENGTH(sizeof(*n));

	if (h->nlmsg_type != RTM_NEWNEIGH || left < 0 ||
	    (n->ndm_state & (NUD_INCOMPLETE | NUD_FAILED | NUD_NOARP)))
		return;
	for (struct rtattr *a = (struct rtattr *)(n + 1); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		size_t len = RTA_PAYLOAD(a);

		if (a->rta_type == NDA_DST)
			same = len == s->ip_len && memcmp(RTA_DATA(a), s->ip, len) == 0;
		else if (a->rta_type == NDA_LLADDR && len == STATION_MAC_SIZE)
			mac = RTA_DATA(a);
	}
	if (!same || !mac)
		return;
	memcpy(s->mac, mac, STATION_MAC_SIZE);
	s->found = true;
}

static int read_table(int fd, struct search *s, struct err *err)
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
			look_at(s, h);
		}
		if (n == 0)
			return err_set(err, -EIO, "read the neighbour table");
	}
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
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return err_set(err, -errno, "neighbour table");
	r = ask(fd, address->ss_family, err);
	if (r == 0)
		r = read_table(fd, &s, err);
	if (r < 0)
		return r;
	return s.found ? 0 : err_set(err, -ENOENT, "a station with this address");
}
