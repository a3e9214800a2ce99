// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * p2pmr: shows what p2pmr does on this machine, tries it, and says what is
 * missing. This file finds the subcommand.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniband/p2pmr.h>

#include "command.h"
#include "options.h"
#include "text.h"

static const struct command *const commands[] = {
	&status_command, &bars_command,	  &mr_command,	 &query_command,
	&test_command,	 &doctor_command, &exec_command, &monitor_command,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(void)
{
	printf("usage: p2pmr [-j] COMMAND [OPTION]... [OPERAND]...\n\n"
	       "RDMA into the memory of PCI devices: what is there, and does "
	       "it work.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s%s\n", commands[i]->name, commands[i]->summary);
	printf("\n"
	       "  -j, --json      JSON, as after the name of the command\n"
	       "  -h, --help      this text; that of a command after its name\n"
	       "  -V, --version   versions of this program and its library\n\n"
	       "See p2pmr(1).\n");
	return EXIT_OK;
}

static int version(void)
{
	printf("p2pmr %s (libp2pmr %s)\n", P2PMR_TOOL_VERSION,
	       p2pmr_version_string());
	return EXIT_OK;
}

static int run(const struct command *command, bool json, int argc, char **argv)
{
	struct arguments arguments = { .json = json };
	int ret;

	if (json && !options_have(command, 'j'))
		return usage_error(command, "it has no JSON");
	ret = options_parse(command, argc, argv, &arguments);

	if (ret)
		return ret;
	if (option(&arguments, 'h')) {
		print_help(command);
		return EXIT_OK;
	}
	return command->run(&arguments);
}

static int choose(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	bool json = !strcmp(word, "-j") || !strcmp(word, "--json");

	/* Where rdma(8) and ip(8) have it. */
	if (json) {
		argc--;
		argv++;
		word = argc > 1 ? argv[1] : "";
	}
	if (!strcmp(word, "-h") || !strcmp(word, "--help"))
		return help();
	if (!strcmp(word, "-V") || !strcmp(word, "--version"))
		return version();
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(word, commands[i]->name))
			return run(commands[i], json, argc - 1, argv + 1);
	if (*word == '-')
		complain("unknown option %s (see p2pmr --help)", word);
	else if (argc > 1)
		complain("unknown command '%s' (see p2pmr --help)", word);
	else
		complain("which command? (see p2pmr --help)");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int status = choose(argc, argv);

	/* A full disk must not look like an empty answer. */
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return EXIT_SYSTEM;
	}
	return status;
}
