/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What all fuzzers ask of the address sanitizer, unless ASAN_OPTIONS asks otherwise
 *
 * One execution frees far less than the quarantine holds, so what is used after it was freed is found all
 * the same. A larger one, and memory given back to the kernel meanwhile, cost page faults in each execution.
 */

const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16:malloc_context_size=8:allocator_release_to_os_interval_ms=-1";
}
