// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Standard output as a terminal, see terminal.h. */
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

/* When progress was first told of, and whether a line of it is there. */
static time_t progress_since;
static bool progress_shown;

void terminal_progress(const char *what, unsigned int percent)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (!progress_since)
		progress_since = time(NULL);
	if (time(NULL) - progress_since < 2)
		return;
	fprintf(stderr, "\r%s ... %3u %%\033[K", what, percent);
	progress_shown = true;
}

void terminal_progress_end(void)
{
	if (progress_shown)
		fputs("\r\033[K", stderr);
	progress_shown = false;
	progress_since = 0;
}

void terminal_redraw(bool again)
{
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	else if (again)
		putchar('\n');
}
