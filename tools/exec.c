// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * p2pmr exec: a program with p2pmr's provider for soft-RoCE devices, or with
 * dma-bufs for the devices of other drivers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "text.h"

static bool is_installed(const char *path, const char *what)
{
	if (!access(path, R_OK))
		return true;
	complain("%s: %s: is the %s installed?", path, strerror(errno), what);
	return false;
}

static bool set(const char *name, const char *value)
{
	if (!setenv(name, value, 1))
		return true;
	complain("out of memory");
	return false;
}

static bool choose_provider(void)
{
	if (!is_installed(P2PMR_PROVIDER_PATH, "provider"))
		return false;
	/* libibverbs looks at the other variable first, if there is one. */
	unsetenv("RDMAV_DRIVERS");
	return set("IBV_DRIVERS", "p2pmr");
}

/* In front of what is to be preloaded anyway. */
static bool preload(void)
{
	const char *others = getenv("LD_PRELOAD");
	char *all;
	bool done;

	if (!is_installed(P2PMR_PRELOAD_PATH, "library"))
		return false;
	all = others && *others
		      ? text_format("%s:%s", P2PMR_PRELOAD_PATH, others)
		      : text_format("%s", P2PMR_PRELOAD_PATH);
	done = set("LD_PRELOAD", all);
	free(all);
	return done;
}

static int run(const struct arguments *arguments)
{
	char **command = arguments->operands;
	int error;

	if (option(arguments, 'd') ? !preload() : !choose_provider())
		return EXIT_EXEC;
	execvp(command[0], command);
	error = errno;
	complain("%s: %s", command[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

static const struct option_spec options[] = {
	{ 'd', "dmabuf", NULL, "register device memory on NICs, by dma-bufs" },
	OPTION_HELP,
	{ 0 }
};

const struct command exec_command = {
	.name = "exec",
	.summary = "run a program with p2pmr's provider, or with dma-bufs",
	.about =
		"Runs a program that finds p2pmr's libibverbs provider in the place of the\n"
		"stock one for soft-RoCE. With --dmabuf the program's ibv_reg_mr() takes device\n"
		"memory on the devices of other drivers, such as NICs, by way of a dma-buf. The\n"
		"exit status is the program's; 125 if p2pmr itself fails, 126 if the program\n"
		"cannot be run, 127 if there is none.",
	.operands = "[--] COMMAND [ARGUMENT]...",
	.least = 1,
	.most = -1,
	.verbatim = true,
	.options = options,
	.run = run,
};
