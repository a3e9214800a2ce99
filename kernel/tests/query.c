// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr says is behind a range: BARs in all the ways they can be
 * mapped, host memory, both side by side, and nothing; and that a registration
 * then does what the answer foretells.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "runner.h"

#define WINDOW	    (16 * PAGE)
#define READ_WRITE  (PROT_READ | PROT_WRITE)
#define BAD_ADDRESS 8ul

static uint8_t *map_bar(enum memory_kind kind, int prot, int flags,
			size_t offset)
{
	uint8_t *bytes = bar_mmap(kind, NULL, WINDOW, prot, flags, offset);

	if (bytes == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	return bytes;
}

static uint8_t *map_host(int prot, int flags)
{
	uint8_t *bytes = mmap(NULL, WINDOW, prot, flags | MAP_ANONYMOUS, -1, 0);

	assert_true(bytes != MAP_FAILED);
	return bytes;
}

static void unmap(uint8_t *bytes)
{
	assert_int_equal(munmap(bytes, WINDOW), 0);
}

static void whole_bar(void **state)
{
	static const enum memory_kind kinds[] = { BAR, BAR_WC, BAR2, BAR2_WC };
	struct answer answer;
	struct memory bar;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		memory_map(&bar, kinds[i], 0);
		query_once(&answer, bar.bytes, bar.size);
		assert_int_equal(answer.query.count, 1);
		assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE,
			       bar.size, ALL_RIGHTS, 0, 0);
		assert_location(&answer.segments[0].location, kinds[i], 0);
		assert_caching(&answer.segments[0].location, kinds[i]);
		assert_foretold(&answer, 0, 0);
		memory_release(&bar);
	}
}

static void part_of_bar(void **state)
{
	static const struct {
		size_t start, length;
	} parts[] = { { 0, 1 },		  { 1, 1 },	     { 4095, 2 },
		      { 12345, 6789 },	  { WINDOW - 1, 1 }, { PAGE, PAGE },
		      { 77, WINDOW - 77 } };
	uint8_t *bytes = map_bar(BAR_WC, READ_WRITE, MAP_SHARED, 5 * PAGE);
	struct answer answer;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		query_once(&answer, bytes + parts[i].start, parts[i].length);
		assert_int_equal(answer.query.count, 1);
		assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE,
			       parts[i].length, ALL_RIGHTS, 0, 0);
		assert_location(&answer.segments[0].location, BAR_WC,
				5 * PAGE + parts[i].start);
	}
	unmap(bytes);
}

/* At places that no other test has mapped. */
static void caching(void **state)
{
	const size_t places[] = { bar_size(BAR) - 3 * WINDOW,
				  bar_size(BAR) - WINDOW };
	uint8_t *uncached = map_bar(BAR, READ_WRITE, MAP_SHARED, places[0]);
	uint8_t *combining = map_bar(BAR_WC, READ_WRITE, MAP_SHARED, places[1]);
	struct answer answer;

	(void)state;
	query_once(&answer, uncached, WINDOW);
	assert_int_equal(answer.segments[0].location.caching,
			 P2PMR_CACHING_UNCACHED);
	assert_caching(&answer.segments[0].location, BAR);
	query_once(&answer, combining, WINDOW);
	assert_int_equal(answer.segments[0].location.caching,
			 P2PMR_CACHING_WRITE_COMBINING);
	assert_caching(&answer.segments[0].location, BAR_WC);
	unmap(uncached);
	unmap(combining);
}

static void host_memory(void **state)
{
	uint8_t *bytes = map_host(READ_WRITE, MAP_PRIVATE);
	struct answer answer;

	(void)state;
	query_once(&answer, bytes + 3, WINDOW - 10);
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_HOST, WINDOW - 10,
		       P2PMR_RIGHT_READ | P2PMR_RIGHT_WRITE, 0, 0);
	assert_nowhere(&answer.segments[0].location);
	assert_foretold(&answer, 0, 0);

	/* Two mappings now, and one of other rights between them. */
	assert_int_equal(mprotect(bytes + PAGE, PAGE, PROT_READ), 0);
	query_once(&answer, bytes, WINDOW);
	assert_int_equal(answer.query.count, 3);
	assert_segment(&answer.segments[1], P2PMR_SEGMENT_HOST, PAGE,
		       P2PMR_RIGHT_READ, 0, EFAULT);
	assert_int_equal(answer.query.write_error, EFAULT);
	unmap(bytes);
}

/* Neighbours of one kind are one segment, as a registration sees them. */
static void host_memory_of_two_files(void **state)
{
	uint8_t *bytes = map_host(READ_WRITE, MAP_SHARED);
	struct answer answer;

	(void)state;
	assert_ptr_equal(mmap(bytes + PAGE, PAGE, READ_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 bytes + PAGE);
	query_once(&answer, bytes, WINDOW);
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_HOST, WINDOW,
		       ALL_RIGHTS, 0, 0);
	unmap(bytes);
}

