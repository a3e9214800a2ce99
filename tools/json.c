// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Writes JSON, see json.h. */
#include "json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 8

/* What closes each open object or array; there is one standard output. */
static char closers[DEPTH_MAX];
static unsigned int depth;
static bool first;

/* Length of the UTF-8 sequence at text, 0 if it is none. */
static size_t sequence(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		uint32_t point = *text & ~forms[i].mask;
		size_t length = i + 2;

		if ((*text & forms[i].mask) != forms[i].lead)
			continue;
		for (size_t k = 1; k < length; k++) {
			if ((text[k] & 0xc0) != 0x80)
				return 0;
			point = point << 6 | (text[k] & 0x3f);
		}
		if (point < forms[i].least || point > 0x10ffff ||
		    (point >= 0xd800 && point <= 0xdfff))
			return 0;
		return length;
	}
	return 0;
}

static void put_string(const char *string)
{
	const unsigned char *text = (const unsigned char *)string;
	size_t length;

	putchar('"');
	for (; *text; text += length) {
		length = 1;
		if (*text == '"' || *text == '\\') {
			printf("\\%c", *text);
		} else if (*text < 0x20 || *text == 0x7f) {
			printf("\\u%04x", *text);
		} else if (*text < 0x80) {
			putchar(*text);
		} else if ((length = sequence(text))) {
			fwrite(text, length, 1, stdout);
		} else {
			fputs("\\ufffd", stdout);
			length = 1;
		}
	}
	putchar('"');
}

static void put_name(const char *name)
{
	if (!first)
		fputs(", ", stdout);
	first = false;
	if (!name)
		return;
	put_string(name);
	fputs(": ", stdout);
}

static void open_with(const char *name, char opener, char closer)
{
	assert(depth < DEPTH_MAX);
	put_name(name);
	putchar(opener);
	closers[depth++] = closer;
	first = true;
}

void json_object(const char *name)
{
	open_with(name, '{', '}');
}

void json_array(const char *name)
{
	open_with(name, '[', ']');
}

void json_close(void)
{
	assert(depth > 0);
	putchar(closers[--depth]);
	first = false;
}

void json_begin(const char *command)
{
	first = true;
	json_object(NULL);
	json_string("command", command);
}

void json_end(void)
{
	json_close();
	assert(depth == 0);
	putchar('\n');
	/* Who reads a stream of documents wants each as it comes. */
	fflush(stdout);
}

void json_string(const char *name, const char *value)
{
	put_name(name);
	if (value)
		put_string(value);
	else
		fputs("null", stdout);
}

void json_number(const char *name, uint64_t value)
{
	put_name(name);
	printf("%" PRIu64, value);
}

void json_bool(const char *name, bool value)
{
	put_name(name);
	fputs(value ? "true" : "false", stdout);
}

void json_null(const char *name)
{
	json_string(name, NULL);
}
