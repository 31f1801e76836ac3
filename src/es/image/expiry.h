/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Image expiry - removes arrivals of images that no transfer continues, and the layers that a crash
 * has left waiting for their image. It works on a thread of the loop's pool.
 */

#include <stdint.h>
#include <uv.h>

struct err;
struct file_workers;
struct image_expiry;

#define IMAGE_AHEAD "baton-ahead-" /* layers that wait in the engine's directory for their image */

/**
 * image_expiry_new() - Make the directory of images, and look there periodically
 * @ret:	Set on success only; the caller owns it, see image_expiry_close()
 * @loop:	Loop of the timer
 * @dir:	Directory, made with mode 0700 if need be; borrowed. The layers that a crashed
 *		predecessor was about to send are removed; arrivals stay
 * @docker_socket:	of the engine that may hold layers; borrowed
 * @workers:	remove them; borrowed
 * @age_ms:	arrivals that nothing was written to for so long are removed
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int image_expiry_new(struct image_expiry **ret, uv_loop_t *loop, const char *dir,
		     const char *docker_socket, struct file_workers *workers, uint64_t age_ms,
		     struct err *err);

/**
 * image_expiry_close() - Stop; @closed is called with @ctx on the loop when @ie has been released
 */
void image_expiry_close(struct image_expiry *ie, void (*closed)(void *ctx), void *ctx);
