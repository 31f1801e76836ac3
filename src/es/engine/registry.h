/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Registry - bytes that a registry of images would have to send, and its rate
 *
 * This only asks: the engine itself pulls, with its own credentials. Certificates are looked for
 * where the engine looks, below /etc/docker/certs.d. A registry that requires authentication or
 * does not use TLS is not asked. There is no prediction for it then, but the engine can pull from
 * it.
 *
 * One of the two files that know libcurl; the other is engine/docker_engine.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct err;

/**
 * struct registry_image - An image in a registry, by its contents
 * @host:	"host", "host:port"
 * @repository:	e.g. "team/service"
 * @digest:	of its manifest, "sha256:..."
 */
struct registry_image {
	char host[256];
	char repository[256];
	char digest[72];
};

/**
 * registry_image_parse() - Read "host:port/repository@sha256:..."
 * @ri:		Filled in
 * @text:	As an engine tells it among RepoDigests
 *
 * Return: 0, or -EINVAL, also if no host is named: the public registry is not asked
 */
int registry_image_parse(struct registry_image *ri, const char *text);

/**
 * struct registry_answer - Answer of a registry about an image
 * @bytes:	of the layers that are missing, compressed
 * @rate:	bytes per second, measured by fetching the beginning of a layer; 0: not measured
 */
struct registry_answer {
	uint64_t bytes;
	uint64_t rate;
};

/**
 * registry_ask() - Ask for the sizes of layers, and how fast they would come
 * @ra:		Filled in
 * @ri:		Image
 * @layers:	Number of its layers
 * @here:	that many of them, the lowest, are here already
 * @measure:	fetch the beginning of a layer, too
 * @cancel_fd:	Ends it when readable, or -1
 * @err:	Filled in on failure
 *
 * Takes 10 s at most.
 *
 * Return: 0, -EPROTO if the registry has another image, or another negative error code
 */
int registry_ask(struct registry_answer *ra, const struct registry_image *ri, size_t layers,
		 size_t here, bool measure, int cancel_fd, struct err *err);

/**
 * registry_manifest_read() - Sum up the missing layers, from a manifest; for registry_ask() and a
 * test
 *
 * @bytes is set to the sum, @largest to the digest of the largest layer that is missing ("" if
 * none).
 *
 * Return: 0, or -EPROTO
 */
int registry_manifest_read(const json_t *manifest, size_t layers, size_t here, uint64_t *bytes,
			   char largest[72], struct err *err);
