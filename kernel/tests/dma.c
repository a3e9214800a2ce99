// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A device with a DMA engine reads and writes BARs and host memory at the DMA
 * addresses that p2pmr gives it, and only with the rights that the mapping has.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "host.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define WINDOW	   (8 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

struct span {
	size_t offset, length;
};

/* Where in its mapping a range lies, and what is moved in it. */
struct plan {
	enum memory_kind kind;
	size_t first, length;
	struct span spans[4];
};

/* Every byte of the window, seen from outside. */
static void assert_outside(enum memory_kind kind, const uint8_t *expected)
{
	static uint8_t seen[WINDOW];

	host_read(bar_index(kind), 0, seen, WINDOW);
	assert_bytes(seen, expected, WINDOW, "file behind the BAR");
}

static void write_span(int fd, const struct plan *plan, struct span span,
		       uint64_t seed)
{
	static uint8_t data[EDU_BUFFER], expected[WINDOW];

	memset(expected, 0, WINDOW);
	host_fill(bar_index(plan->kind), 0, WINDOW, 0);
	pattern_fill(data, span.length, seed);
	memcpy(expected + plan->first + span.offset, data, span.length);
	engine_fill(data, span.length);
	engine_move(fd, EDU_STORE, span.offset, span.length);
	assert_outside(plan->kind, expected);
}

static void read_span(int fd, const struct plan *plan, struct span span,
		      uint64_t seed)
{
	static uint8_t planted[WINDOW], data[EDU_BUFFER];

	pattern_fill(planted, WINDOW, seed);
	host_write(bar_index(plan->kind), 0, planted, WINDOW);
	engine_move(fd, EDU_LOAD, span.offset, span.length);
	engine_read(data, span.length);
	assert_bytes(data, planted + plan->first + span.offset, span.length,
		     "read by the device");
}

static void writes_and_reads(void **state)
{
	const struct plan *plan = *state;
	struct memory bar;
	int fd;

	engine_load();
	memory_map(&bar, plan->kind, WINDOW);
	fd = engine_open();
	engine_map(fd, bar.bytes + plan->first, plan->length);
	assert_int_equal(ranges_of(getpid(), "live"), 1);
	for (size_t i = 0; i < ARRAY_SIZE(plan->spans); i++) {
		if (!plan->spans[i].length)
			continue;
		write_span(fd, plan, plan->spans[i], 2 * i);
		read_span(fd, plan, plan->spans[i], 2 * i + 1);
	}
	close(fd);
	memory_release(&bar);
	engine_unload();
}

/* The CPU and the host's memory have no part in it. */
static void bar_to_bar(void **state)
{
	static uint8_t data[EDU_BUFFER], seen[EDU_BUFFER];
	struct memory from, to;
	int load, store;

	(void)state;
	engine_load();
	memory_map(&from, BAR, WINDOW);
	memory_map(&to, BAR2_WC, WINDOW);
	load = engine_open();
	store = engine_open();
	engine_map(load, from.bytes, WINDOW);
	engine_map(store, to.bytes, WINDOW);
	pattern_fill(data, sizeof(data), 11);
	host_write(bar_index(BAR), 5, data, sizeof(data));
	host_fill(bar_index(BAR2), 0, WINDOW, 0);
	engine_move(load, EDU_LOAD, 5, sizeof(data));
	engine_move(store, EDU_STORE, 4097, sizeof(data));
	host_read(bar_index(BAR2), 4097, seen, sizeof(seen));
	assert_bytes(seen, data, sizeof(data), "file behind the second BAR");
	close(load);
	close(store);
	memory_release(&from);
	memory_release(&to);
	engine_unload();
}

#define PART (2 * PAGE)
static const enum memory_kind parts[] = { HOST, BAR, HOST, BAR2, BAR };

static void map_parts(struct memory *memory)
{
	memory_map(memory, HOST, ARRAY_SIZE(parts) * PART);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		uint8_t *at = memory->bytes + i * PART;

		if (parts[i] == HOST)
			continue;
		host_fill(bar_index(parts[i]), 0, WINDOW, 0);
		assert_ptr_equal(bar_mmap(parts[i], at, PART, READ_WRITE,
					  MAP_SHARED | MAP_FIXED, i / 3 * PART),
				 at);
	}
}

/* As the CPU sees it, and the device memory from outside. */
static void assert_parts(const struct memory *memory, const uint8_t *expected)
{
	static uint8_t seen[PART];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i] == HOST)
			memcpy(seen, memory->bytes + i * PART, PART);
		else
			host_read(bar_index(parts[i]), i / 3 * PART, seen,
				  PART);
		assert_bytes(seen, expected + i * PART, PART, "a part");
	}
}

static void mixed(void **state)
{
	static uint8_t data[EDU_BUFFER], model[ARRAY_SIZE(parts) * PART];
	const size_t length = 3001;
	struct memory memory;
	struct edu_segment segment;
	unsigned int device = 0;
	int fd;

	(void)state;
	engine_load();
	map_parts(&memory);
	fd = engine_open();
	engine_map(fd, memory.bytes + 1, memory.size - 2);
	for (unsigned int i = 0; engine_segment(fd, i, &segment); i++)
		device += !segment.host;
	assert_int_equal(device, 3);

	/* The beginning and every border, then back as the device reads it. */
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t at = i ? i * PART - 1234 : 1;

		pattern_fill(data, length, i);
		memcpy(model + at, data, length);
		engine_fill(data, length);
		engine_move(fd, EDU_STORE, at - 1, length);
		engine_fill(model, length);
		engine_move(fd, EDU_LOAD, at - 1, length);
		engine_read(data, length);
		assert_bytes(data, model + at, length, "read by the device");
	}
	assert_parts(&memory, model);
	close(fd);
	assert_int_equal(munmap(memory.bytes, memory.size), 0);
	engine_unload();
}

