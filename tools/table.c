// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Tables for people, see table.h. */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define GAP	  2
#define CELL_SIZE 256

struct cell {
	enum style style;
	char *text;
};

struct table {
	const struct column *columns;
	size_t width; /* in columns */
	struct cell *cells;
	size_t count;
};

struct table *table_new(const struct column *columns, size_t count)
{
	struct table *table = must_realloc(NULL, 1, sizeof(*table));

	*table = (struct table){ .columns = columns, .width = count };
	return table;
}

void table_cell(struct table *table, enum style style, const char *format, ...)
{
	char text[CELL_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	table->cells = must_realloc(table->cells, table->count + 1,
				    sizeof(*table->cells));
	table->cells[table->count++] =
		(struct cell){ .style = style,
			       .text = text_format("%s", text) };
}

static size_t widest(const struct table *table, size_t column)
{
	const char *title = table->columns[column].title;
	size_t width = title ? strlen(title) : 0;

	for (size_t i = column; i < table->count; i += table->width) {
		size_t length = strlen(table->cells[i].text);

		if (length > width)
			width = length;
	}
	return width;
}

/* Takes from the columns that can give, the last one first. */
static void fit(const struct table *table, size_t *widths)
{
	size_t total = GAP * (table->width - 1);

	for (size_t i = 0; i < table->width; i++)
		total += widths[i];
	for (size_t i = table->width; i-- && total > TERMINAL_COLUMNS;) {
		size_t least = table->columns[i].least;

		while (least && widths[i] > least && total > TERMINAL_COLUMNS) {
			widths[i]--;
			total--;
		}
	}
}

static void print_cell(const struct table *table, size_t column, size_t width,
		       enum style style, const char *text)
{
	int length = strlen(text) > width ? (int)width - 1 : (int)strlen(text);
	bool cut = strlen(text) > width;
	int pad = (int)width - length - cut;

	if (column)
		printf("%*s", GAP, "");
	if (table->columns[column].side == RIGHT)
		printf("%*s", pad, "");
	printf("%s%.*s%s%s", style_begin(style), length, text, cut ? "~" : "",
	       style_end(style));
	/* No blanks at the end of a line. */
	if (table->columns[column].side == LEFT && column + 1 < table->width)
		printf("%*s", pad, "");
	if (column + 1 == table->width)
		putchar('\n');
}

void table_print(struct table *table)
{
	size_t widths[table->width];

	for (size_t i = 0; i < table->width; i++)
		widths[i] = widest(table, i);
	fit(table, widths);
	for (size_t i = 0; i < table->width && table->columns[0].title; i++)
		print_cell(table, i, widths[i], HEADING,
			   table->columns[i].title);
	for (size_t i = 0; i < table->count; i++) {
		print_cell(table, i % table->width, widths[i % table->width],
			   table->cells[i].style, table->cells[i].text);
		free(table->cells[i].text);
	}
	free(table->cells);
	free(table);
}
