/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of event files - what a crash, a full disk or a person left of them - and of inquiries
 *
 * Input: a line, the filter of an inquiry; the rest is the file as it is found at a start. Whatever there
 * is, the store opens, or says why not; what it takes for an event can be written and read again, and an
 * event that is stored behind all that is found.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "fuzz_home.h"
#include "fuzz_input.h"
#include "logrepo/event_json.h"
#include "logrepo/file_writer.h"
#include "logrepo/storage_management.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_line(const char *line, size_t len)
{
	struct wire_event e = { .time_us = 0 }, again = { .time_us = 0 };

	if (event_json_unpack(&e, line, len, NULL) < 0)
		return;
	json_t *j = event_json_pack(&e);
	char *text = json_dumps(j, JSON_COMPACT);

	require(text && event_json_unpack(&again, text, strlen(text), NULL) == 0);
	require(e.session == again.session && e.number == again.number &&
		e.time_us == again.time_us && strcmp(e.node, again.node) == 0 &&
		strcmp(e.kind, again.kind) == 0 && strcmp(e.detail, again.detail) == 0);
	free(text);
	json_decref(j);
}

static void fuzz_store(const char *path, const char *filter, size_t len)
{
	struct file_writer_config config = { path, 1u << 20, 2 }; /* one file is enough */
	struct wire_event e = { .time_us = 1, .node = "fuzz-node", .kind = "fuzz-kind" };
	const struct wire_events batch = { .count = 1, .event = &e };
	static const char ours[] = "{\"node\":\"fuzz-node\",\"kind\":\"fuzz-kind\"}";
	struct storage_backend backend;
	struct storage *s = NULL;
	struct err err = { .text = "" };
	struct buf answer;

	if (file_writer_open(&backend, &config, &err) < 0) {
		require(err.text[0] != '\0');
		return;
	}
	require(storage_new(&s, &backend, &err) == 0);
	require(storage_store(s, "fuzz-node", &batch, &err) == 0);
	buf_init(&answer, 1u << 20);
	(void)storage_query(s, filter, len, &answer, &err);
	buf_consume(&answer, answer.len);
	require(storage_query(s, ours, sizeof(ours) - 1, &answer, &err) == 0);
	require(memmem(buf_bytes(&answer), answer.len, "fuzz-kind", 9) != NULL);
	buf_deinit(&answer);
	storage_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[HOME_PATH];
	static int fd = -1;
	const char *text = (const char *)data;
	const char *end = memchr(data, '\n', size);

	if (!end)
		return 0;
	if (fd < 0) {
		home_path(path, "events");
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		require(fd >= 0);
	}
	size_t rest = size - (size_t)(end + 1 - text);
	require(pwrite(fd, end + 1, rest, 0) == (ssize_t)rest && ftruncate(fd, (off_t)rest) == 0);
	fuzz_line(end + 1, rest);
	fuzz_store(path, text, (size_t)(end - text));
	return 0;
}
