// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Atomic operations on a word in a BAR, and atomic operations whose result
 * goes into a BAR.
 */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "bar.h"
#include "endpoint.h"
#include "host.h"
#include "runner.h"

#define WINDOW (4 * PAGE)
#define TARGET 4088 /* the last aligned word of a page */
#define RESULT 24

struct route {
	enum memory_kind local;	 /* takes the value found */
	enum memory_kind remote; /* holds the word */
};

struct fixture {
	struct pair pair;
	struct memory local, remote;
	uint8_t near_expected[WINDOW], far_expected[WINDOW];
};

static struct fixture fixture;

static void set_up(struct fixture *f, const struct route *route)
{
	pair_open(&f->pair);
	memory_map(&f->local, route->local, WINDOW);
	memory_map(&f->remote, route->remote, WINDOW);
	memory_register(&f->local, f->pair.device.pd);
	memory_register(&f->remote, f->pair.device.pd);
	pattern_fill(f->near_expected, WINDOW, 1);
	pattern_fill(f->far_expected, WINDOW, 2);
	memcpy(f->local.bytes, f->near_expected, WINDOW);
	memcpy(f->remote.bytes, f->far_expected, WINDOW);
}

static void tear_down(struct fixture *f)
{
	memory_release(&f->local);
	memory_release(&f->remote);
	pair_close(&f->pair);
}

static uint64_t word_at(const uint8_t *bytes, size_t offset)
{
	uint64_t word;

	memcpy(&word, bytes + offset, sizeof(word));
	return word;
}

static struct transfer atomic(struct fixture *f, enum ibv_wr_opcode opcode,
			      uint64_t compare_add, uint64_t swap)
{
	return (struct transfer){
		.opcode = opcode,
		.local = f->local.bytes + RESULT,
		.lkey = f->local.mr->lkey,
		.length = sizeof(uint64_t),
		.remote = (uintptr_t)f->remote.bytes + TARGET,
		.rkey = f->remote.mr->rkey,
		.compare_add = compare_add,
		.swap = swap,
	};
}

/* Runs it; the target must then hold `after`, the result what was before. */
static void check(struct fixture *f, struct transfer transfer, uint64_t after)
{
	memcpy(f->near_expected + RESULT, f->far_expected + TARGET,
	       sizeof(after));
	memcpy(f->far_expected + TARGET, &after, sizeof(after));
	assert_status(run_transfer(&f->pair.near, &transfer), IBV_WC_SUCCESS);
	assert_bytes(f->local.bytes, f->near_expected, WINDOW, "local side");
	assert_bytes(f->remote.bytes, f->far_expected, WINDOW, "remote side");
}

static void compare_and_swap(void **state)
{
	struct fixture *f = &fixture;
	uint64_t before;

	set_up(f, *state);
	before = word_at(f->far_expected, TARGET);
	check(f, atomic(f, IBV_WR_ATOMIC_CMP_AND_SWP, before, 77), 77);
	/* Another value than the one compared with: nothing is stored. */
	check(f, atomic(f, IBV_WR_ATOMIC_CMP_AND_SWP, before, 78), 77);
	check(f, atomic(f, IBV_WR_ATOMIC_CMP_AND_SWP, 77, before), before);
	tear_down(f);
}

static void fetch_and_add(void **state)
{
	struct fixture *f = &fixture;
	uint64_t before;

	set_up(f, *state);
	before = word_at(f->far_expected, TARGET);
	check(f, atomic(f, IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 0), before + 1);
	check(f, atomic(f, IBV_WR_ATOMIC_FETCH_AND_ADD, ~before, 0), 0);
	check(f, atomic(f, IBV_WR_ATOMIC_FETCH_AND_ADD, ~0ull, 0), ~0ull);
	tear_down(f);
}

static void result_is_seen_outside(void **state)
{
	const struct route route = { HOST, BAR };
	struct fixture *f = &fixture;
	uint8_t planted[8] = { 0xfe, 0xff, 0xff, 0xff, 1 }, seen[8];
	struct transfer t;

	(void)state;
	set_up(f, &route);
	host_write(0, TARGET, planted, sizeof(planted));
	t = atomic(f, IBV_WR_ATOMIC_FETCH_AND_ADD, 3, 0);
	assert_status(run_transfer(&f->pair.near, &t), IBV_WC_SUCCESS);
	host_read(0, TARGET, seen, sizeof(seen));
	assert_true(word_at(f->local.bytes, RESULT) == 0x1fffffffeull);
	assert_true(word_at(seen, 0) == 0x200000001ull);
	tear_down(f);
}

#define ADDERS	  2
#define ADDITIONS 300

struct adder {
	pthread_t thread;
	struct pair pair;
	struct memory result;
	struct transfer transfer;
	enum ibv_wc_status failure;
};

static void *add_many(void *argument)
{
	struct adder *adder = argument;

	for (int i = 0; i < ADDITIONS && !adder->failure; i++)
		adder->failure =
			try_transfer(&adder->pair.near, &adder->transfer);
	return NULL;
}

/* Each adder has its own device, PD and registration of the same BAR. */
static void concurrent_additions_all_count(void **state)
{
	static struct adder adders[ADDERS];
	struct memory bars[ADDERS];

	(void)state;
	for (int i = 0; i < ADDERS; i++) {
		struct adder *adder = &adders[i];

		pair_open(&adder->pair);
		memory_map(&bars[i], i ? BAR_WC : BAR, WINDOW);
		memory_map(&adder->result, HOST, WINDOW);
		memory_register(&bars[i], adder->pair.device.pd);
		memory_register(&adder->result, adder->pair.device.pd);
		adder->transfer = (struct transfer){
			.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
			.local = adder->result.bytes,
			.lkey = adder->result.mr->lkey,
			.length = sizeof(uint64_t),
			.remote = (uintptr_t)bars[i].bytes + TARGET,
			.rkey = bars[i].mr->rkey,
			.compare_add = 1,
		};
	}
	memset(bars[0].bytes + TARGET, 0, sizeof(uint64_t));

	for (int i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&adders[i].thread, NULL,
						add_many, &adders[i]),
				 0);
	for (int i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_join(adders[i].thread, NULL), 0);

	for (int i = 0; i < ADDERS; i++)
		assert_status(adders[i].failure, IBV_WC_SUCCESS);
	assert_int_equal(word_at(bars[0].bytes, TARGET), ADDERS * ADDITIONS);
	for (int i = 0; i < ADDERS; i++) {
		memory_release(&bars[i]);
		memory_release(&adders[i].result);
		pair_close(&adders[i].pair);
	}
}

#define ROUTE(from, to) (&(const struct route){ from, to })
/* clang-format off */
#define TESTS(name, run)                                                   \
	TEST_OF("verbs/" name "-remote-bar", run, ROUTE(HOST, BAR)),       \
	TEST_OF("verbs/" name "-remote-bar-wc", run, ROUTE(HOST, BAR_WC)), \
	TEST_OF("verbs/" name "-local-bar", run, ROUTE(BAR, HOST)),        \
	TEST_OF("verbs/" name "-local-bar-wc", run, ROUTE(BAR_WC, HOST)),  \
	TEST_OF("verbs/" name "-bar-to-bar", run, ROUTE(BAR, BAR2))
/* clang-format on */

static const struct test tests[] = {
	TESTS("compare-and-swap", compare_and_swap),
	TESTS("fetch-and-add", fetch_and_add),
	TEST("verbs/atomic-seen-outside", result_is_seen_outside),
	TEST("verbs/atomic-concurrent", concurrent_additions_all_count),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
