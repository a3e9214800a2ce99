// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What is not counted for users, or costs the kernel memory besides, is counted for
 * the memory cgroup of the process. Many of each kind of object, each kind in a group
 * of its own, so that none hides behind another.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "bar.h"
#include "chardev.h"
#include "child.h"
#include "endpoint.h"
#include "exported.h"
#include "monitor.h"
#include "peer.h"
#include "remapping.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"

#define CGROUPS	   "/run/p2pmr-test-cgroup"
#define READ_WRITE (PROT_READ | PROT_WRITE)

#define MANY	       1000 /* files, regions, buffers */
#define PARTS	       400  /* pieces, segments */
#define QUEUES	       40
#define STATS_INTERVAL 4 /* seconds; the kernel adds up every 2 */

static struct device device;
static int dmabuf;
static uint8_t *bar, *parts;

static void open_null(void)
{
	assert_true(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
}

static void open_file(void)
{
	chardev_open();
}

static void open_queue(void)
{
	monitor_open();
}

static void export_page(void)
{
	must_export(bar, PAGE);
}

static void register_raw(const void *request, size_t size)
{
	struct p2pmr_reg_mr_resp answer;
	struct raw_mr mr;

	assert_int_equal(uverbs_register(device.pd, bar, PAGE, ACCESS_ALL,
					 request, size, &answer,
					 size ? sizeof(answer) : 0, &mr),
			 0);
}

static void register_page(void)
{
	register_raw("", 0);
}

static void register_by_request(void)
{
	const struct p2pmr_reg_mr_req request = { .size = sizeof(request) };

	register_raw(&request, sizeof(request));
}

static void import_page(void)
{
	struct raw_mr mr;

	assert_int_equal(uverbs_register_dmabuf(device.pd, dmabuf, 0, PAGE, 0,
						ACCESS_ALL, &mr),
			 0);
}

/* The same page of the BAR again and again, or every second one. */
static void map_segments(size_t step)
{
	uint64_t pages[PARTS];

	for (int i = 0; i < PARTS; i++)
		pages[i] = physical_address(BAR) + i * step;
	parts = remap_map(pages, PARTS);
}

static void map_same_page(void)
{
	map_segments(0);
}

static void map_scattered(void)
{
	map_segments(2 * PAGE);
}

static void map_mappings(void)
{
	parts = mmap(NULL, PARTS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	assert_true(parts != MAP_FAILED);
	for (int i = 0; i < PARTS; i++)
		assert_true(bar_mmap(BAR, parts + i * PAGE, PAGE, READ_WRITE,
				     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
}

static void register_parts(void)
{
	must_register(device.pd, parts, PARTS * PAGE, ACCESS_ALL);
}

/*
 * What a process of its own holds; it has so many bytes more than another one: less
 * than what is in the first alone. The last three are one region of many parts.
 */
static const struct kind {
	const char *name;
	void (*make)(void);
	void (*prepare)(void); /* before it is looked at */
	int count, parts;
	int without; /* index; its own: compared with nothing */
	long at_least;
} kinds[] = {
	{ "other file", open_null, NULL, MANY, 1, 0, 0 },
	{ "file", open_file, NULL, MANY, 1, 0, 50 },
	{ "queue", open_queue, NULL, QUEUES, 1, 1, 90 << 10 },
	{ "dma-buf", export_page, NULL, MANY, 1, 0, 1300 },
	{ "region", register_page, NULL, MANY, 1, 4, 600 },
	{ "request", register_by_request, NULL, MANY, 1, 4, 8 },
	{ "import", import_page, NULL, MANY, 1, 4, 100 },
	{ "segment", register_parts, map_same_page, 1, PARTS, 7, 40 },
	{ "window", register_parts, map_scattered, 1, PARTS, 7, 40 },
	{ "piece", register_parts, map_mappings, 1, PARTS, 7, 100 },
};
#define KINDS ARRAY_SIZE(kinds)

static void group_path(size_t i, const char *file, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, CGROUPS "/p2pmr-%zu%s", i, file);
}

static void set_up(void)
{
	const struct rlimit files = { 2 * MANY, 2 * MANY };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	device_open(&device);
	bar = bar_mmap(BAR, NULL, PAGE, READ_WRITE, MAP_SHARED, 0);
	assert_true(bar != MAP_FAILED);
	dmabuf = must_export(bar, PAGE);
}

/* Root, whom no other limit binds. All of it goes with the process. */
static void hold_in_group(int socket, void *argument)
{
	const struct kind *k = argument;
	char path[PATH_SIZE];

	group_path(k - kinds, "/cgroup.procs", path);
	write_file(path, "0\n");
	set_up();
	if (k->prepare)
		k->prepare();
	meet(socket);
	meet(socket);
	for (int i = 0; i < k->count; i++)
		k->make();
	meet(socket);
	meet(socket);
}

/* The kernel adds up in a work that an idle CPU may put off: none stays idle. */
static void await_stats(void)
{
	for (int i = 0; i < 10 * STATS_INTERVAL; i++) {
		cpu_set_t cpu;

		CPU_ZERO(&cpu);
		CPU_SET(i % get_nprocs(), &cpu);
		assert_int_equal(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
		usleep(100 * 1000);
	}
}

/* Bytes that the kernel has taken for the processes of each group. */
static void read_groups(long bytes[KINDS])
{
	await_stats();
	for (size_t i = 0; i < KINDS; i++) {
		char path[PATH_SIZE], *text, *line;

		group_path(i, "/memory.stat", path);
		text = read_file(path);
		line = strstr(text, "\nkernel ");
		assert_non_null(line);
		bytes[i] = atol(line + strlen("\nkernel "));
		free(text);
	}
}

static void hold_all(long held[KINDS])
{
	struct child children[KINDS];
	long before[KINDS];

	for (size_t i = 0; i < KINDS; i++) {
		child_start(&children[i], hold_in_group, (void *)&kinds[i]);
		meet(children[i].socket);
	}
	read_groups(before);
	for (size_t i = 0; i < KINDS; i++)
		meet(children[i].socket);
	for (size_t i = 0; i < KINDS; i++)
		meet(children[i].socket);
	read_groups(held);
	for (size_t i = 0; i < KINDS; i++) {
		held[i] -= before[i];
		meet(children[i].socket);
		child_finish(&children[i]);
	}
}

static long part_of(const long held[KINDS], size_t i)
{
	return held[i] / kinds[i].count / kinds[i].parts;
}

static void memory_counts_for_its_group(void **state)
{
	char path[PATH_SIZE];
	long held[KINDS];

	(void)state;
	assert_true(mkdir(CGROUPS, 0700) == 0 || errno == EEXIST);
	assert_int_equal(mount("none", CGROUPS, "cgroup2", 0, NULL), 0);
	write_file(CGROUPS "/cgroup.subtree_control", "+memory\n");
	remap_load(0);
	for (size_t i = 0; i < KINDS; i++) {
		group_path(i, "", path);
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	}
	hold_all(held);
	remap_unload();
	for (size_t i = 0; i < KINDS; i++) {
		group_path(i, "", path);
		assert_int_equal(rmdir(path), 0);
	}
	assert_int_equal(umount(CGROUPS), 0);

	for (size_t i = 0; i < KINDS; i++) {
		const struct kind *k = &kinds[i];
		long each = part_of(held, i);
		long other =
			k->without == (int)i ? 0 : part_of(held, k->without);

		print_message("%s: %ld bytes, without: %ld\n", k->name, each,
			      other);
		if (each - other < k->at_least)
			fail_msg("not counted: %s", k->name);
	}
}

static const struct test tests[] = {
	TEST("security/memory-counts-for-its-group",
	     memory_counts_for_its_group),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
