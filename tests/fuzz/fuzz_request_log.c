/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of the request log - the file that an edge server reads when it recovers a container
 *
 * Its inputs: fuzz_entries().
 *
 * Any bytes must be refused, or give requests that can be read, kept over a trim, and appended to.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/files.h"
#include "es/protection/request_log.h"
#include "fuzz_home.h"
#include "fuzz_entries.h"
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
	fuzz_entries(&file, "BATONRL1", data, size);
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
