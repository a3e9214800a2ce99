// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Standard output as a terminal, see terminal.h. */
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_colours(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return !(no_color && *no_color) && term && strcmp(term, "dumb") != 0 &&
	       isatty(STDOUT_FILENO);
}

const char *style_begin(enum style style)
{
	static const char *const sequences[] = {
		[PLAIN] = "",	      [HEADING] = "\033[1m",
		[GOOD] = "\033[32m",  [DOUBTFUL] = "\033[33m",
		[BAD] = "\033[1;31m",
	};

	return has_colours() ? sequences[style] : "";
}

const char *style_end(enum style style)
{
	return style != PLAIN && has_colours() ? "\033[0m" : "";
}

void terminal_redraw(bool again)
{
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	else if (again)
		putchar('\n');
}
