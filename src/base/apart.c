/* SPDX-License-Identifier: Apache-2.0 */
#include "base/apart.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/apart_filter.h"
#include "base/auto.h"
#include "base/err.h"
#include "base/netlink.h"

#define FILTER_NAME     "baton-apart"
#define FILTER_PRIORITY 1          /* before those of others, which might let something pass */
#define FILTER_HANDLE   0x6261746f /* one that nobody else has, so nothing of theirs is replaced */
#define LOOPBACK        1          /* in every network namespace */
#define PORTS_MAX       16         /* interfaces of a container; one with more is refused */

/**
 * struct port - A port of a bridge whose other end is in a container
 * @peer:	index of the other end, in its network namespace
 * @netns:	the kernel's number for that namespace
 */
struct port {
	int index;
	int peer;
	int bridge;
	int netns;
	bool isolated;
};

struct ports {
	struct port at[PORTS_MAX];
	size_t count;
};

/* --- finding the container's ports ------------------------------------------------------------ */

/** number_find() - A number of 32 bits among attributes; -1 if it is not there */
static int number_find(const void *attributes, size_t len, uint16_t type)
{
	const void *found = netlink_find(attributes, len, type, sizeof(int));
	int value = -1;

	if (found)
		memcpy(&value, found, sizeof(value));
	return value;
}

/** isolated() - Whether a port is isolated, by the attributes of its interface */
static bool isolated(const void *attributes, size_t len)
{
	const void *inside = netlink_inside(attributes, &len, IFLA_LINKINFO);
	const uint8_t *value;

	inside = netlink_inside(inside, &len, IFLA_INFO_SLAVE_DATA);
	value = netlink_find(inside, len, IFLA_BRPORT_ISOLATED, 1);
	return value && *value;
}

/** is_port() - Whether an interface is a port of a bridge */
static bool is_port(const void *attributes, size_t len)
{
	const void *inside = netlink_inside(attributes, &len, IFLA_LINKINFO);
	const char *kind = netlink_find(inside, len, IFLA_INFO_SLAVE_KIND, sizeof("bridge"));

	return kind && !memcmp(kind, "bridge", sizeof("bridge"));
}

/* An interface in the container's namespace: its other end may be a port. */
static int peer_take(void *ctx, const struct nlmsghdr *head)
{
	const struct ifinfomsg *body = NLMSG_DATA(head);
	struct ports *all = ctx;
	size_t len;
	const void *attributes = netlink_attributes(head, sizeof(*body), &len);
	int other = number_find(attributes, len, IFLA_LINK);

	if (head->nlmsg_type != RTM_NEWLINK || other <= 0)
		return 0;
	for (size_t i = 0; i < all->count; i++)
		if (all->at[i].peer == body->ifi_index)
			return 0;
	if (all->count == PORTS_MAX)
		return -E2BIG;
	all->at[all->count++] = (struct port){ .index = other, .peer = body->ifi_index };
	return 0;
}

/* The other end, in our namespace: @bridge stays 0 if it is none, or no port. */
static int port_take(void *ctx, const struct nlmsghdr *head)
{
	struct port *port = ctx;
	size_t len;
	const void *attributes = netlink_attributes(head, sizeof(struct ifinfomsg), &len);

	if (head->nlmsg_type != RTM_NEWLINK || !is_port(attributes, len) ||
	    number_find(attributes, len, IFLA_LINK) != port->peer ||
	    number_find(attributes, len, IFLA_LINK_NETNSID) != port->netns)
		return 0;
	port->bridge = number_find(attributes, len, IFLA_MASTER);
	port->isolated = isolated(attributes, len);
	return 0;
}

static int netns_take(void *ctx, const struct nlmsghdr *head)
{
	size_t len;
	const void *attributes = netlink_attributes(head, sizeof(struct rtgenmsg), &len);

	if (head->nlmsg_type == RTM_NEWNSID)
		*(int *)ctx = number_find(attributes, len, NETNSA_NSID);
	return 0;
}

