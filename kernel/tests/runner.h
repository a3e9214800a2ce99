/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The contract between a test program and whoever runs it: `--list` prints
 * the names, a name runs that one test; exit status 0 passed, 77 skipped with
 * the reason as the last line of output, anything else failed.
 */
#ifndef P2PMR_TESTS_RUNNER_H
#define P2PMR_TESTS_RUNNER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct test {
	const char *name; /* part/behaviour */
	CMUnitTestFunction run;
	const void *param;    /* what *state is inside the test */
	unsigned int timeout; /* seconds; 0 for what most tests have */
};

#define TEST(name_, run_)                      \
	{                                      \
		.name = (name_), .run = (run_) \
	}
#define TEST_OF(name_, run_, param_)                              \
	{                                                         \
		.name = (name_), .run = (run_), .param = (param_) \
	}
#define TEST_WITHIN(seconds_, name_, run_)                            \
	{                                                             \
		.name = (name_), .run = (run_), .timeout = (seconds_) \
	}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

int run_program(int argc, char **argv, const struct test *tests, size_t count);

/* Ends the running test as skipped; only for what the environment lacks. */
void skip_test(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* A variable of the lab's environment; its absence fails the test. */
const char *need_env(const char *name);

/* How many times as long as elsewhere things may take in this guest. */
unsigned int slowness(void);

#endif
