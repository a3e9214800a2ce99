// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr says of a mapping that a registered exporter made, whose
 * page table is empty, and when its device is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bound.h"
#include "chardev.h"

#define WINDOW	   (16 * PAGE)
#define START	   (3 * PAGE)
#define MEMORY_BAR 2

static uint8_t *map_file(enum memory_kind kind, int prot)
{
	uint8_t *bytes = bar_mmap(kind, NULL, WINDOW, prot, MAP_SHARED, START);

	if (bytes == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	return bytes;
}

static void assert_of_driver(const struct p2pmr_location *location,
			     uint64_t offset, uint32_t caching)
{
	unsigned int domain, bus, slot, number;

	assert_int_equal(sscanf(function_address(FIRST), "%x:%x:%x.%x", &domain,
				&bus, &slot, &number),
			 4);
	assert_string_equal(location->exporter, BAR_MODULE);
	assert_int_equal(location->flags,
			 P2PMR_LOCATION_EXPORTER | P2PMR_LOCATION_PCI |
				 P2PMR_LOCATION_BAR | P2PMR_LOCATION_OFFSET);
	assert_int_equal(location->domain, domain);
	assert_int_equal(location->bus, bus);
	assert_int_equal(location->devfn, slot << 3 | number);
	assert_int_equal(location->bar, MEMORY_BAR);
	assert_int_equal(location->bar_offset, offset);
	assert_int_equal(location->caching, caching);
}

/* The driver lets a BAR be mapped in one cache mode at a time. */
static void mapping_of_driver(void **state)
{
	struct answer answer;
	uint8_t *bytes;

	(void)state;
	bars_by_driver();
	bytes = map_file(BAR, PROT_READ | PROT_WRITE);
	query_once(&answer, bytes + 5, WINDOW - 5);
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE, WINDOW - 5,
		       ALL_RIGHTS, 0, 0);
	assert_of_driver(&answer.segments[0].location, START + 5,
			 P2PMR_CACHING_UNCACHED);
	assert_int_equal(munmap(bytes, WINDOW), 0);

	bytes = map_file(BAR, PROT_READ);
	query_once(&answer, bytes, WINDOW);
	assert_of_driver(&answer.segments[0].location, START,
			 P2PMR_CACHING_UNCACHED);
	assert_foretold(&answer, 0, EACCES);
	assert_int_equal(munmap(bytes, WINDOW), 0);

	bytes = map_file(BAR_WC, PROT_READ | PROT_WRITE);
	query_once(&answer, bytes, WINDOW);
	assert_of_driver(&answer.segments[0].location, START,
			 P2PMR_CACHING_WRITE_COMBINING);
	assert_foretold(&answer, 0, 0);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	function_unbind(FIRST);
}

static void device_gone(void **state)
{
	struct answer answer;
	uint8_t *bytes;

	(void)state;
	bars_by_driver();
	bytes = map_file(BAR, PROT_READ | PROT_WRITE);
	function_unbind(FIRST);
	query_once(&answer, bytes, WINDOW);
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE, WINDOW,
		       ALL_RIGHTS, ENODEV, ENODEV);
	assert_nowhere(&answer.segments[0].location);
	assert_foretold(&answer, ENODEV, ENODEV);
	assert_int_equal(munmap(bytes, WINDOW), 0);
}

static const struct test tests[] = {
	TEST("device/query-mapping-of-a-driver", mapping_of_driver),
	TEST("device/query-mapping-without-device", device_gone),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
