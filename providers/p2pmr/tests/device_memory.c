// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* ibv_alloc_dm() and what follows, on a pool in the first BAR. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "exchange.h"
#include "host.h"
#include "plugin.h"

#define POOL_OFFSET 0x100000ul
#define POOL_SIZE   0x40000ul

/* The pool is POOL_SIZE bytes in the middle of the BAR. */
static void name_pool(void)
{
	char text[512];

	snprintf(text, sizeof(text), "%s:%#lx:%#lx", bar_path(BAR), POOL_OFFSET,
		 POOL_SIZE);
	setenv("P2PMR_DM_BAR", text, 1);
}

static struct ibv_dm *alloc_dm(struct device *device, size_t length)
{
	struct ibv_alloc_dm_attr attr = { .length = length };

	return ibv_alloc_dm(device->context, &attr);
}

static struct ibv_dm *must_alloc(struct device *device, size_t length)
{
	struct ibv_dm *dm = alloc_dm(device, length);

	if (!dm)
		fail_msg("ibv_alloc_dm: %s", strerror(errno));
	return dm;
}

static struct ibv_mr *must_reg(struct device *device, struct ibv_dm *dm,
			       uint64_t offset, size_t length)
{
	struct ibv_mr *mr = ibv_reg_dm_mr(device->pd, dm, offset, length,
					  ACCESS_ALL | IBV_ACCESS_ZERO_BASED);

	if (!mr)
		fail_msg("ibv_reg_dm_mr: %s", strerror(errno));
	return mr;
}

static void is_written_and_read(void **state)
{
	struct memory host = { .kind = HOST };
	uint8_t seen[2 * PAGE], outside[PAGE];
	struct ibv_dm *dm;
	struct ibv_mr *mr;
	struct pair pair;
	struct transfer transfer;

	(void)state;
	name_pool();
	pair_open(&pair);
	memory_map(&host, HOST, 2 * PAGE);
	memory_register(&host, pair.device.pd);
	dm = must_alloc(&pair.device, 2 * PAGE);
	mr = must_reg(&pair.device, dm, 0, 2 * PAGE);
	pattern_fill(host.bytes, 2 * PAGE, 1);
	host_fill(0, POOL_OFFSET, 2 * PAGE, 0xee);

	/* Its addresses count from 0. */
	transfer = (struct transfer){
		.opcode = IBV_WR_RDMA_WRITE,
		.local = host.bytes,
		.lkey = host.mr->lkey,
		.length = 2 * PAGE - 12,
		.remote = 8,
		.rkey = mr->rkey,
	};
	assert_status(run_transfer(&pair.near, &transfer), IBV_WC_SUCCESS);
	assert_int_equal(ibv_memcpy_from_dm(seen, dm, 8, 2 * PAGE - 12), 0);
	assert_bytes(seen, host.bytes, 2 * PAGE - 12, "the DM");
	/* The first pool's worth is where the first DM is. */
	host_read(0, POOL_OFFSET + 8, outside, sizeof(outside));
	assert_bytes(outside, host.bytes, sizeof(outside), "the BAR");

	transfer.remote = 2 * PAGE - 8;
	transfer.length = 16;
	assert_status(run_transfer(&pair.near, &transfer),
		      IBV_WC_REM_ACCESS_ERR);

	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
	memory_release(&host);
	pair_close(&pair);
}

static void is_copied_to(void **state)
{
	uint8_t bytes[256], seen[256];
	struct device device;
	struct ibv_dm *dm;

	(void)state;
	name_pool();
	device_open(&device);
	dm = must_alloc(&device, 1000);
	for (size_t offset = 0; offset <= 12; offset += 4)
		for (size_t length = 0; length <= 32; length += 4) {
			host_fill(0, POOL_OFFSET, 256, 0xee);
			memset(seen, 0xee, sizeof(seen));
			pattern_fill(bytes, sizeof(bytes), offset + length);
			memcpy(seen + offset, bytes + 1, length);
			assert_int_equal(ibv_memcpy_to_dm(dm, offset, bytes + 1,
							  length),
					 0);
			host_read(0, POOL_OFFSET, bytes, sizeof(bytes));
			assert_bytes(bytes, seen, sizeof(bytes), "the BAR");
			assert_int_equal(ibv_memcpy_from_dm(bytes + 1, dm,
							    offset, length),
					 0);
			assert_bytes(bytes + 1, seen + offset, length,
				     "the copy");
		}
	assert_int_equal(ibv_free_dm(dm), 0);
	device_close(&device);
}

