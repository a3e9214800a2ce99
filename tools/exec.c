// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr exec: a program with p2pmr's provider for soft-RoCE devices. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "text.h"

static int run(const struct arguments *arguments)
{
	char **command = arguments->operands;
	int error;

	if (access(P2PMR_PROVIDER_PATH, R_OK)) {
		complain("%s: %s: is the provider installed?",
			 P2PMR_PROVIDER_PATH, strerror(errno));
		return EXIT_EXEC;
	}
	/* libibverbs looks at the other variable first, if there is one. */
	unsetenv("RDMAV_DRIVERS");
	if (setenv("IBV_DRIVERS", "p2pmr", 1)) {
		complain("out of memory");
		return EXIT_EXEC;
	}
	execvp(command[0], command);
	error = errno;
	complain("%s: %s", command[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

static const struct option_spec options[] = { OPTION_HELP, { 0 } };

const struct command exec_command = {
	.name = "exec",
	.summary = "run a program with p2pmr's provider",
	.about =
		"Runs a program that finds p2pmr's libibverbs provider in the place of the\n"
		"stock one for soft-RoCE. The exit status is the program's; 125 if p2pmr itself\n"
		"fails, 126 if the program cannot be run, 127 if there is none.",
	.operands = "[--] COMMAND [ARGUMENT]...",
	.least = 1,
	.most = -1,
	.verbatim = true,
	.options = options,
	.run = run,
};
