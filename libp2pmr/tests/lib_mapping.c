// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping BARs through the library: which bytes, where, and how. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "host.h"
#include "mapped.h"
#include "modules.h"
#include "part.h"
#include "runner.h"

#define MEGABYTE   (1ul << 20)
#define LARGE_PAGE (1ul << 21)

static struct p2pmr_mapping *must_map_file(const char *path,
					   const struct p2pmr_map_attr *attr)
{
	struct p2pmr_mapping *mapping = p2pmr_map_file(path, attr);

	if (!mapping)
		fail_msg("p2pmr_map_file of %s: %s", path, strerror(errno));
	return mapping;
}

/* The mapping begins at that byte of the BAR, and has that length. */
static void check_bytes(struct p2pmr_mapping *mapping, size_t offset,
			size_t length)
{
	uint8_t planted[300], seen[300];
	size_t n = length < sizeof(planted) ? length : sizeof(planted);
	uint8_t *first = p2pmr_mapping_address(mapping);

	assert_int_equal(p2pmr_mapping_length(mapping), length);
	for (size_t at = 0;; at = length - n) {
		pattern_fill(planted, n, offset + at);
		host_write(0, offset + at, planted, n);
		memset(seen, 0, n);
		assert_int_equal(p2pmr_read(mapping, at, seen, n), 0);
		assert_bytes(seen, planted, n, "read through the mapping");
		assert_int_equal(first[at], planted[0]);
		if (at == length - n)
			break;
	}
}

static void whole_bar(void **state)
{
	struct p2pmr_mapping *mapping = must_map(2, NULL);

	(void)state;
	check_bytes(mapping, 0, bar_size(BAR));
	assert_int_equal(p2pmr_mapping_caching(mapping), UNCACHED);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	assert_int_equal(p2pmr_unmap(NULL), 0);
}

static void parts_of_a_bar(void **state)
{
	const size_t size = bar_size(BAR);
	const struct {
		size_t offset, length, expected;
	} parts[] = {
		{ 0, 1, 1 },
		{ 4095, 2, 2 },
		{ 12345, 67890, 67890 },
		{ 5 * MEGABYTE + 1, 3 * MEGABYTE, 3 * MEGABYTE },
		{ size - 1, 1, 1 },
		{ size - 5000, 0, 5000 },
		{ 0, size, size },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct p2pmr_mapping *mapping =
			must_map(2, ATTR(.offset = parts[i].offset,
					 .length = parts[i].length));

		check_bytes(mapping, parts[i].offset, parts[i].expected);
		assert_int_equal(p2pmr_unmap(mapping), 0);
	}
}

static void forms_of_an_address(void **state)
{
	const char *address = function_address(FIRST);
	struct p2pmr_mapping *mapping;

	(void)state;
	assert_memory_equal(address, "0000:", 5);
	mapping = p2pmr_map_bar(address + 5, 2, NULL);
	assert_non_null(mapping);
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

static void by_file(void **state)
{
	struct p2pmr_mapping *mapping;
	char link[] = "/tmp/libp2pmr-link";

	(void)state;
	mapping = must_map_file(bar_path(BAR), NULL);
	check_bytes(mapping, 0, bar_size(BAR));
	assert_int_equal(p2pmr_mapping_caching(mapping), UNCACHED);
	assert_int_equal(p2pmr_unmap(mapping), 0);

	unlink(link);
	assert_int_equal(symlink(bar_path(BAR_WC), link), 0);
	mapping = must_map_file(link, ATTR(.offset = 777, .length = 8888,
					   .caching = COMBINING));
	check_bytes(mapping, 777, 8888);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	assert_refused(p2pmr_map_file(link, ATTR(.caching = UNCACHED)),
		       EOPNOTSUPP);
	unlink(link);
	assert_refused(p2pmr_map_file(bar_path(BAR),
				      ATTR(.caching = COMBINING)),
		       EOPNOTSUPP);
}

/* The kernel's own list of cache modes has what the library reports. */
static void caching_is_real(void **state)
{
	static const uint32_t modes[] = { UNCACHED, COMBINING };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct p2pmr_mapping *mapping =
			must_map(2, ATTR(.caching = modes[i]));
		uint32_t told = p2pmr_mapping_caching(mapping);
		struct p2pmr_answer *answer =
			p2pmr_query(p2pmr_mapping_address(mapping), 4096);

		assert_non_null(answer);
		assert_int_equal(
			p2pmr_answer_segment(answer, 0)->location.caching,
			told);
		p2pmr_answer_free(answer);
		assert_int_equal(p2pmr_unmap(mapping), 0);
	}
}

static void of_host_memory(void **state)
{
	char path[] = "/dev/shm/libp2pmr-XXXXXX";
	int fd = mkstemp(path);
	struct p2pmr_mapping *mapping;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	mapping = must_map_file(path, ATTR(.offset = 5));
	assert_int_equal(p2pmr_mapping_length(mapping), 3 * PAGE - 5);
	assert_int_equal(p2pmr_mapping_caching(mapping),
			 P2PMR_CACHING_WRITE_BACK);
	assert_int_equal(p2pmr_write(mapping, 1, "abc", 3), 0);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	close(fd);
	unlink(path);
}

static void congruent(void **state)
{
	static const size_t offsets[] = { 0, PAGE, MEGABYTE, LARGE_PAGE,
					  3 * MEGABYTE + 12345 };

	(void)state;
	/* Several at a time, lest one be congruent by luck. */
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		struct p2pmr_mapping *mappings[4];

		for (size_t j = 0; j < ARRAY_SIZE(mappings); j++) {
			mappings[j] = must_map(
				2, ATTR(.offset = offsets[i],
					.length = 5 * MEGABYTE + 333 * j));
			assert_int_equal(
				((uintptr_t)p2pmr_mapping_address(mappings[j]) -
				 offsets[i]) %
					LARGE_PAGE,
				0);
			check_bytes(mappings[j], offsets[i],
				    5 * MEGABYTE + 333 * j);
		}
		for (size_t j = 0; j < ARRAY_SIZE(mappings); j++)
			assert_int_equal(p2pmr_unmap(mappings[j]), 0);
	}
}

