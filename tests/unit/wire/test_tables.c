/* SPDX-License-Identifier: Apache-2.0 */

/*
 * baton.proto and docs/protocol.md follow from the table in wire/fields.c
 *
 *     test_tables ROOT            compare
 *     test_tables --write ROOT    write both, then compare
 *
 * From the table come all of src/wire/baton.proto from "syntax" on, and the table of messages in docs/protocol.md.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "wire/fields.h"

#define TYPES       256 /* more than there are */
#define COMMENT_MAX 100 /* columns of one */

/* ---- baton.proto ---- */

/* The type of a field in protobuf */
static const char *proto_type(const struct wire_field *f)
{
	switch (f->form) {
	case FIELD_UINT32:
	case FIELD_STATUS:
		return "uint32";
	case FIELD_UINT64:
		return "uint64";
	case FIELD_FIXED64:
		return "fixed64";
	case FIELD_BOOL:
		return "bool";
	case FIELD_MESSAGE:
	case FIELD_MESSAGES:
		return f->nested->name;
	default:
		return "bytes";
	}
}

static const char *proto_label(const struct wire_field *f)
{
	if (f->form == FIELD_NAMES || f->form == FIELD_MESSAGES)
		return "repeated";
	return f->flags & FIELD_OPTIONAL ? "optional" : "required";
}

/* A comment behind a line, whose items have commas between them */
struct list {
	FILE *to;
	const char *begin;
	int count;
};

__attribute__((format(printf, 2, 3))) static void item(struct list *l, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)fputs(l->count++ ? ", " : l->begin, l->to);
	(void)vfprintf(l->to, fmt, args);
	va_end(args);
}

/* Limits of a field */
static void print_limits(struct list *l, const struct wire_field *f)
{
	switch (f->form) {
	case FIELD_STATUS:
		item(l, "enum wire_status");
		break;
	case FIELD_NAME:
		item(l, f->flags & FIELD_MAY_BE_EMPTY ? "name?" : "name");
		break;
	case FIELD_TEXT:
		item(l, "text, at most %zu bytes", f->size - 1);
		break;
	case FIELD_ARRAY:
		item(l, "%zu bytes", f->size);
		break;
	case FIELD_BYTES:
		item(l, "at most %" PRIu64 " bytes", f->max);
		break;
	case FIELD_NAMES:
		item(l, "at most %" PRIu64 " names", f->max);
		break;
	case FIELD_MESSAGES:
		item(l, "at most %" PRIu64, f->max);
		break;
	default:
		if (f->max)
			item(l, "at most %" PRIu64, f->max);
	}
	if (f->flags & FIELD_NOT_ZERO)
		item(l, f->form == FIELD_TEXT ? "not empty" : "not 0");
	if (f->only)
		item(l, "only in %s", wire_type_name(f->only));
	if (f->note)
		(void)fprintf(l->to, "%s%s", l->count ? "; " : l->begin, f->note);
}

/* A comment, broken into lines */
static void print_comment(FILE *to, const char *text)
{
	while (*text) {
		size_t len = strlen(text);

		if (len > COMMENT_MAX) {
			for (len = COMMENT_MAX; text[len] != ' '; len--)
				;
		}
		(void)fprintf(to, "// %.*s\n", (int)len, text);
		text += len + strspn(text + len, " ");
	}
}

static void print_body(FILE *to, const struct wire_body *body)
{
	print_comment(to, body->about);
	(void)fprintf(to, "message %s {\n", body->name);
	for (const struct wire_field *f = body->field; f->name; f++) {
		struct list limits = { .to = to, .begin = "  // " };

		(void)fprintf(to, "\t%s %s %s = %" PRIu32 ";", proto_label(f), proto_type(f),
			      f->name, f->number);
		print_limits(&limits, f);
		(void)fputc('\n', to);
	}
	(void)fprintf(to, "}\n\n");
}

/* "AssociationRequest" as "association_request" */
static void print_member(FILE *to, const char *name)
{
	for (const char *c = name; *c; c++) {
		if (isupper((unsigned char)*c) && c != name)
			(void)fputc('_', to);
		(void)fputc(tolower((unsigned char)*c), to);
	}
}

/* The bodies of the envelope by their numbers */
static void bodies(const struct wire_body *by_number[TYPES])
{
	memset(by_number, 0, TYPES * sizeof(*by_number));
	for (uint32_t type = 0; type < TYPES; type++) {
		const struct wire_type_info *info = wire_type_info(type);

		if (info && info->body && info->kind == WIRE_KIND_CONTROL)
			by_number[info->body->number] = info->body;
	}
}

