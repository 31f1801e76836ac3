/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * SQLite databases that a process would not write to any more after a move
 *
 * Before it writes, SQLite checks by inode number whether the database's path still leads to the
 * file that it opened. Files of a container that has moved are the same in everything but that
 * number. With write-ahead logging SQLite does not check. The database's header tells which of the
 * two it uses.
 */

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * container_sqlite_check() - Find databases that are kept open with a journal of the old kind
 * @findings:	Array to which findings are added, see finding_add()
 * @pids:	Processes of the container
 * @count:	Of them
 *
 * A database that is open only for a transaction does no harm: the next transaction opens it again.
 * So if there is any, this takes up to half a second, and reports databases that were open all the
 * time.
 */
void container_sqlite_check(json_t *findings, const pid_t *pids, size_t count);
