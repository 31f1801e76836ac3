/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Findings - reasons why a container cannot be moved, and notes to read before it is
 *
 * A finding is {"what": ..., "remedy": ..., "lasting": ...}. A lasting one stays until somebody changes the container
 * or a host, so another attempt is refused, too; one that does not last may be gone at the next look.
 */

#include <stdbool.h>

#include <jansson.h>

struct err;

#define FINDINGS_TEXT_MAX 340 /* with the words before it, the line still fits an event */

/** finding_add() - Append a lasting finding; a format gives its text */
__attribute__((format(printf, 3, 4))) void finding_add(json_t *findings, const char *remedy,
						       const char *format, ...);

/** finding_add_now() - Append a finding that may be gone by itself */
__attribute__((format(printf, 3, 4))) void finding_add_now(json_t *findings, const char *remedy,
							   const char *format, ...);

/** findings_lasting() - Whether one of the findings is a lasting one */
bool findings_lasting(const json_t *findings);

/**
 * findings_refusal() - All findings in one line
 *
 * As many whole ones as fit FINDINGS_TEXT_MAX, then the number of the others: `baton check` tells them all.
 *
 * Return: 0 if there are none, else -EPERM
 */
int findings_refusal(const json_t *findings, struct err *err);
