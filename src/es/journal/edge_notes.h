/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge notes - the edge server's own state, in the directory of its journals
 *
 *	boot	"ID runs": the program runs in that boot of the host, or fell in it; "ID ended": in order
 *	drained	it is there: an operator has drained the edge server
 *
 * Inner header of session_store.c, which has the directory.
 */

#include <stdbool.h>

struct err;

#define EDGE_BOOT_SIZE 64

/** edge_boot_id() - The id of the host's boot. Return: false if the kernel does not tell */
bool edge_boot_id(char to[EDGE_BOOT_SIZE]);

/** edge_boot_note() - Record how the program is in this boot. Return: 0, or negative error code */
int edge_boot_note(int dir, const char *boot, const char *how, struct err *err);

/** edge_boot_lost() - Whether the program ran when another boot ended: @lost. Return: 0, or negative error code */
int edge_boot_lost(int dir, const char *boot, bool *lost, struct err *err);

/** edge_drained_note() - Record that the edge server is drained, or not. Return: 0, or negative error code */
int edge_drained_note(int dir, bool drained, struct err *err);

/** edge_drained() - Whether it is: @ret. Return: 0, or negative error code */
int edge_drained(int dir, bool *ret, struct err *err);
