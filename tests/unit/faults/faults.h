/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Faults - the n-th write, or the n-th allocation, of the code under test fails
 *
 * A test that links faults.c with the options of its meson.build has the calls of all objects of ours
 * go through here; those of shared libraries do not. Nothing of it is in a program that ships. A test
 * runs its scenario with n = 1, 2, 3 ... until no fault struck, so each call has failed once.
 */

#include <stdbool.h>

/** enum faults_how - What becomes of a call that changes files, and of those after it */
enum faults_how {
	FAULTS_ONCE,         /* it fails */
	FAULTS_FROM_HERE_ON, /* all fail until faults_off() */
	FAULTS_SHORT,        /* a write does half, the next one fails; of others as ONCE */
	FAULTS_CRASH,        /* the process is no more: nothing has an effect any more */
	FAULTS_TORN,         /* CRASH, but half of a write comes through */
};

/** faults_disk() - The @n-th call from now on that changes files fails with @code (ENOSPC ...) */
void faults_disk(unsigned int n, enum faults_how how, int code);

/** faults_memory() - The @n-th allocation from now on fails */
void faults_memory(unsigned int n);

/** faults_off() - Everything works again. Return: whether a fault struck */
bool faults_off(void);

/** faults_crashed() - Whether the process is no more: what the code under test still does is a ghost's */
bool faults_crashed(void);
