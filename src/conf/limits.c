/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/limits.h"

#include <string.h>

#define KIB 1024LL
#define MIB (1024LL * KIB)
#define GIB (1024LL * MIB)

const struct conf_limit conf_limit_table[CONF_LIMITS] = {
	[CONF_SESSIONS_MAX] = { "sessions_max", 1024, 1, 1000000, "",
				"sessions at a node, an eighth for a device, three quarters for "
				"an access point; more are refused as busy" },
	[CONF_COPIES_MAX] = { "copies_max", 16384, 64, 10000000, "",
			      "requests in a replay buffer; then the MUD is held up" },
	[CONF_COPIES_BYTES_MAX] = { "copies_bytes_max", 64 * MIB, 2 * MIB, 16 * GIB, "bytes",
				    "bytes in a replay buffer; then the MUD is held up" },
	[CONF_RETRY_MS] = { "retry_ms", 500, 50, 60000, "ms",
			    "a command without its answer is sent again after this" },
	[CONF_ASSOCIATE_MS] = { "associate_ms", 60000, 1000, 3600000, "ms",
				"a new container must have started within this" },
	[CONF_MOVE_MS] = { "move_ms", 3000, 100, 60000, "ms",
			   "wait for the old access point before asking edge servers" },
	[CONF_CATCH_UP_MS] = { "catch_up_ms", 5000, 100, 600000, "ms",
			       "replay that is behind by then holds new requests" },
	[CONF_GRACE_MS] = { "grace_ms", 2000, 0, 600000, "ms",
			    "the old container is kept this long after the switch" },
	[CONF_BACKOFF_MS] = { "backoff_ms", 1000, 10, 600000, "ms",
			      "pause after a failed migration, doubled each time" },
	[CONF_BACKOFF_MAX_MS] = { "backoff_max_ms", 30000, 10, 3600000, "ms",
				  "longest such pause" },
	[CONF_DRAIN_MS] = { "drain_ms", 2000, 10, 600000, "ms",
			    "wait for the idle instant of a cut; then tried again later" },
	[CONF_STANDBY_MS] = { "standby_ms", 60000, 1000, 3600000, "ms",
			      "a copy that no access point asks for is dropped after this" },
	[CONF_IDLE_MS] = { "idle_ms", 600000, 1000, 86400000, "ms",
			   "a trace of a session that moved on is forgotten after this" },
	[CONF_KEEP_DAYS] = { "keep_days", 7, 0, 36500, "days",
			     "a session that nobody asks for keeps its data so long; 0: for ever" },
	[CONF_ARRIVAL_MS] = { "arrival_ms", 600000, 0, 86400000, "ms",
			      "what came of an image is kept so long for the next attempt", true },
	[CONF_MIGRATIONS_MAX] = { "migrations_max", 4, 1, 64, "",
				  "migrations of an edge server at a time; others wait" },
	[CONF_STALL_MS] = { "stall_ms", 15000, 1000, 600000, "ms",
			    "a transfer without progress for this long has failed", true },
	[CONF_RESTORE_MS] = { "restore_ms", 120000, 1000, 3600000, "ms",
			      "a restore must be done within this", true },
	[CONF_PATIENCE] = { "patience", 1, 1, 100, "",
			    "by what waits for CRIU, runc and Docker are longer; for slow hosts",
			    true },
	[CONF_CONNECTIONS_MAX] = { "connections_max", 1024, 1, 65536, "",
				   "proven connections to a listening address, an eighth for one "
				   "name; more are closed" },
	[CONF_QUEUE_BYTES] = { "queue_bytes", 8 * MIB, 256 * KIB, 1 * GIB, "bytes",
			       "bytes waiting on one link; then its senders are held up" },
	[CONF_HANDSHAKE_MS] = { "handshake_ms", 5000, 100, 60000, "ms",
				"a connection must have come up within this" },
	[CONF_DEAD_MS] = { "dead_ms", 10000, 1000, 600000, "ms",
			   "silence that ends a link; a shorter cut is waited for" },
	[CONF_EVENT_FILE_BYTES] = { "event_file_bytes", 64 * MIB, 64 * KIB, 64 * GIB, "bytes",
				    "size at which the event log begins a new file", true },
	[CONF_EVENT_FILES] = { "event_files", 8, 1, 10000, "",
			       "files of the event log; the oldest is removed", true },
	[CONF_USERS_MAX] = { "users_max", 1024, 1, 1000000, "",
			     "users known by their address; others are refused" },
	[CONF_USER_CONNECTIONS_MAX] = { "user_connections_max", 64, 1, 65536, "",
					"connections of such a user; then the one "
					"that is idle longest is closed" },
	[CONF_CLIENT_CONNECTIONS_MAX] = { "client_connections_max", 4096, 1, 1000000, "",
					  "connections of all of them; more are closed" },
	[CONF_USER_IDLE_MS] = { "user_idle_ms", 600000, 1000, 86400000, "ms",
				"such a user that is silent so long has left" },
	[CONF_USER_GONE_MS] = { "user_gone_ms", 60000, 1000, 86400000, "ms",
				"such a user whose station is gone so long has left" },
	[CONF_SPOOL_BYTES] = { "spool_bytes", 4 * GIB, 16 * MIB, 1024 * GIB, "bytes",
			       "long requests and answers of all users, in spool_dir" },
	[CONF_RESERVE_BYTES] = { "reserve_bytes", 16 * MIB, 0, 1 * GIB, "bytes",
				 "of state_dir, an eighth of it at most, for session journals "
				 "when it is full",
				 true },
	[CONF_SYNC_MS] = { "sync_ms", 1000, 0, 60000, "ms",
			   "what a session journal may lack after a loss of power; 0: nothing, and "
			   "each request waits for the disk before it runs",
			   true },
};

const struct conf_limit *conf_limit_find(const char *name)
{
	for (int i = 0; i < CONF_LIMITS; i++) {
		if (strcmp(conf_limit_table[i].name, name) == 0)
			return &conf_limit_table[i];
	}
	return NULL;
}

void conf_limit_print(FILE *to)
{
	for (int i = 0; i < CONF_LIMITS; i++) {
		const struct conf_limit *l = &conf_limit_table[i];

		(void)fprintf(to, "  %-22s %9lld %-5s %s (%lld to %lld)%s\n", l->name,
			      (long long)l->standard, l->unit, l->help, (long long)l->min,
			      (long long)l->max, l->fixed ? "; changes at a restart only" : "");
	}
}
