// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Strings, see text.h. */
#define _GNU_SOURCE
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "terminal.h"

void complain(const char *format, ...)
{
	va_list ap;

	terminal_progress_end();
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void no_memory(void)
{
	complain("out of memory");
	exit(EXIT_SYSTEM);
}

char *text_format(const char *format, ...)
{
	va_list ap;
	char *text;
	int ret;

	va_start(ap, format);
	ret = vasprintf(&text, format, ap);
	va_end(ap);
	if (ret < 0)
		no_memory();
	return text;
}

void *must_realloc(void *memory, size_t count, size_t size)
{
	memory = reallocarray(memory, count, size);
	if (!memory)
		no_memory();
	return memory;
}

char *text_size(uint64_t bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	unsigned int unit = 0;
	uint64_t whole = bytes, rest = 0;

	while (whole >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		rest = whole % 1024;
		whole /= 1024;
		unit++;
	}
	if (!rest)
		return text_format("%" PRIu64 " %s", whole, units[unit]);
	return text_format("%" PRIu64 ".%" PRIu64 " %s", whole,
			   rest * 10 / 1024, units[unit]);
}

char *text_age(uint64_t milliseconds)
{
	uint64_t seconds = milliseconds / 1000;

	if (seconds < 100)
		return text_format("%" PRIu64 " s", seconds);
	if (seconds < 100 * 60)
		return text_format("%" PRIu64 " min", seconds / 60);
	if (seconds < 100 * 3600)
		return text_format("%" PRIu64 " h", seconds / 3600);
	return text_format("%" PRIu64 " d", seconds / 86400);
}
