/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Cleanup style - a resource is released where its variable goes out of scope
 *
 * Declare the cleanup variable where the resource is acquired. TAKE_PTR or TAKE_FD passes ownership on,
 * as the last act of a constructor. Both compilers refuse a goto past a cleanup variable
 * (-Wjump-misses-init), so errors return at once.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** AUTO() - Variable attribute: call type_free() on the pointer at the end of the scope */
#define AUTO(type) __attribute__((cleanup(type##_freep)))

/** AUTO_DEFINE() - Make AUTO(type) usable for a type that has type_free() */
#define AUTO_DEFINE(type)                                                                          \
	static inline void type##_freep(struct type **p)                                           \
	{                                                                                          \
		type##_free(*p);                                                                   \
	}

/** TAKE_PTR() - Value of a pointer variable, which is left NULL: ownership moves to the caller */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) take_ptr_ = (p);                                                     \
		(p) = NULL;                                                                        \
		take_ptr_;                                                                         \
	})

/** TAKE_FD() - Value of an fd variable, which is left -EBADF: ownership moves to the caller */
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int take_fd_ = (fd);                                                               \
		(fd) = -EBADF;                                                                     \
		take_fd_;                                                                          \
	})

static inline void auto_free_p(void *p)
{
	free(*(void **)p);
}

static inline void auto_close_p(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

static inline void auto_fclose_p(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

#define auto_free   __attribute__((cleanup(auto_free_p)))
#define auto_close  __attribute__((cleanup(auto_close_p)))
#define auto_fclose __attribute__((cleanup(auto_fclose_p)))

/** container_of() - The structure that embeds a member, from a pointer to the member */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** ARRAY_SIZE() - Number of elements of an array (not of a pointer) */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
