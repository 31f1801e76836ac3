/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of the request log - the file that an edge server reads when it recovers a container
 *
 * The first byte of an input says how the rest is read. Even: the file as it is. Odd: entries, each a byte of
 * kind, two of length and a body, to which the sums are made here, for no fuzzer guesses those.
 *
 * Any bytes must be refused, or give requests that can be read, kept over a trim, and appended to.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "es/protection/request_log.h"
#include "fuzz_home.h"
#include "fuzz_input.h"

#define S    1
#define NAME "0000000000000001.requests"
#define SEEN 64 /* numbers that are tried from the first one on */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int logs = -1;
static char path[HOME_PATH];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	logs = home_directory("logs");
	home_path(path, "logs");
	return 0;
}

static void add_entry(struct buf *to, uint32_t kind, const uint8_t *body, size_t len)
{
	uint8_t head[16];

	put_be32(head, (uint32_t)len);
	put_be32(head + 4, kind);
	put_be64(head + 8, XXH3_64bits_withSeed(body, len, kind));
	require(buf_append(to, head, sizeof(head), NULL) == 0);
	require(buf_append(to, body, len, NULL) == 0);
}

static void with_sums(struct buf *to, const uint8_t *data, size_t size)
{
	require(buf_append(to, "BATONRL1", 8, NULL) == 0);
	while (size > 3) {
		size_t len = (size_t)data[1] << 8 | data[2];

		if (len > size - 3)
			len = size - 3;
		add_entry(to, data[0], data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
}

/* The number of the first request of the file, or of an input that has none */
static uint64_t first(const struct buf *file)
{
	return file->len >= 8 + 16 + 8 ? get_be64(buf_bytes(file) + 8 + 16) : 1;
}

/* Requests that are covered can be read */
static uint64_t read_all(struct request_log *log, uint64_t from)
{
	uint64_t n = from;

	while (n - from < SEEN && n < UINT64_MAX && request_log_covers(log, S, n - 1, n) == 1) {
		struct wire_data request;
		struct es_logged how;

		require(request_log_read(log, S, n, &request, &how, NULL) == 0);
		require(request.number == n && request.len <= WIRE_PAYLOAD_MAX);
		n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf file;

	if (!size)
		return 0;
	buf_init(&file, 0);
	if (data[0] & 1)
		with_sums(&file, data + 1, size - 1);
	else
		require(buf_append(&file, data + 1, size - 1, NULL) == 0);
	int fd = openat(logs, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	require(fd >= 0 && files_write(fd, buf_bytes(&file), file.len) == 0 && close(fd) == 0);
	uint64_t from = first(&file);
	buf_deinit(&file);

	AUTO(request_log) struct request_log *log = NULL;
	require(request_log_open(&log, path, NULL) == 0);
	uint64_t end = from ? read_all(log, from) : 0;
	if (end > from) {
		const struct wire_data more = { .number = end };

		require(request_log_add(log, S, &more, NULL) == 0);
		require(request_log_trim(log, S, from, NULL) == 0);
		require(request_log_covers(log, S, from, end) == 1);
		require(request_log_covers(log, S, from - 1, end) == 0);
	}
	request_log_forget(log, S);
	require(directory_entries(logs) == 0);
	return 0;
}
