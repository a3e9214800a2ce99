// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr doctor: what is missing or wrong, and the command that mends it. */
#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "terminal.h"
#include "text.h"

#define INDENT 6
#define ROOM   (TERMINAL_COLUMNS - INDENT)

static const struct {
	const char *name;
	enum style style;
} levels[] = {
	[LEVEL_OK] = { "ok", GOOD },
	[LEVEL_WARN] = { "warn", DOUBTFUL },
	[LEVEL_FAIL] = { "fail", BAD },
};

void found(struct doctor *doctor, const char *check, enum level level,
	   char *mend, char *text)
{
	doctor->findings = must_realloc(doctor->findings, doctor->count + 1,
					sizeof(*doctor->findings));
	doctor->findings[doctor->count++] = (struct finding){
		.check = check, .level = level, .text = text, .mend = mend
	};
}

static size_t count_of(const struct doctor *doctor, enum level level)
{
	size_t count = 0;

	for (size_t i = 0; i < doctor->count; i++)
		count += doctor->findings[i].level == level;
	return count;
}

static void print_json(const struct doctor *doctor)
{
	json_begin("doctor");
	json_array("checks");
	for (size_t i = 0; i < doctor->count; i++) {
		const struct finding *finding = &doctor->findings[i];

		json_object(NULL);
		json_string("check", finding->check);
		json_string("level", levels[finding->level].name);
		json_string("text", finding->text);
		json_string("mend", finding->mend);
		json_close();
	}
	json_close();
	json_number("failed", count_of(doctor, LEVEL_FAIL));
	json_number("warnings", count_of(doctor, LEVEL_WARN));
	json_end();
}

/* Words, line after line, from the column of the texts on. */
static void print_text(const char *text)
{
	char *copy = text_format("%s", text), *rest = copy, *word;
	size_t column = INDENT;

	while ((word = strsep(&rest, " "))) {
		if (column > INDENT &&
		    column + 1 + strlen(word) > TERMINAL_COLUMNS) {
			printf("\n%*s", INDENT, "");
			column = INDENT;
		} else if (column > INDENT) {
			putchar(' ');
			column++;
		}
		/* Such as a list of functions. */
		for (; strlen(word) > ROOM; word += ROOM)
			printf("%.*s\n%*s", ROOM, word, INDENT, "");
		fputs(word, stdout);
		column += strlen(word);
	}
	putchar('\n');
	free(copy);
}

/* A part of a command, on as many lines as it takes. */
static void print_part(const char *part, size_t length)
{
	size_t room = TERMINAL_COLUMNS - INDENT - 2 - strlen(" &&");

	while (length > room) {
		size_t cut = room - 1;

		while (cut && part[cut] != ' ')
			cut--;
		if (!cut)
			break;
		printf("%*s%.*s \\\n", INDENT + 2, "", (int)cut, part);
		part += cut + 1;
		length -= cut + 1;
	}
	printf("%*s%.*s", INDENT + 2, "", (int)length, part);
}

/* One command a line, which a shell takes as they stand. */
static void print_mend(const char *mend)
{
	const char *end;

	while ((end = strstr(mend, " && "))) {
		print_part(mend, end - mend);
		printf(" &&\n");
		mend = end + strlen(" && ");
	}
	print_part(mend, strlen(mend));
	putchar('\n');
}

static void print(const struct doctor *doctor)
{
	size_t failed = count_of(doctor, LEVEL_FAIL);
	size_t warnings = count_of(doctor, LEVEL_WARN);

	for (size_t i = 0; i < doctor->count; i++) {
		const struct finding *finding = &doctor->findings[i];
		enum style style = levels[finding->level].style;

		printf("%s%-*s%s", style_begin(style), INDENT,
		       levels[finding->level].name, style_end(style));
		print_text(finding->text);
		if (finding->mend)
			print_mend(finding->mend);
	}
	if (!failed && !warnings)
		printf("\nnothing is wrong\n");
	else
		printf("\n%zu failed, %zu warning%s\n", failed, warnings,
		       warnings == 1 ? "" : "s");
}

static int run(const struct arguments *arguments)
{
	struct p2pmr_ioc_hello hello;
	struct doctor doctor = { .fd = chardev_open(&hello) };
	size_t failed;

	check_modules(&doctor);
	check_chardev(&doctor);
	check_parameters(&doctor);
	check_rdma(&doctor);
	check_provider(&doctor);
	check_bars(&doctor);
	check_reach(&doctor);
	check_machine(&doctor);
	if (doctor.fd >= 0)
		close(doctor.fd);
	if (arguments->json)
		print_json(&doctor);
	else
		print(&doctor);
	failed = count_of(&doctor, LEVEL_FAIL);
	for (size_t i = 0; i < doctor.count; i++) {
		free(doctor.findings[i].text);
		free(doctor.findings[i].mend);
	}
	free(doctor.findings);
	return failed ? EXIT_WRONG : EXIT_OK;
}

static const struct option_spec options[] = { OPTION_JSON, OPTION_HELP, { 0 } };

const struct command doctor_command = {
	.name = "doctor",
	.summary = "what is missing or wrong, and the command that mends it",
	.about =
		"Checks all that p2pmr needs on this machine, for the user who asks. Below what\n"
		"is wrong stands the command that mends it, most of them for root. The exit\n"
		"status is 1 if a check fails; warnings do not count.",
	.options = options,
	.run = run,
};
