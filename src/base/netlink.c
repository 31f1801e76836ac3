/* SPDX-License-Identifier: Apache-2.0 */
#include "base/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/auto.h"

#define ANSWER_SIZE 32768 /* the kernel sends no longer pieces of a dump */
#define ANSWER_S    5
#define DUMPS_MAX   10

int netlink_open(void)
{
	const struct timeval wait = { .tv_sec = ANSWER_S };
	const int on = 1;

	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		return -errno;
	/* Without it the kernel takes no notice of filters of dumps, nor of the namespace that is asked about. */
	if (setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/** header() - The header of a message */
static struct nlmsghdr *header(struct netlink_message *m)
{
	return (struct nlmsghdr *)(void *)m->bytes;
}

void *netlink_begin(struct netlink_message *m, uint16_t type, uint16_t flags, size_t body)
{
	struct nlmsghdr *head;

	memset(m, 0, sizeof(*m));
	head = header(m);
	head->nlmsg_type = type;
	head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	if ((flags & NLM_F_DUMP) != NLM_F_DUMP)
		head->nlmsg_flags |= NLM_F_ACK;
	head->nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	return NLMSG_DATA(head);
}

void netlink_put(struct netlink_message *m, uint16_t type, const void *data, size_t len)
{
	struct nlmsghdr *head = header(m);
	size_t at = NLMSG_ALIGN(head->nlmsg_len);
	struct rtattr *attribute = (struct rtattr *)(void *)(m->bytes + at);

	if (at + RTA_SPACE(len) > sizeof(m->bytes)) {
		m->full = true;
		return;
	}
	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(attribute), data, len);
	head->nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
}

void netlink_put_number(struct netlink_message *m, uint16_t type, uint32_t value)
{
	netlink_put(m, type, &value, sizeof(value));
}

size_t netlink_nest(struct netlink_message *m, uint16_t type)
{
	size_t at = NLMSG_ALIGN(header(m)->nlmsg_len);

	netlink_put(m, (uint16_t)(type | NLA_F_NESTED), NULL, 0);
	return at;
}

void netlink_nest_end(struct netlink_message *m, size_t at)
{
	struct rtattr *attribute = (struct rtattr *)(void *)(m->bytes + at);

	if (!m->full)
		attribute->rta_len = (unsigned short)(header(m)->nlmsg_len - at);
}

const void *netlink_find(const void *attributes, size_t len, uint16_t type, size_t least)
{
	long left = (long)len;

	for (const struct rtattr *a = attributes; a && RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == type && RTA_PAYLOAD(a) >= least)
			return RTA_DATA(a);
	return NULL;
}

const void *netlink_inside(const void *attributes, size_t *len, uint16_t type)
{
	const char *found = netlink_find(attributes, *len, type, 0);

	*len = 0;
	if (found)
		*len = RTA_PAYLOAD((const struct rtattr *)(const void *)(found - RTA_LENGTH(0)));
	return found;
}

const void *netlink_attributes(const struct nlmsghdr *head, size_t body, size_t *len)
{
	size_t before = NLMSG_SPACE(body);

	*len = head->nlmsg_len > before ? head->nlmsg_len - before : 0;
	return (const char *)head + before;
}

/** refusal() - The kernel's verdict, in the last message. Return: 0, or a negative error code */
static int refusal(const struct nlmsghdr *head)
{
	int code = 0;

	if (head->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
		memcpy(&code, NLMSG_DATA(head), sizeof(code));
	return code < 0 ? code : 0;
}

/**
 * answers_take() - Take what was received
 * @torn:	Set if the kernel's table changed meanwhile
 *
 * Return: 1 after the last answer, 0 if more will come, or negative error code
 */
static int answers_take(const char *bytes, size_t len, netlink_answer_fn answer, void *ctx,
			bool *torn)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at + sizeof(struct nlmsghdr) <= len;) {
		const struct nlmsghdr *head = (const void *)(bytes + at);

		if (head->nlmsg_len < sizeof(*head) || head->nlmsg_len > len - at)
			return -EPROTO;
		at += NLMSG_ALIGN(head->nlmsg_len);
		if (head->nlmsg_flags & NLM_F_DUMP_INTR)
			*torn = true;
		if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR) {
			r = refusal(head);
			return r < 0 ? r : 1;
		}
		if (answer)
			r = answer(ctx, head);
	}
	return r;
}

/** exchange() - Send a message, and take all answers. Return: 0, or negative error code */
static int exchange(int fd, const struct nlmsghdr *head, netlink_answer_fn answer, void *ctx,
		    bool *torn)
{
	_Alignas(struct nlmsghdr) char bytes[ANSWER_SIZE];
	int r = 0;

	if (send(fd, head, head->nlmsg_len, 0) < 0)
		return -errno;
	while (r == 0) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		r = answers_take(bytes, (size_t)n, answer, ctx, torn);
	}
	return r < 0 ? r : 0;
}

int netlink_ask(int fd, struct netlink_message *m, netlink_answer_fn answer, void *ctx)
{
	bool torn = true;
	int r = m->full ? -EMSGSIZE : 0;

	for (int i = 0; r == 0 && torn && i < DUMPS_MAX; i++) {
		torn = false;
		r = exchange(fd, header(m), answer, ctx, &torn);
	}
	return r == 0 && torn ? -EAGAIN : r;
}
