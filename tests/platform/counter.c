/* SPDX-License-Identifier: Apache-2.0 */

/*
 * counter - the smallest service worth migrating, for the platform probes
 *
 *     counter PORT [FILE]
 *
 * Answers on UDP and TCP. Any message adds one to a number in memory; the answer is
 *
 *     count=<number> boot=<differs per start> lines=<written> disk=<found>
 *
 * With FILE it appends one byte a time to it, as fast as it can while it has nothing else to do:
 * "lines" is how many it has written, "disk" how many the file has. They are equal as long as
 * memory and file belong to the same instant. It pauses at FILE_MAX.
 *
 * Linked statically: it is all there is in its image.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define FILE_MAX    (32L << 20)
#define BURST       64 /* bytes appended between two looks at the sockets */

/** struct counter - All state */
struct counter {
	long count;
	long boot;
	long lines;
	int file;
	int clients;
	struct pollfd fds[2 + CLIENTS_MAX]; /* UDP, TCP listener, TCP clients */
};

/** die() - Say what failed, with errno, and exit */
static _Noreturn void die(const char *what)
{
	fprintf(stderr, "counter: %s: %s\n", what, strerror(errno));
	exit(1);
}

/** open_socket() - Make a socket bound to @port, or exit. Return: file descriptor */
static int open_socket(int type, int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1;
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("socket");
	if (type == SOCK_STREAM && listen(fd, CLIENTS_MAX) < 0)
		die("listen");
	return fd;
}

/** answer() - Count one message and write the answer. Return: its length */
static size_t answer(struct counter *c, char *text, size_t size)
{
	struct stat st = { 0 };

	if (c->file >= 0 && fstat(c->file, &st) < 0)
		die("fstat");
	return (size_t)snprintf(text, size, "count=%ld boot=%ld lines=%ld disk=%ld\n", ++c->count,
				c->boot, c->lines, (long)st.st_size);
}

/** serve_udp() - Answer one datagram */
static void serve_udp(struct counter *c)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	char text[256];
	ssize_t n = recvfrom(c->fds[0].fd, text, sizeof(text), 0, (struct sockaddr *)&from, &size);

	if (n >= 0)
		(void)sendto(c->fds[0].fd, text, answer(c, text, sizeof(text)), 0,
			     (struct sockaddr *)&from, size);
}

/** serve_client() - Answer one TCP client, or forget it. Return: true if it is gone */
static int serve_client(struct counter *c, int i)
{
	char text[256];
	int fd = c->fds[2 + i].fd;

	if (read(fd, text, sizeof(text)) > 0 && write(fd, text, answer(c, text, sizeof(text))) > 0)
		return 0;
	close(fd);
	c->fds[2 + i] = c->fds[2 + --c->clients];
	return 1;
}

/** serve() - Do what the sockets ask for */
static void serve(struct counter *c)
{
	if (c->fds[0].revents)
		serve_udp(c);
	for (int i = 0; i < c->clients; i++)
		if (c->fds[2 + i].revents && serve_client(c, i))
			i--;
	if (c->fds[1].revents && c->clients < CLIENTS_MAX) {
		int fd = accept(c->fds[1].fd, NULL, NULL);

		if (fd >= 0)
			c->fds[2 + c->clients++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
}

/** append() - Write on to the file, and keep count. Return: true while there is more to write */
static int append(struct counter *c)
{
	if (c->file < 0 || c->lines >= FILE_MAX)
		return 0;
	for (int i = 0; i < BURST; i++) {
		if (write(c->file, "\n", 1) != 1)
			die("append");
		c->lines++;
	}
	return 1;
}

/** main() - See the top of this file. Return: never, or 1 on failure */
int main(int argc, char **argv)
{
	struct counter c = { .file = -1, .boot = (long)time(NULL) * 1000 + getpid() % 1000 };
	int port = argc > 1 ? atoi(argv[1]) : 7777;

	c.fds[0] = (struct pollfd){ .fd = open_socket(SOCK_DGRAM, port), .events = POLLIN };
	c.fds[1] = (struct pollfd){ .fd = open_socket(SOCK_STREAM, port), .events = POLLIN };
	if (argc > 2) {
		c.file = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0644);
		if (c.file < 0)
			die(argv[2]);
	}
	printf("counter: boot %ld\n", c.boot);
	fflush(stdout);
	for (;;) {
		if (poll(c.fds, (nfds_t)(2 + c.clients), append(&c) ? 0 : -1) > 0)
			serve(&c);
	}
}