/* The types that have @body in an envelope; NULL: none at all */
static void print_types(FILE *to, const struct wire_body *body, const char *begin)
{
	struct list l = { .to = to, .begin = begin };

	for (uint32_t type = 0; type < TYPES; type++) {
		const struct wire_type_info *info = wire_type_info(type);

		if (info && info->kind == WIRE_KIND_CONTROL && info->body == body)
			item(&l, "%" PRIu32 " %s", type, info->name);
	}
}

static void print_envelope(FILE *to, const struct wire_body *const by_number[TYPES])
{
	(void)fprintf(
		to,
		"package baton.wire;\n\nmessage Envelope {\n"
		"\trequired uint32 type = 1;  // enum wire_type; it says which body must be there\n"
		"\toptional fixed64 session = 2;\n"
		"\toptional uint32 association = 3;\n"
		"\toptional uint32 epoch = 4;\n\n\toneof body {\n");
	for (size_t i = 0; i < TYPES; i++) {
		if (!by_number[i])
			continue;
		(void)fprintf(to, "\t\t%s ", by_number[i]->name);
		print_member(to, by_number[i]->name);
		(void)fprintf(to, " = %zu;", i);
		print_types(to, by_number[i], "  // ");
		(void)fputc('\n', to);
	}
	(void)fprintf(to, "\t}\n");
	print_types(to, NULL, "\t// no body: ");
	(void)fprintf(to, "\n}\n\n");
}

/* Bodies that are only in others come first */
static void print_nested(FILE *to, const struct wire_body *const by_number[TYPES])
{
	for (size_t i = 0; i < TYPES; i++) {
		const struct wire_field *f = by_number[i] ? by_number[i]->field : NULL;

		for (; f && f->name; f++) {
			if (f->nested && !f->nested->number)
				print_body(to, f->nested);
		}
	}
}

static void print_proto(FILE *to)
{
	const struct wire_body *by_number[TYPES];

	bodies(by_number);
	print_envelope(to, by_number);
	print_nested(to, by_number);
	for (size_t i = 0; i < TYPES; i++) {
		if (by_number[i])
			print_body(to, by_number[i]);
	}
}

/* ---- docs/protocol.md ---- */

static void print_fields(FILE *to, const struct wire_body *body, enum wire_type type)
{
	const char *comma = "";

	if (!body)
		return;
	for (const struct wire_field *f = body->field; f->name; f++) {
		if (f->only && f->only != type)
			continue;
		(void)fprintf(to, f->flags & FIELD_OPTIONAL && !f->only ? "%s[`%s`]" : "%s`%s`",
			      comma, f->name);
		comma = ", ";
	}
}

/* Whether the next type is described by the same row */
static bool same_row(uint32_t type)
{
	const struct wire_type_info *a = wire_type_info(type), *b = wire_type_info(type + 1);

	return a && b && a->body && a->body == b->body && strcmp(a->way, b->way) == 0 &&
	       a->sessionless == b->sessionless;
}

static void print_messages(FILE *to)
{
	(void)fprintf(to, "| number | message | from, to | session | fields |\n"
			  "|---|---|---|---|---|\n");
	for (uint32_t type = 0; type < TYPES; type++) {
		const struct wire_type_info *info = wire_type_info(type);
		uint32_t last = type;

		if (!info)
			continue;
		while (same_row(last))
			last++;
		(void)fprintf(to,
			      last > type ? "| %" PRIu32 " to %" PRIu32 " | " : "| %" PRIu32 " | ",
			      type, last);
		for (uint32_t t = type; t <= last; t++)
			(void)fprintf(to, "%s%s", t > type ? ", " : "", wire_type_name(t));
		(void)fprintf(to, " | %s | %s | ", info->way, info->sessionless ? "" : "yes");
		print_fields(to, info->body, type);
		(void)fprintf(to, " |\n");
		type = last;
	}
}

/* ---- files ---- */

/* A part of a file that follows from the table: behind the line @begin, to the line @end or the end of the file */
struct part {
	const char *path;
	const char *begin;
	const char *end;
	void (*print)(FILE *to);
};

static const struct part parts[] = {
	{ "src/wire/baton.proto", "syntax = \"proto2\";\n", NULL, print_proto },
	{ "docs/protocol.md", "<!-- of wire/fields.c, by test_tables -->\n", "<!-- end -->\n",
	  print_messages },
};

/* The file as it is, and as it should be; the caller frees both. Returns false if it cannot be */
static bool read_part(const struct part *p, const char *path, char **is, char **should)
{
	size_t size = 0;

	FILE *f = fopen(path, "re");
	if (!f || getdelim(is, &size, '\0', f) < 0)
		return false;
	(void)fclose(f);
	const char *begin = strstr(*is, p->begin);
	const char *end = begin && p->end ? strstr(begin, p->end) : "";
	if (!begin || !end)
		return false;
	begin += strlen(p->begin);
	FILE *to = open_memstream(should, &size);
	if (!to)
		return false;
	(void)fprintf(to, "%.*s", (int)(begin - *is), *is);
	p->print(to);
	(void)fprintf(to, "%s", end);
	return fclose(to) == 0;
}

