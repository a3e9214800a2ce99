// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The command line, see options.h. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS_MAX (2 * OPTIONS_MAX + 3)

int usage_error(const struct command *command, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "p2pmr %s: ", command->name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, " (see p2pmr %s --help)\n", command->name);
	return EXIT_USAGE;
}

/* The options in the two forms that getopt_long() wants. */
static void translate(const struct command *command, char letters[LETTERS_MAX],
		      struct option longs[OPTIONS_MAX])
{
	size_t n = 0;

	/* ':' makes a missing argument something else than an unknown option. */
	if (command->verbatim)
		letters[n++] = '+';
	letters[n++] = ':';
	for (size_t i = 0; command->options[i].name; i++) {
		const struct option_spec *spec = &command->options[i];

		letters[n++] = spec->letter;
		if (spec->argument)
			letters[n++] = ':';
		longs[i] = (struct option){
			.name = spec->name,
			.has_arg = spec->argument ? required_argument
						  : no_argument,
			.val = spec->letter,
		};
	}
	letters[n] = '\0';
}

static int find(const struct command *command, int letter)
{
	for (int i = 0; command->options[i].name; i++)
		if (command->options[i].letter == letter)
			return i;
	return -1;
}

bool options_have(const struct command *command, char letter)
{
	return find(command, letter) >= 0;
}

const char *option(const struct arguments *arguments, char letter)
{
	int i = find(arguments->command, letter);

	return i < 0 ? NULL : arguments->values[i];
}

static int wrong_option(const struct command *command, int answer, char **argv)
{
	const char *word = argv[optind - 1];

	if (answer == ':')
		return usage_error(command, "option %s wants an argument",
				   word);
	if (!strncmp(word, "--", 2) && optopt)
		return usage_error(command, "option %s takes no argument",
				   word);
	if (!strncmp(word, "--", 2))
		return usage_error(command, "unknown option %s", word);
	return usage_error(command, "unknown option -%c", optopt);
}

int options_parse(const struct command *command, int argc, char **argv,
		  struct arguments *arguments)
{
	struct option longs[OPTIONS_MAX] = { 0 };
	char letters[LETTERS_MAX];
	int c;

	arguments->command = command;
	translate(command, letters, longs);
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		int i = find(command, c);

		if (i < 0)
			return wrong_option(command, c, argv);
		arguments->values[i] = optarg ? optarg : "";
		if (c == 'j')
			arguments->json = true;
		if (c == 'h')
			return 0;
	}
	arguments->count = argc - optind;
	arguments->operands = argv + optind;
	if (arguments->count < command->least)
		return usage_error(command, "missing operand: %s",
				   command->operands);
	if (command->most >= 0 && arguments->count > command->most)
		return usage_error(command, "unexpected operand '%s'",
				   arguments->operands[command->most]);
	return 0;
}

/* "-l, --length=BYTES"; how long that is. */
static int form(const struct option_spec *spec, char *text, size_t size)
{
	return snprintf(text, size, "  -%c, --%s%s%s", spec->letter, spec->name,
			spec->argument ? "=" : "",
			spec->argument ? spec->argument : "");
}

void print_help(const struct command *command)
{
	int length, longest = 0;
	char text[64];

	printf("usage: p2pmr %s [OPTION]...%s%s\n\n%s\n\n", command->name,
	       command->operands ? " " : "",
	       command->operands ? command->operands : "", command->about);
	for (size_t i = 0; command->options[i].name; i++) {
		length = form(&command->options[i], text, sizeof(text));
		if (length > longest)
			longest = length;
	}
	for (size_t i = 0; command->options[i].name; i++) {
		form(&command->options[i], text, sizeof(text));
		printf("%-*s  %s\n", longest, text, command->options[i].help);
	}
}

static unsigned int shift_of(const char *suffix)
{
	static const char units[] = "KMG";
	const char *unit = *suffix ? strchr(units, toupper(*suffix)) : NULL;

	return unit && !suffix[1] ? 10 * (unsigned int)(unit - units + 1) : 0;
}

bool parse_number(const char *text, uint64_t *number)
{
	unsigned int shift = 0;
	char *end;

	/* strtoull() would take a sign, blanks, and octal numbers. */
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoull(text, &end, !strncasecmp(text, "0x", 2) ? 16 : 10);
	if (*end) {
		shift = shift_of(end);
		if (!shift)
			return false;
	}
	if (errno || *number > UINT64_MAX >> shift)
		return false;
	*number <<= shift;
	return true;
}
