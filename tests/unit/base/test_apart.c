/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Containers kept apart, on a bridge in a network namespace of our own: what one sends before it is guarded, its
 * neighbour gets; afterwards not (R16)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/apart.h"
#include "base/auto.h"
#include "base/err.h"

#define BRIDGE      "baton-test"
#define CONTAINERS  2
#define FRAME       64
#define CUSTOM_KIND 0x88b5 /* for experiments */
#define VLAN_KIND   0x8100
#define LAST        255 /* mark of a frame that is the last of a try */

/** struct container - A process with a network namespace of its own; @wire: gets all frames */
struct container {
	pid_t pid;
	int wire;
};

/** struct bed - A bridge, and what hangs on it: container i has 10.99.0.(i + 2) and 02:00:00:00:00:0(i + 2) */
struct bed {
	int host;
	int wire;
	uint8_t tries;
	struct container at[CONTAINERS];
};

/** shell() - Run a command of iproute2. Return: its exit status */
static int __attribute__((format(printf, 1, 2))) shell(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	return system(command);
}

/** wire() - A socket for all frames of an interface of the network namespace that we are in */
static int wire(const char *interface)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET,
				     .sll_protocol = htons(ETH_P_ALL),
				     .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	return fd;
}

/** container_make() - Begin a process, and plug it into a bridge */
static void container_make(struct bed *b, struct container *c, int number)
{
	char path[64];
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	c->pid = fork();
	if (c->pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && unshare(CLONE_NEWNET) == 0 &&
		    write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(shell("ip link add port%d type veth peer name eth0 address "
			       "02:00:00:00:00:0%d netns %d && "
			       "ip link set port%d master " BRIDGE " up && "
			       "nsenter -t %d -n sh -c 'ip address add 10.99.0.%d/16 dev eth0 && "
			       "ip link set eth0 up'",
			       number, number + 2, (int)c->pid, number, (int)c->pid, number + 2),
			 0);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
	auto_close int ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
	c->wire = wire("eth0");
	assert_int_equal(setns(b->host, CLONE_NEWNET), 0);
}

/** bed_make() - Return: whether this machine lets us */
static bool bed_make(struct bed *b)
{
	*b = (struct bed){ .host = -1 };
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
	    shell("ip link add " BRIDGE " address 02:00:00:00:00:01 type bridge 2>/dev/null && ip "
		  "address add 10.99.0.1/16 dev " BRIDGE " && ip link set " BRIDGE " up") != 0)
		return false;
	b->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(b->host >= 0);
	b->wire = wire(BRIDGE);
	for (int i = 0; i < CONTAINERS; i++)
		container_make(b, &b->at[i], i);
	return true;
}

static void bed_end(struct bed *b)
{
	for (int i = 0; i < CONTAINERS; i++) {
		(void)kill(b->at[i].pid, SIGKILL);
		(void)waitpid(b->at[i].pid, NULL, 0);
		close(b->at[i].wire);
	}
	close(b->wire);
	close(b->host);
}

/* --- frames ----------------------------------------------------------------------------------- */

static const uint8_t everybody[ETH_ALEN] = { 255, 255, 255, 255, 255, 255 };
static const uint8_t first[ETH_ALEN] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t second[ETH_ALEN] = { 2, 0, 0, 0, 0, 3 };
static const uint8_t host_mac[ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };

/** struct frame - A frame; the last byte tells it from others */
struct frame {
	uint8_t bytes[FRAME];
};

static struct frame frame_make(const uint8_t *to, const uint8_t *from, uint16_t kind, uint8_t mark)
{
	struct frame f = { { 0 } };

	memcpy(f.bytes, to, ETH_ALEN);
	memcpy(f.bytes + ETH_ALEN, from, ETH_ALEN);
	f.bytes[12] = (uint8_t)(kind >> 8);
	f.bytes[13] = (uint8_t)kind;
	f.bytes[FRAME - 1] = mark;
	return f;
}