/** netns_of() - Find the kernel's number for a process's network namespace, or have it give one */
static int netns_of(int fd, pid_t pid, int *to)
{
	struct netlink_message m;

	*to = -1;
	(void)netlink_begin(&m, RTM_NEWNSID, 0, sizeof(struct rtgenmsg));
	netlink_put_number(&m, NETNSA_PID, (uint32_t)pid);
	netlink_put_number(&m, NETNSA_NSID, (uint32_t)-1);
	int r = netlink_ask(fd, &m, NULL, NULL);
	if (r < 0 && r != -EEXIST)
		return r;
	(void)netlink_begin(&m, RTM_GETNSID, 0, sizeof(struct rtgenmsg));
	netlink_put_number(&m, NETNSA_PID, (uint32_t)pid);
	r = netlink_ask(fd, &m, netns_take, to);
	return r == 0 && *to < 0 ? -ENOENT : r;
}

/** is_ours() - Whether a process is in our network namespace. Return: 1, 0, or negative error code */
static int is_ours(pid_t pid)
{
	char path[64];
	struct stat theirs;
	struct stat ours;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	if (stat(path, &theirs) < 0 || stat("/proc/self/ns/net", &ours) < 0)
		return -errno;
	return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

/** peers_find() - Find the interfaces in a container's namespace that have another end elsewhere */
static int peers_find(int fd, int netns, struct ports *to)
{
	struct netlink_message m;

	(void)netlink_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	netlink_put_number(&m, IFLA_TARGET_NETNSID, (uint32_t)netns);
	return netlink_ask(fd, &m, peer_take, to);
}

/** port_find() - See whether the other end of a container's interface is a port here, and which bridge's */
static int port_find(int fd, struct port *port)
{
	struct netlink_message m;
	struct ifinfomsg *body;

	body = netlink_begin(&m, RTM_GETLINK, 0, sizeof(*body));
	body->ifi_index = port->index;
	int r = netlink_ask(fd, &m, port_take, port);
	return r == -ENODEV ? 0 : r; /* it is in yet another namespace */
}

/** ports_find() - Find the ports of a container */
static int ports_find(int fd, pid_t pid, struct ports *to, struct err *err)
{
	size_t kept = 0;
	int netns = -1;
	int r = is_ours(pid);

	if (r > 0)
		return 0;
	if (r == 0)
		r = netns_of(fd, pid, &netns);
	if (r < 0)
		return err_set(err, r, "look for the network namespace of process %d", (int)pid);
	r = peers_find(fd, netns, to);
	for (size_t i = 0; r == 0 && i < to->count; i++) {
		struct port one = to->at[i];

		one.netns = netns;
		r = port_find(fd, &one);
		if (one.bridge > 0)
			to->at[kept++] = one;
	}
	to->count = kept;
	return r < 0 ? err_set(err, r, "list the interfaces of process %d", (int)pid) : 0;
}

/* --- its addresses ---------------------------------------------------------------------------- */

/** struct address - An address of an interface; @within: the one to choose is in that network */
struct address {
	struct in_addr address;
	struct in_addr mask;
	const struct apart_sender *within;
	size_t count;
};

static int address_take(void *ctx, const struct nlmsghdr *head)
{
	const struct ifaddrmsg *body = NLMSG_DATA(head);
	struct address *to = ctx;
	struct in_addr address;
	size_t len;
	const void *attributes = netlink_attributes(head, sizeof(*body), &len);
	const void *local = netlink_find(attributes, len, IFA_LOCAL, sizeof(address));

	if (head->nlmsg_type != RTM_NEWADDR || body->ifa_family != AF_INET || !local)
		return 0;
	memcpy(&address, local, sizeof(address));
	if (to->within && ((address.s_addr ^ to->within->address.s_addr) & to->within->mask.s_addr))
		return 0;
	if (to->count && to->address.s_addr != address.s_addr)
		to->count++;
	else
		to->count = 1;
	to->address = address;
	to->mask.s_addr = body->ifa_prefixlen ? htonl(UINT32_MAX << (32 - body->ifa_prefixlen)) : 0;
	return 0;
}

/**
 * address_of() - Find the address of an interface
 * @netns:	The kernel's number for its network namespace; -1: ours
 *
 * Return: 0, -ENOENT if there is none, -EPROTO if there are several, or another negative error code
 */
static int address_of(int fd, int index, int netns, struct address *to)
{
	struct netlink_message m;
	struct ifaddrmsg *body;

	body = netlink_begin(&m, RTM_GETADDR, NLM_F_DUMP, sizeof(*body));
	body->ifa_family = AF_INET;
	body->ifa_index = (unsigned int)index;
	if (netns >= 0)
		netlink_put_number(&m, IFA_TARGET_NETNSID, (uint32_t)netns);
	int r = netlink_ask(fd, &m, address_take, to);
	if (r < 0)
		return r;
	return to->count == 1 ? 0 : to->count ? -EPROTO : -ENOENT;
}

static int mac_take(void *ctx, const struct nlmsghdr *head)
{
	size_t len;
	const void *attributes = netlink_attributes(head, sizeof(struct ifinfomsg), &len);
	const void *mac = netlink_find(attributes, len, IFLA_ADDRESS, ETH_ALEN);

	if (head->nlmsg_type != RTM_NEWLINK || !mac)
		return -ENOENT;
	memcpy(ctx, mac, ETH_ALEN);
	return 0;
}

/** sender_find() - Find the addresses that a container has behind a port */
static int sender_find(int fd, const struct port *port, struct apart_sender *to, struct err *err)
{
	struct address own = { .count = 0 };
	struct address host = { .within = to };
	struct netlink_message m;
	struct ifinfomsg *body;

	body = netlink_begin(&m, RTM_GETLINK, 0, sizeof(*body));
	body->ifi_index = port->peer;
	netlink_put_number(&m, IFLA_TARGET_NETNSID, (uint32_t)port->netns);
	int r = netlink_ask(fd, &m, mac_take, to->mac);
	if (r == 0)
		r = address_of(fd, port->peer, port->netns, &own);
	if (r < 0)
		return err_set(err, r, "find the addresses of the container's interface");
	to->address = own.address;
	to->mask = own.mask;
	r = address_of(fd, port->bridge, -1, &host);
	if (r < 0)
		return err_set(err, r, "find the address of the container's bridge");
	to->gateway = host.address;
	return 0;
}

/* --- keeping it apart ------------------------------------------------------------------------- */

/** put_switch() - Append a setting of a port */
static void put_switch(struct netlink_message *m, uint16_t type, uint8_t value)
{
	netlink_put(m, type, &value, sizeof(value));
}

/** port_isolate() - Isolate a port: the bridge learns nothing from it, and knows its address */
static int port_isolate(int fd, const struct port *port, const uint8_t mac[ETH_ALEN])
{
	struct netlink_message m;
	struct ifinfomsg *link;
	struct ndmsg *entry;

	entry = netlink_begin(&m, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*entry));
	*entry = (struct ndmsg){ .ndm_family = AF_BRIDGE,
				 .ndm_ifindex = port->index,
				 .ndm_state = NUD_NOARP,
				 .ndm_flags = NTF_MASTER };
	netlink_put(&m, NDA_LLADDR, mac, ETH_ALEN);
	int r = netlink_ask(fd, &m, NULL, NULL);
	if (r < 0)
		return r;
	link = netlink_begin(&m, RTM_SETLINK, 0, sizeof(*link));
	link->ifi_family = AF_BRIDGE;
	link->ifi_index = port->index;
	size_t nest = netlink_nest(&m, IFLA_PROTINFO);
	put_switch(&m, IFLA_BRPORT_ISOLATED, 1);
	put_switch(&m, IFLA_BRPORT_LEARNING, 0);
	put_switch(&m, IFLA_BRPORT_UNICAST_FLOOD, 0);
	netlink_nest_end(&m, nest);
	return netlink_ask(fd, &m, NULL, NULL);
}

