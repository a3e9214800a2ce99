// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the administrator allows: which functions, how much for one user, and
 * how much host memory a user may pin in a mixed region.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bar.h"
#include "child.h"
#include "endpoint.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define WINDOW	   (16 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define MOST_MRS   4

static int attempt(enum memory_kind kind)
{
	struct device device;
	struct memory memory;
	int error = 0;

	device_open(&device);
	memory_map(&memory, kind, WINDOW);
	memory.mr = ibv_reg_mr(device.pd, memory.bytes, WINDOW, ACCESS_ALL);
	if (!memory.mr)
		error = errno;
	memory_release(&memory);
	device_close(&device);
	return error;
}

/* The errnos for the two functions while a parameter has a value. */
static void with_parameter(const char *name, const char *value, int *first,
			   int *second)
{
	char before[PARAMETER_SIZE];
	int error = module_set(CORE_MODULE, name, value, before);

	*first = attempt(BAR);
	*second = attempt(BAR2);
	assert_int_equal(module_set(CORE_MODULE, name, before, NULL), 0);
	assert_int_equal(error, 0);
}

static void expect_with(const char *name, const char *value, int first,
			int second)
{
	int got_first, got_second;

	print_message("%s=%s\n", name, value);
	with_parameter(name, value, &got_first, &got_second);
	assert_int_equal(got_first, first);
	assert_int_equal(got_second, second);
	assert_int_equal(attempt(BAR), 0);
	assert_int_equal(attempt(BAR2), 0);
}

static void exporter_off(void **state)
{
	(void)state;
	expect_with("builtin_exporter", "N", EPERM, EPERM);
}

/* "0000:01:00.0" of ".../0000:01:00.0/resource2" */
static void address_of(enum memory_kind kind, char address[32])
{
	const char *end = strrchr(bar_path(kind), '/'), *start = end;

	while (start[-1] != '/')
		start--;
	snprintf(address, 32, "%.*s", (int)(end - start), start);
}

static void allow_and_deny(void **state)
{
	char first[32], second[32], both[80];
	int got_first, got_second;

	(void)state;
	address_of(BAR, first);
	address_of(BAR2, second);
	snprintf(both, sizeof(both), "%s, %s", first, second);
	expect_with("allow", first, 0, EPERM);
	expect_with("allow", second, EPERM, 0);
	expect_with("allow", both, 0, 0);
	expect_with("allow", "1af4:1110", 0, 0);
	expect_with("allow", "8086:1110", EPERM, EPERM);
	expect_with("deny", first, EPERM, 0);
	expect_with("deny", "1af4:1110", EPERM, EPERM);
	expect_with("deny", "ffff:00:00.0", 0, 0);

	/* deny wins. */
	assert_int_equal(module_set(CORE_MODULE, "allow", both, NULL), 0);
	with_parameter("deny", second, &got_first, &got_second);
	assert_int_equal(module_set(CORE_MODULE, "allow", "", NULL), 0);
	assert_int_equal(got_first, 0);
	assert_int_equal(got_second, EPERM);
}

