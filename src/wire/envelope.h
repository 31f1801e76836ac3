/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Envelope - control messages as protobuf; for codec.c only
 */

#include <stddef.h>
#include <stdint.h>

struct err;
struct buf;
struct wire_message;
struct wire_scratch;

/**
 * envelope_encode() - Append the protobuf of a checked control message
 * @m:		Message that passed wire_check()
 * @out:	Buffer to append to
 * @err:	Filled in on failure
 *
 * Return: 0, or negative error code
 */
int envelope_encode(const struct wire_message *m, struct buf *out, struct err *err);

/**
 * envelope_decode() - Read the protobuf of a control message
 * @bytes:	Envelope
 * @len:	Its length
 * @m:		Filled in; lengths, text and the presence of fields are checked, meaning is not
 * @scratch:	Memory for the message
 * @err:	Filled in on failure
 *
 * Return: 0, -EPROTO, or -ENOMEM
 */
int envelope_decode(const uint8_t *bytes, size_t len, struct wire_message *m,
		    struct wire_scratch *scratch, struct err *err);
