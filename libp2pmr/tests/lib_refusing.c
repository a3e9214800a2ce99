// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What cannot be mapped, and with which errno the library says so. */
#include <stdio.h>

#include "mapped.h"
#include "part.h"

static void no_such_bar(void **state)
{
	static const char *const nonsense[] = {
		"",
		"0000",
		"../0000:00:00.0",
		"0000:00:00.0/..",
		"0000:00:00.0 ",
		" 0000:00:00.0",
		"0000:00:20.0",
		"0000:00:00.8",
		"0000:100:00.0",
		"+000:00:00.0",
		"0x00:00:00.0",
		"00000000000000000000000000000000:00:00.0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++)
		assert_refused(p2pmr_map_bar(nonsense[i], 2, NULL), EINVAL);
	assert_refused(p2pmr_map_bar("fffe:ff:1f.7", 2, NULL), ENODEV);
	assert_refused(p2pmr_map_bar(function_address(FIRST), 4, NULL), ENXIO);
	assert_refused(p2pmr_map_bar(function_address(FIRST), 6, NULL), EINVAL);
	assert_refused(p2pmr_map_bar(function_address(FIRST), ~0u, NULL),
		       EINVAL);
	assert_refused(p2pmr_map_file("/nowhere", NULL), ENOENT);
	/* Not of a kind that has a size. */
	assert_refused(p2pmr_map_file("/dev/null", NULL), EINVAL);
	assert_refused(p2pmr_map_file("/dev/null", ATTR(.length = 1)), ENODEV);
}

static void bad_ranges(void **state)
{
	const char *address = function_address(FIRST);
	size_t size = bar_size(BAR);

	(void)state;
	assert_refused(p2pmr_map_bar(address, 2, ATTR(.offset = size)), ERANGE);
	assert_refused(p2pmr_map_bar(address, 2, ATTR(.length = size + 1)),
		       ERANGE);
	assert_refused(p2pmr_map_bar(address, 2,
				     ATTR(.offset = 1, .length = size)),
		       ERANGE);
	assert_refused(p2pmr_map_bar(address, 2, ATTR(.offset = UINT64_MAX)),
		       ERANGE);
	assert_refused(p2pmr_map_bar(address, 2,
				     ATTR(.offset = 1, .length = UINT64_MAX)),
		       ERANGE);
	/* Of a file without a size too. */
	assert_refused(p2pmr_map_file("/dev/null",
				      ATTR(.offset = 1, .length = UINT64_MAX)),
		       ERANGE);
}

static void bad_attributes(void **state)
{
	struct {
		struct p2pmr_map_attr attr;
		uint64_t later;
	} larger = { { .size = sizeof(larger) }, 0 };
	const char *address = function_address(FIRST);
	struct p2pmr_mapping *mapping;

	(void)state;
	assert_refused(p2pmr_map_bar(address, 2, ATTR(.flags = 2)), EINVAL);
	assert_refused(p2pmr_map_bar(address, 2, ATTR(.reserved = 1)), EINVAL);
	assert_refused(p2pmr_map_bar(address, 2,
				     ATTR(.caching = P2PMR_CACHING_WRITE_BACK)),
		       EINVAL);
	assert_refused(p2pmr_map_bar(address, 2, &(struct p2pmr_map_attr){ 0 }),
		       EINVAL);
	assert_refused(
		p2pmr_map_bar(
			address, 2,
			&(struct p2pmr_map_attr){
				.size = sizeof(struct p2pmr_map_attr) - 1 }),
		EINVAL);
	/* Forgotten, so that it is what lay there. */
	assert_refused(
		p2pmr_map_bar(address, 2,
			      &(struct p2pmr_map_attr){ .size = 0xdeadbeef }),
		E2BIG);
	/* Of a later library's struct, what is zero means nothing. */
	mapping = must_map(2, &larger.attr);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	larger.later = 1ull << 63;
	assert_refused(p2pmr_map_bar(address, 2, &larger.attr), E2BIG);
}

static void claimed_by_a_driver(void **state)
{
	(void)state;
	function_bind(FIRST);
	assert_refused(p2pmr_map_file(bar_path(BAR), NULL), EINVAL);
	/* With its file out of the way only sysfs is left. */
	assert_int_equal(rename(bar_file(FIRST, 2, false), "/dev/p2pmr-away"),
			 0);
	assert_refused(p2pmr_map_bar(function_address(FIRST), 2, NULL), EBUSY);
	assert_int_equal(rename("/dev/p2pmr-away", bar_file(FIRST, 2, false)),
			 0);
	function_unbind(FIRST);
}

static const struct test tests[] = {
	TEST(LIB_TEST("map-refused-no-such-bar"), no_such_bar),
	TEST(LIB_TEST("map-refused-ranges"), bad_ranges),
	TEST(LIB_TEST("map-refused-attributes"), bad_attributes),
	TEST(LIB_TEST("map-refused-claimed"), claimed_by_a_driver),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
