// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The files of p2pmr_bar: which there are, what they map, with which cache
 * mode, and what they refuse to map.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "bound.h"
#include "host.h"
#include "modules.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define BARS	   6

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void claims_nothing(void **state)
{
	const char *const load[] = { "modprobe", BAR_MODULE, NULL };

	(void)state;
	assert_int_equal(run_command(load), 0);
	for (int i = 0; i < FUNCTIONS; i++) {
		write_sysfs("/sys/bus/pci/drivers_probe", function_address(i));
		assert_false(exists(function_file(i, "driver")));
	}
	assert_false(exists("/dev/p2pmr_bar"));
	/* The same request, with an override, is what binds. */
	function_bind(FIRST);
	assert_false(function_is_bound(SECOND));
	function_unbind(FIRST);
}

static void check_file(const char *path, bool expected)
{
	struct stat st;

	if (exists(path) != expected)
		fail_msg("%s is%s there", path, expected ? " not" : "");
	if (!expected)
		return;
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
}

static void files_of_memory_bars(void **state)
{
	int memory = 0, prefetchable = 0;

	(void)state;
	function_bind(FIRST);
	for (int bar = 0; bar < BARS; bar++) {
		unsigned long long flags = function_resource(FIRST, bar).flags;
		bool is_memory = flags & RESOURCE_MEMORY;
		bool wc = is_memory && (flags & RESOURCE_PREFETCHABLE);

		check_file(bar_file(FIRST, bar, false), is_memory);
		check_file(bar_file(FIRST, bar, true), wc);
		check_file(bar_file(SECOND, bar, false), false);
		memory += is_memory;
		prefetchable += wc;
	}
	/* Both sorts were among them. */
	assert_true(prefetchable > 0 && memory > prefetchable);
	function_unbind(FIRST);
	assert_false(exists("/dev/p2pmr_bar"));
}

static void new_id(void **state)
{
	const char *const load[] = { "modprobe", BAR_MODULE, NULL };
	const char *const driver = "/sys/bus/pci/drivers/p2pmr_bar";
	char path[128];

	(void)state;
	assert_int_equal(run_command(load), 0);
	snprintf(path, sizeof(path), "%s/new_id", driver);
	assert_int_equal(write_sysfs(path, "1af4 1110"), 0);
	for (int i = 0; i < FUNCTIONS; i++) {
		assert_true(function_is_bound(i));
		check_file(bar_file(i, 2, false), true);
		check_file(bar_file(i, 2, true), true);
	}
	snprintf(path, sizeof(path), "%s/remove_id", driver);
	assert_int_equal(write_sysfs(path, "1af4 1110"), 0);
	for (int i = 0; i < FUNCTIONS; i++)
		function_unbind(i);
}

/* Each byte of the file behind the BAR at its offset, in both directions. */
static void bytes_both_ways(void **state)
{
	const bool *wc = *state;
	size_t size = bar_size(BAR);
	const size_t offsets[] = { 0, 5 * PAGE + 123, size / 2 - 700,
				   size - 5000 };
	static uint8_t pattern[5000], seen[5000];
	uint8_t *whole, *tail;
	int fd;

	function_bind(FIRST);
	fd = must_open(bar_file(FIRST, 2, *wc), O_RDWR);
	whole = mmap(NULL, size, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(whole != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		pattern_fill(pattern, sizeof(pattern), i);
		host_write(FIRST, offsets[i], pattern, sizeof(pattern));
		assert_bytes(whole + offsets[i], pattern, sizeof(pattern),
			     "written outside, read through the mapping");
		pattern_fill(pattern, sizeof(pattern), ~i);
		memcpy(whole + offsets[i], pattern, sizeof(pattern));
		/* Write-combining stores leave the CPU at a fence. */
		__sync_synchronize();
		host_read(FIRST, offsets[i], seen, sizeof(seen));
		assert_bytes(seen, pattern, sizeof(pattern),
			     "written through the mapping, read outside");
	}
	/* The offset in the file is the offset in the BAR. */
	tail = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, size - 2 * PAGE);
	assert_true(tail != MAP_FAILED);
	assert_bytes(tail + 2 * PAGE - 5000, pattern, 5000, "by the offset");
	assert_int_equal(munmap(tail, 2 * PAGE), 0);
	assert_int_equal(munmap(whole, size), 0);
	close(fd);
	function_unbind(FIRST);
}

/* Whether the whole BAR stands in the kernel's list with a cache mode. */
static bool reserved_as(const char *mode)
{
	struct bar_resource res = function_resource(FIRST, 2);
	FILE *file = fopen("/sys/kernel/debug/x86/pat_memtype_list", "r");
	char line[160], wanted[160];
	bool found = false;

	assert_non_null(file);
	snprintf(wanted, sizeof(wanted), "[mem 0x%016llx-0x%016llx] %s\n",
		 res.start, res.end + 1, mode);
	while (fgets(line, sizeof(line), file))
		found = found || strstr(line, wanted);
	fclose(file);
	return found;
}

