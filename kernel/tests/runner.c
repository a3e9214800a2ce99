// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Lists the tests of a program or runs one of them under cmocka. */
#include "runner.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground.h"
#include "host.h"

#define EXIT_SKIPPED 77
/* Not done for want of the machine: worth another try on a new one. */
#define EXIT_UNHEARD 75
/*
 * Several times what the slowest test needs on two busy CPUs that emulate; what
 * hangs in one step has a deadline of its own and fails long before.
 */
#define SECONDS 150

static bool skipped;
static char skip_reason[256];

void skip_test(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(skip_reason, sizeof(skip_reason), format, ap);
	va_end(ap);
	skipped = true;
	skip();
	abort(); /* skip() has jumped back into cmocka */
}

const char *need_env(const char *name)
{
	const char *value = getenv(name);

	if (!value || !*value)
		fail_msg("%s is not set: run this inside the lab", name);
	return value;
}

unsigned int slowness(void)
{
	const char *value = getenv("P2PMR_SLOWNESS");
	unsigned long times = value ? strtoul(value, NULL, 10) : 0;

	return times ? times : 1;
}

static int list_tests(const struct test *tests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s timeout=%u\n", tests[i].name,
		       tests[i].timeout ? tests[i].timeout : SECONDS);
	return EXIT_SUCCESS;
}

/* cmocka calls it after a failed test as well. */
static int restore(void **state)
{
	(void)state;
	ground_restore();
	return 0;
}

static int run_one(const struct test *test)
{
	const struct CMUnitTest unit[] = { {
		.name = test->name,
		.test_func = test->run,
		.teardown_func = restore,
		.initial_state = (void *)(uintptr_t)test->param,
	} };
	int failed;

	/* A crash or a kill must not swallow what was printed before it. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	ground_remember();

	failed = cmocka_run_group_tests_name(test->name, unit, NULL, NULL);
	if (failed)
		return host_was_unheard() ? EXIT_UNHEARD : EXIT_FAILURE;
	if (skipped) {
		fflush(stderr);
		printf("%s\n", skip_reason);
		return EXIT_SKIPPED;
	}
	return EXIT_SUCCESS;
}

int run_program(int argc, char **argv, const struct test *tests, size_t count)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s --list | NAME\n", argv[0]);
		return 2;
	}
	if (!strcmp(argv[1], "--list"))
		return list_tests(tests, count);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(argv[1], tests[i].name))
			return run_one(&tests[i]);

	fprintf(stderr, "%s: no test named %s\n", argv[0], argv[1]);
	return 2;
}
