/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * File copy - copies the bytes of one file into another, in the fastest way of both file systems
 */

#include <stdint.h>
#include <sys/types.h>

/**
 * file_copy_data() - Copy a file's bytes, leaving its holes holes
 * @from:	File, open for reading
 * @to:		New file, open for writing
 * @size:	Bytes of @from; bytes that it loses meanwhile are skipped
 * @cancel_fd:	Ends it when readable, or -1
 * @copied:	The bytes copied are added to it; a shared extent counts as none
 *
 * Return: 0, -ECANCELED, or another negative error code
 */
int file_copy_data(int from, int to, off_t size, int cancel_fd, uint64_t *copied);
