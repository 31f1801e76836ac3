/* SPDX-License-Identifier: Apache-2.0 */
#include "es/journal/session_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "core/es/answer_cache.h"
#include "es/system/entry.h"

#define MAGIC       "BATONSS2"
#define MAGIC_SIZE  8
#define ANSWER_HEAD 20          /* number, digest, status */
#define HANDED      0x80000000u /* with the state of a record */

#define RECORD_SIZE (8 + 4 + 4 + 4 + 4 + 8 + 8 + 5 * NAME_SIZE + WIRE_SECRET_SIZE)

static void record_encode(uint8_t *to, const struct es_record *r)
{
	put_be64(to, r->session);
	put_be32(to + 8, r->association);
	put_be32(to + 12, r->epoch);
	put_be32(to + 16, r->container_epoch);
	put_be32(to + 20, (uint32_t)r->state | (r->handed ? HANDED : 0));
	put_be64(to + 24, r->executed);
	put_be64(to + 32, r->started);
	to += 40;
	memcpy(to, r->mud, NAME_SIZE);
	memcpy(to + NAME_SIZE, r->service, NAME_SIZE);
	memcpy(to + 2 * NAME_SIZE, r->ap, NAME_SIZE);
	memcpy(to + 3 * NAME_SIZE, r->creator, NAME_SIZE);
	memcpy(to + 4 * NAME_SIZE, r->peer, NAME_SIZE);
	memcpy(to + 5 * NAME_SIZE, r->secret, WIRE_SECRET_SIZE);
}

static bool name_field(char to[NAME_SIZE], const uint8_t *from, bool may_be_empty)
{
	if (from[NAME_SIZE - 1] != 0)
		return false;
	memcpy(to, from, NAME_SIZE);
	return (may_be_empty && !to[0]) || name_valid(to);
}

static bool record_decode(struct es_record *r, const uint8_t *from)
{
	*r = (struct es_record){
		.session = get_be64(from),
		.association = get_be32(from + 8),
		.epoch = get_be32(from + 12),
		.container_epoch = get_be32(from + 16),
		.state = (enum wire_es_state)(get_be32(from + 20) & ~HANDED),
		.handed = get_be32(from + 20) & HANDED,
		.executed = get_be64(from + 24),
		.started = get_be64(from + 32),
	};
	from += 40;
	memcpy(r->secret, from + 5 * NAME_SIZE, WIRE_SECRET_SIZE);
	return r->session && r->state <= WIRE_ES_LOST && name_field(r->mud, from, false) &&
	       name_field(r->service, from + NAME_SIZE, false) &&
	       name_field(r->ap, from + 2 * NAME_SIZE, true) &&
	       name_field(r->creator, from + 3 * NAME_SIZE, true) &&
	       name_field(r->peer, from + 4 * NAME_SIZE, true);
}

int session_journal_whole(struct buf *out, const struct es_record *record,
			  const struct answer_cache *cache, struct err *err)
{
	uint8_t head[RECORD_SIZE];
	struct buf body;
	int r;

	buf_init(&body, 0);
	record_encode(head, record);
	r = buf_append(&body, head, sizeof(head), err);
	if (r == 0)
		r = answer_cache_encode(cache, &body, err);
	if (r == 0)
		r = buf_append(out, MAGIC, MAGIC_SIZE, err);
	if (r == 0)
		r = entry_add(out, JOURNAL_ALL, buf_bytes(&body), body.len, NULL, 0, err);
	buf_deinit(&body);
	return r;
}

int session_journal_started(struct buf *out, const struct es_record *record, struct err *err)
{
	uint8_t number[8];

	put_be64(number, record->started);
	return entry_add(out, JOURNAL_STARTED, number, sizeof(number), NULL, 0, err);
}

int session_journal_answer(struct buf *out, const struct es_record *record,
			   const struct answer_cache *cache, struct err *err)
{
	uint8_t head[ANSWER_HEAD];
	struct wire_data answer;

	if (answer_cache_get(cache, record->executed, &answer) != 0)
		return err_set(err, -EINVAL, "answer %" PRIu64 " is not in the cache",
			       record->executed);
	put_be64(head, record->executed);
	put_be64(head + 8, answer.digest);
	put_be32(head + 16, (uint32_t)answer.status);
	return entry_add(out, JOURNAL_ANSWER, head, sizeof(head), answer.bytes, answer.len, err);
}

