// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The copy routines in memory whose every byte is known: all small sizes at all
 * alignments, up against pages that must not be touched, and which instructions
 * they consist of.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "bar.h"
#include "copy.h"
#include "part.h"
#include "runner.h"

/* Room for more than two lines, a head and a tail. */
#define MOST   (3 * COPY_LINE + 9)
#define MARGIN 32
#define FILL   0xc3

/* One way to copy, in both directions. */
struct way {
	const char *name;
	void (*to)(void *device, const void *source, size_t length);
	void (*from)(void *destination, const void *device, size_t length);
};

/* The stream of that name; a CPU without it skips. */
static const struct copy_stream *stream_of(const char *name)
{
	for (const struct copy_stream *s = copy_streams; s->name; s++)
		if (!strcmp(s->name, name) && s->usable())
			return s;
	skip_test("this CPU has no %s", name);
}

static const struct copy_stream *stream;

static void to_by_stream(void *device, const void *source, size_t length)
{
	copy_to_combining(device, source, length, stream);
}

static void from_by_stream(void *destination, const void *device, size_t length)
{
	copy_from_combining(destination, device, length, stream);
}

#define BY_CACHING(name, caching)                                 \
	static void to_##name(void *d, const void *s, size_t n)   \
	{                                                         \
		p2pmr_copy_to(d, s, n, caching);                  \
	}                                                         \
	static void from_##name(void *d, const void *s, size_t n) \
	{                                                         \
		p2pmr_copy_from(d, s, n, caching);                \
	}                                                         \
	static const struct way way_##name = { .to = to_##name,   \
					       .from = from_##name }

BY_CACHING(unknown, P2PMR_CACHING_UNKNOWN);
BY_CACHING(uncached, P2PMR_CACHING_UNCACHED);
BY_CACHING(combining, P2PMR_CACHING_WRITE_COMBINING);
BY_CACHING(through, P2PMR_CACHING_WRITE_THROUGH);
BY_CACHING(protected, P2PMR_CACHING_WRITE_PROTECTED);
BY_CACHING(cached, P2PMR_CACHING_WRITE_BACK);

static const struct way way_plain = { .to = copy_to_plain,
				      .from = copy_from_plain };
static const struct way way_no_stream = { .to = to_by_stream,
					  .from = from_by_stream };
static const struct way way_sse4 = { .name = "sse4.1",
				     .to = to_by_stream,
				     .from = from_by_stream };
static const struct way way_avx2 = { .name = "avx2",
				     .to = to_by_stream,
				     .from = from_by_stream };

