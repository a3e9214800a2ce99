// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the core promises an importer, step by step: what ends a range before it is
 * live keeps it from becoming so, an importer that cannot end accesses is believed,
 * and its kernel mapping is of huge pages where the BAR lets it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "exporting.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define MODULE "p2pmr_test_importer"
#define FILE_  "/dev/" MODULE

static int importer_open(void)
{
	int fd = open(FILE_, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail_msg(FILE_ ": %s", strerror(errno));
	return fd;
}

/* One step, and its errno. */
static int step(int fd, const char *line)
{
	return write(fd, line, strlen(line)) < 0 ? errno : 0;
}

static int step_map(int fd, const void *bytes, size_t length)
{
	char line[64];

	snprintf(line, sizeof(line), "map %p %#zx\n", bytes, length);
	return step(fd, line);
}

static void importer_says(int fd, char text[64])
{
	ssize_t n = pread(fd, text, 63, 0);

	assert_true(n > 0);
	text[n] = '\0';
}

static void assert_says(int fd, const char *part)
{
	char text[64];

	importer_says(fd, text);
	if (!strstr(text, part))
		fail_msg("not \"%s\" but %s", part, text);
}

/* What comes between setting up and going live, and what commit says then. */
struct interruption {
	void (*happen)(int fd, uint8_t *bytes);
	int error;
};

static void by_importer(int fd, uint8_t *bytes)
{
	(void)bytes;
	assert_int_equal(step(fd, "revoke\n"), 0);
}

static void by_mapping(int fd, uint8_t *bytes)
{
	(void)fd;
	assert_int_equal(munmap(bytes + PAGE, PAGE), 0);
}

static void by_exporter(int fd, uint8_t *bytes)
{
	(void)fd;
	(void)bytes;
	exporter_do("take %lu 1\n", 3 * PAGE);
	exporter_do("give\n");
}

static void by_function(int fd, uint8_t *bytes)
{
	char path[PATH_SIZE];

	(void)fd;
	(void)bytes;
	pci_file(BAR2, "remove", path);
	write_file(path, "1\n");
}

static void assert_never_live(const struct interruption *i, uint8_t *bytes)
{
	int fd = importer_open();

	assert_int_equal(step_map(fd, bytes, WINDOW), 0);
	assert_int_equal(step(fd, "kernel\n"), 0);
	i->happen(fd, bytes);
	assert_int_equal(step(fd, "commit\n"), i->error);
	assert_int_equal(ranges_of(getpid(), "live"), 0);
	/* Not by trying again either. */
	assert_int_equal(step(fd, "commit\n"), i->error);
	assert_says(fd, "activated=0 revoked=0 ");
	assert_int_equal(step(fd, "unmap\n"), 0);
	close(fd);
}

static void ended_before_live(void **state)
{
	const struct interruption *i = *state;
	bool function = i->happen == by_function;
	struct memory memory;
	char path[PATH_SIZE];

	test_module_load(MODULE, "%s", "");
	if (i->happen == by_exporter) {
		exporter_load("");
		memory.bytes = exporter_map(0);
	} else {
		memory_map(&memory, function ? BAR2 : BAR, WINDOW);
	}
	assert_never_live(i, memory.bytes);
	assert_int_equal(munmap(memory.bytes, WINDOW), 0);
	if (i->happen == by_exporter) {
		assert_exporter_says("users=0 ");
		exporter_unload();
	}
	if (function) {
		write_file("/sys/bus/pci/rescan", "1\n");
		pci_file(BAR2, "enable", path);
		write_file(path, "1\n");
	}
	assert_true(module_try_remove(MODULE));
}

/*
 * The exporter hears of it, and never that its memory is free again: so this one
 * must not hold its module by it.
 */
static void cannot_end_accesses(void **state)
{
	uint8_t *bytes;
	int fd;

	(void)state;
	test_module_load(MODULE, "%s", "");
	exporter_load("owned=0");
	bytes = exporter_map(0);
	fd = importer_open();
	assert_int_equal(step_map(fd, bytes, WINDOW), 0);
	assert_int_equal(step(fd, "commit\n"), 0);
	assert_says(fd, "activated=1 revoked=0 ");
	assert_int_equal(step(fd, "refuse\n"), 0);
	/* What it does not have may be taken back. */
	assert_int_equal(exporter_try("take %lu 1\n", WINDOW), 0);
	assert_int_equal(exporter_try("take 0 1\n"), EBUSY);
	assert_int_equal(exporter_try("take 0 1\n"), EBUSY);
	assert_says(fd, "activated=1 revoked=1 ");
	assert_int_equal(step(fd, "unmap\n"), 0);
	assert_says(fd, "activated=1 revoked=1 ");
	assert_exporter_says("users=1 ");
	close(fd);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	exporter_unload();
	assert_true(module_try_remove(MODULE));
}

static void mapped_by_huge_pages(void **state)
{
	static const enum memory_kind kinds[] = { BAR, BAR_WC };
	struct memory memory;
	char expected[32];
	int fd;

	(void)state;
	test_module_load(MODULE, "%s", "");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		memory_map(&memory, kinds[i], 0);
		fd = importer_open();
		assert_int_equal(step_map(fd, memory.bytes, memory.size), 0);
		assert_says(fd, "huge=0\n");
		assert_int_equal(step(fd, "kernel\n"), 0);
		snprintf(expected, sizeof(expected), "huge=%zu\n", memory.size);
		assert_says(fd, expected);
		assert_int_equal(step(fd, "commit\n"), 0);
		close(fd);
		memory_release(&memory);
	}
	assert_true(module_try_remove(MODULE));
}

#define ENDED(name, happen, error)                   \
	TEST_OF("importer/" name, ended_before_live, \
		(&(const struct interruption){ happen, error }))

static const struct test tests[] = {
	ENDED("revoked-before-live", by_importer, ENODEV),
	ENDED("unmapped-before-live", by_mapping, EAGAIN),
	ENDED("taken-back-before-live", by_exporter, EAGAIN),
	ENDED("function-gone-before-live", by_function, ENODEV),
	TEST("importer/cannot-end-accesses", cannot_end_accesses),
	TEST("importer/mapped-by-huge-pages", mapped_by_huge_pages),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