/** ip_make() - IPv4 with the protocol 253, for experiments, from 10.99.0.@source to @destination */
static struct frame ip_make(const uint8_t *to, const uint8_t *from, uint8_t source,
			    const char *destination, uint8_t mark)
{
	struct frame f = frame_make(to, from, ETH_P_IP, mark);
	const uint8_t header[] = { 0x45, 0,   0, FRAME - 14, 0,  0,  0, 0,
				   64,   253, 0, 0,          10, 99, 0, source };
	uint32_t sum = 0;

	memcpy(f.bytes + 14, header, sizeof(header));
	assert_int_equal(inet_pton(AF_INET, destination, f.bytes + 30), 1);
	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)(f.bytes[i] << 8 | f.bytes[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	f.bytes[24] = (uint8_t)(sum >> 8);
	f.bytes[25] = (uint8_t)sum;
	return f;
}

/** ip6_make() - IPv6 without a next header, from one link-local address to another */
static struct frame ip6_make(const uint8_t *to, const uint8_t *from, uint8_t mark)
{
	struct frame f = frame_make(to, from, ETH_P_IPV6, mark);
	const uint8_t header[] = { 0x60, 0, 0, 0, 0, FRAME - 54, 59, 255, 0xfe, 0x80 };

	memcpy(f.bytes + 14, header, sizeof(header));
	f.bytes[37] = from[5];
	f.bytes[38] = 0xfe;
	f.bytes[39] = 0x80;
	f.bytes[53] = to[5];
	return f;
}

/** arp_make() - An ARP answer to everybody: 10.99.0.@address is at @mac */
static struct frame arp_make(const uint8_t *from, const uint8_t *mac, uint8_t address, uint8_t mark)
{
	struct frame f = frame_make(everybody, from, ETH_P_ARP, mark);
	const uint8_t header[] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	const uint8_t sender[] = { 10, 99, 0, address };

	memcpy(f.bytes + 14, header, sizeof(header));
	memcpy(f.bytes + 22, mac, ETH_ALEN);
	memcpy(f.bytes + 28, sender, sizeof(sender));
	memcpy(f.bytes + 32, mac, ETH_ALEN);
	memcpy(f.bytes + 38, sender, sizeof(sender));
	return f;
}

/** mac_of() - Address of a container */
static const uint8_t *mac_of(int i)
{
	return i ? second : first;
}

/**
 * until_last() - Send a last frame from here to there, take all that comes before it
 * @mark:	of the frame that we look for
 *
 * A bridge's new port passes frames only when the kernel has noticed its cable, so the last one is sent again.
 *
 * Return: whether the other frame came
 */
static bool until_last(struct bed *b, int from, int to, struct frame *last, uint8_t mark)
{
	struct pollfd fds = { .fd = to, .events = POLLIN };
	uint8_t got[2048];
	bool there = false;

	last->bytes[FRAME - 2] = ++b->tries;
	assert_int_equal(send(from, last->bytes, FRAME, 0), FRAME);
	for (;;) {
		ssize_t n = recv(to, got, sizeof(got), 0);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			if (poll(&fds, 1, 100) == 0)
				assert_int_equal(send(from, last->bytes, FRAME, 0), FRAME);
		} else if (n == FRAME && !memcmp(got + FRAME - 2, last->bytes + FRAME - 2, 2)) {
			return there;
		} else {
			there = there || (n >= FRAME - 4 && got[n - 1] == mark);
		}
	}
}

/** reaches() - Whether a frame of container 0 reaches container 1 */
static bool reaches(struct bed *b, const struct frame *f)
{
	struct frame last = frame_make(second, host_mac, CUSTOM_KIND, LAST);

	assert_int_equal(send(b->at[0].wire, f->bytes, FRAME, 0), FRAME);
	return until_last(b, b->wire, b->at[1].wire, &last, f->bytes[FRAME - 1]);
}

/** comes_up() - Whether a frame of container 0 reaches the host */
static bool comes_up(struct bed *b, const struct frame *f)
{
	struct frame last = arp_make(first, first, 2, LAST);

	assert_int_equal(send(b->at[0].wire, f->bytes, FRAME, 0), FRAME);
	return until_last(b, b->at[0].wire, b->wire, &last, f->bytes[FRAME - 1]);
}

/** neighbour_reached() - How many of these frames of the first container reach the second */
static int neighbour_reached(struct bed *b)
{
	int reached = 0;
	const struct frame frames[] = {
		ip_make(second, first, 2, "10.99.0.3", 1),
		ip_make(everybody, first, 2, "10.99.255.255", 2),
		ip6_make(second, first, 3),
		frame_make(everybody, first, CUSTOM_KIND, 4),
		frame_make(second, first, VLAN_KIND, 5),
		arp_make(first, first, 1, 6),   /* "I am the gateway" */
		arp_make(second, second, 1, 7), /* the same, in the name of the other one */
	};

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		reached += reaches(b, &frames[i]);
	return reached;
}

