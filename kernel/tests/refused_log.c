// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A refusal is told: one line in the kernel's log, a trace event, a count; and
 * many of them do not flood the log.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "modules.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

/* How a refusal of this process's begins. */
static void refused_process(char text[64])
{
	snprintf(text, 64,
		 "refused for %s[%d]: ", program_invocation_short_name,
		 getpid());
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

#define READ_WRITE (PROT_READ | PROT_WRITE)

static void *map_window(void)
{
	return bar_mmap(BAR, NULL, 2 * PAGE, READ_WRITE, MAP_SHARED, 0);
}

static void *map_with_hole(void)
{
	uint8_t *bytes = map_window();

	munmap(bytes + PAGE, PAGE);
	return bytes;
}

static void *map_private(void)
{
	return bar_mmap(BAR, NULL, 2 * PAGE, READ_WRITE, MAP_PRIVATE, 0);
}

static void *map_registers(void)
{
	char path[PATH_SIZE];
	void *bytes;
	int fd;

	pci_file(BAR, "resource0", path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return bytes;
}

/* What there is about each refusal that docs/kernel.md lists. */
static const struct refusal {
	const char *text;
	int error;
	void *(*map)(void);
	size_t length;
	int access; /* beside all that are usual */
	const char *parameter, *value;
} refusals[] = {
	{ "nothing is mapped at offset 0x1000", EFAULT, map_with_hole, 2 * PAGE,
	  0, NULL, NULL },
	{ "mapping is private", EINVAL, map_private, PAGE, 0, NULL, NULL },
	{ "are not supported", EOPNOTSUPP, map_window, PAGE, IBV_ACCESS_MW_BIND,
	  NULL, NULL },
	{ "parameter builtin_exporter", EPERM, map_window, PAGE, 0,
	  "builtin_exporter", "N" },
	{ "parameters allow and deny", EPERM, map_window, PAGE, 0, "deny",
	  "1af4:1110" },
	{ "parameter allow_registers", EPERM, map_registers, 256, 0, NULL,
	  NULL },
};

static void provoke(struct ibv_pd *pd, const struct refusal *refusal)
{
	char before[PARAMETER_SIZE];
	void *bytes = refusal->map();
	struct ibv_mr *mr;
	int error;

	assert_true(bytes != MAP_FAILED);
	if (refusal->parameter)
		assert_int_equal(module_set(CORE_MODULE, refusal->parameter,
					    refusal->value, before),
				 0);
	mr = ibv_reg_mr(pd, bytes, refusal->length,
			ACCESS_ALL | refusal->access);
	error = errno;
	if (refusal->parameter)
		assert_int_equal(module_set(CORE_MODULE, refusal->parameter,
					    before, NULL),
				 0);
	assert_null(mr);
	assert_int_equal(error, refusal->error);
	munmap(bytes, refusal->length);
}

static void each_refusal_says_why(void **state)
{
	char line[LOG_LINE], process[64];
	struct device device;
	int log;

	(void)state;
	refused_process(process);
	sleep(LOG_INTERVAL + 1);
	device_open(&device);
	log = log_open();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		print_message("%s\n", refusals[i].text);
		provoke(device.pd, &refusals[i]);
		line[0] = '\0';
		assert_int_equal(log_count(log, process, line), 1);
		assert_non_null(strstr(line, refusals[i].text));
	}
	close(log);
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
	TEST("seen/each-refusal-says-why", each_refusal_says_why),
	TEST("seen/many-refusals-few-log-lines", many_refusals),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
