/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Strings: made by a format, and figures as people read them. */
#ifndef P2PMR_TOOL_TEXT_H
#define P2PMR_TOOL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* To be freed. No memory ends the program, with one line that says so. */
char *text_format(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
void *must_realloc(void *memory, size_t count, size_t size);

/* "16 MiB", "1.5 GiB", "4096 B" as far as needed; to be freed. */
char *text_size(uint64_t bytes);
/* "12 s", "3 min", "5 h", "2 d"; to be freed. */
char *text_age(uint64_t milliseconds);

/* One line on standard error, with the program's name. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
