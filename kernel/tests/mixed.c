// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * One region over several mappings that lie side by side: BARs, host memory,
 * parts of one BAR in the wrong order, two cache modes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exchange.h"
#include "host.h"
#include "runner.h"

#define PART	   (6 * PAGE)
#define MOST_PARTS 4
#define READ_WRITE (PROT_READ | PROT_WRITE)

struct layout {
	int parts;
	struct {
		enum memory_kind kind;
		size_t offset;
	} part[MOST_PARTS];
};

static void map_layout(struct memory *memory, const struct layout *layout)
{
	memset(memory, 0, sizeof(*memory));
	memory_map(memory, HOST, layout->parts * PART);
	for (int i = 0; i < layout->parts; i++) {
		uint8_t *at = memory->bytes + i * PART;

		if (layout->part[i].kind == HOST)
			continue;
		assert_ptr_equal(bar_mmap(layout->part[i].kind, at, PART,
					  READ_WRITE, MAP_SHARED | MAP_FIXED,
					  layout->part[i].offset),
				 at);
	}
}

static void assert_seen_outside(const struct memory *memory,
				const struct layout *layout)
{
	static uint8_t seen[PART];

	for (int i = 0; i < layout->parts; i++) {
		if (layout->part[i].kind == HOST)
			continue;
		host_read(bar_index(layout->part[i].kind),
			  layout->part[i].offset, seen, PART);
		assert_bytes(seen, memory->bytes + i * PART, PART,
			     "file behind the BAR");
	}
}

static void one_region(void **state)
{
	const struct layout *layout = *state;
	size_t window = layout->parts * PART;
	struct memory host, mixed;
	struct pair pair;

	pair_open(&pair);
	memory_map(&host, HOST, window);
	memory_register(&host, pair.device.pd);
	map_layout(&mixed, layout);
	memory_register(&mixed, pair.device.pd);

	for (enum operation o = WRITE; o <= SEND_IMM; o++) {
		for (int border = 1; border < layout->parts; border++) {
			size_t at = border * PART;

			exchange_checked(&pair, o, (struct place){ &host, 77 },
					 (struct place){ &mixed, at - 5001 },
					 12345, window, at + o);
			exchange_checked(&pair, o,
					 (struct place){ &mixed, at - 3 },
					 (struct place){ &host, 9 }, 7, window,
					 at - o);
		}
		exchange_checked(&pair, o, (struct place){ &host, 1 },
				 (struct place){ &mixed, 1 }, window - 2,
				 window, o);
	}
	assert_seen_outside(&mixed, layout);
	memory_release(&mixed);
	memory_release(&host);
	pair_close(&pair);
}

/* Starts and ends inside a page, in whatever memory that is. */
static void unaligned_region(void **state)
{
	const struct layout layout = {
		3, { { BAR, 0 }, { HOST, 0 }, { BAR2, PAGE } }
	};
	const size_t skip = 4000;
	struct memory host, mixed, inner;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	map_layout(&mixed, &layout);
	inner = (struct memory){ .kind = HOST,
				 .bytes = mixed.bytes + skip,
				 .size = mixed.size - 2 * skip };
	memory_map(&host, HOST, mixed.size);
	memory_register(&host, pair.device.pd);
	memory_register(&inner, pair.device.pd);
	exchange_checked(&pair, WRITE, (struct place){ &host, 0 },
			 (struct place){ &inner, 0 }, inner.size, inner.size,
			 1);
	exchange_checked(&pair, READ, (struct place){ &host, 0 },
			 (struct place){ &inner, 0 }, inner.size, inner.size,
			 2);
	assert_status(run_transfer(&pair.near,
				   &(struct transfer){
					   .opcode = IBV_WR_RDMA_WRITE,
					   .local = host.bytes,
					   .lkey = host.mr->lkey,
					   .length = inner.size + 1,
					   .remote = (uintptr_t)inner.bytes,
					   .rkey = inner.mr->rkey,
				   }),
		      IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dereg_mr(inner.mr), 0);
	memory_release(&mixed);
	memory_release(&host);
	pair_close(&pair);
}

/* Whichever device part goes, the region goes as a whole. */
static void device_part_unmapped(void **state)
{
	const struct layout layout = {
		3, { { BAR, 0 }, { HOST, 0 }, { BAR2, 0 } }
	};
	struct memory host, mixed;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&host, HOST, PAGE);
	memory_register(&host, pair.device.pd);
	for (int gone = 0; gone < 3; gone += 2) {
		struct transfer t = { .opcode = IBV_WR_RDMA_WRITE,
				      .local = host.bytes,
				      .lkey = host.mr->lkey,
				      .length = 100 };

		map_layout(&mixed, &layout);
		memory_register(&mixed, pair.device.pd);
		t.rkey = mixed.mr->rkey;
		assert_int_equal(munmap(mixed.bytes + gone * PART, PART), 0);
		for (int i = 0; i < 3; i++) {
			t.remote = (uintptr_t)mixed.bytes + i * PART;
			assert_status(run_transfer(&pair.near, &t),
				      IBV_WC_REM_ACCESS_ERR);
			pair_reconnect(&pair);
		}
		memory_release(&mixed);
	}
	memory_release(&host);
	pair_close(&pair);
}

