// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Regions over a BAR that work requests address otherwise than the process
 * does: ibv_reg_mr_iova().
 */
#include <stdlib.h>
#include <string.h>

#include "bar.h"
#include "endpoint.h"
#include "runner.h"

#define LENGTH 5001

struct fixture {
	struct pair pair;
	struct memory host, bar;
	uint8_t *expected; /* of all that is mapped of the BAR */
};

static void set_up(struct fixture *f, size_t size)
{
	pair_open(&f->pair);
	memory_map(&f->host, HOST, 2 * LENGTH);
	memory_register(&f->host, f->pair.device.pd);
	pattern_fill(f->host.bytes, 2 * LENGTH, 1);
	memory_map(&f->bar, BAR, size);
	f->expected = malloc(f->bar.size);
	assert_non_null(f->expected);
	memset(f->expected, 0, f->bar.size);
	memset(f->bar.bytes, 0, f->bar.size);
}

static void tear_down(struct fixture *f)
{
	free(f->expected);
	memory_release(&f->bar);
	memory_release(&f->host);
	pair_close(&f->pair);
}

static enum ibv_wc_status write_to(struct fixture *f, const struct ibv_mr *mr,
				   uint64_t iova, size_t from, uint32_t length)
{
	return run_transfer(&f->pair.near,
			    &(struct transfer){
				    .opcode = IBV_WR_RDMA_WRITE,
				    .local = f->host.bytes + from,
				    .lkey = f->host.mr->lkey,
				    .length = length,
				    .remote = iova,
				    .rkey = mr->rkey,
			    });
}

/* `iova` is where the BAR's byte `offset` is. */
static void assert_writes(struct fixture *f, const struct ibv_mr *mr,
			  uint64_t iova, size_t offset, uint32_t length)
{
	size_t from = (iova + offset) % LENGTH;

	assert_status(write_to(f, mr, iova, from, length), IBV_WC_SUCCESS);
	memcpy(f->expected + offset, f->host.bytes + from, length);
	assert_bytes(f->bar.bytes, f->expected, f->bar.size, "BAR");
}

static void assert_out_of_reach(struct fixture *f, const struct ibv_mr *mr,
				uint64_t iova, uint32_t length)
{
	assert_status(write_to(f, mr, iova, 0, length), IBV_WC_REM_ACCESS_ERR);
	pair_reconnect(&f->pair);
	assert_bytes(f->bar.bytes, f->expected, f->bar.size, "BAR");
}

static void part(struct fixture *f, size_t offset, uint64_t iova)
{
	const size_t length = 2 * PAGE + 5;
	struct ibv_mr *mr =
		ibv_reg_mr_iova(f->pair.device.pd, f->bar.bytes + offset,
				length, iova, ACCESS_ALL);

	print_message("BAR +%zu as iova 0x%llx\n", offset,
		      (unsigned long long)iova);
	assert_non_null(mr);
	assert_writes(f, mr, iova, offset, LENGTH);
	assert_writes(f, mr, iova + 4095, offset + 4095, 3);
	assert_writes(f, mr, iova + length - 1, offset + length - 1, 1);
	assert_out_of_reach(f, mr, (uintptr_t)f->bar.bytes + offset, 1);
	if (iova)
		assert_out_of_reach(f, mr, iova - 1, 2);
	assert_out_of_reach(f, mr, iova + length - 1, 2);
	assert_int_equal(ibv_dereg_mr(mr), 0);
}

static void parts_of_a_bar(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f, 16 * PAGE);
	part(&f, 0, 0);
	part(&f, 0, 0x10000000);
	part(&f, 37, 0x10000000 + 37);
	part(&f, 4095, 0x7fff00000000 + 4095);
	tear_down(&f);
}

/* Large pages in the driver's table, if it has any, must fit both. */
static void whole_bar(void **state)
{
	static const uint64_t iovas[] = { 0, 0x12345000, 0x40000000,
					  0x7f0000001000 };
	struct fixture f;

	(void)state;
	set_up(&f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(iovas); i++) {
		const size_t offsets[] = { 0, (2 << 20) - 3, (4 << 20) - PAGE,
					   (7 << 20) + 1, f.bar.size - LENGTH };
		struct ibv_mr *mr =
			ibv_reg_mr_iova(f.pair.device.pd, f.bar.bytes,
					f.bar.size, iovas[i], ACCESS_ALL);

		assert_non_null(mr);
		for (size_t j = 0; j < ARRAY_SIZE(offsets); j++)
			assert_writes(&f, mr, iovas[i] + offsets[j], offsets[j],
				      LENGTH);
		assert_out_of_reach(&f, mr, iovas[i] + f.bar.size - 1, 2);
		assert_int_equal(ibv_dereg_mr(mr), 0);
	}
	tear_down(&f);
}

static const struct test tests[] = {
	TEST("verbs/mr-iova-of-part", parts_of_a_bar),
	TEST("verbs/mr-iova-of-whole-bar", whole_bar),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