static void mixed(void **state)
{
	uint8_t *bytes = map_host(READ_WRITE, MAP_PRIVATE);
	struct answer answer;

	(void)state;
	assert_ptr_equal(bar_mmap(BAR, bytes + PAGE, 2 * PAGE, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 7 * PAGE),
			 bytes + PAGE);
	assert_ptr_equal(bar_mmap(BAR2_WC, bytes + 3 * PAGE, PAGE, PROT_READ,
				  MAP_SHARED | MAP_FIXED, 0),
			 bytes + 3 * PAGE);
	query_once(&answer, bytes + 100, WINDOW - 200);
	assert_int_equal(answer.query.count, 4);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_HOST, PAGE - 100,
		       P2PMR_RIGHT_READ | P2PMR_RIGHT_WRITE, 0, 0);
	assert_segment(&answer.segments[1], P2PMR_SEGMENT_DEVICE, 2 * PAGE,
		       ALL_RIGHTS, 0, 0);
	assert_location(&answer.segments[1].location, BAR, 7 * PAGE);
	assert_segment(&answer.segments[2], P2PMR_SEGMENT_DEVICE, PAGE,
		       P2PMR_RIGHT_READ | P2PMR_RIGHT_SHARED, 0, EACCES);
	assert_location(&answer.segments[2].location, BAR2_WC, 0);
	assert_segment(&answer.segments[3], P2PMR_SEGMENT_HOST,
		       WINDOW - 4 * PAGE - 100,
		       P2PMR_RIGHT_READ | P2PMR_RIGHT_WRITE, 0, 0);
	assert_foretold(&answer, 0, EACCES);
	unmap(bytes);
}

static void holes(void **state)
{
	uint8_t *bytes = map_bar(BAR, PROT_READ, MAP_SHARED, 0);
	struct answer answer;

	(void)state;
	assert_int_equal(munmap(bytes + PAGE, PAGE), 0);
	query_once(&answer, bytes, WINDOW);
	assert_int_equal(answer.query.count, 3);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_DEVICE, PAGE,
		       P2PMR_RIGHT_READ | P2PMR_RIGHT_SHARED, 0, EACCES);
	assert_segment(&answer.segments[1], P2PMR_SEGMENT_HOLE, PAGE, 0, EFAULT,
		       EFAULT);
	assert_nowhere(&answer.segments[1].location);
	assert_location(&answer.segments[2].location, BAR, 2 * PAGE);
	/* The first error on the way counts. */
	assert_foretold(&answer, EFAULT, EACCES);

	query_once(&answer, bytes + PAGE + 1, 10);
	assert_int_equal(answer.query.count, 1);
	assert_segment(&answer.segments[0], P2PMR_SEGMENT_HOLE, 10, 0, EFAULT,
		       EFAULT);
	unmap(bytes);
}

/* Host memory, nothing, host memory: what each kernel refuses. */
static uint8_t *three_segments(void)
{
	uint8_t *bytes = mmap(NULL, 3 * PAGE, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(bytes != MAP_FAILED);
	assert_int_equal(munmap(bytes + PAGE, PAGE), 0);
	return bytes;
}

static void array_too_small(void **state)
{
	uint8_t *bytes = three_segments();
	struct answer full, answer;
	int fd = chardev_ready();

	(void)state;
	query(fd, &full, bytes, 3 * PAGE);
	assert_int_equal(full.query.count, 3);
	for (uint32_t capacity = 0; capacity < 4; capacity++) {
		query_prepare(&answer, bytes, 3 * PAGE);
		answer.query.capacity = capacity;
		if (!capacity)
			answer.query.segments = BAD_ADDRESS;
		assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY,
					       &answer.query),
				 capacity < 3 ? ENOSPC : 0);
		assert_int_equal(answer.query.count, 3);
		assert_int_equal(answer.query.read_error, EFAULT);
		assert_memory_equal(answer.segments, full.segments,
				    capacity * sizeof(full.segments[0]));
		assert_int_equal(*(uint8_t *)&answer.segments[capacity], 0xa5);
	}
	assert_int_equal(munmap(bytes, 3 * PAGE), 0);
	close(fd);
}

/* Everything this process has, and all the nothing between. */
static void all_addresses(void **state)
{
	struct answer answer;
	int fd = chardev_ready();

	(void)state;
	query_prepare(&answer, NULL, -(size_t)PAGE);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY, &answer.query),
			 ENOSPC);
	assert_true(answer.query.count > MAX_SEGMENTS);
	assert_int_equal(answer.segments[0].kind, P2PMR_SEGMENT_HOLE);
	/* The kernel's half of them is nothing too. */
	query(fd, &answer, (void *)(1ul << 63), 1ul << 40);
	assert_int_equal(answer.query.count, 1);
	assert_int_equal(answer.segments[0].kind, P2PMR_SEGMENT_HOLE);
	close(fd);
}

static const struct test tests[] = {
	TEST("device/query-bar", whole_bar),
	TEST("device/query-part-of-bar", part_of_bar),
	TEST("device/query-caching", caching),
	TEST("device/query-host-memory", host_memory),
	TEST("device/query-joins-host-memory", host_memory_of_two_files),
	TEST("device/query-mixed", mixed),
	TEST("device/query-holes", holes),
	TEST("device/query-array-too-small", array_too_small),
	TEST("device/query-all-addresses", all_addresses),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
