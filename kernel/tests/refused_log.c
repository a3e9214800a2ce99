// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A refusal is told: one line in the kernel's log, a trace event, a count; and
 * many of them do not flood the log.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

/* How a refusal of this process's begins. */
static void refused_as(const char *name, char text[64])
{
	snprintf(text, 64, "refused for %s[%d]: ", name, getpid());
}

static void refused_process(char text[64])
{
	refused_as(program_invocation_short_name, text);
}

/* What other tests had refused may have used up what the log takes. */
#define LOG_INTERVAL 5
#define LOG_BURST    10

static void one_line_for_a_refusal(void **state)
{
	unsigned long before = debugfs_counter("refused");
	char line[LOG_LINE] = "", process[64], expected[256], *text;
	struct device device;
	struct memory bar;
	int log;

	(void)state;
	refused_process(process);
	sleep(LOG_INTERVAL + 1);
	device_open(&device);
	bar.size = PAGE;
	bar.bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(bar.bytes != MAP_FAILED);
	trace_start();
	log = log_open();
	assert_null(ibv_reg_mr(device.pd, bar.bytes, PAGE, ACCESS_ALL));
	assert_int_equal(errno, EACCES);
	text = trace_end();
	assert_int_equal(log_count(log, process, line), 1);
	close(log);
	assert_non_null(strstr(line, "p2pmr: "));
	assert_non_null(strstr(line, "mapping's protection"));

	snprintf(expected, sizeof(expected),
		 "p2pmr_refuse: pid=%d importer=p2pmr_verbs reason=", getpid());
	assert_once(text, expected);
	assert_once(text, "mapping's protection");
	assert_int_equal(count_in(text, "p2pmr_register:"), 0);
	assert_int_equal(debugfs_counter("refused"), before + 1);
	free(text);
	assert_int_equal(munmap(bar.bytes, PAGE), 0);
	device_close(&device);
}

/*
 * A process can give itself a name that looks like the end of the line and the
 * beginning of another. /dev/kmsg escapes what it is given, also a backslash: so
 * it tells whether the kernel's log, and with it a console, has a newline or not.
 */
static void name_stays_in_its_line(void **state)
{
	char escaped[64], line[LOG_LINE] = "";
	struct device device;
	uint8_t *bytes;
	int log;

	(void)state;
	sleep(LOG_INTERVAL + 1);
	device_open(&device);
	bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	assert_int_equal(prctl(PR_SET_NAME, "a\n\033[2Jb\177c"), 0);
	log = log_open();
	assert_null(ibv_reg_mr(device.pd, bytes, PAGE, ACCESS_ALL));
	assert_int_equal(errno, EACCES);
	refused_as("a\\x5cn\\x5ce[2Jb\\x5c177c", escaped);
	assert_int_equal(log_count(log, "refused for a", line), 1);
	if (!strstr(line, escaped))
		fail_msg("no \"%s\" in \"%s\"", escaped, line);
	close(log);
	assert_int_equal(munmap(bytes, PAGE), 0);
	device_close(&device);
}

#define MANY 1000

static void many_refusals(void **state)
{
	unsigned long before = debugfs_counter("refused");
	time_t start = time(NULL);
	unsigned int lines, most;
	char process[64], *text;
	struct device device;
	uint8_t *bytes;
	int log;

	(void)state;
	refused_process(process);
	device_open(&device);
	bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	trace_start();
	log = log_open();
	for (int i = 0; i < MANY; i++) {
		assert_null(ibv_reg_mr(device.pd, bytes, PAGE, ACCESS_ALL));
		assert_int_equal(errno, EACCES);
	}
	lines = log_count(log, process, NULL);
	close(log);
	most = LOG_BURST * ((time(NULL) - start) / LOG_INTERVAL + 2);
	text = trace_end();
	print_message("%u lines\n", lines);
	assert_true(lines <= most && most < MANY / 2);
	/* Nothing but the log is limited. */
	assert_int_equal(count_in(text, "p2pmr_refuse:"), MANY);
	assert_int_equal(debugfs_counter("refused"), before + MANY);
	free(text);
	assert_int_equal(munmap(bytes, PAGE), 0);
	device_close(&device);
}

static const struct test tests[] = {
	TEST("seen/one-log-line-for-a-refusal", one_line_for_a_refusal),
	TEST("seen/name-stays-in-its-log-line", name_stays_in_its_line),
	TEST("seen/many-refusals-few-log-lines", many_refusals),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
