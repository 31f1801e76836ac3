/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rules - those about several fields of a message at once; the table (wire/fields.c) names them
 *
 * A rule is asked when each field by itself is as its row in the table allows.
 */

struct wire_message;

/** wire_rule_user_context() - The window of numbers, and the association. Return: NULL, or the fault */
const char *wire_rule_user_context(const struct wire_message *m);

/** wire_rule_user_request() - Preamble and part fit the bytes. Return: NULL, or the fault */
const char *wire_rule_user_request(const struct wire_message *m);

/** wire_rule_request() - Preamble and part fit the bytes. Return: NULL, or the fault */
const char *wire_rule_request(const struct wire_message *m);

/** wire_rule_stream() - All connections can only end. Return: NULL, or the fault */
const char *wire_rule_stream(const struct wire_message *m);

/** wire_rule_station() - A station's address is that of one station. Return: NULL, or the fault */
const char *wire_rule_station(const struct wire_message *m);
