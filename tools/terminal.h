/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Standard output as a terminal: colours, and drawing the same thing anew. */
#ifndef P2PMR_TOOL_TERMINAL_H
#define P2PMR_TOOL_TERMINAL_H

#include <stdbool.h>

#define TERMINAL_COLUMNS 80

enum style {
	PLAIN,
	HEADING,
	GOOD,
	DOUBTFUL,
	BAD,
};

/*
 * What begins and ends a style; nothing unless standard output is a terminal
 * that has colours and NO_COLOR is not set.
 */
const char *style_begin(enum style style);
const char *style_end(enum style style);

/*
 * How far something is that takes its time: a line that the next one replaces, from
 * the second second on. Nothing unless standard error is a terminal.
 */
void terminal_progress(const char *what, unsigned int percent);
/* Takes that line away. */
void terminal_progress_end(void);

/* Leaves the terminal empty; elsewhere an empty line divides. */
void terminal_redraw(bool again);

#endif
