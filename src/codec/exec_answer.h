/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answer to EXEC - one array with the answer of each command of a transaction
 */

#include <stdbool.h>
#include <stddef.h>

/** enum exec_answer - Outcome of one command of a transaction */
enum exec_answer {
	EXEC_ANSWER_FAILED, /* or nothing was executed: an error, null, or it was DISCARD */
	EXEC_ANSWER_SUCCEEDED,
	EXEC_ANSWER_BEYOND, /* executed; its answer is not in these bytes */
};

/**
 * exec_answer_of() - Outcome of one command of a transaction
 * @bytes:	Answer to its EXEC (codec resp), or the beginning of a long one
 * @len:	Its length
 * @at:		Which of the commands that were queued, from 0
 *
 * Return: see enum exec_answer
 */
enum exec_answer exec_answer_of(const void *bytes, size_t len, size_t at);

/** exec_answer_is_error() - Whether an answer is an error, or nothing */
bool exec_answer_is_error(const void *bytes, size_t len);
