/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Home - a directory in memory, in which a fuzzer has its files as long as the process lives
 *
 * Making directories for each execution would take longer than most executions.
 */

#include <stddef.h>

#define HOME_PATH 64 /* room for a path in it */

/** home_path() - Path of a file in it, or of the directory itself if @name is "" */
void home_path(char to[HOME_PATH], const char *name);

/** home_directory() - Make a directory in it. Return: descriptor that the caller owns */
int home_directory(const char *name);

/** directory_entries() - Return: number of files in a directory, the rest of them if there are hundreds */
size_t directory_entries(int dir);
