/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Tables for people: columns as wide as what is in them, lines no longer than
 * 80 characters. What is too long is cut, and ends in '~'.
 */
#ifndef P2PMR_TOOL_TABLE_H
#define P2PMR_TOOL_TABLE_H

#include <stddef.h>

#include "terminal.h"

struct column {
	const char *title;
	enum {
		LEFT,
		RIGHT
	} side;
	/* How narrow it may be made for the line to fit; 0: not at all. */
	size_t least;
};

struct table;

struct table *table_new(const struct column *columns, size_t count);

/*
 * The next cell, row after row; what is not printable in it becomes '?', for
 * names come from other people's processes.
 */
void table_cell(struct table *table, enum style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Prints the table, with titles unless they are NULL, and frees it. */
void table_print(struct table *table);

#endif
