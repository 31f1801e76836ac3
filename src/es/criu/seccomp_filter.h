/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Seccomp filter - does a filter of system calls keep a container in?
 *
 * Filters cannot be compared byte by byte: each version of runc and libseccomp writes others. So
 * the program is run, as the kernel would run it, on the calls that an engine's default profile
 * denies to containers without further capabilities; it must not let one pass.
 */

#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>

/**
 * seccomp_filter_passes() - The first call that a filter lets pass although it should not
 * @program:	Instructions
 * @count:	of them, at most BPF_MAXINSNS
 *
 * Return: its name, "" for a program that the kernel would refuse, or NULL if it lets none pass
 */
const char *seccomp_filter_passes(const struct sock_filter *program, size_t count);
