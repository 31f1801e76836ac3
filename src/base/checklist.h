/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checklist - things that a host has or lacks, a line for each, with the remedy
 *
 *     ok     kernel          6.12.9
 *     note   clock           is not synchronized
 *                            run a time service, for example: apt-get install chrony
 *     LACKS  engine          connect to /var/run/docker.sock: No such file or directory
 *                            start Docker, or set docker { socket = ... }
 *
 * Lines are printed as they are found, or as one JSON array.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** struct checklist - Where lines go, and how many there were of each kind */
struct checklist {
	FILE *to;
	bool json;
	unsigned oks;
	unsigned notes;
	unsigned lacks;
};

/** checklist_begin() - Begin a list that is printed to @to, borrowed */
void checklist_begin(struct checklist *list, FILE *to, bool json);

/**
 * checklist_ok() - A thing is as it should be
 * @list:	Where
 * @what:	The thing, a word or two
 * @fmt:	The finding
 *
 * Control characters of the text are printed as "?", and it is cut off after 500 bytes.
 */
void checklist_ok(struct checklist *list, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** checklist_note() - Baton runs, but something will be worse than it could be; @remedy: advice to the operator */
void checklist_note(struct checklist *list, const char *what, const char *remedy, const char *fmt,
		    ...) __attribute__((format(printf, 4, 5)));

/** checklist_lacks() - Baton does not run, or moves nothing, until that is changed; @remedy: the change to make */
void checklist_lacks(struct checklist *list, const char *what, const char *remedy, const char *fmt,
		     ...) __attribute__((format(printf, 4, 5)));

/** checklist_end() - Print the end. Return: whether nothing is lacking */
bool checklist_end(struct checklist *list);

/* --- requirements of every program on its host ------------------------------------------------- */

/** checklist_clock() - Whether the kernel says that this host's clock is synchronized */
void checklist_clock(struct checklist *list);

/**
 * checklist_directory() - Whether a directory can be written to, and has room
 * @list:	Where
 * @what:	The setting that names it
 * @path:	It, or NULL: then the list gets no line. A missing one is made by the program that uses it
 * @least:	Bytes it should have free
 */
void checklist_directory(struct checklist *list, const char *what, const char *path,
			 uint64_t least);
