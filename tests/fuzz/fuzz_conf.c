/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of configuration files
 *
 * Input: a byte, the role; the rest is the file. It is read, or refused with a line that names it.
 */

#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "conf/conf.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What conf_address.c calls here instead of getaddrinfo(), see meson.build: no host has a name */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **found)
{
	(void)hints;
	require(*host && *port);
	*found = NULL;
	return EAI_NONAME;
}

/** file_put() - Write the file. Return: its path */
static const char *file_put(const uint8_t *bytes, size_t len)
{
	static char path[32];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("conf", MFD_CLOEXEC);
		require(fd >= 0);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	require(pwrite(fd, bytes, len, 0) == (ssize_t)len && ftruncate(fd, (off_t)len) == 0);
	return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum wire_role roles[] = { WIRE_ROLE_MUD, WIRE_ROLE_AP, WIRE_ROLE_ES,
						WIRE_ROLE_LOGREPO, WIRE_ROLE_OPERATOR };
	struct conf *c = NULL;
	struct err err = { .text = "" };

	/* an include would lead to other files of this machine, and a long run reads them all */
	if (size < 1 || memmem(data, size, "include", 7))
		return 0;
	if (conf_load(file_put(data + 1, size - 1), roles[data[0] % 5], &c, &err) < 0)
		require(!c && err.text[0] != '\0' && !strchr(err.text, '\n'));
	else
		require(c && c->name[0] != '\0' && c->pki.ca && c->pki.cert && c->pki.key);
	conf_free(c);
	return 0;
}