/** ready() - Wait until all ports pass frames */
static void ready(struct bed *b)
{
	for (int i = 0; i < CONTAINERS; i++) {
		struct frame last = frame_make(mac_of(i), host_mac, CUSTOM_KIND, LAST);
		struct frame up = arp_make(mac_of(i), mac_of(i), (uint8_t)(2 + i), LAST);

		(void)until_last(b, b->wire, b->at[i].wire, &last, 0);
		(void)until_last(b, b->at[i].wire, b->wire, &up, 0);
	}
}

static void test_neighbour(void **state)
{
	struct apart_ports ports;
	struct err err;
	struct bed b;

	(void)state;
	if (!bed_make(&b))
		skip();
	ready(&b);
	assert_int_equal(neighbour_reached(&b), 7);
	for (int i = 0; i < CONTAINERS; i++) {
		assert_int_equal(apart_look(b.at[i].pid, &ports, &err), 0);
		assert_int_equal(ports.all, 1);
		assert_int_equal(ports.open, 1);
		assert_int_equal(apart_guard(b.at[i].pid, &err), 1);
		assert_int_equal(apart_guard(b.at[i].pid, &err), 1); /* again */
		assert_int_equal(apart_look(b.at[i].pid, &ports, &err), 0);
		assert_int_equal(ports.open, 0);
	}
	assert_int_equal(neighbour_reached(&b), 0);
	bed_end(&b);
}

/** lies_told() - How many frames with another one's addresses come up to the host */
static int lies_told(struct bed *b)
{
	const struct frame frames[] = {
		ip_make(host_mac, first, 3, "10.99.0.1", 1),
		ip_make(host_mac, second, 2, "10.99.0.1", 2),
		ip_make(host_mac, first, 3, "192.0.2.1", 3),
		arp_make(first, first, 3, 4),
		arp_make(first, second, 3, 5),
		arp_make(second, second, 3, 6),
		ip6_make(host_mac, first, 7),
	};
	int told = 0;

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		told += comes_up(b, &frames[i]);
	return told;
}

static void test_lies(void **state)
{
	struct err err;
	struct bed b;

	(void)state;
	if (!bed_make(&b))
		skip();
	ready(&b);
	assert_int_equal(lies_told(&b), 7);
	for (int i = 0; i < CONTAINERS; i++)
		assert_int_equal(apart_guard(b.at[i].pid, &err), 1);
	assert_int_equal(lies_told(&b), 0);
	/* Its lies of before are forgotten: what is for the second container goes there, and only there. */
	const struct frame f = frame_make(second, host_mac, CUSTOM_KIND, 8);
	struct frame last = frame_make(first, host_mac, CUSTOM_KIND, LAST);
	assert_int_equal(send(b.wire, f.bytes, FRAME, 0), FRAME);
	assert_false(until_last(&b, b.wire, b.at[0].wire, &last, 8));
	last = frame_make(second, host_mac, CUSTOM_KIND, LAST);
	assert_true(until_last(&b, b.wire, b.at[1].wire, &last, 8));
	bed_end(&b);
}

/* The way to the gateway and to the outside stays open; the way back into the network does not. */
static void test_ways(void **state)
{
	const struct frame gateway = ip_make(host_mac, first, 2, "10.99.0.1", 1);
	const struct frame outside = ip_make(host_mac, first, 2, "192.0.2.1", 2);
	const struct frame neighbour = ip_make(host_mac, first, 2, "10.99.0.3", 3);
	const struct frame arp = arp_make(first, first, 2, 4);
	struct err err;
	struct bed b;

	(void)state;
	if (!bed_make(&b))
		skip();
	assert_int_equal(apart_possible(&err), 0);
	ready(&b);
	assert_true(comes_up(&b, &neighbour));
	assert_int_equal(apart_guard(b.at[0].pid, &err), 1);
	assert_true(comes_up(&b, &gateway));
	assert_true(comes_up(&b, &outside));
	assert_true(comes_up(&b, &arp));
	assert_false(comes_up(&b, &neighbour));
	bed_end(&b);
}

/* A process without a network of its own has no ports; one that is gone is an error. */
static void test_no_ports(void **state)
{
	struct apart_ports ports;
	struct err err;
	pid_t gone = fork();

	(void)state;
	if (gone == 0)
		_exit(0);
	assert_int_equal(waitpid(gone, NULL, 0), gone);
	assert_int_equal(apart_guard(getpid(), &err), 0);
	assert_int_equal(apart_look(getpid(), &ports, &err), 0);
	assert_int_equal(ports.all, 0);
	assert_true(apart_guard(gone, &err) < 0);
	assert_true(apart_look(gone, &ports, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_ports),
		cmocka_unit_test(test_neighbour),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
