/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Docker engine that does what the test says: HTTP on a unix socket, a thread for each connection
 */

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/** struct fake_answer - What the engine says, with @api as the version that it speaks; if it @hangs, nothing */
struct fake_answer {
	int status;
	const char *api;
	char body[2048];
	bool hangs;
};

/**
 * struct fake_engine - The engine
 * @connections:	whose threads live
 * @answer:	called for each request, on the thread of its connection
 */
struct fake_engine {
	char path[64];
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned int connections;
	void (*answer)(void *ctx, const char *method, const char *path, struct fake_answer *to);
	void *ctx;
};

struct fake_connection {
	struct fake_engine *engine;
	int fd;
};

static void *fake_serve(void *arg)
{
	struct fake_connection c = *(struct fake_connection *)arg;
	struct fake_answer answer = { .status = 200 };
	char in[65536];
	char method[16];
	char path[1024];
	char head[256];
	char byte;
	size_t len = 0;
	const char *body;
	const char *length;

	free(arg);
	for (;;) {
		ssize_t n = read(c.fd, in + len, sizeof(in) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
		in[len] = '\0';
		body = strstr(in, "\r\n\r\n");
		length = strstr(in, "Content-Length: ");
		if (!body || (length && strlen(body + 4) < strtoul(length + 16, NULL, 10)))
			continue;
		if (sscanf(in, "%15s %1023s", method, path) != 2)
			break;
		c.engine->answer(c.engine->ctx, method, path, &answer);
		if (answer.hangs) { /* until the client has had enough */
			while (read(c.fd, &byte, 1) > 0)
				;
			break;
		}
		(void)snprintf(head, sizeof(head),
			       "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nApi-Version: %s\r\n"
			       "Connection: close\r\n\r\n",
			       answer.status, strlen(answer.body),
			       answer.api ? answer.api : "1.41");
		(void)send(c.fd, head, strlen(head), MSG_NOSIGNAL);
		(void)send(c.fd, answer.body, strlen(answer.body), MSG_NOSIGNAL);
		break;
	}
	close(c.fd);
	(void)pthread_mutex_lock(&c.engine->lock);
	c.engine->connections--;
	(void)pthread_cond_signal(&c.engine->ended);
	(void)pthread_mutex_unlock(&c.engine->lock);
	return NULL;
}

static void *fake_listen(void *arg)
{
	struct fake_engine *e = arg;
	int fd;

	while ((fd = accept(e->listener, NULL, NULL)) >= 0) {
		struct fake_connection *c = malloc(sizeof(*c));
		pthread_t thread;

		*c = (struct fake_connection){ e, fd };
		(void)pthread_mutex_lock(&e->lock);
		e->connections++;
		(void)pthread_mutex_unlock(&e->lock);
		if (pthread_create(&thread, NULL, fake_serve, c) == 0)
			(void)pthread_detach(thread);
	}
	return NULL;
}

static inline int fake_engine_start(struct fake_engine *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(e->path, sizeof(e->path), "/tmp/baton-test-engine-%d", (int)getpid());
	(void)unlink(e->path);
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_cond_init(&e->ended, NULL);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", e->path);
	e->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(e->listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(e->listener, 64) < 0)
		return -1;
	return pthread_create(&e->thread, NULL, fake_listen, e);
}

static inline void fake_engine_stop(struct fake_engine *e)
{
	(void)shutdown(e->listener, SHUT_RDWR);
	(void)pthread_join(e->thread, NULL);
	(void)pthread_mutex_lock(&e->lock);
	while (e->connections)
		(void)pthread_cond_wait(&e->ended, &e->lock);
	(void)pthread_mutex_unlock(&e->lock);
	close(e->listener);
	(void)unlink(e->path);
}
