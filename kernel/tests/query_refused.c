// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr says of ranges that cannot be registered, and that a
 * registration then fails in just that way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "runner.h"

#define WINDOW	       (16 * PAGE)
#define READ_WRITE     (PROT_READ | PROT_WRITE)
#define REGISTERS_SIZE 256     /* of the function's BAR 0 */
#define BIOS_ROM       0xf0000 /* /dev/mem lets root map it, and it is no BAR */

static uint8_t *map_bar(enum memory_kind kind, int prot, int flags,
			size_t offset)
{
	uint8_t *bytes = bar_mmap(kind, NULL, WINDOW, prot, flags, offset);

	if (bytes == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	return bytes;
}

static void unmap(uint8_t *bytes)
{
	assert_int_equal(munmap(bytes, WINDOW), 0);
}

/* The window is one segment with these rights, and what is foretold is true. */
static void assert_whole(struct answer *answer, uint8_t *bytes, uint32_t rights,
			 int read_error, int write_error)
{
	query_once(answer, bytes, WINDOW);
	assert_int_equal(answer->query.count, 1);
	assert_segment(&answer->segments[0], P2PMR_SEGMENT_DEVICE, WINDOW,
		       rights, read_error, write_error);
	assert_foretold(answer, read_error, write_error);
}

static void read_only(void **state)
{
	uint8_t *bytes = map_bar(BAR, PROT_READ, MAP_SHARED, 0);
	struct answer answer;

	(void)state;
	assert_whole(&answer, bytes, P2PMR_RIGHT_READ | P2PMR_RIGHT_SHARED, 0,
		     EACCES);
	assert_location(&answer.segments[0].location, BAR, 0);
	unmap(bytes);
}

static void no_rights(void **state)
{
	uint8_t *bytes = map_bar(BAR, READ_WRITE, MAP_SHARED, 0);
	struct answer answer;

	(void)state;
	assert_int_equal(mprotect(bytes, WINDOW, PROT_NONE), 0);
	assert_whole(&answer, bytes, P2PMR_RIGHT_SHARED, EACCES, EACCES);
	unmap(bytes);
}

static void private_mapping(void **state)
{
	uint8_t *bytes = map_bar(BAR, READ_WRITE, MAP_PRIVATE, 0);
	struct answer answer;

	(void)state;
	assert_whole(&answer, bytes, P2PMR_RIGHT_READ | P2PMR_RIGHT_WRITE,
		     EINVAL, EINVAL);
	assert_nowhere(&answer.segments[0].location);
	unmap(bytes);
}

static void assert_registers(const struct p2pmr_query_segment *segment,
			     int error)
{
	assert_segment(segment, P2PMR_SEGMENT_DEVICE, REGISTERS_SIZE - 16,
		       ALL_RIGHTS, error, error);
	assert_int_equal(segment->location.flags,
			 P2PMR_LOCATION_EXPORTER | P2PMR_LOCATION_PCI |
				 P2PMR_LOCATION_BAR | P2PMR_LOCATION_OFFSET);
	assert_int_equal(segment->location.bar, 0);
	assert_int_equal(segment->location.bar_offset, 16);
}

static void registers(void **state)
{
	uint8_t *bytes = registers_map();
	size_t length = REGISTERS_SIZE - 16;
	struct answer answer;

	(void)state;
	query_once(&answer, bytes + 16, length);
	assert_registers(&answer.segments[0], EPERM);
	assert_foretold(&answer, EPERM, EPERM);

	query_while(&answer, bytes + 16, length, "allow_registers", "Y");
	assert_int_equal(answer.query.count, 1);
	assert_registers(&answer.segments[0], 0);
	assert_int_equal(answer.query.read_error, 0);
	assert_int_equal(answer.query.write_error, 0);
	assert_int_equal(munmap(bytes, PAGE), 0);
}

/* The page is mapped, but the BAR ends before it does. */
static void beyond_the_bar(void **state)
{
	uint8_t *bytes = registers_map();
	struct answer answer;

	(void)state;
	query_while(&answer, bytes, PAGE, "allow_registers", "Y");
	assert_int_equal(answer.query.count, 2);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE,
		       REGISTERS_SIZE, ALL_RIGHTS, ENXIO, ENXIO);
	assert_int_equal(answer.segments[0].location.bar_offset, 0);
	assert_segment(&answer.segments[1], P2PMR_SEGMENT_DEVICE,
		       PAGE - REGISTERS_SIZE, ALL_RIGHTS, ENXIO, ENXIO);
	assert_int_equal(answer.segments[1].location.flags,
			 P2PMR_LOCATION_EXPORTER | P2PMR_LOCATION_PCI);
	assert_int_equal(munmap(bytes, PAGE), 0);
}

static void no_bar(void **state)
{
	int fd = open("/dev/mem", O_RDONLY);
	struct answer answer;
	uint8_t *bytes;

	(void)state;
	assert_true(fd >= 0);
	bytes = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, BIOS_ROM);
	close(fd);
	assert_true(bytes != MAP_FAILED);
	query_once(&answer, bytes, PAGE);
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE, PAGE,
		       P2PMR_RIGHT_READ | P2PMR_RIGHT_SHARED, ENXIO, EACCES);
	assert_nowhere(&answer.segments[0].location);
	assert_foretold(&answer, ENXIO, EACCES);
	assert_int_equal(munmap(bytes, PAGE), 0);
}

static void exporter_off(void **state)
{
	uint8_t *bytes = map_bar(BAR, READ_WRITE, MAP_SHARED, 0);
	struct answer answer;

	(void)state;
	query_while(&answer, bytes, WINDOW, "builtin_exporter", "N");
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE, WINDOW,
		       ALL_RIGHTS, EPERM, EPERM);
	unmap(bytes);
}

static void no_range(void **state)
{
	static const struct {
		uint64_t address, length;
	} ranges[] = { { 0, 0 },
		       { PAGE, 0 },
		       { PAGE, -PAGE },
		       { PAGE, UINT64_MAX },
		       { UINT64_MAX, 1 },
		       { UINT64_MAX, UINT64_MAX },
		       { 1ul << 63, 1ul << 63 } };
	struct answer answer;
	int fd = chardev_ready();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		print_message("%#lx + %#lx\n", ranges[i].address,
			      ranges[i].length);
		query_prepare(&answer, (void *)ranges[i].address,
			      ranges[i].length);
		assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY,
					       &answer.query),
				 EINVAL);
	}
	/* The last byte before the end is fine. */
	query_prepare(&answer, (void *)UINT64_MAX - 1, 1);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY, &answer.query), 0);
	close(fd);
}

static const struct test tests[] = {
	TEST("device/query-read-only", read_only),
	TEST("device/query-without-rights", no_rights),
	TEST("device/query-private-mapping", private_mapping),
	TEST("device/query-register-bar", registers),
	TEST("device/query-beyond-bar", beyond_the_bar),
	TEST("device/query-no-bar", no_bar),
	TEST("device/query-exporter-off", exporter_off),
	TEST("device/refused-no-range", no_range),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