static void part_is_registered(void **state)
{
	struct memory host = { .kind = HOST };
	struct ibv_dm *dm;
	struct ibv_mr *mr;
	struct pair pair;
	uint8_t seen[64];

	(void)state;
	name_pool();
	pair_open(&pair);
	memory_map(&host, HOST, PAGE);
	memory_register(&host, pair.device.pd);
	pattern_fill(host.bytes, PAGE, 5);
	host_fill(0, POOL_OFFSET, 3 * PAGE, 0xee);
	dm = must_alloc(&pair.device, 3 * PAGE);
	mr = must_reg(&pair.device, dm, PAGE, PAGE);
	assert_status(run_transfer(&pair.near,
				   &(struct transfer){
					   .opcode = IBV_WR_RDMA_WRITE,
					   .local = host.bytes,
					   .lkey = host.mr->lkey,
					   .length = 64,
					   .remote = 0,
					   .rkey = mr->rkey,
				   }),
		      IBV_WC_SUCCESS);
	assert_int_equal(ibv_memcpy_from_dm(seen, dm, PAGE, 64), 0);
	assert_bytes(seen, host.bytes, 64, "the DM's second page");
	/* Within a page, the kernel cannot count from 0. */
	assert_null(ibv_reg_dm_mr(pair.device.pd, dm, 64, 64,
				  ACCESS_ALL | IBV_ACCESS_ZERO_BASED));
	assert_int_equal(errno, EOPNOTSUPP);

	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
	memory_release(&host);
	pair_close(&pair);
}

/* It can be had, and nothing can be done with it. */
static void nothing_is_registered(void **state)
{
	struct memory host = { .kind = HOST };
	struct ibv_dm *dm;
	struct ibv_mr *mr;
	struct pair pair;

	(void)state;
	name_pool();
	pair_open(&pair);
	memory_map(&host, HOST, PAGE);
	memory_register(&host, pair.device.pd);
	dm = must_alloc(&pair.device, PAGE);
	mr = must_reg(&pair.device, dm, 0, 0);
	assert_int_equal(mr->length, 0);
	assert_status(run_transfer(&pair.near,
				   &(struct transfer){
					   .opcode = IBV_WR_RDMA_WRITE,
					   .local = host.bytes,
					   .lkey = host.mr->lkey,
					   .length = 4,
					   .remote = 0,
					   .rkey = mr->rkey,
				   }),
		      IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
	memory_release(&host);
	pair_close(&pair);
}

static uint64_t max_dm_size(struct device *device)
{
	struct ibv_device_attr_ex attr;

	assert_int_equal(ibv_query_device_ex(device->context, NULL, &attr), 0);
	return attr.max_dm_size;
}

static void pool_as_named(void **state)
{
	char text[512];
	struct device device;
	struct ibv_dm *dm;

	(void)state;
	device_open(&device);
	unsetenv("P2PMR_DM_BAR");
	assert_int_equal(max_dm_size(&device), 0);
	assert_null(alloc_dm(&device, PAGE));
	assert_int_equal(errno, EOPNOTSUPP);

	setenv("P2PMR_DM_BAR", bar_path(BAR), 1);
	assert_int_equal(max_dm_size(&device), bar_size(BAR));
	name_pool();
	assert_int_equal(max_dm_size(&device), POOL_SIZE);
	dm = must_alloc(&device, POOL_SIZE);
	assert_null(alloc_dm(&device, 1));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ibv_free_dm(dm), 0);

	snprintf(text, sizeof(text), "%s:12", bar_path(BAR));
	setenv("P2PMR_DM_BAR", text, 1);
	assert_int_equal(max_dm_size(&device), 0);
	assert_null(alloc_dm(&device, PAGE));
	assert_int_equal(errno, EINVAL);
	setenv("P2PMR_DM_BAR", "/nowhere", 1);
	assert_null(alloc_dm(&device, PAGE));
	assert_int_equal(errno, ENOENT);
	device_close(&device);
}

