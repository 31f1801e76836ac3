/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Loopback service - speaks codec "frame" and keeps the chain of service/offload.py, on the loop of
 * a test, with switches for what goes wrong when a container is moved by other means
 */

#include <stdbool.h>
#include <stdint.h>

struct loopback_service;
struct uv_loop_s;

/** loopback_service_new() - Listen on 127.0.0.1 with the state at the beginning */
struct loopback_service *loopback_service_new(struct uv_loop_s *loop);

/** loopback_service_address() - Its "IP:PORT". Return: valid as long as @s */
const char *loopback_service_address(const struct loopback_service *s);

/** loopback_service_executed() - Requests executed since the beginning or loopback_service_forget() */
uint64_t loopback_service_executed(const struct loopback_service *s);

/** loopback_service_connections() - Connections accepted so far */
unsigned int loopback_service_connections(const struct loopback_service *s);

/** loopback_service_mute() - Execute, but answer no more; or answer again what comes from now on */
void loopback_service_mute(struct loopback_service *s, bool mute);

/** loopback_service_deaf() - Neither execute nor answer what comes */
void loopback_service_deaf(struct loopback_service *s, bool deaf);

/** loopback_service_ignored() - Requests that came while it was deaf */
uint64_t loopback_service_ignored(const struct loopback_service *s);

/** loopback_service_slam() - Accept connections and close them at once */
void loopback_service_slam(struct loopback_service *s, bool slam);

/** loopback_service_hang_up() - Close all connections */
void loopback_service_hang_up(struct loopback_service *s);

/** loopback_service_stop() - Close the connections and stop listening */
void loopback_service_stop(struct loopback_service *s);

/** loopback_service_listen() - Listen again, at the same address */
void loopback_service_listen(struct loopback_service *s);

/** loopback_service_forget() - Back to the state at the beginning */
void loopback_service_forget(struct loopback_service *s);

/** loopback_service_become() - Take over the state of another */
void loopback_service_become(struct loopback_service *s, const struct loopback_service *other);

/** loopback_service_say() - Send bytes nobody asked for on all connections */
void loopback_service_say(struct loopback_service *s, const void *bytes, unsigned int len);

/** loopback_service_close() - Close everything; memory goes when the loop has run */
void loopback_service_close(struct loopback_service *s);
