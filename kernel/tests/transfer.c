// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Reliable-connection transfers with a BAR on either side or on both, in
 * every size class, compared byte by byte with what lies around the target.
 */
#include "exchange.h"
#include "runner.h"

#define WINDOW (96 * 1024)

struct route {
	enum operation operation;
	enum memory_kind local;
	enum memory_kind remote;
};

/* From a single byte to many pages, aligned and not, within and across. */
static const struct {
	size_t local_offset;
	size_t remote_offset;
	size_t length;
} shapes[] = {
	{ 0, 0, 1 },	      { 1, 4095, 1 },	      { 4095, 7, 2 },
	{ 4093, 8190, 7 },    { 64, 128, 255 },	      { 13, 4099, 1023 },
	{ 2, 1, 1025 },	      { 1, 3, 4094 },	      { 0, 4096, 4096 },
	{ 4095, 2049, 4096 }, { 4097, 12287, 12345 }, { 0, 4096, 65536 },
	{ 8191, 5, 65536 },   { 9, 4001, 70001 },
};

static void every_shape(void **state)
{
	const struct route *route = *state;
	struct memory local, remote;
	struct pair pair;

	pair_open(&pair);
	memory_map(&local, route->local, WINDOW);
	memory_map(&remote, route->remote, WINDOW);
	memory_register(&local, pair.device.pd);
	memory_register(&remote, pair.device.pd);

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct place here = { &local, shapes[i].local_offset };
		struct place there = { &remote, shapes[i].remote_offset };

		print_message("%zu bytes, local +%zu, remote +%zu\n",
			      shapes[i].length, here.offset, there.offset);
		exchange_checked(&pair, route->operation, here, there,
				 shapes[i].length, WINDOW, i);
	}

	memory_release(&local);
	memory_release(&remote);
	pair_close(&pair);
}

static void whole_bar(void **state)
{
	const struct route *route = *state;
	struct memory local, remote;
	size_t size = bar_size(BAR);
	struct pair pair;

	pair_open(&pair);
	memory_map(&local, route->local, size);
	memory_map(&remote, route->remote, size);
	memory_register(&local, pair.device.pd);
	memory_register(&remote, pair.device.pd);

	exchange_checked(&pair, route->operation, (struct place){ &local, 0 },
			 (struct place){ &remote, 0 }, size, size, size);

	memory_release(&local);
	memory_release(&remote);
	pair_close(&pair);
}

/* Source and target in the same BAR, through one registration. */
static void within_one_bar(void **state)
{
	const size_t half = WINDOW / 2, length = half - 3;
	static uint8_t expected[WINDOW];
	struct memory bar;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, pair.device.pd);
	pattern_fill(expected, WINDOW, 1);
	for (size_t i = 0; i < WINDOW; i++)
		bar.bytes[i] = expected[i];

	exchange(&pair, WRITE, (struct place){ &bar, 1 },
		 (struct place){ &bar, half + 2 }, length);

	for (size_t i = 0; i < length; i++)
		expected[half + 2 + i] = expected[1 + i];
	assert_bytes(bar.bytes, expected, WINDOW, "BAR");
	memory_release(&bar);
	pair_close(&pair);
}

#define ROUTE(op, from, to) (&(const struct route){ op, from, to })
/* clang-format off */
#define TESTS(name, op)                                                     \
	TEST_OF("verbs/" name "-local-bar", every_shape,                    \
		ROUTE(op, BAR, HOST)),                                      \
	TEST_OF("verbs/" name "-local-bar-wc", every_shape,                 \
		ROUTE(op, BAR_WC, HOST)),                                   \
	TEST_OF("verbs/" name "-remote-bar", every_shape,                   \
		ROUTE(op, HOST, BAR)),                                      \
	TEST_OF("verbs/" name "-remote-bar-wc", every_shape,                \
		ROUTE(op, HOST, BAR_WC)),                                   \
	TEST_OF("verbs/" name "-bar-to-bar", every_shape,                   \
		ROUTE(op, BAR, BAR2)),                                      \
	TEST_OF("verbs/" name "-bar-to-bar-wc", every_shape,                \
		ROUTE(op, BAR_WC, BAR2_WC))
/* clang-format on */

static const struct test tests[] = {
	TESTS("write", WRITE),
	TESTS("write-imm", WRITE_IMM),
	TESTS("read", READ),
	TESTS("send", SEND),
	TESTS("send-imm", SEND_IMM),
	TEST("verbs/write-within-one-bar", within_one_bar),
	TEST_OF("verbs/write-whole-bar", whole_bar, ROUTE(WRITE, HOST, BAR)),
	TEST_OF("verbs/write-whole-bar-wc", whole_bar,
		ROUTE(WRITE, HOST, BAR_WC)),
	TEST_OF("verbs/write-whole-bar-to-bar", whole_bar,
		ROUTE(WRITE, BAR, BAR2)),
	TEST_OF("verbs/read-whole-bar", whole_bar, ROUTE(READ, HOST, BAR)),
	TEST_OF("verbs/send-whole-bar", whole_bar, ROUTE(SEND, BAR, BAR2)),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