static size_t address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%zu", &pages), 1);
	fclose(file);
	return pages * PAGE;
}

static void nothing_stays_mapped(void **state)
{
	size_t before;

	(void)state;
	/* What other libraries map at their first use has been mapped then. */
	address_space();
	assert_int_equal(p2pmr_unmap(must_map(2, NULL)), 0);
	before = address_space();
	for (int i = 0; i < 10; i++) {
		struct p2pmr_mapping *mapping = must_map(2, NULL);

		assert_int_equal(address_space(), before + bar_size(BAR));
		assert_int_equal(p2pmr_unmap(mapping), 0);
		assert_int_equal(address_space(), before);
	}
}

/* Room for the BAR, but not for the place as well. */
static void little_room(void **state)
{
	struct rlimit limit, before;
	struct p2pmr_mapping *mapping;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	limit = before;
	limit.rlim_cur = address_space() + bar_size(BAR) + MEGABYTE;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	mapping = must_map(2, NULL);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	check_bytes(mapping, 0, bar_size(BAR));
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

static void read_only(void **state)
{
	struct p2pmr_mapping *mapping =
		must_map(2, ATTR(.flags = P2PMR_MAP_READ_ONLY));
	struct p2pmr_answer *answer;

	(void)state;
	check_bytes(mapping, 0, bar_size(BAR));
	assert_int_equal(p2pmr_write(mapping, 0, "x", 1), -EACCES);
	answer = p2pmr_query(p2pmr_mapping_address(mapping), PAGE);
	assert_non_null(answer);
	assert_int_equal(
		p2pmr_answer_segment(answer, 0)->rights & P2PMR_RIGHT_WRITE, 0);
	p2pmr_answer_free(answer);
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

/* The registers, for which only uncached will do. */
static void register_bar(void **state)
{
	struct bar_resource res = function_resource(FIRST, 0);
	struct p2pmr_mapping *mapping = must_map(0, NULL);
	uint32_t word;

	(void)state;
	assert_int_equal(p2pmr_mapping_length(mapping),
			 res.end - res.start + 1);
	assert_int_equal(p2pmr_read(mapping, 0, &word, sizeof(word)), 0);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	assert_refused(p2pmr_map_bar(function_address(FIRST), 0,
				     ATTR(.caching = COMBINING)),
		       EOPNOTSUPP);
}

static void through_the_driver(void **state)
{
	struct p2pmr_mapping *mapping;

	(void)state;
	function_bind(FIRST);
	mapping = must_map(2, ATTR(.offset = 4097));
	check_bytes(mapping, 4097, bar_size(BAR) - 4097);
	assert_int_equal(p2pmr_mapping_caching(mapping), UNCACHED);
	/* All who have it open agree on the caching. */
	assert_refused(p2pmr_map_bar(function_address(FIRST), 2,
				     ATTR(.caching = COMBINING)),
		       EBUSY);
	assert_int_equal(p2pmr_unmap(mapping), 0);

	mapping = must_map(2, ATTR(.caching = COMBINING));
	check_bytes(mapping, 0, bar_size(BAR));
	assert_int_equal(p2pmr_mapping_caching(mapping), COMBINING);
	assert_int_equal(p2pmr_unmap(mapping), 0);

	/* A device file has no size of its own; the function's table has. */
	mapping = must_map_file(bar_file(FIRST, 2, true), NULL);
	check_bytes(mapping, 0, bar_size(BAR));
	assert_int_equal(p2pmr_mapping_caching(mapping), COMBINING);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	assert_refused(p2pmr_map_file(bar_file(FIRST, 2, false),
				      ATTR(.offset = bar_size(BAR))),
		       ERANGE);
	function_unbind(FIRST);
}

/* Without /dev/p2pmr the caching is what the file stands for. */
static void without_the_module(void **state)
{
	struct p2pmr_mapping *mapping;

	(void)state;
	modules_unload();
	mapping = must_map(2, ATTR(.caching = COMBINING));
	assert_int_equal(p2pmr_mapping_caching(mapping), COMBINING);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	mapping = must_map(2, NULL);
	assert_int_equal(p2pmr_mapping_caching(mapping), UNCACHED);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	modules_load();
}

static const struct test tests[] = {
	TEST(LIB_TEST("map-whole-bar"), whole_bar),
	TEST(LIB_TEST("map-parts-of-a-bar"), parts_of_a_bar),
	TEST(LIB_TEST("map-forms-of-an-address"), forms_of_an_address),
	TEST(LIB_TEST("map-by-file"), by_file),
	TEST(LIB_TEST("map-caching-is-real"), caching_is_real),
	TEST(LIB_TEST("map-of-host-memory"), of_host_memory),
	TEST(LIB_TEST("map-congruent-to-large-pages"), congruent),
	TEST(LIB_TEST("map-nothing-stays-mapped"), nothing_stays_mapped),
	TEST(LIB_TEST("map-read-only"), read_only),
	TEST(LIB_TEST("map-register-bar"), register_bar),
	TEST(LIB_TEST("map-through-the-driver"), through_the_driver),
	TEST(LIB_TEST("map-without-the-module"), without_the_module),
	/* ASan itself takes the room of terabytes. */
	TEST(LIB_TEST("map-with-little-room"), little_room),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests,
				 ARRAY_SIZE(tests) - IS_SANITIZED);
}
