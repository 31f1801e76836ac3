/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-store - what CRIU's tar calls as "gzip" while a container is frozen
 *
 * CRIU has tar pack what is on a container's tmpfs mounts, and gzip it. Real compression takes 30 ms
 * for each MB, and all the time the service stands still; what comes of it is compressed again, better,
 * on its way (es/migration/common/transfer.c). So this one reads standard input and writes a gzip stream (RFC 1952) whose
 * blocks are stored (RFC 1951, 3.2.4). Options are those of a gzip that compresses, and mean nothing.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK_MAX  65535 /* bytes of a stored block */
#define POLYNOMIAL 0xedb88320u

static uint32_t crc_table[256];

static void crc_begin(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? POLYNOMIAL ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
}

static uint32_t crc_add(uint32_t crc, const uint8_t *bytes, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++)
		crc = crc_table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

static void put_le32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

/** write_all() - Write all of it. Return: 0, or -1 */
static int write_all(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t n = write(STDOUT_FILENO, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/** block_read() - Read until a block is full or the end is there. Return: bytes, or -1 */
static ssize_t block_read(uint8_t *to)
{
	size_t have = 0;

	while (have < BLOCK_MAX) {
		ssize_t n = read(STDIN_FILENO, to + have, BLOCK_MAX - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/** store() - Turn standard input into a gzip stream on standard output. Return: 0, or -1 */
static int store(void)
{
	static const uint8_t head[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };
	static uint8_t block[5 + BLOCK_MAX];
	uint8_t tail[8];
	uint32_t crc = 0;
	uint32_t total = 0; /* modulo 2^32, as the format wants it */
	ssize_t len = BLOCK_MAX;

	crc_begin();
	if (write_all(head, sizeof(head)) < 0)
		return -1;
	/* One that is not full is the last; it may be empty. */
	while (len == BLOCK_MAX) {
		len = block_read(block + 5);
		if (len < 0)
			return -1;
		block[0] = len < BLOCK_MAX;
		block[1] = (uint8_t)len;
		block[2] = (uint8_t)(len >> 8);
		block[3] = (uint8_t)~block[1];
		block[4] = (uint8_t)~block[2];
		crc = crc_add(crc, block + 5, (size_t)len);
		total += (uint32_t)len;
		if (write_all(block, 5 + (size_t)len) < 0)
			return -1;
	}
	put_le32(tail, crc);
	put_le32(tail + 4, total);
	return write_all(tail, sizeof(tail));
}

/**
 * main() - See the top of this file
 * @argc:	Count of @argv
 * @argv:	Only looked at for what this program cannot do
 *
 * Return: 0, or 1 if it could not read or write
 */
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-d") || !strcmp(argv[i], "--decompress")) {
			fprintf(stderr, "baton-store: it only stores\n");
			return 1;
		}
	}
	if (store() < 0) {
		fprintf(stderr, "baton-store: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
