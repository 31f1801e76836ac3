/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rules - what may be in a message, whichever way it goes
 */

struct err;
struct wire_message;

/**
 * wire_check() - Hold a message against all rules
 * @m:		Message
 * @code:	Whose fault a broken rule is: -EINVAL ours, -EPROTO the sender's
 * @err:	Names the message, the field and what is wrong with it
 *
 * Return: 0, or @code
 */
int wire_check(const struct wire_message *m, int code, struct err *err);

/** wire_rule_user_context() - The window of numbers, and the association. Return: NULL, or what is wrong */
const char *wire_rule_user_context(const struct wire_message *m);

/** wire_rule_user_request() - Preamble and part fit the bytes. Return: NULL, or what is wrong */
const char *wire_rule_user_request(const struct wire_message *m);

/** wire_rule_request() - Preamble and part fit the bytes. Return: NULL, or what is wrong */
const char *wire_rule_request(const struct wire_message *m);

/** wire_rule_stream() - All connections can only end. Return: NULL, or what is wrong */
const char *wire_rule_stream(const struct wire_message *m);

/** wire_rule_station() - A station's address is that of one station. Return: NULL, or what is wrong */
const char *wire_rule_station(const struct wire_message *m);
