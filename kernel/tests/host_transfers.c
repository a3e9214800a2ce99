// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Data moved between host memories with the modules loaded. */
#include <sys/mman.h>

#include "exchange.h"
#include "host_kinds.h"
#include "runner.h"

/* Memory from `from` to memory from `to`, by every operation. */
static void move_host_memory(struct pair *pair, void *(*from)(void),
			     void *(*to)(void))
{
	struct memory near = { .kind = HOST,
			       .bytes = from(),
			       .size = HOST_SIZE };
	struct memory far = { .kind = HOST, .bytes = to(), .size = HOST_SIZE };

	memory_register(&near, pair->device.pd);
	memory_register(&far, pair->device.pd);
	for (enum operation o = WRITE; o <= SEND_IMM; o++)
		exchange_checked(pair, o, (struct place){ &near, 4091 },
				 (struct place){ &far, 13 }, HOST_SIZE - 4091,
				 HOST_SIZE, o);
	assert_int_equal(ibv_dereg_mr(near.mr), 0);
	assert_int_equal(ibv_dereg_mr(far.mr), 0);
}

static void transfers(void **state)
{
	struct pair pair;

	(void)state;
	set_huge_pages("4\n");
	pair_open(&pair);
	move_host_memory(&pair, host_anonymous, host_anonymous);
	move_host_memory(&pair, host_file_private, host_memfd);
	move_host_memory(&pair, host_huge, host_anonymous_shared);
	pair_close(&pair);
	set_huge_pages("0\n");
}

/* Pinned host memory survives munmap, as it always did. */
static void survives_munmap(void **state)
{
	static uint8_t expected[HOST_SIZE];
	struct memory host, gone;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&host, HOST, HOST_SIZE);
	memory_map(&gone, HOST, HOST_SIZE);
	memory_register(&host, pair.device.pd);
	memory_register(&gone, pair.device.pd);
	pattern_fill(gone.bytes, HOST_SIZE, 1);
	pattern_fill(expected, HOST_SIZE, 1);
	assert_int_equal(munmap(gone.bytes, HOST_SIZE), 0);
	exchange(&pair, READ, (struct place){ &host, 0 },
		 (struct place){ &gone, 0 }, HOST_SIZE);
	assert_bytes(host.bytes, expected, HOST_SIZE, "read after munmap");
	assert_int_equal(ibv_dereg_mr(gone.mr), 0);
	memory_release(&host);
	pair_close(&pair);
}

static const struct test tests[] = {
	TEST("verbs/host-memory-transfers", transfers),
	TEST("verbs/host-memory-survives-munmap", survives_munmap),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
