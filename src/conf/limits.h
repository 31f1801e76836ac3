/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Limits - every bound that can be set, with its default, range and meaning, in one table
 *
 * The table makes the `limits` section of the configuration, its errors and the text of --help.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** enum conf_limit_id - The limits; their names in files are those of the table, in lower case */
enum conf_limit_id {
	CONF_SESSIONS_MAX,
	CONF_COPIES_MAX,
	CONF_COPIES_BYTES_MAX,
	CONF_RETRY_MS,
	CONF_ASSOCIATE_MS,
	CONF_MOVE_MS,
	CONF_CATCH_UP_MS,
	CONF_GRACE_MS,
	CONF_BACKOFF_MS,
	CONF_BACKOFF_MAX_MS,
	CONF_DRAIN_MS,
	CONF_STANDBY_MS,
	CONF_IDLE_MS,
	CONF_KEEP_DAYS,
	CONF_ARRIVAL_MS,
	CONF_MIGRATIONS_MAX,
	CONF_STALL_MS,
	CONF_RESTORE_MS,
	CONF_PATIENCE,
	CONF_CONNECTIONS_MAX,
	CONF_QUEUE_BYTES,
	CONF_HANDSHAKE_MS,
	CONF_DEAD_MS,
	CONF_EVENT_FILE_BYTES,
	CONF_EVENT_FILES,
	CONF_USERS_MAX,
	CONF_USER_CONNECTIONS_MAX,
	CONF_CLIENT_CONNECTIONS_MAX,
	CONF_USER_IDLE_MS,
	CONF_USER_GONE_MS,
	CONF_SPOOL_BYTES,
	CONF_RESERVE_BYTES,
	CONF_SYNC_MS,
	CONF_LIMITS, /* how many there are */
};

/**
 * struct conf_limit - One row of the table
 * @name:	As in the configuration file
 * @standard:	Value if it is not set
 * @min, @max:	Allowed range
 * @unit:	"ms", "bytes" or ""
 * @help:	Its purpose, and the behaviour at the limit, one line
 * @fixed:	A running program does not change it at SIGHUP, see conf/changes.h
 */
struct conf_limit {
	const char *name;
	int64_t standard;
	int64_t min;
	int64_t max;
	const char *unit;
	const char *help;
	bool fixed;
};

/** conf_limit_table - Indexed by enum conf_limit_id */
extern const struct conf_limit conf_limit_table[CONF_LIMITS];

/** conf_limit_find() - Row with a name. Return: NULL if there is none */
const struct conf_limit *conf_limit_find(const char *name);

/** conf_limit_print() - Write the table for a person */
void conf_limit_print(FILE *to);
