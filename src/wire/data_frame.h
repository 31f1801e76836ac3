/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Data frames - requests, answers, streams, chunks and cuts: a fixed header, and bytes; for codec.c only
 */

#include <stddef.h>
#include <stdint.h>

#include "wire/codec.h"

struct err;
struct wire_body;
struct wire_message;

/** data_frame_type() - The type of messages in frames of @kind. Return: 0 if it is no data frame */
enum wire_type data_frame_type(uint8_t kind);

/** data_frame_max() - Most bytes of content in a frame of @kind, which is a data frame. */
size_t data_frame_max(enum wire_kind kind);

/** data_frame_size() - Bytes of the content of @m, whose body is @body, header included. */
size_t data_frame_size(const struct wire_message *m, const struct wire_body *body);

/**
 * data_frame_write() - Write the content of a data frame
 * @m:		Message that passed wire_check()
 * @body:	its body in the table
 * @to:		Room for data_frame_size() bytes
 */
void data_frame_write(const struct wire_message *m, const struct wire_body *body, uint8_t *to);

/**
 * data_frame_read() - Read the content of a data frame
 * @kind:	of the frame, a data frame
 * @content:	the bytes behind the prefix; @m points into it afterwards
 * @len:	its length
 * @m:		Filled in; not checked yet
 * @err:	Filled in on failure
 *
 * Return: 0, or -EPROTO
 */
int data_frame_read(enum wire_kind kind, const uint8_t *content, size_t len, struct wire_message *m,
		    struct err *err);
