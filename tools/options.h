/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The command line: taking it apart, numbers in it, and the help. */
#ifndef P2PMR_TOOL_OPTIONS_H
#define P2PMR_TOOL_OPTIONS_H

#include <stdint.h>

#include "command.h"

/*
 * Fills in what follows the name of a subcommand. 0, or EXIT_USAGE after one
 * line that says what is wrong. If help was asked for, that is all: see
 * option().
 */
int options_parse(const struct command *command, int argc, char **argv,
		  struct arguments *arguments);

/* One line for a command line that is wrong; returns EXIT_USAGE. */
int usage_error(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Is there an option of that letter? */
bool options_have(const struct command *command, char letter);

void print_help(const struct command *command);

/* Decimal or 0x…, with K, M or G for powers of 1024; false if it is neither. */
bool parse_number(const char *text, uint64_t *number);

#endif