static void refuses_bad_input(void **state)
{
	struct ibv_alloc_dm_attr unknown = { .length = PAGE, .comp_mask = 1 };
	int access = ACCESS_ALL | IBV_ACCESS_ZERO_BASED;
	struct device device;
	struct ibv_dm *dm;
	struct ibv_mr *mr;
	uint32_t word = 0;

	(void)state;
	name_pool();
	device_open(&device);
	assert_null(alloc_dm(&device, 0));
	assert_int_equal(errno, EINVAL);
	assert_null(alloc_dm(&device, POOL_SIZE + 1));
	assert_int_equal(errno, ENOMEM);
	assert_null(ibv_alloc_dm(device.context, &unknown));
	assert_int_equal(errno, EOPNOTSUPP);

	dm = must_alloc(&device, 100);
	assert_int_equal(ibv_memcpy_to_dm(dm, 2, &word, 4), EINVAL);
	assert_int_equal(ibv_memcpy_to_dm(dm, 100, &word, 4), EINVAL);
	assert_int_equal(ibv_memcpy_to_dm(dm, -4ul, &word, 4), EINVAL);
	assert_int_equal(ibv_memcpy_from_dm(&word, dm, 0, 3), EINVAL);
	assert_int_equal(ibv_memcpy_from_dm(&word, dm, 100, 4), EINVAL);
	assert_null(ibv_reg_dm_mr(device.pd, dm, 0, 100, ACCESS_ALL));
	assert_int_equal(errno, EINVAL);
	assert_null(ibv_reg_dm_mr(device.pd, dm, 0, 101, access));
	assert_int_equal(errno, EINVAL);
	assert_null(ibv_reg_dm_mr(device.pd, dm, 4096, 0, access));
	assert_int_equal(errno, EINVAL);

	mr = must_reg(&device, dm, 0, 100);
	assert_int_equal(ibv_free_dm(dm), EBUSY);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
	device_close(&device);
}

/* Takes half of the pool, says so, and holds it until it is killed. */
static void take_half(int socket, void *argument)
{
	struct device device;
	char done = 1;

	(void)argument;
	device_open(&device);
	must_alloc(&device, POOL_SIZE / 2);
	send_message(socket, &done, 1);
	receive_message(socket, &done, 1);
}

static void processes_share_the_pool(void **state)
{
	struct device device;
	struct ibv_dm *half, *all;
	struct child child;
	char done;

	(void)state;
	name_pool();
	device_open(&device);
	child_start(&child, take_half, NULL);
	receive_message(child.socket, &done, 1);
	half = must_alloc(&device, POOL_SIZE / 2);
	assert_null(alloc_dm(&device, 1));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ibv_free_dm(half), 0);

	/* What a process had comes back when it dies. */
	child_kill(&child);
	all = must_alloc(&device, POOL_SIZE);
	assert_int_equal(ibv_free_dm(all), 0);
	device_close(&device);
}

/* Sees the DM of before the fork, and stays until it is killed. */
static void look_at(int socket, void *dm)
{
	char word[4] = "";

	assert_int_equal(ibv_memcpy_from_dm(word, dm, 0, sizeof(word)), 0);
	send_message(socket, word, sizeof(word));
	receive_message(socket, word, sizeof(word));
}

/* A child has the mapping and the open file, and yet the parent's word counts. */
static void child_holds_nothing(void **state)
{
	struct device device;
	struct ibv_dm *dm;
	struct child child;
	char word[4];

	(void)state;
	name_pool();
	device_open(&device);
	dm = must_alloc(&device, PAGE);
	assert_int_equal(ibv_memcpy_to_dm(dm, 0, "fork", sizeof(word)), 0);
	child_start(&child, look_at, dm);
	receive_message(child.socket, word, sizeof(word));
	assert_memory_equal(word, "fork", sizeof(word));
	assert_int_equal(ibv_free_dm(dm), 0);
	dm = must_alloc(&device, POOL_SIZE);
	child_kill(&child);
	assert_int_equal(ibv_free_dm(dm), 0);
	device_close(&device);
}

static const struct test tests[] = {
	TEST("provider/dm-is-written-and-read", is_written_and_read),
	TEST("provider/dm-is-copied-to", is_copied_to),
	TEST("provider/dm-part-is-registered", part_is_registered),
	TEST("provider/dm-nothing-is-registered", nothing_is_registered),
	TEST("provider/dm-pool-as-named", pool_as_named),
	TEST("provider/dm-refuses-bad-input", refuses_bad_input),
	TEST("provider/dm-processes-share-the-pool", processes_share_the_pool),
	TEST("provider/dm-child-holds-nothing", child_holds_nothing),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
