/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Fields - the table of all messages, their fields, and the limits of these
 *
 * The table (fields.c) says of each field where it lies in the structures of wire/message.h, how it goes over the
 * wire, and which values it may have. Everything else is a walk over the table:
 *
 *     access.h        members by their rows
 *     envelope.c      control messages to protobuf and back
 *     data_frame.c    requests, answers, streams, chunks and cuts: the fixed header
 *     check.c         limits; rules.c has the few rules that concern several fields
 *     print.c         a message as one line of text
 *     tests/unit/wire/test_tables.c   baton.proto from "syntax" on, and the messages in docs/protocol.md
 *     tests/unit/wire/samples.c       samples of each type, with which fuzz_wire begins
 *
 * A new field needs a member of the structure, a row in the table, and a vector (tests/unit/wire/vectors.c). Then
 * "build/tests/unit/wire/test_tables --write ." writes it into baton.proto and the document, and the next build
 * knows it. Numbers and forms in use never change. A new field is FIELD_OPTIONAL, because an older program does not
 * send it.
 *
 * For the files of src/wire and their tests only.
 */

#include <stddef.h>
#include <stdint.h>

#include "wire/codec.h"
#include "wire/message.h"

/** enum field_form - The type of a field in its structure, and on the wire */
enum field_form {
	/* numbers: all up to FIELD_BOOL */
	FIELD_UINT32,  /* uint32_t or an enumeration */
	FIELD_STATUS,  /* enum wire_status, but not that of a partial answer; a FIELD_UINT32 else */
	FIELD_UINT64,  /* uint64_t */
	FIELD_FIXED64, /* uint64_t, always 8 bytes in protobuf: for random numbers and times */
	FIELD_BOOL,    /* bool */
	FIELD_NAME,    /* char[NAME_SIZE]; bytes */
	FIELD_TEXT,    /* char[], free text; bytes. The sender replaces control characters */
	FIELD_ARRAY,   /* uint8_t[]; bytes, always as many */
	FIELD_BYTES,   /* const uint8_t *, borrowed, and a size_t; bytes */
	FIELD_NAMES,   /* char[][NAME_SIZE] and a uint32_t; repeated bytes */
	FIELD_MESSAGE, /* structure with a body of its own */
	FIELD_MESSAGES, /* pointer to such structures and a uint32_t; repeated */
};

/* Bits of struct wire_field.flags */
#define FIELD_OPTIONAL     1u /* left out when it is 0 or empty; numbers, TEXT and ARRAY only */
#define FIELD_NOT_ZERO     2u /* a number that is never 0, a text that is never empty */
#define FIELD_MAY_BE_EMPTY 4u /* of names, which otherwise are not */
#define FIELD_SECRET       8u /* is not printed */

/**
 * struct wire_field - A field of a body
 * @number:	its number in protobuf; in a data header, the place of its first byte
 * @form:	see enum field_form
 * @name:	of the member, and in baton.proto
 * @offset:	of the member in the body's structure
 * @size:	of the member
 * @flags:	FIELD_...
 * @width:	bytes in a data header
 * @max:	greatest value, most bytes (FIELD_BYTES), or most elements; 0: none
 * @count:	offset of the member that counts bytes or elements
 * @shift:	bits below it in its word of the data header
 * @only:	the one message of those with this body that has the field, always; 0: all have it
 * @nested:	body of FIELD_MESSAGE and FIELD_MESSAGES
 * @note:	for people; may be NULL
 */
struct wire_field {
	uint32_t number;
	enum field_form form;
	const char *name;
	size_t offset;
	size_t size;
	uint32_t flags;
	uint32_t width;
	uint64_t max;
	size_t count;
	uint32_t shift;
	enum wire_type only;
	const struct wire_body *nested;
	const char *note;
};

/**
 * struct wire_body - The fields of a message besides session, association and epoch
 * @name:	in baton.proto
 * @number:	in the envelope; 0: a data frame has it, or another body
 * @field:	the fields, by number; the last one has no name
 * @about:	for people; of data frames baton.proto says it
 * @rule:	checks several fields at once; NULL: there is no such rule. Returns NULL, or the fault
 * @payload:	of data frames: the row of the bytes behind the header, which is the last one
 * @size:	of the structure; of data frames, and bodies within others
 */
struct wire_body {
	const char *name;
	uint32_t number;
	const struct wire_field *field;
	const char *about;
	const char *(*rule)(const struct wire_message *m);
	const struct wire_field *payload;
	size_t size;
};

/**
 * struct wire_type_info - A type of messages
 * @name:	"REASSOCIATION REQUEST" and so on
 * @way:	sender and receiver
 * @body:	NULL: none
 * @kind:	of its frame
 * @sessionless: it may come without a session
 */
struct wire_type_info {
	const char *name;
	const char *way;
	const struct wire_body *body;
	enum wire_kind kind;
	bool sessionless;
};

/** wire_type_info() - The row of a type. Return: NULL if there is no such type */
const struct wire_type_info *wire_type_info(uint32_t type);
