// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Copies to and from a real BAR, judged by the file behind it: all sizes at all
 * alignments, each in a place of its own, so that one look tells of all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniband/p2pmr.h>

#include "bar.h"
#include "host.h"
#include "part.h"
#include "runner.h"
#include "system.h"

#define SIZES  150
#define PLACES 64
/* Of one copy: what is before and after it stays untouched. */
#define SLOT  256
#define TOTAL (PLACES * SLOT * ((SIZES + 9) / 10))

static const uint32_t uncached = P2PMR_CACHING_UNCACHED;
static const uint32_t combining = P2PMR_CACHING_WRITE_COMBINING;

static struct p2pmr_mapping *map_first(uint32_t caching)
{
	struct p2pmr_map_attr attr = { .size = sizeof(attr),
				       .caching = caching };
	struct p2pmr_mapping *mapping;
	char address[32];

	pci_address(BAR, address);
	mapping = p2pmr_map_bar(address, 2, &attr);
	if (!mapping)
		fail_msg("p2pmr_map_bar: %s", strerror(errno));
	return mapping;
}

/* All places, and every tenth size from `first` on. */
static void write_round(struct p2pmr_mapping *mapping, uint8_t *model,
			size_t first)
{
	uint8_t source[SIZES + 16];
	size_t slot = 0;

	for (size_t size = first; size < SIZES; size += 10)
		for (size_t place = 0; place < PLACES; place++, slot += SLOT) {
			uint8_t *from = source + size % 16;

			pattern_fill(from, size, slot + first);
			memcpy(model + slot + place, from, size);
			assert_int_equal(p2pmr_write(mapping, slot + place,
						     from, size),
					 0);
		}
	assert_true(slot <= TOTAL);
}

static void written_is_outside(void **state)
{
	struct p2pmr_mapping *mapping = map_first(*(const uint32_t *)*state);
	uint8_t *model = malloc(TOTAL), *seen = malloc(TOTAL);

	for (size_t first = 0; first < 10; first++) {
		host_fill(0, 0, TOTAL, 0x3c);
		memset(model, 0x3c, TOTAL);
		write_round(mapping, model, first);
		host_read(0, 0, seen, TOTAL);
		assert_bytes(seen, model, TOTAL, "file behind the BAR");
	}
	free(model);
	free(seen);
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

static void planted_is_read(void **state)
{
	struct p2pmr_mapping *mapping = map_first(*(const uint32_t *)*state);
	uint8_t *model = malloc(TOTAL), read[SIZES + 16];

	pattern_fill(model, TOTAL, 7);
	host_write(0, 0, model, TOTAL);
	for (size_t size = 0; size < SIZES; size++)
		for (size_t place = 0; place < PLACES; place++) {
			size_t offset = 97 * size + place;
			uint8_t *to = read + size % 16;

			memset(to, 0x3c, size);
			assert_int_equal(p2pmr_read(mapping, offset, to, size),
					 0);
			assert_bytes(to, model + offset, size, "read");
		}
	free(model);
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

/* What is written last is what is read next, in this thread. */
static void reads_what_it_wrote(void **state)
{
	struct p2pmr_mapping *mapping = map_first(*(const uint32_t *)*state);
	uint8_t source[1024], back[1024];

	for (size_t i = 0; i < 500; i++) {
		size_t offset = i * 13 % 300, length = 1 + i * 37 % 1000;

		pattern_fill(source, length, i);
		assert_int_equal(p2pmr_write(mapping, offset, source, length),
				 0);
		assert_int_equal(p2pmr_read(mapping, offset, back, length), 0);
		assert_bytes(back, source, length, "read back");
	}
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

static void bounds(void **state)
{
	struct p2pmr_mapping *mapping = map_first(uncached);
	size_t length = p2pmr_mapping_length(mapping);
	uint8_t bytes[16] = { 1 };

	(void)state;
	assert_int_equal(p2pmr_write(mapping, length - 16, bytes, 16), 0);
	assert_int_equal(p2pmr_write(mapping, length - 15, bytes, 16), -ERANGE);
	assert_int_equal(p2pmr_read(mapping, length - 15, bytes, 16), -ERANGE);
	assert_int_equal(p2pmr_read(mapping, length, bytes, 0), 0);
	assert_int_equal(p2pmr_read(mapping, length + 1, bytes, 0), -ERANGE);
	assert_int_equal(p2pmr_read(mapping, UINT64_MAX, bytes, 2), -ERANGE);
	assert_int_equal(p2pmr_write(mapping, 1, bytes, SIZE_MAX), -ERANGE);
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

#define BOTH(name, run)                                       \
	TEST_OF(COPY_TEST(name "-uncached"), run, &uncached), \
		TEST_OF(COPY_TEST(name "-combining"), run, &combining)

static const struct test tests[] = {
	BOTH("bar-written-is-outside", written_is_outside),
	BOTH("bar-planted-is-read", planted_is_read),
	BOTH("bar-reads-what-it-wrote", reads_what_it_wrote),
	TEST(COPY_TEST("bounds"), bounds),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