/** tc_begin() - Begin a message about what is done with the frames that a port receives */
static void tc_begin(struct netlink_message *m, uint16_t type, uint16_t flags, int port)
{
	struct tcmsg *body = netlink_begin(m, type, flags, sizeof(*body));

	body->tcm_family = AF_UNSPEC;
	body->tcm_ifindex = port;
	body->tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
}

/** hook_add() - Give a port the place for filters, if it has none */
static int hook_add(int fd, int port)
{
	struct netlink_message m;
	struct tcmsg *body;

	body = netlink_begin(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, sizeof(*body));
	body->tcm_ifindex = port;
	body->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	body->tcm_parent = TC_H_CLSACT;
	netlink_put(&m, TCA_KIND, "clsact", sizeof("clsact"));
	int r = netlink_ask(fd, &m, NULL, NULL);
	return r == -EEXIST ? 0 : r;
}

/** filter_add() - Filter the frames that a port receives, by no other program of ours than this */
static int filter_add(int fd, int port, const struct apart_sender *sender)
{
	struct netlink_message m;
	struct tcmsg *body;

	auto_close int program = apart_filter_load(sender);
	if (program < 0)
		return program;
	int r = hook_add(fd, port);
	if (r < 0)
		return r;
	tc_begin(&m, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, port);
	body = NLMSG_DATA((struct nlmsghdr *)(void *)m.bytes);
	body->tcm_handle = FILTER_HANDLE;
	body->tcm_info = TC_H_MAKE(FILTER_PRIORITY << 16, htons(ETH_P_ALL));
	netlink_put(&m, TCA_KIND, "bpf", sizeof("bpf"));
	size_t nest = netlink_nest(&m, TCA_OPTIONS);
	netlink_put_number(&m, TCA_BPF_FD, (uint32_t)program);
	netlink_put(&m, TCA_BPF_NAME, FILTER_NAME, sizeof(FILTER_NAME));
	netlink_put_number(&m, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	netlink_nest_end(&m, nest);
	return netlink_ask(fd, &m, NULL, NULL);
}

/** filter_failed() - Say that a filter cannot be had. Return: @code */
static int filter_failed(int code, struct err *err)
{
	return err_set(err, code,
		       "filter what a container sends, for which the kernel must have "
		       "CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS");
}

/** port_guard() - Keep the container behind a port apart */
static int port_guard(int fd, const struct port *port, struct err *err)
{
	struct apart_sender sender;
	int r = sender_find(fd, port, &sender, err);

	if (r < 0)
		return r;
	r = filter_add(fd, port->index, &sender);
	if (r < 0)
		return filter_failed(r, err);
	r = port_isolate(fd, port, sender.mac);
	return r < 0 ? err_set(err, r,
			       "isolate a container's port of its bridge, for which the kernel "
			       "must be 4.18 or newer")
		     : 0;
}

int apart_guard(pid_t pid, struct err *err)
{
	struct ports ports = { .count = 0 };

	auto_close int fd = netlink_open();
	if (fd < 0)
		return err_set(err, fd, "ask the kernel about interfaces");
	int r = ports_find(fd, pid, &ports, err);
	for (size_t i = 0; r == 0 && i < ports.count; i++)
		r = port_guard(fd, &ports.at[i], err);
	return r < 0 ? r : (int)ports.count;
}

/** filter_try() - Filter the loopback of a new network namespace. Return: 0, or negative error code */
static int filter_try(void)
{
	const struct apart_sender nobody = { 0 };

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	auto_close int fd = netlink_open();
	return fd < 0 ? fd : filter_add(fd, LOOPBACK, &nobody);
}

int apart_possible(struct err *err)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(-filter_try());
	if (child < 0)
		return err_set(err, -errno, "try to keep containers apart");
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "try to keep containers apart");
	if (status == 0)
		return 0;
	return filter_failed(WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD, err);
}

