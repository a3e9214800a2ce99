// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A machine of two nodes: the kernel unmaps pages to see who uses them, and moves
 * them, and regions with device memory stay. vm/tests/numa starts a guest for that.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define BALANCING "/sys/kernel/debug/sched/numa_balancing/"
#define PATIENCE  60 /* seconds */
#define PASSES	  4
#define PLAIN	  (64 * PAGE)

/* A region over a BAR, one half over host memory and half over a BAR, plain memory. */
struct regions {
	struct scene bar, mixed;
	uint8_t *plain;
};

static void regions_open(struct regions *r)
{
	struct memory memory;

	memory_map(&memory, HOST, WINDOW);
	assert_true(bar_mmap(BAR2, memory.bytes + WINDOW / 2, WINDOW / 2,
			     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     0) != MAP_FAILED);
	memset(memory.bytes, 1, WINDOW / 2);
	scene_open(&r->bar, BAR);
	scene_open_over(&r->mixed, BAR2, memory.bytes);
	r->plain = mmap(NULL, PLAIN, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(r->plain != MAP_FAILED);
	memset(r->plain, 1, PLAIN);
}

static void regions_close(struct regions *r)
{
	assert_int_equal(munmap(r->plain, PLAIN), 0);
	memory_release(&r->mixed.bar);
	scene_close(&r->mixed);
	memory_release(&r->bar.bar);
	scene_close(&r->bar);
}

/* The process and the peer see the same bytes, in either direction. */
static void assert_same_bytes(struct scene *scene, uint64_t seed)
{
	static uint8_t expected[WINDOW];

	pattern_fill(expected, WINDOW, seed);
	memcpy(scene->host.bytes, expected, WINDOW);
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, 0, WINDOW),
		      IBV_WC_SUCCESS);
	assert_bytes(scene->bar.bytes, expected, WINDOW, "seen by the owner");
	pattern_fill(expected, WINDOW, seed + 1);
	memcpy(scene->bar.bytes, expected, WINDOW);
	assert_status(peer_access(scene, IBV_WR_RDMA_READ, 0, WINDOW),
		      IBV_WC_SUCCESS);
	assert_bytes(scene->host.bytes, expected, WINDOW, "read by the peer");
}

static void assert_kept(struct regions *r, uint64_t seed)
{
	assert_int_equal(ranges_of(getpid(), "live"), 2);
	assert_int_equal(ranges_of(getpid(), NULL), 2);
	assert_same_bytes(&r->bar, seed);
	assert_same_bytes(&r->mixed, seed + 2);
}

static long scheduler_says(const char *name)
{
	char *text = read_file("/proc/self/sched");
	char *line = strstr(text, name), *colon;
	long value;

	colon = line ? strchr(line, ':') : NULL;
	if (!colon)
		fail_msg("no %s in:\n%s", name, text);
	value = strtol(colon + 1, NULL, 10);
	free(text);
	return value;
}

/* The kernel looks at who runs, after each so many milliseconds of running. */
static void run_through_passes(struct regions *r, long passes)
{
	long last = scheduler_says("mm->numa_scan_seq") + passes;
	time_t end = time(NULL) + PATIENCE;

	while (scheduler_says("mm->numa_scan_seq") < last) {
		for (size_t i = 0; i < PLAIN; i += PAGE)
			r->plain[i]++;
		for (size_t i = 0; i < WINDOW; i += PAGE) {
			r->bar.bar.bytes[i]++;
			r->mixed.bar.bytes[i]++;
		}
		if (time(NULL) > end)
			fail_msg("the kernel does not look at this process");
	}
}

static void *sleep_for_ever(void *unused)
{
	(void)unused;
	pause();
	return NULL;
}

/* Of a process of one thread only what is on another node than that is unmapped. */
static void add_thread(void)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sleep_for_ever, NULL),
			 0);
}

static void hints_keep(void **state)
{
	struct regions r;

	(void)state;
	add_thread();
	write_file("/proc/sys/kernel/numa_balancing", "1\n");
	write_file(BALANCING "scan_delay_ms", "10\n");
	write_file(BALANCING "scan_period_min_ms", "10\n");
	write_file(BALANCING "scan_period_max_ms", "100\n");
	regions_open(&r);
	for (int i = 0; i < PASSES; i++) {
		run_through_passes(&r, 1);
		assert_kept(&r, 10 * i);
	}
	/* The pages of this process, and not just another's. */
	assert_true(scheduler_says("total_numa_faults") > 0);
	print_message("%ld faults\n", scheduler_says("total_numa_faults"));
	regions_close(&r);
}

static int node_of(const void *address)
{
	void *page = (void *)address;
	int status = -1;

	assert_int_equal(
		syscall(SYS_move_pages, 0, 1ul, &page, NULL, &status, 0), 0);
	return status;
}

static void migration_keeps(void **state)
{
	int plain, pinned;
	struct regions r;

	(void)state;
	/* What it does by itself would meddle. */
	write_file("/proc/sys/kernel/numa_balancing", "0\n");
	regions_open(&r);
	pinned = node_of(r.mixed.bar.bytes);
	assert_true(pinned == 0 || pinned == 1);
	for (int i = 0; i < 4; i++) {
		unsigned long from, to;

		plain = node_of(r.plain);
		from = 1ul << plain;
		to = from ^ 3;
		assert_true(syscall(SYS_migrate_pages, 0, 8 * sizeof(from),
				    &from, &to) >= 0);
		assert_int_equal(node_of(r.plain), !plain);
		assert_int_equal(node_of(r.mixed.bar.bytes), pinned);
		assert_kept(&r, 10 * i);
	}
	regions_close(&r);
}

static const struct test tests[] = {
	TEST("numa/hints-keep", hints_keep),
	TEST("numa/migration-keeps", migration_keeps),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
