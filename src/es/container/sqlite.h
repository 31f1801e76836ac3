/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * SQLite databases that a process would not write to any more after a move
 *
 * Before it writes, SQLite looks whether the database's path still leads to the file that it
 * opened, by inode number. Files of a container that has moved are the same in everything but that
 * number. With write-ahead logging SQLite does not look, so the database says in its header whether
 * it is safe.
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
 * One that is only open for a moment, for a transaction, does no harm, for the next one opens it
 * anew. So where there is any, this takes up to half a second, and reports what was open all the
 * time.
 */
void container_sqlite_check(json_t *findings, const pid_t *pids, size_t count);