static void cache_modes(void **state)
{
	int uncached, combining;
	void *mapped;

	(void)state;
	function_bind(FIRST);
	combining = must_open(bar_file(FIRST, 2, true), O_RDWR);
	assert_true(reserved_as("write-combining"));
	assert_false(reserved_as("uncached-minus"));
	assert_int_equal(open(bar_file(FIRST, 2, false), O_RDWR), -1);
	assert_int_equal(errno, EBUSY);

	/* A mapping keeps its cache mode when the file is closed. */
	mapped = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, combining, 0);
	assert_true(mapped != MAP_FAILED);
	close(combining);
	assert_int_equal(open(bar_file(FIRST, 2, false), O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	close(must_open(bar_file(FIRST, 2, true), O_RDWR));
	assert_int_equal(munmap(mapped, PAGE), 0);
	assert_false(reserved_as("write-combining"));

	uncached = must_open(bar_file(FIRST, 2, false), O_RDWR);
	assert_true(reserved_as("uncached-minus"));
	assert_int_equal(open(bar_file(FIRST, 2, true), O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	close(uncached);
	assert_false(reserved_as("uncached-minus"));
	function_unbind(FIRST);
}

static void bad_ranges(void **state)
{
	size_t size = bar_size(BAR);
	const struct {
		size_t offset, length;
		int error;
	} bad[] = {
		{ size, PAGE, EINVAL },	    /* just behind */
		{ 0, size + PAGE, EINVAL }, /* too long */
		{ size - PAGE, 2 * PAGE, EINVAL },
		{ PAGE, size, EINVAL },
		{ 1ull << 62, PAGE, EINVAL },
		{ -2 * PAGE, PAGE, EINVAL },	/* the last page of any file */
		{ -PAGE, 2 * PAGE, EOVERFLOW }, /* wraps around */
		{ -size, 2 * size, EOVERFLOW },
		{ 100, PAGE, EINVAL }, /* not at a page */
		{ 0, 0, EINVAL },
	};
	void *mapped;
	int fd;

	(void)state;
	function_bind(FIRST);
	fd = must_open(bar_file(FIRST, 2, false), O_RDWR);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		mapped = mmap(NULL, bad[i].length, READ_WRITE, MAP_SHARED, fd,
			      bad[i].offset);
		if (mapped != MAP_FAILED || errno != bad[i].error)
			fail_msg("%#zx bytes at %#zx: %p, %s", bad[i].length,
				 bad[i].offset, mapped, strerror(errno));
	}
	mapped = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, size - PAGE);
	assert_true(mapped != MAP_FAILED);
	/* A mapping does not grow beyond what was checked. */
	assert_ptr_equal(mremap(mapped, PAGE, 2 * PAGE, MREMAP_MAYMOVE),
			 MAP_FAILED);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(munmap(mapped, PAGE), 0);
	close(fd);
	function_unbind(FIRST);
}

static void private_refused(void **state)
{
	int fd;

	(void)state;
	function_bind(FIRST);
	fd = must_open(bar_file(FIRST, 2, false), O_RDWR);
	for (int prot = PROT_READ; prot <= READ_WRITE; prot++) {
		assert_ptr_equal(mmap(NULL, PAGE, prot, MAP_PRIVATE, fd, 0),
				 MAP_FAILED);
		assert_int_equal(errno, EINVAL);
	}
	close(fd);
	function_unbind(FIRST);
}

/* A BAR of a fraction of a page: the page can be mapped, and no more. */
static void sub_page_bar(void **state)
{
	struct bar_resource res;
	volatile uint32_t *registers;
	int fd;

	(void)state;
	function_bind(FIRST);
	res = function_resource(FIRST, 0);
	assert_true(res.end - res.start + 1 < PAGE);
	fd = must_open(bar_file(FIRST, 0, false), O_RDWR);
	assert_ptr_equal(mmap(NULL, 2 * PAGE, READ_WRITE, MAP_SHARED, fd, 0),
			 MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	registers = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(registers != MAP_FAILED);
	/* The interrupt mask of the device keeps what is written. */
	registers[0] = 0x600df00d;
	assert_int_equal(registers[0], 0x600df00d);
	registers[0] = 0;
	assert_int_equal(munmap((void *)registers, PAGE), 0);
	close(fd);
	function_unbind(FIRST);
}

/* While the driver has it, sysfs gives no mapping; afterwards it does. */
static void sysfs_comes_back(void **state)
{
	struct memory memory;

	(void)state;
	function_bind(FIRST);
	assert_ptr_equal(bar_mmap(BAR, NULL, PAGE, READ_WRITE, MAP_SHARED, 0),
			 MAP_FAILED);
	function_unbind(FIRST);
	memory_map(&memory, BAR, PAGE);
	memory.bytes[0] = 1;
	memory_release(&memory);
}

static const bool uncached = false, combining = true;

static const struct test tests[] = {
	TEST("bar/claims-nothing-by-itself", claims_nothing),
	TEST("bar/files-of-each-memory-bar", files_of_memory_bars),
	TEST("bar/new-id", new_id),
	TEST_OF("bar/bytes-uncached", bytes_both_ways, &uncached),
	TEST_OF("bar/bytes-write-combining", bytes_both_ways, &combining),
	TEST("bar/one-cache-mode-at-a-time", cache_modes),
	TEST("bar/bad-ranges-refused", bad_ranges),
	TEST("bar/private-mapping-refused", private_refused),
	TEST("bar/sub-page-bar", sub_page_bar),
	TEST("bar/sysfs-mapping-comes-back", sysfs_comes_back),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
