/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Session journal - the bytes of a session's file, written and read; inner header of session_store.c
 *
 * session_store.h describes the form. Nothing here knows a file.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/es/node.h"

struct answer_cache;
struct buf;
struct err;

/* Kinds of entries */
enum session_journal_kind {
	JOURNAL_ALL = 1,
	JOURNAL_STARTED,
	JOURNAL_ANSWER,
	JOURNAL_HANDED,
};

/** session_journal_whole() - Write a journal with the whole state of a session. Return: 0, or -ENOMEM */
int session_journal_whole(struct buf *out, const struct es_record *record,
			  const struct answer_cache *cache, struct err *err);

/** session_journal_started() - Write an entry: request @record->started goes to the container. Return: 0, or -ENOMEM */
int session_journal_started(struct buf *out, const struct es_record *record, struct err *err);

/** session_journal_answer() - Write an entry: the answer to @record->executed. Return: 0, or negative error code */
int session_journal_answer(struct buf *out, const struct es_record *record,
			   const struct answer_cache *cache, struct err *err);

/** session_journal_handed() - Write an entry: a cut was handed on. Return: 0, or -ENOMEM */
int session_journal_handed(struct buf *out, struct err *err);

/**
 * struct session_journal_reading - A journal that was read
 * @record:	as its entries leave it
 * @cache:	to be freed, also after a failure
 * @begun:	it has a whole record
 * @good:	bytes of the journal that can be relied on
 */
struct session_journal_reading {
	struct es_record record;
	struct answer_cache *cache;
	bool begun;
	size_t good;
};

/**
 * session_journal_read() - Read a journal up to its end, or to the entry that a crash tore
 * @rd:		Zeroed
 *
 * Return: 0, -EPROTO if it is none or breaks a rule, or -ENOMEM
 */
int session_journal_read(struct session_journal_reading *rd, const uint8_t *at, size_t left,
			 struct err *err);
