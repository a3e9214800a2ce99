// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Where a mapping lies, in cases that no machine of the lab has at hand: a BAR
 * that begins within a page, and another thread that maps something at just
 * that moment. read() and mmap() of the library go through the test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mapped.h"
#include "part.h"

#define LEAD 0x300

/* ---------------------------------------- a BAR that begins in a page -- */

static bool has_lead;

/* Of the table of resources, the first line: the BAR begins later, that is all. */
static void move_first_bar(char *table, size_t size)
{
	unsigned long long first, last;
	char line[80];
	int end = 0;

	assert_int_equal(sscanf(table, "%llx %llx%n", &first, &last, &end), 2);
	assert_int_equal(first % PAGE, 0);
	snprintf(line, sizeof(line), "0x%016llx 0x%016llx", first + LEAD,
		 last + LEAD);
	assert_int_equal(strlen(line), end);
	assert_true(strlen(line) < size);
	memcpy(table, line, end);
}

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
	ssize_t n = __real_read(fd, buffer, size);

	if (has_lead && n > 100)
		move_first_bar(buffer, n);
	return n;
}

static void check_lead(struct p2pmr_mapping *mapping, size_t offset,
		       size_t length)
{
	uintptr_t address = (uintptr_t)p2pmr_mapping_address(mapping);

	assert_int_equal(address % PAGE, LEAD + offset);
	assert_int_equal(p2pmr_mapping_length(mapping), length);
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

static void bar_within_a_page(void **state)
{
	struct bar_resource res = function_resource(FIRST, 0);
	size_t size = res.end - res.start + 1;
	const char *path = function_file(FIRST, "resource0");
	struct p2pmr_mapping *mapping;

	(void)state;
	assert_in_range(size, 16, PAGE - LEAD);
	has_lead = true;
	check_lead(must_map(0, NULL), 0, size);
	check_lead(must_map(0, ATTR(.offset = 5, .length = 6)), 5, 6);
	mapping = p2pmr_map_file(path, ATTR(.offset = 8));
	assert_non_null(mapping);
	check_lead(mapping, 8, size - 8);
	assert_refused(p2pmr_map_file(path, ATTR(.offset = size)), ERANGE);
	has_lead = false;
}

/* ------------------------------------------------------ another thread -- */

/* The other thread's page, in the place where the library is about to map. */
static uint8_t *intruder;
static bool intrudes, fails;

void *__real_mmap(void *address, size_t length, int protection, int flags,
		  int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags,
		  int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags,
		  int fd, off_t offset)
{
	bool places = fd >= 0 && address;

	if (places && intrudes) {
		/* A driver that refuses leaves a hole in a fixed place. */
		if (fails)
			munmap(address, length);
		intruder = __real_mmap(address, PAGE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_equal(intruder, address);
		*intruder = 0x5a;
		intrudes = false;
	}
	if (places && fails) {
		errno = ENXIO;
		return MAP_FAILED;
	}
	return __real_mmap(address, length, protection, flags, fd, offset);
}

static void assert_intruder_stays(void)
{
	unsigned char resident;

	assert_non_null(intruder);
	assert_int_equal(mincore(intruder, PAGE, &resident), 0);
	assert_int_equal(*intruder, 0x5a);
	assert_int_equal(munmap(intruder, PAGE), 0);
}

/* Then the library maps elsewhere. */
static void thread_that_maps_first(void **state)
{
	struct p2pmr_mapping *mapping;

	(void)state;
	intrudes = true;
	fails = false;
	mapping = must_map(2, NULL);
	assert_false(intrudes);
	assert_int_equal((uintptr_t)p2pmr_mapping_address(mapping) % (2 << 20),
			 0);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	assert_intruder_stays();
}

static void thread_that_maps_when_mapping_fails(void **state)
{
	(void)state;
	intrudes = true;
	fails = true;
	assert_refused(p2pmr_map_bar(function_address(FIRST), 2, NULL), ENXIO);
	assert_false(intrudes);
	fails = false;
	assert_intruder_stays();
}

static const struct test tests[] = {
	TEST(LIB_TEST("map-bar-within-a-page"), bar_within_a_page),
	TEST(LIB_TEST("map-beside-a-thread-that-maps"), thread_that_maps_first),
	TEST(LIB_TEST("map-that-fails-beside-a-thread-that-maps"),
	     thread_that_maps_when_mapping_fails),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