static bool write_part(const struct part *p, const char *root)
{
	auto_free char *path = NULL, *is = NULL, *should = NULL;

	if (asprintf(&path, "%s/%s", root, p->path) < 0 || !read_part(p, path, &is, &should))
		return false;
	FILE *f = fopen(path, "we");
	if (!f)
		return false;
	bool written = fputs(should, f) >= 0;
	return fclose(f) == 0 && written;
}

static void assert_part(const struct part *p, const char *root)
{
	auto_free char *path = NULL, *is = NULL, *should = NULL;

	assert_true(asprintf(&path, "%s/%s", root, p->path) > 0);
	if (!read_part(p, path, &is, &should))
		fail_msg("%s cannot be read, or lacks the line %s", path, p->begin);
	else if (strcmp(is, should) != 0)
		fail_msg("%s is not what the table says: run \"test_tables --write %s\"", path,
			 root);
}

static void test_proto(void **state)
{
	assert_part(&parts[0], *state);
}

static void test_document(void **state)
{
	assert_part(&parts[1], *state);
}

/* ---- properties that the walks rely on ---- */

/* The size that the member of a field must have */
static size_t member_size(const struct wire_field *f)
{
	switch (f->form) {
	case FIELD_UINT32:
	case FIELD_STATUS:
		return sizeof(uint32_t);
	case FIELD_UINT64:
	case FIELD_FIXED64:
		return sizeof(uint64_t);
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_NAME:
		return NAME_SIZE;
	case FIELD_NAMES:
		return f->max * NAME_SIZE;
	case FIELD_MESSAGE:
		return f->nested->size;
	case FIELD_BYTES:
	case FIELD_MESSAGES:
		return sizeof(void *);
	default: /* texts and arrays: any */
		return f->size;
	}
}

/* Rows come by their numbers, as protobuf-c's do, and forms fit the members */
static void assert_body(const struct wire_body *body)
{
	uint32_t last = 0;

	for (const struct wire_field *f = body->field; f->name; f++) {
		assert_true(f->number > last);
		last = f->number;
		assert_int_equal(f->size, member_size(f));
		/* the walks know no other way to leave these out than that there are none */
		if (f->form == FIELD_NAME || f->form == FIELD_NAMES || f->form == FIELD_MESSAGE ||
		    f->form == FIELD_MESSAGES || f->form == FIELD_BYTES)
			assert_false(f->flags & FIELD_OPTIONAL);
		if (f->nested)
			assert_body(f->nested);
	}
}

static void test_rows(void **state)
{
	(void)state;
	for (uint32_t type = 0; type < TYPES; type++) {
		const struct wire_type_info *info = wire_type_info(type);

		if (info && info->body)
			assert_body(info->body);
	}
}

/* The fields of a data header lie behind the epoch, one after another, none across the border of a word */
static void test_places(void **state)
{
	static const enum wire_type types[] = { WIRE_REQUEST, WIRE_ANSWER, WIRE_STREAM,
						WIRE_TRANSFER_CHUNK, WIRE_TRANSFER_CUT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct wire_body *body = wire_type_info(types[i])->body;
		const struct wire_field *f = body->field;
		uint32_t end = 16;

		for (; f->form != FIELD_BYTES; f++) {
			assert_true(f->number >= end);
			end = f->number + f->width;
			assert_int_equal(f->number / 8, (end - 1) / 8);
			assert_int_equal(f->shift, 8 * (7 - (end - 1) % 8));
		}
		assert_ptr_equal(f, body->payload);
		assert_int_equal(f->number, WIRE_DATA_HEADER_SIZE);
		assert_true(end <= WIRE_DATA_HEADER_SIZE);
		assert_null(f[1].name);
	}
}

int main(int argc, char **argv)
{
	bool write = argc == 3 && strcmp(argv[1], "--write") == 0;

	if (argc != 2 + write) {
		(void)fprintf(stderr, "usage: test_tables [--write] ROOT\n");
		return EXIT_FAILURE;
	}
	for (size_t i = 0; write && i < ARRAY_SIZE(parts); i++) {
		if (!write_part(&parts[i], argv[2])) {
			(void)fprintf(stderr, "%s was not written\n", parts[i].path);
			return EXIT_FAILURE;
		}
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_proto, argv[argc - 1]),
		cmocka_unit_test_prestate(test_document, argv[argc - 1]),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests_name("wire/tables", tests, NULL, NULL);
}
