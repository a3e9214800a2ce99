// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * More small regions over a BAR than the kernel has driver MRs in store, so that
 * some come from there and some do not: each has its own bytes and rights.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

/* More than STORE. */
#define REGIONS 100
#define LARGEST (65 * PAGE)

/* Around a store's 64 pages, and what fits into one. */
static const size_t sizes[] = { 1,	   8,
				37,	   PAGE - 1,
				PAGE,	   PAGE + 1,
				5 * PAGE,  64 * PAGE - 1,
				64 * PAGE, 64 * PAGE + 1 };

struct fixture {
	struct pair pair;
	struct memory host, bar;
	uint8_t *expected; /* of the whole BAR */
};

static void set_up(struct fixture *f)
{
	pair_open(&f->pair);
	memory_map(&f->host, HOST, LARGEST);
	memory_register(&f->host, f->pair.device.pd);
	memory_map(&f->bar, BAR, 0);
	f->expected = calloc(1, f->bar.size);
	assert_non_null(f->expected);
	memset(f->bar.bytes, 0, f->bar.size);
}

static void tear_down(struct fixture *f)
{
	free(f->expected);
	memory_release(&f->bar);
	memory_release(&f->host);
	pair_close(&f->pair);
}

static enum ibv_wc_status transfer(struct fixture *f, enum ibv_wr_opcode opcode,
				   const struct ibv_mr *mr, size_t length)
{
	return run_transfer(&f->pair.near,
			    &(struct transfer){
				    .opcode = opcode,
				    .local = f->host.bytes,
				    .lkey = f->host.mr->lkey,
				    .length = (uint32_t)length,
				    .remote = (uintptr_t)mr->addr,
				    .rkey = mr->rkey,
			    });
}

/* They overlap, and begin anywhere in a page. */
static size_t offset_of(unsigned int i)
{
	return i * (3 * PAGE + 1);
}

static void write_whole(struct fixture *f, const struct ibv_mr *mr,
			unsigned int i)
{
	pattern_fill(f->host.bytes, mr->length, i + 1);
	assert_status(transfer(f, IBV_WR_RDMA_WRITE, mr, mr->length),
		      IBV_WC_SUCCESS);
	memcpy(f->expected + offset_of(i), f->host.bytes, mr->length);
}

static void more_than_in_store(void **state)
{
	struct ibv_mr *mrs[REGIONS];
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned int i = 0; i < REGIONS; i++)
		mrs[i] =
			must_register(f.pair.device.pd,
				      f.bar.bytes + offset_of(i),
				      sizes[i % ARRAY_SIZE(sizes)], ACCESS_ALL);
	for (unsigned int i = 0; i < REGIONS; i++)
		write_whole(&f, mrs[i], i);
	assert_bytes(f.bar.bytes, f.expected, f.bar.size, "BAR");
	for (unsigned int i = 0; i < REGIONS; i++)
		assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	tear_down(&f);
}

static void assert_right(struct fixture *f, enum ibv_wr_opcode opcode,
			 const struct ibv_mr *mr, bool given)
{
	assert_status(transfer(f, opcode, mr, mr->length),
		      given ? IBV_WC_SUCCESS : IBV_WC_REM_ACCESS_ERR);
	if (!given)
		pair_reconnect(&f->pair);
}

/* Each is the next one in store. */
static void rights_in_turn(void **state)
{
	static const int rights[] = {
		0,
		IBV_ACCESS_REMOTE_READ,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
		ACCESS_ALL,
		IBV_ACCESS_LOCAL_WRITE,
		IBV_ACCESS_REMOTE_READ | IBV_ACCESS_RELAXED_ORDERING,
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(rights); i++) {
		int access = rights[i % ARRAY_SIZE(rights)];
		struct ibv_mr *mr = must_register(f.pair.device.pd, f.bar.bytes,
						  PAGE, access);

		print_message("access %#x\n", access);
		assert_right(&f, IBV_WR_RDMA_READ, mr,
			     access & IBV_ACCESS_REMOTE_READ);
		assert_right(&f, IBV_WR_RDMA_WRITE, mr,
			     access & IBV_ACCESS_REMOTE_WRITE);
		assert_int_equal(ibv_dereg_mr(mr), 0);
	}
	tear_down(&f);
}

/* No more than there is room for, and changed while there are MRs in it. */
static void of_any_size(void **state)
{
	static const char *const store[] = { "0",  "1",		 "7",
					     "33", "4294967295", "32" };
	struct ibv_mr *mrs[REGIONS];
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned int i = 0; i < ARRAY_SIZE(store); i++) {
		write_file(STORE_SIZE, store[i]);
		for (unsigned int j = 0; j < REGIONS; j++)
			mrs[j] = must_register(f.pair.device.pd,
					       f.bar.bytes + offset_of(j), PAGE,
					       ACCESS_ALL);
		write_whole(&f, mrs[REGIONS - 1], REGIONS - 1);
		assert_bytes(f.bar.bytes, f.expected, f.bar.size, "BAR");
		for (unsigned int j = 0; j < REGIONS; j++)
			assert_int_equal(ibv_dereg_mr(mrs[j]), 0);
	}
	tear_down(&f);
}

static unsigned int in_store(void)
{
	char *text = read_file("/sys/kernel/debug/p2pmr/stores"), *line;
	char wanted[64];
	unsigned int count;

	snprintf(wanted, sizeof(wanted), "dev=%s mrs=", need_env("P2PMR_DEV"));
	line = strstr(text, wanted);
	assert_non_null(line);
	count = strtoul(line + strlen(wanted), NULL, 10);
	free(text);
	return count;
}

/* One is taken for each small region, and used up with it. */
static void told_in_debugfs(void **state)
{
	struct ibv_mr *mr;
	struct fixture f;
	int tenths = 0;

	(void)state;
	set_up(&f);
	/* Filled up when nobody has registered for a second. */
	mr = must_register(f.pair.device.pd, f.bar.bytes, PAGE, ACCESS_ALL);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	while (in_store() != STORE) {
		assert_true(tenths++ < 100);
		usleep(100 * 1000);
	}
	write_file(STORE_SIZE, "0");
	for (unsigned int i = 1; i <= STORE; i++) {
		mr = must_register(f.pair.device.pd, f.bar.bytes, PAGE,
				   ACCESS_ALL);
		assert_int_equal(in_store(), STORE - i);
		assert_int_equal(ibv_dereg_mr(mr), 0);
		assert_int_equal(in_store(), STORE - i);
	}
	write_file(STORE_SIZE, "32");
	tear_down(&f);
}

static const struct test tests[] = {
	TEST("seen/stores", told_in_debugfs),
	TEST("verbs/mr-more-than-in-store", more_than_in_store),
	TEST("verbs/mr-rights-in-turn", rights_in_turn),
	TEST("verbs/mr-store-of-any-size", of_any_size),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