int session_journal_handed(struct buf *out, struct err *err)
{
	return entry_add(out, JOURNAL_HANDED, NULL, 0, NULL, 0, err);
}

static int take_all(struct session_journal_reading *rd, const uint8_t *body, size_t len,
		    struct err *err)
{
	const struct es_record *record = &rd->record;
	int r;

	if (len < RECORD_SIZE || !record_decode(&rd->record, body))
		return err_set(err, -EPROTO, "the record breaks a rule");
	rd->cache = answer_cache_free(rd->cache);
	r = answer_cache_decode(&rd->cache, body + RECORD_SIZE, len - RECORD_SIZE, err);
	if (r < 0)
		return r;
	if (answer_cache_highest(rd->cache) > record->executed ||
	    (record->started && record->started != record->executed + 1))
		return err_set(err, -EPROTO, "the record's numbers do not fit together");
	rd->begun = true;
	return 0;
}

/*
 * A replica executes copies before it is in charge, and the number of its cut was never written: its entries follow a
 * record that has none. A restart gives the replica up, see es_node_restore().
 */
static bool of_replica(const struct session_journal_reading *rd)
{
	return rd->record.state == WIRE_ES_ARRIVING;
}

static int take_started(struct session_journal_reading *rd, const uint8_t *body, struct err *err)
{
	if (of_replica(rd))
		return 0;
	rd->record.started = get_be64(body);
	if (rd->record.started != rd->record.executed + 1)
		return err_set(err, -EPROTO, "request %" PRIu64 " started out of order",
			       rd->record.started);
	return 0;
}

static int take_answer(struct session_journal_reading *rd, const uint8_t *body, size_t len,
		       struct err *err)
{
	const struct wire_data answer = { .number = get_be64(body),
					  .digest = get_be64(body + 8),
					  .status = get_be32(body + 16),
					  .bytes = body + ANSWER_HEAD,
					  .len = len - ANSWER_HEAD };

	if (of_replica(rd))
		return 0;
	if (answer.number != rd->record.executed + 1)
		return err_set(err, -EPROTO, "answer %" PRIu64 " out of order", answer.number);
	rd->record.executed = answer.number;
	rd->record.started = 0;
	int r = answer_cache_put(rd->cache, &answer, err);
	return r == -EINVAL ? err_wrap(err, -EPROTO, "the journal") : r;
}

static int take_entry(struct session_journal_reading *rd, uint32_t kind, const uint8_t *body,
		      size_t len, struct err *err)
{
	if (kind == JOURNAL_ALL)
		return take_all(rd, body, len, err);
	if (!rd->begun)
		return err_set(err, -EPROTO, "the journal does not begin with a record");
	if (kind == JOURNAL_STARTED && len == 8)
		return take_started(rd, body, err);
	if (kind == JOURNAL_ANSWER && len >= ANSWER_HEAD)
		return take_answer(rd, body, len, err);
	if (kind == JOURNAL_HANDED && len == 0) {
		rd->record.handed = true;
		return 0;
	}
	return err_set(err, -EPROTO, "an entry of unknown kind");
}

int session_journal_read(struct session_journal_reading *rd, const uint8_t *at, size_t left,
			 struct err *err)
{
	int r;

	if (left < MAGIC_SIZE || memcmp(at, MAGIC, MAGIC_SIZE) != 0)
		return err_set(err, -EPROTO, "not a session file of this version");
	at += MAGIC_SIZE;
	left -= MAGIC_SIZE;
	rd->good = MAGIC_SIZE;
	while (left >= ENTRY_SIZE) {
		size_t len = get_be32(at);
		uint32_t kind = get_be32(at + 4);

		if (len > left - ENTRY_SIZE || !entry_good(at, at + ENTRY_SIZE))
			break; /* torn by the crash: it was not relied upon yet */
		r = take_entry(rd, kind, at + ENTRY_SIZE, len, err);
		if (r < 0)
			return r;
		at += ENTRY_SIZE + len;
		left -= ENTRY_SIZE + len;
		rd->good += ENTRY_SIZE + len;
	}
	return rd->begun ? 0 : err_set(err, -EPROTO, "no whole record in it");
}
