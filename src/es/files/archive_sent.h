/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Sent files - a record of the files that earlier streams of a tree carried; inner header of archive_writer.c, archive_sent.c
 *
 * es/files/layer_archive.h has archive_sent_new() and archive_sent_free().
 */

#include <stdbool.h>
#include <sys/stat.h>

#include "es/files/layer_archive.h"

/** archive_sent_same() - Whether this very file went out under this name; @sent may be NULL */
bool archive_sent_same(const struct archive_sent *sent, const char *path, const struct stat *st);

/** archive_sent_note() - Record a file. Return: 0, or -ENOMEM */
int archive_sent_note(struct archive_sent *sent, const char *path, const struct stat *st);
