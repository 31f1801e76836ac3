/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Engine files - what the engine keeps beside a layer or a volume, seen to be as it was (R16)
 *
 * A layer's files are moved into place from a directory beside it, so the file worker has the
 * directory that holds both. The engine's own notes lie there, too: of which layers a container is
 * made ("lower"), what a volume mounts ("opts.json"). A worker that has fallen could have the
 * engine mount what it likes. So the notes are read before the worker has the directory, and
 * compared when the worker has ended, before the engine mounts.
 */

#include "base/buf.h"

struct err;

#define ENGINE_FILES_MAX       32           /* files beside a layer */
#define ENGINE_FILES_BYTES_MAX (256u << 10) /* of all of them */

/**
 * engine_files_read() - Read what lies in a directory of the engine's
 * @to:		Empty; filled with all that is to be compared
 * @dir:	Path of the directory, trusted
 * @tree:	Name of the layer or volume in it: must stay the directory that it is
 * @ahead:	Name that is passed over
 * @err:	Filled in on failure
 *
 * Name, kind, inode, mode and owner of each file, number of links and bytes of regular ones. What
 * is in directories is not read, as the engine mounts over them or empties them.
 *
 * Return: 0, -E2BIG beyond the limits, or another negative error code
 */
int engine_files_read(struct buf *to, const char *dir, const char *tree, const char *ahead,
		      struct err *err);