static void read_only(void **state)
{
	static uint8_t data[WINDOW], seen[EDU_BUFFER];
	void *bytes;
	int fd;

	(void)state;
	engine_load();
	bytes = bar_mmap(BAR, NULL, WINDOW, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	fd = engine_open();
	assert_int_equal(
		engine_try_map(fd, bytes, WINDOW, false, EDU_TO_DEVICE), 0);
	pattern_fill(data, WINDOW, 21);
	host_write(bar_index(BAR), 0, data, WINDOW);
	engine_move(fd, EDU_LOAD, 77, 1000);
	engine_read(seen, 1000);
	assert_bytes(seen, data + 77, 1000, "read by the device");
	assert_stopped(fd, EDU_STORE, PAGE + 3, 100);
	assert_outside(BAR, data);
	close(fd);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	engine_unload();
}

/* The errno, and that nothing is left: the file can map all the same. */
static void assert_refused(int fd, const void *bytes, size_t length, bool write,
			   unsigned int direction, int expected)
{
	assert_int_equal(engine_try_map(fd, bytes, length, write, direction),
			 expected);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_int_equal(engine_try_move(fd, EDU_LOAD, 0, 1), ESTALE);
}

static void refused(void **state)
{
	char reason[REASON_SIZE], *text;
	struct memory bar;
	void *readable;
	int fd;

	(void)state;
	engine_load();
	trace_start();
	memory_map(&bar, BAR, WINDOW);
	readable = bar_mmap(BAR, NULL, WINDOW, PROT_READ, MAP_SHARED, 0);
	assert_true(readable != MAP_FAILED);
	fd = engine_open();
	assert_refused(fd, bar.bytes, WINDOW, true, EDU_NO_WAY, EINVAL);
	assert_refused(fd, bar.bytes, WINDOW, true, 99, EINVAL);
	assert_refused(fd, bar.bytes, WINDOW, false, EDU_BOTH_WAYS, EACCES);
	assert_refused(fd, bar.bytes, WINDOW, false, EDU_FROM_DEVICE, EACCES);
	assert_refused(fd, readable, WINDOW, true, EDU_BOTH_WAYS, EACCES);
	assert_refused(fd, bar.bytes, 0, true, EDU_BOTH_WAYS, EINVAL);
	assert_int_equal(munmap(readable, WINDOW), 0);
	assert_refused(fd, readable, WINDOW, false, EDU_TO_DEVICE, EFAULT);
	engine_map(fd, bar.bytes, WINDOW);
	close(fd);
	memory_release(&bar);
	engine_unload();

	text = trace_end();
	for (size_t i = 0; i < 2; i++) {
		refusal_reason(text, i, reason);
		assert_non_null(strstr(reason, "range is for reading only"));
	}
	free(text);
}

/*
 * The device reaches 1 MiB of addresses: the host page in front of the BAR gets
 * one, the BAR none. Then all of them must be free again.
 */
static void refused_unreachable(void **state)
{
	const size_t most = 1 << 20;
	struct edu_map map = { .direction = EDU_BOTH_WAYS,
			       .write = true,
			       .mask_bits = 20 };
	char reason[REASON_SIZE], *text;
	struct memory memory;
	size_t size = bar_size(BAR);
	int fd;

	(void)state;
	skip_with_dma_checker();
	assert_true(size > most);
	engine_load();
	memory_map(&memory, HOST, PAGE + size);
	assert_true(bar_mmap(BAR, memory.bytes + PAGE, size, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
	fd = engine_open();
	map.address = (uintptr_t)memory.bytes;
	trace_start();
	for (int i = 0; i < 300; i++) {
		map.length = PAGE + size;
		assert_int_equal(ioctl(fd, EDU_MAP, &map), -1);
		assert_int_equal(errno, EIO);
		assert_int_equal(ranges_of(getpid(), NULL), 0);
	}
	text = trace_end();
	refusal_reason(text, 0, reason);
	assert_non_null(strstr(reason, "gets no DMA address"));
	free(text);
	map.length = PAGE + most / 4;
	assert_int_equal(ioctl(fd, EDU_MAP, &map), 0);
	close(fd);
	assert_int_equal(munmap(memory.bytes, memory.size), 0);
	engine_unload();
}

#define PLAN(...) (&(const struct plan){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("dma/bar", writes_and_reads,
		PLAN(BAR, 0, WINDOW,
		     { { 0, EDU_BUFFER }, { WINDOW - 100, 100 } })),
	TEST_OF("dma/bar-wc", writes_and_reads,
		PLAN(BAR2_WC, 0, WINDOW, { { PAGE, EDU_BUFFER } })),
	TEST_OF("dma/bar-not-aligned", writes_and_reads,
		PLAN(BAR, PAGE + 1234, 2 * PAGE + 55,
		     { { 0, 1 },
		       { 1, 4001 },
		       { PAGE - 1235, 3 },
		       { 2 * PAGE, 55 } })),
	TEST_OF("dma/bar-inside-a-page", writes_and_reads,
		PLAN(BAR, PAGE + 9, 100, { { 0, 100 }, { 99, 1 } })),
	TEST("dma/bar-to-bar", bar_to_bar),
	TEST("dma/mixed", mixed),
	TEST("dma/read-only-is-not-written", read_only),
	TEST("dma/refused", refused),
	TEST("dma/refused-unreachable", refused_unreachable),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