/* Refused as a whole, and what was there stays. */
static void malformed_lists(void **state)
{
	static const char *const values[] = {
		"everything",	"1af4",		"0000:01:00",
		"0000:01:20.0", "0000:01:00.8", "0000:01:00.0z",
		"10000:1110",	"1af4:1110;",	"1af4:1110,nonsense",
	};
	char before[PARAMETER_SIZE], left[ARRAY_SIZE(values)][PARAMETER_SIZE];
	int errors[ARRAY_SIZE(values)];

	(void)state;
	assert_int_equal(module_set(CORE_MODULE, "deny", "1af4:1111", before),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		errors[i] = module_set(CORE_MODULE, "deny", values[i], NULL);
		module_set(CORE_MODULE, "deny", "1af4:1111", left[i]);
	}
	assert_int_equal(module_set(CORE_MODULE, "deny", before, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		print_message("deny=%s\n", values[i]);
		assert_int_equal(errors[i], EINVAL);
		assert_string_equal(left[i], "1af4:1111");
	}
	assert_int_equal(attempt(BAR), 0);
}

/* As nobody, unless `root`: the errnos of four registrations at once. */
struct holder {
	bool root;
	size_t size;
};

static void hold_many(int socket, void *argument)
{
	const struct holder *holder = argument;
	struct ibv_mr *mrs[MOST_MRS];
	int errors[MOST_MRS] = { 0 };
	struct device device;
	struct memory bar;

	device_open(&device);
	memory_map(&bar, BAR, holder->size);
	if (!holder->root)
		become(NOBODY);
	for (int i = 0; i < MOST_MRS; i++) {
		mrs[i] = ibv_reg_mr(device.pd, bar.bytes, bar.size, ACCESS_ALL);
		errors[i] = mrs[i] ? 0 : errno;
	}
	/* What was given back is there again, while others are held and after. */
	assert_int_equal(ibv_dereg_mr(mrs[0]), 0);
	mrs[0] = must_register(device.pd, bar.bytes, bar.size, ACCESS_ALL);
	for (int i = 0; i < MOST_MRS; i++)
		if (mrs[i])
			assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	bar.mr = must_register(device.pd, bar.bytes, bar.size, ACCESS_ALL);
	send_message(socket, errors, sizeof(errors));
	memory_release(&bar);
	device_close(&device);
}

static void expect_held(const char *parameter, const char *value,
			struct holder holder, const int expected[MOST_MRS])
{
	char before[PARAMETER_SIZE];
	int errors[MOST_MRS];
	struct child child;

	assert_int_equal(module_set(CORE_MODULE, parameter, value, before), 0);
	child_start(&child, hold_many, &holder);
	receive_message(child.socket, errors, sizeof(errors));
	child_finish(&child);
	assert_int_equal(module_set(CORE_MODULE, parameter, before, NULL), 0);
	for (int i = 0; i < MOST_MRS; i++)
		assert_int_equal(errors[i], expected[i]);
}

static const int all[MOST_MRS];
static const int two[MOST_MRS] = { 0, 0, EDQUOT, EDQUOT };

static void limit_of_regions(void **state)
{
	(void)state;
	expect_held("user_max_ranges", "2", (struct holder){ false, PAGE },
		    two);
	expect_held("user_max_ranges", "2", (struct holder){ true, PAGE }, all);
	expect_held("user_max_ranges", "0", (struct holder){ false, PAGE },
		    all);
}

static void limit_of_memory(void **state)
{
	const size_t size = 3ul << 19; /* a MiB and a half */

	(void)state;
	expect_held("user_max_mib", "3", (struct holder){ false, size }, two);
	expect_held("user_max_mib", "3", (struct holder){ true, size }, all);
	expect_held("user_max_mib", "6", (struct holder){ false, size }, all);
	expect_held("user_max_mib", "2", (struct holder){ false, 1 << 20 },
		    two);
}

/* Holds one region until the parent says so. */
static void hold_one(int socket, void *argument)
{
	struct device device;
	struct memory bar;
	int error;
	char word;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR, PAGE);
	become(NOBODY);
	bar.mr = ibv_reg_mr(device.pd, bar.bytes, bar.size, ACCESS_ALL);
	error = bar.mr ? 0 : errno;
	send_message(socket, &error, sizeof(error));
	receive_message(socket, &word, sizeof(word));
	memory_release(&bar);
	device_close(&device);
}

/* A user is more than one process. */
static void limit_over_processes(void **state)
{
	char before[PARAMETER_SIZE], word = 0;
	struct child children[3];
	int errors[3];

	(void)state;
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", "2", before), 0);
	for (int i = 0; i < 3; i++) {
		child_start(&children[i], hold_one, NULL);
		receive_message(children[i].socket, &errors[i],
				sizeof(errors[i]));
	}
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", before, NULL), 0);
	for (int i = 0; i < 3; i++) {
		send_message(children[i].socket, &word, sizeof(word));
		child_finish(&children[i]);
	}
	assert_int_equal(errors[0], 0);
	assert_int_equal(errors[1], 0);
	assert_int_equal(errors[2], EDQUOT);
}

/* In KiB, by its name with the colon. */
static long memory_info(const char *name)
{
	char *text = read_file("/proc/meminfo"), *line = strstr(text, name);
	long value;

	assert_non_null(line);
	value = atol(line + strlen(name));
	free(text);
	return value;
}

