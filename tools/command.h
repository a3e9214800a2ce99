/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a subcommand is: its name, what it says of itself, its options and
 * operands, and the function that does it. Help is printed from this, and
 * arguments are checked by it.
 */
#ifndef P2PMR_TOOL_COMMAND_H
#define P2PMR_TOOL_COMMAND_H

#include <stdbool.h>

/* Exit statuses, as p2pmr(1) has them; exec has those of env(1) beside. */
enum {
	EXIT_OK = 0,
	EXIT_WRONG = 1,	      /* what was looked at is not as it should be */
	EXIT_USAGE = 2,	      /* the command line */
	EXIT_NO_P2PMR = 3,    /* the module is not there, or cannot be asked */
	EXIT_NOT_THERE = 4,   /* what was named, or the right to it */
	EXIT_SYSTEM = 5,      /* no memory, nowhere to write */
	EXIT_EXEC = 125,      /* exec: p2pmr itself */
	EXIT_NOT_RUN = 126,   /* exec: found, but cannot be run */
	EXIT_NOT_FOUND = 127, /* exec */
};

#define OPTIONS_MAX 12

struct option_spec {
	char letter;
	const char *name;
	const char *argument; /* what it is called, NULL if there is none */
	const char *help;
};

/* clang-format off */
#define OPTION_JSON { 'j', "json", NULL, "JSON instead of a table" }
#define OPTION_HELP { 'h', "help", NULL, "this text" }
/* clang-format on */

struct arguments;

struct command {
	const char *name;
	const char *summary;
	const char *about;    /* of the help; lines end where they shall */
	const char *operands; /* as the usage line has them; NULL: none */
	int least, most;      /* operands */
	bool verbatim;	      /* what follows the first operand is not for us */
	const struct option_spec *options; /* the last one has no name */
	int (*run)(const struct arguments *arguments);
};

struct arguments {
	const struct command *command;
	bool json;
	const char *values[OPTIONS_MAX]; /* as command->options */
	int count;
	char **operands;
};

/* The value of an option, "" if it has none, NULL if it was not given. */
const char *option(const struct arguments *arguments, char letter);

extern const struct command status_command, bars_command, mr_command,
	query_command, test_command, doctor_command, exec_command,
	monitor_command;

#endif
