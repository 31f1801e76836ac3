/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Engine files - checks that the engine's notes beside a layer or a volume are unchanged (R16)
 *
 * A layer's files are moved into place from a directory beside it, so the file worker has the
 * directory that holds both. The engine's own notes lie there, too: the layers of a container
 * ("lower"), the mount options of a volume ("opts.json"). A compromised worker could make the
 * engine mount any directory. So the notes are read before the worker has the directory, and
 * compared when the worker has ended, before the engine mounts.
 */

#include "base/buf.h"

struct err;

#define ENGINE_FILES_MAX       32           /* files beside a layer */
#define ENGINE_FILES_BYTES_MAX (256u << 10) /* of all of them */

/**
 * engine_files_read() - Read the names and attributes of the files in a directory of the engine
 * @to:		Empty; filled with the lines to compare
 * @dir:	Path of the directory, trusted
 * @tree:	Name of the layer or volume in it: must stay the directory that it is
 * @ahead:	Name that is skipped
 * @err:	Filled in on failure
 *
 * Name, kind, inode, mode and owner of each file, number of links and bytes of regular ones. The
 * contents of subdirectories are not read: the engine mounts over them or empties them.
 *
 * Return: 0, -E2BIG beyond the limits, or another negative error code
 */
int engine_files_read(struct buf *to, const char *dir, const char *tree, const char *ahead,
		      struct err *err);
