/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Check - the rules for messages of both directions; for codec.c only
 */

struct err;
struct wire_message;

/**
 * wire_check() - Hold a message against all rules
 * @m:		Message
 * @code:	The side at fault for a broken rule: -EINVAL ours, -EPROTO the sender's
 * @err:	Names the message, the field and what is wrong with it
 *
 * Return: 0, or @code
 */
int wire_check(const struct wire_message *m, int code, struct err *err);
