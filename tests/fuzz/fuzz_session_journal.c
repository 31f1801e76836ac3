/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of the session journal - what an edge server reads of its sessions after a crash
 *
 * Its inputs: fuzz_entries().
 *
 * Any bytes must be refused with a text, or give a session whose numbers and names keep their rules and
 * which the session logic takes over.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "core/es/node.h"
#include "es/journal/session_store.h"
#include "fuzz_entries.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void proof(uint8_t *to, const uint8_t *secret, uint64_t session, uint32_t association,
		  const char *ap)
{
	(void)session;
	(void)association;
	(void)ap;
	memcpy(to, secret, WIRE_PROOF_SIZE);
}

static void to_ap(void *ctx, const char *ap, const struct wire_message *m)
{
	(void)ctx;
	(void)ap;
	(void)m;
}

static void container(void *ctx, uint64_t session, uint32_t epoch)
{
	(void)ctx;
	(void)session;
	(void)epoch;
}

static int persist(void *ctx, const struct es_record *record, const struct answer_cache *cache,
		   enum es_persist what, struct err *err)
{
	(void)ctx;
	(void)what;
	(void)err;
	require(record->executed >= answer_cache_highest(cache));
	return 0;
}

static void forget(void *ctx, uint64_t session)
{
	(void)ctx;
	(void)session;
}

static void event(void *ctx, uint64_t session, const char *kind, uint64_t number,
		  const char *detail)
{
	(void)ctx;
	(void)session;
	(void)kind;
	(void)number;
	(void)detail;
}

static const struct es_node_ops ops = {
	.to_ap = to_ap,
	.remove_container = container,
	.resume_container = container,
	.persist = persist,
	.forget = forget,
	.event = event,
};

static void on_session(void *ctx, const struct es_record *record, const void *cache, size_t len)
{
	const struct policy policy = policy_default();

	*(int *)ctx += 1;
	require(record->session && record->state <= WIRE_ES_LOST);
	require(name_valid(record->mud) && name_valid(record->service));
	require(!record->started || record->started == record->executed + 1);
	for (enum es_container found = ES_CONTAINER_GONE; found <= ES_CONTAINER_RUNS; found++) {
		AUTO(es_node) struct es_node *node = NULL;
		require(es_node_new(&node, "ES-1", &policy, proof, &ops, NULL, NULL) == 0);
		require(es_node_restore(node, 0, record, cache, len, found, NULL) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct buf file;
	int sessions = 0;

	if (!size)
		return 0;
	buf_init(&file, 0);
	fuzz_entries(&file, "BATONSS2", data, size);
	int r = session_store_read(buf_bytes(&file), file.len, on_session, &sessions, &err);
	require(r == 0 ? sessions == 1 : sessions == 0 && err.code == r && err.text[0]);
	buf_deinit(&file);
	return 0;
}