struct exhaustion {
	int error;
	unsigned int held;
	long taken; /* KiB */
};

#define MOST_ATTEMPTS 20000

/* Whole BARs, again and again, until there is an end to it. */
static void hold_all(int socket, void *argument)
{
	const struct rlimit nothing = { 0, 0 };
	struct exhaustion seen = { 0 };
	struct device device;
	struct memory bar;
	long before;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR, 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &nothing), 0);
	become(NOBODY);
	before = memory_info("MemAvailable:");
	while (seen.held < MOST_ATTEMPTS && !seen.error) {
		if (ibv_reg_mr(device.pd, bar.bytes, bar.size, ACCESS_ALL))
			seen.held++;
		else
			seen.error = errno;
	}
	seen.taken = before - memory_info("MemAvailable:");
	send_message(socket, &seen, sizeof(seen));
	/* The process's end gives all of it back. */
}

static void default_limits(void **state)
{
	long total = memory_info("MemTotal:");
	struct exhaustion seen;
	struct child child;

	(void)state;
	child_start(&child, hold_all, NULL);
	receive_message(child.socket, &seen, sizeof(seen));
	child_finish(&child);
	print_message("%u held, %ld of %ld KiB taken\n", seen.held, seen.taken,
		      total);
	assert_int_equal(seen.error, EDQUOT);
	assert_true(seen.held >= 100);
	assert_true(seen.taken < total / 10);
}

static int try_pin(struct ibv_pd *pd, uint8_t *start, const uint8_t *end)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, start, end - start, ACCESS_ALL);

	return mr ? ibv_dereg_mr(mr) : errno;
}

/* Half host memory, half BAR; the limit lets half of the host half through. */
static void pin_mixed(int socket, void *argument)
{
	const struct rlimit limit = { WINDOW / 4, WINDOW / 4 };
	uint8_t *middle, *half, *end;
	struct memory memory;
	struct device device;
	int errors[5];

	(void)argument;
	device_open(&device);
	memory_map(&memory, HOST, WINDOW);
	half = memory.bytes + WINDOW / 4;
	middle = memory.bytes + WINDOW / 2;
	end = memory.bytes + WINDOW;
	assert_ptr_equal(bar_mmap(BAR, middle, WINDOW / 2, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 middle);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	errors[0] = try_pin(device.pd, memory.bytes, end);
	become(NOBODY);
	errors[1] = try_pin(device.pd, memory.bytes, end);
	memory.mr = ibv_reg_mr(device.pd, half, end - half, ACCESS_ALL);
	errors[2] = memory.mr ? 0 : errno;
	errors[3] = try_pin(device.pd, middle - PAGE, end);
	if (memory.mr)
		assert_int_equal(ibv_dereg_mr(memory.mr), 0);
	memory.mr = NULL;
	errors[4] = try_pin(device.pd, half, end);
	send_message(socket, errors, sizeof(errors));
	memory_release(&memory);
	device_close(&device);
}

static void pinned_part_counts(void **state)
{
	struct child child;
	int errors[5];

	(void)state;
	child_start(&child, pin_mixed, NULL);
	receive_message(child.socket, errors, sizeof(errors));
	child_finish(&child);
	assert_int_equal(errors[0], 0); /* root */
	assert_int_equal(errors[1], ENOMEM);
	assert_int_equal(errors[2], 0);
	assert_int_equal(errors[3], ENOMEM); /* beside the one before */
	assert_int_equal(errors[4], 0);
}

static const struct test tests[] = {
	TEST("verbs/refused-exporter-off", exporter_off),
	TEST("verbs/lists-of-functions", allow_and_deny),
	TEST("verbs/malformed-lists-of-functions", malformed_lists),
	TEST("verbs/limit-of-regions-per-user", limit_of_regions),
	TEST("verbs/limit-of-memory-per-user", limit_of_memory),
	TEST("verbs/limit-over-processes-of-a-user", limit_over_processes),
	TEST_WITHIN(180, "verbs/default-limits-keep-the-machine",
		    default_limits),
	TEST("verbs/host-part-counts-as-pinned", pinned_part_counts),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
