/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton-store - the "gzip" that CRIU's tar calls while a container is frozen
 *
 * CRIU has tar pack the files on a container's tmpfs mounts, and gzip them. Real compression takes 30 ms for
 * each MB, and the service stands still all the time. The transfer compresses the stream again, and better
 * (es/migration/common/transfer.c). So this program reads standard input and writes a gzip stream whose
 * blocks are stored. It accepts the options of a gzip that compresses, and ignores them.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define PIECE     (256u << 10)
#define GZIP_BITS (15 + 16) /* zlib's word for a gzip stream */

/** write_all() - Write all of it. Return: 0, or -1 */
static int write_all(const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

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

/** piece_read() - Read the bytes that are available. Return: bytes, 0 at the end, or -1 */
static ssize_t piece_read(unsigned char *to)
{
	ssize_t n;

	do
		n = read(STDIN_FILENO, to, PIECE);
	while (n < 0 && errno == EINTR);
	return n;
}

/** piece_write() - Write the output of @z for a piece, and for the end if @last. Return: 0, or -1 */
static int piece_write(z_stream *z, int last)
{
	static unsigned char out[PIECE];

	do {
		z->next_out = out;
		z->avail_out = sizeof(out);
		if (deflate(z, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR) {
			errno = EINVAL;
			return -1;
		}
		if (write_all(out, sizeof(out) - z->avail_out) < 0)
			return -1;
	} while (z->avail_out == 0);
	return 0;
}

/** store() - Turn standard input into a gzip stream on standard output. Return: 0, or -1 */
static int store(void)
{
	static unsigned char in[PIECE];
	z_stream z = { .zalloc = Z_NULL };
	ssize_t len = 1;
	int r = 0;

	if (deflateInit2(&z, Z_NO_COMPRESSION, Z_DEFLATED, GZIP_BITS, MAX_MEM_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		errno = ENOMEM;
		return -1;
	}
	while (r == 0 && len > 0) {
		len = piece_read(in);
		if (len < 0)
			r = -1;
		z.next_in = in;
		z.avail_in = len > 0 ? (unsigned int)len : 0;
		if (r == 0)
			r = piece_write(&z, len == 0);
	}
	(void)deflateEnd(&z);
	return r;
}

/**
 * main() - See the top of this file
 * @argc:	Count of @argv
 * @argv:	Only searched for options that this program does not support
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