/* Two pages between two that fault. */
static uint8_t *fenced_pages(void)
{
	uint8_t *pages = mmap(NULL, 4 * PAGE, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(
		mprotect(pages + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	return pages + PAGE;
}

/* What lies around the copied bytes keeps its own. */
static void check(void (*copy)(void *, const void *, size_t), uint8_t *to,
		  const uint8_t *from, size_t length, size_t before,
		  size_t after)
{
	uint8_t fill[MARGIN];

	memset(fill, FILL, sizeof(fill));
	memset(to - before, FILL, before + length + after);
	copy(to, from, length);
	if (memcmp(to, from, length) || memcmp(to - before, fill, before) ||
	    memcmp(to + length, fill, after))
		fail_msg("%zu bytes from ...%03lx to ...%03lx", length,
			 (unsigned long)from % PAGE, (unsigned long)to % PAGE);
}

static void take_stream(const struct way *way)
{
	stream = way->name ? stream_of(way->name) : NULL;
}

static void every_size_and_alignment(void **state)
{
	static const size_t other_places[] = { 0, 1, 3, 8, 15, 16, 33, 63 };
	const struct way *way = *state;
	uint8_t *device = fenced_pages() + MARGIN;
	uint8_t *host = fenced_pages() + MARGIN;

	take_stream(way);
	device += -(uintptr_t)device & (COPY_LINE - 1);
	for (size_t place = 0; place < COPY_LINE; place++)
		for (size_t i = 0; i < ARRAY_SIZE(other_places); i++) {
			uint8_t *d = device + place,
				*h = host + other_places[i];

			for (size_t n = 0; n <= MOST; n++) {
				pattern_fill(h, n, n + place);
				check(way->to, d, h, n, MARGIN, MARGIN);
				pattern_fill(d, n, ~(n + place));
				check(way->from, h, d, n, MARGIN, MARGIN);
			}
		}
}

/* Both ends of both buffers at pages that fault. */
static void nothing_beyond(void **state)
{
	const struct way *way = *state;
	uint8_t *device = fenced_pages(), *host = fenced_pages();

	take_stream(way);
	for (size_t n = 0; n <= MOST; n++) {
		uint8_t *d = device + 2 * PAGE - n, *h = host + 2 * PAGE - n;

		pattern_fill(host, n, n);
		check(way->to, device, host, n, 0, MARGIN);
		check(way->from, host, device, n, 0, MARGIN);
		pattern_fill(h, n, n);
		check(way->to, d, h, n, MARGIN, 0);
		check(way->from, h, d, n, MARGIN, 0);
		check(way->to, device, h, n, 0, MARGIN);
		check(way->from, h, device, n, MARGIN, 0);
		check(way->to, d, host, n, MARGIN, 0);
		check(way->from, host, d, n, 0, MARGIN);
	}
}

static void long_copies(void **state)
{
	static uint8_t device[1 << 20], host[1 << 20];
	const struct way *way = *state;
	uint64_t seed = 5;

	take_stream(way);
	for (int i = 0; i < 20; i++) {
		size_t to = MARGIN + next_random(&seed) % 5000;
		size_t from = MARGIN + next_random(&seed) % 5000;
		size_t length =
			sizeof(device) - 5100 - next_random(&seed) % 100000;

		pattern_fill(host, sizeof(host), i);
		check(way->to, device + to, host + from, length, MARGIN,
		      MARGIN);
		pattern_fill(device, sizeof(device), ~i);
		check(way->from, host + from, device + to, length, MARGIN,
		      MARGIN);
	}
}

/* MOVNTDQ, MOVNTDQA and their VEX forms. */
static bool is_streaming(const uint8_t *code)
{
	if (code[0] == 0x66 && code[1] == 0x0f)
		return code[2] == 0xe7 || (code[2] == 0x38 && code[3] == 0x2a);
	if (code[0] == 0x66 && (code[1] & 0xf0) == 0x40 && code[2] == 0x0f)
		return code[3] == 0xe7 || (code[3] == 0x38 && code[4] == 0x2a);
	if (code[0] == 0xc5)
		return code[2] == 0xe7;
	return code[0] == 0xc4 && (code[3] == 0xe7 || code[3] == 0x2a);
}

/* Short, since a step takes milliseconds on a machine that emulates. */
#define STEPPED (2 * COPY_LINE)

/*
 * How many of them a child executes between two signals to itself. Its code is
 * where the parent's is.
 */
static int streaming_instructions(void (*copy)(void *, const void *, size_t))
{
	static uint8_t one[STEPPED] __attribute__((aligned(COPY_LINE)));
	static uint8_t other[STEPPED] __attribute__((aligned(COPY_LINE)));
	struct user_regs_struct regs;
	int status, count = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		kill(getpid(), SIGUSR1);
		copy(one, other, sizeof(one));
		kill(getpid(), SIGUSR2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == SIGUSR2)
			break;
		assert_int_equal(WSTOPSIG(status), SIGTRAP);
		assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
		count += is_streaming((const uint8_t *)regs.rip);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return count;
}

/* Streams are for write-combining memory; a register would take harm. */
static void streams_only_where_combined(void **state)
{
	static const struct way *const others[] = { &way_unknown, &way_uncached,
						    &way_cached };
	const struct copy_stream *best = copy_best_stream();
	int expected;

	(void)state;
	if (!best)
		skip_test("this CPU has no streams");
	expected = STEPPED / (strcmp(best->name, "avx2") ? 16 : 32);
	assert_int_equal(streaming_instructions(to_combining), expected);
	assert_int_equal(streaming_instructions(from_combining), expected);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(streaming_instructions(others[i]->to), 0);
		assert_int_equal(streaming_instructions(others[i]->from), 0);
	}
}

#define EVERY(name, way)                                                   \
	TEST_OF(COPY_TEST("every-size-and-alignment-" name),               \
		every_size_and_alignment, &(way)),                         \
		TEST_OF(COPY_TEST("nothing-beyond-" name), nothing_beyond, \
			&(way)),                                           \
		TEST_OF(COPY_TEST("long-" name), long_copies, &(way))

/* There is nothing to point to. */
static void of_nothing(void **state)
{
	(void)state;
	for (uint32_t caching = P2PMR_CACHING_UNKNOWN;
	     caching <= P2PMR_CACHING_WRITE_BACK; caching++) {
		p2pmr_copy_to(NULL, NULL, 0, caching);
		p2pmr_copy_from(NULL, NULL, 0, caching);
	}
}

static const struct test tests[] = {
	EVERY("plain", way_plain),
	EVERY("no-stream", way_no_stream),
	EVERY("sse4", way_sse4),
	EVERY("avx2", way_avx2),
	EVERY("uncached", way_uncached),
	EVERY("combining", way_combining),
	EVERY("cached", way_cached),
	TEST_OF(COPY_TEST("long-write-through"), long_copies, &way_through),
	TEST_OF(COPY_TEST("long-write-protected"), long_copies, &way_protected),
	TEST_OF(COPY_TEST("long-unknown"), long_copies, &way_unknown),
	TEST(COPY_TEST("of-nothing"), of_nothing),
	/* The sanitizers' own instructions are too many to step through. */
	TEST(COPY_TEST("streams-only-where-combined"),
	     streams_only_where_combined),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests) - IS_SANITIZED);
}