/* --- looking ---------------------------------------------------------------------------------- */

static int filter_take(void *ctx, const struct nlmsghdr *head)
{
	size_t len;
	const void *attributes = netlink_attributes(head, sizeof(struct tcmsg), &len);
	const void *inside = netlink_inside(attributes, &len, TCA_OPTIONS);
	const char *name = netlink_find(inside, len, TCA_BPF_NAME, sizeof(FILTER_NAME));

	if (head->nlmsg_type == RTM_NEWTFILTER && name &&
	    !memcmp(name, FILTER_NAME, sizeof(FILTER_NAME)))
		*(bool *)ctx = true;
	return 0;
}

/** filtered() - See whether a port has our filter */
static int filtered(int fd, int port, bool *to)
{
	struct netlink_message m;

	*to = false;
	tc_begin(&m, RTM_GETTFILTER, NLM_F_DUMP, port);
	int r = netlink_ask(fd, &m, filter_take, to);
	/* That there is no place for filters is told so, or by an empty list, by kernel. */
	return r == -EINVAL || r == -ENOENT ? 0 : r;
}

int apart_look(pid_t pid, struct apart_ports *to, struct err *err)
{
	struct ports ports = { .count = 0 };

	*to = (struct apart_ports){ 0 };
	auto_close int fd = netlink_open();
	if (fd < 0)
		return err_set(err, fd, "ask the kernel about interfaces");
	int r = ports_find(fd, pid, &ports, err);
	for (size_t i = 0; r == 0 && i < ports.count; i++) {
		bool filter = false;

		r = filtered(fd, ports.at[i].index, &filter);
		if (r < 0)
			r = err_set(err, r, "look at the filters of a container's port");
		to->all++;
		to->open += !(filter && ports.at[i].isolated);
	}
	return r;
}
