// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Registrations over a BAR that must fail, each with its own errno, and
 * leave nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "modules.h"
#include "runner.h"

#define WINDOW	   (8 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static struct device device;
static int references;

static void set_up(void)
{
	device_open(&device);
	references = module_references(VERBS_MODULE);
}

static void tear_down(void)
{
	expect_references(VERBS_MODULE, references);
	device_close(&device);
}

static uint8_t *map_bar(int prot, int flags)
{
	uint8_t *bytes = bar_mmap(BAR, NULL, WINDOW, prot, flags, 0);

	if (bytes == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	return bytes;
}

static void unmap(uint8_t *bytes)
{
	assert_int_equal(munmap(bytes, WINDOW), 0);
}

/* The errno of a registration, 0 if it succeeds (and is undone). */
static int attempt(void *address, size_t length, int access)
{
	struct ibv_mr *mr;

	errno = 0;
	mr = ibv_reg_mr(device.pd, address, length, access);
	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

/* No range at all: the kernel's own answer, which counts pages touched. */
static void zero_length(void **state)
{
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);

	(void)state;
	set_up();
	assert_int_equal(attempt(bar, 0, ACCESS_ALL), EINVAL);
	assert_int_equal(attempt(bar + 7, 0, ACCESS_ALL), EFAULT);
	unmap(bar);
	tear_down();
}

static void past_the_end(void **state)
{
	/* Room of nothing behind the mapping, so that nobody moves in. */
	uint8_t *room = mmap(NULL, 2 * WINDOW, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *bar;

	(void)state;
	set_up();
	assert_true(room != MAP_FAILED);
	assert_int_equal(munmap(room, 2 * WINDOW), 0);
	bar = bar_mmap(BAR, room, WINDOW, READ_WRITE, MAP_SHARED | MAP_FIXED,
		       0);
	assert_ptr_equal(bar, room);
	assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL), 0);
	assert_int_equal(attempt(bar, WINDOW + 1, ACCESS_ALL), EFAULT);
	assert_int_equal(attempt(bar + WINDOW - 1, 2, ACCESS_ALL), EFAULT);
	assert_int_equal(attempt(bar + PAGE, WINDOW, ACCESS_ALL), EFAULT);
	unmap(bar);
	assert_int_equal(attempt(bar, PAGE, ACCESS_ALL), EFAULT);
	tear_down();
}

static void before_the_start(void **state)
{
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);

	(void)state;
	set_up();
	assert_int_equal(munmap(bar, PAGE), 0);
	assert_int_equal(attempt(bar + PAGE, PAGE, ACCESS_ALL), 0);
	assert_int_equal(attempt(bar + PAGE - 1, 2, ACCESS_ALL), EFAULT);
	unmap(bar);
	tear_down();
}

static void hole_between(void **state)
{
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);

	(void)state;
	set_up();
	assert_int_equal(munmap(bar + 3 * PAGE, PAGE), 0);
	assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL), EFAULT);
	assert_int_equal(attempt(bar, 3 * PAGE, ACCESS_ALL), 0);
	unmap(bar);
	tear_down();
}

static void wrapping_range(void **state)
{
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);
	uint8_t *host = mmap(NULL, WINDOW, READ_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const size_t too_long = -(size_t)PAGE;

	(void)state;
	set_up();
	assert_int_equal(attempt(bar, too_long, ACCESS_ALL),
			 attempt(host, too_long, ACCESS_ALL));
	assert_int_not_equal(attempt(bar, too_long, ACCESS_ALL), 0);
	unmap(bar);
	unmap(host);
	tear_down();
}

static void check_read_only(uint8_t *bar)
{
	assert_int_equal(attempt(bar, WINDOW, IBV_ACCESS_LOCAL_WRITE), EACCES);
	assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL), EACCES);
	assert_int_equal(attempt(bar, WINDOW,
				 IBV_ACCESS_LOCAL_WRITE |
					 IBV_ACCESS_REMOTE_WRITE),
			 EACCES);
	assert_int_equal(attempt(bar, WINDOW,
				 IBV_ACCESS_LOCAL_WRITE |
					 IBV_ACCESS_REMOTE_ATOMIC),
			 EACCES);
	assert_int_equal(attempt(bar, WINDOW, IBV_ACCESS_REMOTE_READ), 0);
	assert_int_equal(attempt(bar, WINDOW, 0), 0);
}

/* From the beginning, or not. */
static void read_only_mapping(void **state)
{
	int protection = *(const int *)*state;
	uint8_t *bar = map_bar(protection, MAP_SHARED);

	set_up();
	if (protection != PROT_READ) {
		assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL), 0);
		assert_int_equal(mprotect(bar, WINDOW, PROT_READ), 0);
	}
	check_read_only(bar);
	unmap(bar);
	tear_down();
}