/* The host part is pinned: its mapping may go, as with any host region. */
static void host_part_unmapped(void **state)
{
	const struct layout layout = {
		3, { { BAR, 0 }, { HOST, 0 }, { BAR2, 0 } }
	};
	static uint8_t expected[3 * PART];
	struct memory host, mixed;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	map_layout(&mixed, &layout);
	memory_map(&host, HOST, mixed.size);
	memory_register(&host, pair.device.pd);
	memory_register(&mixed, pair.device.pd);
	assert_int_equal(munmap(mixed.bytes + PART, PART), 0);

	pattern_fill(expected, sizeof(expected), 3);
	memcpy(host.bytes, expected, sizeof(expected));
	exchange(&pair, WRITE, (struct place){ &host, 0 },
		 (struct place){ &mixed, 0 }, mixed.size);
	memset(host.bytes, 0, host.size);
	exchange(&pair, READ, (struct place){ &host, 0 },
		 (struct place){ &mixed, 0 }, mixed.size);
	assert_bytes(host.bytes, expected, sizeof(expected), "read back");
	memory_release(&mixed);
	memory_release(&host);
	pair_close(&pair);
}

/* Fresh private pages: of nothing, or of a file that nobody has read. */
static uint8_t *map_private(size_t size, bool of_file)
{
	char name[] = "/var/tmp/p2pmr-mixed-XXXXXX";
	int fd = of_file ? mkstemp(name) : -1;
	uint8_t *bytes;

	if (of_file) {
		assert_true(fd >= 0);
		assert_int_equal(unlink(name), 0);
		assert_int_equal(ftruncate(fd, size), 0);
	}
	bytes = mmap(NULL, size, READ_WRITE,
		     MAP_PRIVATE | (of_file ? 0 : MAP_ANONYMOUS), fd, 0);
	assert_true(bytes != MAP_FAILED);
	close(fd);
	return bytes;
}

struct late_write {
	bool of_file;
	bool read_before; /* so that the page is mapped, but not the program's */
	int access;
};

/* Pages that the program has not written to are its own all the same. */
static void late_write(void **state)
{
	const struct late_write *how = *state;
	struct memory host, mixed = { .kind = HOST, .size = 3 * PAGE };
	static uint8_t expected[PAGE];
	struct pair pair;

	pair_open(&pair);
	memory_map(&host, HOST, PAGE);
	memory_register(&host, pair.device.pd);
	mixed.bytes = map_private(mixed.size, how->of_file);
	assert_ptr_equal(bar_mmap(BAR, mixed.bytes + PAGE, PAGE, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 mixed.bytes + PAGE);
	if (how->read_before)
		assert_int_equal(*(volatile uint8_t *)mixed.bytes, 0);
	mixed.mr = must_register(pair.device.pd, mixed.bytes, mixed.size,
				 how->access);
	pattern_fill(expected, PAGE, 5);
	memcpy(mixed.bytes, expected, PAGE);
	if (how->access & IBV_ACCESS_REMOTE_READ)
		exchange(&pair, READ, (struct place){ &host, 0 },
			 (struct place){ &mixed, 0 }, PAGE);
	else
		exchange(&pair, WRITE, (struct place){ &mixed, 0 },
			 (struct place){ &host, 0 }, PAGE);
	assert_bytes(host.bytes, expected, PAGE, "written late");
	memory_release(&mixed);
	memory_release(&host);
	pair_close(&pair);
}

#define LATE_WRITE(...) (&(const struct late_write){ __VA_ARGS__ })
#define LAYOUT(...)	(&(const struct layout){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("verbs/mr-over-two-bars", one_region,
		LAYOUT(2, { { BAR, 0 }, { BAR2, 3 * PAGE } })),
	TEST_OF("verbs/mr-over-two-cache-modes", one_region,
		LAYOUT(2, { { BAR_WC, 0 }, { BAR, PART } })),
	TEST_OF("verbs/mr-over-parts-out-of-order", one_region,
		LAYOUT(2, { { BAR, 5 * PART }, { BAR, PART } })),
	TEST_OF("verbs/mr-over-host-and-bar", one_region,
		LAYOUT(2, { { HOST, 0 }, { BAR, 0 } })),
	TEST_OF("verbs/mr-over-bar-and-host", one_region,
		LAYOUT(2, { { BAR_WC, PAGE }, { HOST, 0 } })),
	TEST_OF("verbs/mr-over-bar-host-bar-host", one_region,
		LAYOUT(4,
		       { { BAR, 0 }, { HOST, 0 }, { BAR2, 0 }, { HOST, 0 } })),
	TEST("verbs/mr-over-mixed-memory-unaligned", unaligned_region),
	TEST_OF("verbs/mixed-sees-late-writes", late_write,
		LATE_WRITE(false, false, IBV_ACCESS_REMOTE_READ)),
	TEST_OF("verbs/mixed-sees-late-writes-over-zero-page", late_write,
		LATE_WRITE(false, true, IBV_ACCESS_REMOTE_READ)),
	TEST_OF("verbs/mixed-sees-late-writes-local", late_write,
		LATE_WRITE(false, false, 0)),
	TEST_OF("verbs/mixed-sees-late-writes-of-file", late_write,
		LATE_WRITE(true, false, IBV_ACCESS_REMOTE_READ)),
	TEST_OF("verbs/mixed-sees-late-writes-of-file-local", late_write,
		LATE_WRITE(true, true, 0)),
	TEST("range/munmap-of-device-part-revokes", device_part_unmapped),
	TEST("range/munmap-of-host-part-keeps", host_part_unmapped),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
