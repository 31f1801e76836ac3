/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Errors - a negative code for the program, one line of text for the person
 *
 * Every function that can fail takes a `struct err *` last and returns 0 or a negative errno code.
 * Positive results are documented outcomes of that one function (X_E_...), which its direct caller
 * handles; they do not touch the error. The text is built where the failure is known and wrapped on
 * the way up, in a buffer of the outermost caller, so that an error path allocates nothing.
 * Libraries never log errors; programs do, once.
 */

#include <stdbool.h>
#include <stddef.h>

#define ERR_TEXT_MAX 512

/**
 * struct err - A failure and its reason
 * @code:	Negative errno value, 0 while nothing has failed
 * @lasting:	It will fail again until somebody changes something, see err_lasting()
 * @text:	One line without a newline: the action, its object, why it failed
 */
struct err {
	int code;
	bool lasting;
	char text[ERR_TEXT_MAX];
};

/**
 * err_set() - Record a failure
 * @err:	Filled in; may be NULL, then only @code is returned
 * @code:	Negative errno code; its strerror text is appended, except for -EPROTO and -EINVAL,
 *		which the caller's own words must explain
 * @fmt:	The action that failed, as in "open checkpoint /run/x"
 *
 * Return: @code
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * err_wrap() - Prefix a failure from below with the caller's action
 * @err:	Failure to wrap; may be NULL
 * @code:	The code to hand on, usually the one that came up
 * @fmt:	The action of this level; ": " and the older text follow it
 *
 * Return: @code
 */
int err_wrap(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * err_lasting() - Mark a failure that will happen again until somebody changes something
 * @err:	Failure, just recorded; may be NULL
 * @code:	The code to hand on
 *
 * The code that finds the reason knows whether it can pass by itself: a container that no edge server can
 * move is lasting; a failed link, disk or program is not. err_wrap() keeps the mark, err_set() clears it.
 * Use: "return err_lasting(err, err_set(err, -EPERM, ...))".
 *
 * Return: @code
 */
int err_lasting(struct err *err, int code);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time. These macros tell it that the value returned is a failure. */
#define ERR_NEGATIVE(call)                                                                         \
	({                                                                                         \
		int err_negative_ = (call);                                                        \
		if (err_negative_ >= 0)                                                            \
			__builtin_unreachable();                                                   \
		err_negative_;                                                                     \
	})
#define err_set(...)  ERR_NEGATIVE((err_set)(__VA_ARGS__))
#define err_wrap(...) ERR_NEGATIVE((err_wrap)(__VA_ARGS__))
#endif