static void mapping_without_rights(void **state)
{
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);

	(void)state;
	set_up();
	assert_int_equal(mprotect(bar, WINDOW, PROT_NONE), 0);
	assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL), EACCES);
	assert_int_equal(attempt(bar, WINDOW, IBV_ACCESS_REMOTE_READ), EACCES);
	unmap(bar);
	tear_down();
}

/* Where this kernel's driver refuses a flag anyway, its answer stays. */
static void unsupported_flags(void **state)
{
	static const int flags[] = { IBV_ACCESS_MW_BIND, IBV_ACCESS_ZERO_BASED,
				     IBV_ACCESS_ON_DEMAND, IBV_ACCESS_HUGETLB };
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);
	uint8_t *host = mmap(NULL, WINDOW, READ_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int access = ACCESS_ALL | flags[i];
		int stock = attempt(host, WINDOW, access);

		print_message("flag 0x%x\n", flags[i]);
		assert_int_equal(attempt(bar, WINDOW, access),
				 stock ? stock : EOPNOTSUPP);
	}
	/* An optional flag is one that a driver may ignore. */
	assert_int_equal(attempt(bar, WINDOW,
				 ACCESS_ALL | IBV_ACCESS_RELAXED_ORDERING),
			 0);
	unmap(bar);
	unmap(host);
	tear_down();
}

/* Kernels from 6.2 know them; libibverbs of Debian 12 does not. */
#define FLUSH_GLOBAL	 (1 << 8)
#define FLUSH_PERSISTENT (1 << 9)

/* There is nothing to flush the bytes from; nothing tells if they persist. */
static void flush_flags(void **state)
{
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);
	uint8_t *host = mmap(NULL, WINDOW, READ_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int global, persistent;

	(void)state;
	set_up();
	global = attempt(host, WINDOW, ACCESS_ALL | FLUSH_GLOBAL);
	persistent = attempt(host, WINDOW, ACCESS_ALL | FLUSH_PERSISTENT);
	print_message("host memory: %d, %d\n", global, persistent);
	assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL | FLUSH_GLOBAL),
			 global);
	assert_int_equal(attempt(bar, WINDOW, ACCESS_ALL | FLUSH_PERSISTENT),
			 global ? persistent : EOPNOTSUPP);
	unmap(bar);
	unmap(host);
	tear_down();
}

/* What the verbs layer itself refuses, it refuses for a BAR too. */
static void flags_the_kernel_refuses(void **state)
{
	static const int flags[] = { 1 << 15, ACCESS_ALL | 1 << 18,
				     IBV_ACCESS_REMOTE_WRITE,
				     IBV_ACCESS_REMOTE_ATOMIC };
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);
	uint8_t *host = mmap(NULL, WINDOW, READ_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		print_message("flags 0x%x\n", flags[i]);
		assert_int_equal(attempt(host, WINDOW, flags[i]), EINVAL);
		assert_int_equal(attempt(bar, WINDOW, flags[i]), EINVAL);
	}
	unmap(bar);
	unmap(host);
	tear_down();
}

/* Address and iova at different places in their pages. */
static void iova_at_another_offset(void **state)
{
	static const struct {
		size_t offset;
		uint64_t iova;
	} cases[] = { { 37, 0x10000000 }, { 0, 0x10000001 }, { 4000, 0x2001 } };
	uint8_t *bar = map_bar(READ_WRITE, MAP_SHARED);

	(void)state;
	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_null(ibv_reg_mr_iova(device.pd, bar + cases[i].offset,
					    PAGE, cases[i].iova, ACCESS_ALL));
		assert_int_equal(errno, EINVAL);
		assert_int_equal(
			attempt(bar + cases[i].offset, PAGE, ACCESS_ALL), 0);
	}
	unmap(bar);
	tear_down();
}

#define FIRST_MAPPED(protection) (&(const int){ protection })

static const struct test tests[] = {
	TEST("verbs/refused-zero-length", zero_length),
	TEST("verbs/refused-past-the-end", past_the_end),
	TEST("verbs/refused-before-the-start", before_the_start),
	TEST("verbs/refused-hole-between", hole_between),
	TEST("verbs/refused-wrapping-range", wrapping_range),
	TEST_OF("verbs/refused-write-to-read-only", read_only_mapping,
		FIRST_MAPPED(PROT_READ)),
	TEST_OF("verbs/refused-write-after-mprotect", read_only_mapping,
		FIRST_MAPPED(READ_WRITE)),
	TEST("verbs/refused-mapping-without-rights", mapping_without_rights),
	TEST("verbs/refused-unsupported-flags", unsupported_flags),
	TEST("verbs/flush-flags", flush_flags),
	TEST("verbs/refused-invalid-flags", flags_the_kernel_refuses),
	TEST("verbs/refused-iova-at-another-page-offset",
	     iova_at_another_offset),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
