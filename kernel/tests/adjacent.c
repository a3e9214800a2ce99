// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * One region over several mappings that lie side by side: two BARs, two
 * parts of one BAR in the wrong order, two cache modes.
 */
#include <string.h>
#include <sys/mman.h>

#include "exchange.h"
#include "host.h"
#include "runner.h"

#define HALF (8 * PAGE)
#define WINDOW (2 * HALF)
#define READ_WRITE (PROT_READ | PROT_WRITE)

struct halves {
	struct {
		enum memory_kind kind;
		size_t offset;
	} half[2];
};

static void map_halves(struct memory *memory, const struct halves *halves)
{
	*memory = (struct memory){ .kind = halves->half[0].kind,
				   .size = WINDOW };
	memory->bytes = mmap(NULL, WINDOW, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory->bytes != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		uint8_t *at = memory->bytes + i * HALF;

		assert_ptr_equal(bar_mmap(halves->half[i].kind, at, HALF,
					  READ_WRITE, MAP_SHARED | MAP_FIXED,
					  halves->half[i].offset),
				 at);
	}
}

static void one_region(void **state)
{
	static uint8_t seen[HALF];
	const struct halves *halves = *state;
	struct memory host, both;
	struct pair pair;

	pair_open(&pair);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, pair.device.pd);
	map_halves(&both, halves);
	memory_register(&both, pair.device.pd);

	for (enum operation o = WRITE; o <= SEND_IMM; o++) {
		exchange_checked(&pair, o, (struct place){ &host, 77 },
				 (struct place){ &both, HALF - 5001 }, 12345,
				 WINDOW, o);
		exchange_checked(&pair, o, (struct place){ &both, HALF - 3 },
				 (struct place){ &host, 9 }, 7, WINDOW, o);
	}
	for (int i = 0; i < 2; i++) {
		host_read(bar_index(halves->half[i].kind),
			  halves->half[i].offset, seen, HALF);
		assert_bytes(seen, both.bytes + i * HALF, HALF,
			     "file behind the BAR");
	}
	memory_release(&both);
	memory_release(&host);
	pair_close(&pair);
}

/* Whichever half goes, the region goes as a whole. */
static void half_unmapped(void **state)
{
	static const struct halves halves = { { { BAR, 0 }, { BAR2, 0 } } };
	struct memory host, both;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, pair.device.pd);
	for (int gone = 0; gone < 2; gone++) {
		struct transfer t = { .opcode = IBV_WR_RDMA_WRITE,
				      .local = host.bytes,
				      .lkey = host.mr->lkey,
				      .length = 100 };

		map_halves(&both, &halves);
		memory_register(&both, pair.device.pd);
		t.rkey = both.mr->rkey;
		assert_int_equal(munmap(both.bytes + gone * HALF, HALF), 0);
		for (int i = 0; i < 2; i++) {
			t.remote = (uintptr_t)both.bytes + i * HALF;
			assert_status(run_transfer(&pair.near, &t),
				      IBV_WC_REM_ACCESS_ERR);
			pair_reconnect(&pair);
		}
		memory_release(&both);
	}
	memory_release(&host);
	pair_close(&pair);
}

#define HALVES(kind1, offset1, kind2, offset2)                     \
	(&(const struct halves){ { { kind1, offset1 }, { kind2, offset2 } } })

static const struct test tests[] = {
	TEST_OF("verbs/mr-over-two-bars", one_region,
		HALVES(BAR, 0, BAR2, 3 * PAGE)),
	TEST_OF("verbs/mr-over-two-cache-modes", one_region,
		HALVES(BAR_WC, 0, BAR, HALF)),
	TEST_OF("verbs/mr-over-parts-out-of-order", one_region,
		HALVES(BAR, 5 * HALF, BAR, HALF)),
	TEST("range/munmap-of-one-of-two-bars-revokes", half_unmapped),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
