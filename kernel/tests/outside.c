// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Transfers judged from outside the guest: the machine that owns the file
 * behind the BAR plants the bytes, or looks at what arrived.
 */
#include <string.h>

#include "endpoint.h"
#include "exchange.h"
#include "host.h"
#include "runner.h"

#define WINDOW (96 * 1024)
#define OFFSET 4093
#define LENGTH (65536 + 5)

static enum memory_kind kind_of(void **state)
{
	return *(const enum memory_kind *)*state;
}

static void write_is_seen(void **state)
{
	static uint8_t expected[WINDOW], seen[WINDOW];
	enum memory_kind kind = kind_of(state);
	struct memory bar, host;
	struct pair pair;

	pattern_fill(expected, WINDOW, 7);
	host_write(bar_index(kind), 0, expected, WINDOW);

	pair_open(&pair);
	memory_map(&bar, kind, 0);
	memory_map(&host, HOST, WINDOW);
	memory_register(&bar, pair.device.pd);
	memory_register(&host, pair.device.pd);
	pattern_fill(host.bytes, WINDOW, 8);
	exchange(&pair, WRITE, (struct place){ &host, 1 },
		 (struct place){ &bar, OFFSET }, LENGTH);

	memcpy(expected + OFFSET, host.bytes + 1, LENGTH);
	host_read(bar_index(kind), 0, seen, WINDOW);
	assert_bytes(seen, expected, WINDOW, "file behind the BAR");
	memory_release(&bar);
	memory_release(&host);
	pair_close(&pair);
}

static void planted_bytes_are_read(void **state)
{
	static uint8_t planted[WINDOW], expected[WINDOW];
	enum memory_kind kind = kind_of(state);
	struct memory bar, host;
	struct pair pair;

	pair_open(&pair);
	memory_map(&bar, kind, 0);
	memory_map(&host, HOST, WINDOW);
	memory_register(&bar, pair.device.pd);
	memory_register(&host, pair.device.pd);

	/* After registration: nothing may have been copied beforehand. */
	pattern_fill(planted, WINDOW, 9);
	host_write(bar_index(kind), 0, planted, WINDOW);
	exchange(&pair, READ, (struct place){ &host, 3 },
		 (struct place){ &bar, OFFSET }, LENGTH);

	memcpy(expected + 3, planted + OFFSET, LENGTH);
	assert_bytes(host.bytes, expected, WINDOW, "bytes read");
	memory_release(&bar);
	memory_release(&host);
	pair_close(&pair);
}

static void whole_bar_is_seen(void **state)
{
	char inside[SHA256_HEX_LENGTH + 1], outside[SHA256_HEX_LENGTH + 1];
	enum memory_kind kind = kind_of(state);
	struct memory bar, host;
	struct pair pair;

	pair_open(&pair);
	memory_map(&bar, kind, 0);
	memory_map(&host, HOST, bar.size);
	memory_register(&bar, pair.device.pd);
	memory_register(&host, pair.device.pd);
	pattern_fill(host.bytes, host.size, 10);
	host_fill(bar_index(kind), 0, bar.size, 0);

	exchange(&pair, WRITE, (struct place){ &host, 0 },
		 (struct place){ &bar, 0 }, bar.size);

	guest_sha256(host.bytes, host.size, inside);
	host_sha256(bar_index(kind), 0, bar.size, outside);
	assert_string_equal(outside, inside);
	memory_release(&bar);
	memory_release(&host);
	pair_close(&pair);
}

#define KIND(kind) (&(const enum memory_kind){ kind })

static const struct test tests[] = {
	TEST_OF("verbs/write-seen-outside", write_is_seen, KIND(BAR)),
	TEST_OF("verbs/write-seen-outside-wc", write_is_seen, KIND(BAR_WC)),
	TEST_OF("verbs/write-seen-outside-second-function", write_is_seen,
		KIND(BAR2)),
	TEST_OF("verbs/read-planted-outside", planted_bytes_are_read,
		KIND(BAR)),
	TEST_OF("verbs/read-planted-outside-wc", planted_bytes_are_read,
		KIND(BAR_WC)),
	TEST_OF("verbs/read-planted-outside-second-function",
		planted_bytes_are_read, KIND(BAR2)),
	TEST_OF("verbs/write-whole-bar-seen-outside", whole_bar_is_seen,
		KIND(BAR)),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
