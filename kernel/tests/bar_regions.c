// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Regions over mappings made through p2pmr_bar: they carry every operation,
 * need no page table entries, and go by the rights of the mapping.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bound.h"
#include "child.h"
#include "exchange.h"
#include "host.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

static void rdma_both_ways(void **state)
{
	static uint8_t seen[WINDOW];
	const enum memory_kind *kind = *state;
	struct memory host, bar;
	struct pair pair;

	bars_by_driver();
	pair_open(&pair);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, pair.device.pd);
	bar = (struct memory){ .kind = *kind, .size = WINDOW };
	bar.bytes =
		bar_mmap(*kind, NULL, WINDOW, READ_WRITE, MAP_SHARED, 3 * PAGE);
	assert_true(bar.bytes != MAP_FAILED);
	memory_register(&bar, pair.device.pd);
	for (enum operation o = WRITE; o <= SEND_IMM; o++) {
		exchange_checked(&pair, o, (struct place){ &host, 77 },
				 (struct place){ &bar, 5001 }, 12345, WINDOW,
				 o);
		exchange_checked(&pair, o, (struct place){ &bar, 4095 },
				 (struct place){ &host, 9 }, 4099, WINDOW, o);
	}
	host_read(FIRST, 3 * PAGE, seen, WINDOW);
	assert_bytes(seen, bar.bytes, WINDOW, "file behind the BAR");
	memory_release(&bar);
	memory_release(&host);
	pair_close(&pair);
	function_unbind(FIRST);
}

/*
 * Whether touching a byte had to put an entry into the page table: the kernel
 * shows nobody the entries of such a mapping, but counts faults.
 */
static bool had_no_entry(const volatile uint8_t *byte)
{
	struct rusage before, after;

	assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
	(void)*byte;
	assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
	return after.ru_minflt > before.ru_minflt;
}

static bool ranges_say(const char *wanted)
{
	FILE *file = fopen("/sys/kernel/debug/p2pmr/ranges", "r");
	char line[4096];
	bool found = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		found = found || strstr(line, wanted);
	fclose(file);
	return found;
}

/* The whole BAR, never touched by the CPU: one extent, and it works. */
static void without_entries(void **state)
{
	static uint8_t seen[5000];
	size_t size = bar_size(BAR);
	struct memory host, bar;
	struct pair pair;
	char extent[96];

	(void)state;
	bars_by_driver();
	pair_open(&pair);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, pair.device.pd);
	memory_map(&bar, BAR_WC, size);
	memory_register(&bar, pair.device.pd);
	snprintf(extent, sizeof(extent), " p2pmr_bar:%s:bar2:%zu\n",
		 function_address(FIRST), size);
	assert_true(ranges_say(extent));

	for (int i = 0; i < 20; i++) {
		size_t offset = (size_t)i * 797977 % (size - sizeof(seen));
		struct transfer t = {
			.opcode = IBV_WR_RDMA_WRITE,
			.local = host.bytes,
			.lkey = host.mr->lkey,
			.length = sizeof(seen),
			.remote = (uintptr_t)bar.bytes + offset,
			.rkey = bar.mr->rkey,
		};

		pattern_fill(host.bytes, sizeof(seen), i);
		assert_status(run_transfer(&pair.near, &t), IBV_WC_SUCCESS);
		host_read(FIRST, offset, seen, sizeof(seen));
		assert_bytes(seen, host.bytes, sizeof(seen), "written by RDMA");
	}
	for (size_t offset = 0; offset < size; offset += size / 16) {
		assert_true(had_no_entry(bar.bytes + offset));
		assert_false(had_no_entry(bar.bytes + offset));
	}
	memory_release(&bar);
	memory_release(&host);
	pair_close(&pair);
	function_unbind(FIRST);
}

static void protect_a_page(uint8_t *bytes)
{
	assert_int_equal(mprotect(bytes + 3 * PAGE, PAGE, PROT_READ), 0);
}

struct event {
	void (*happen)(uint8_t *bytes);
};

/*
 * A scene whose BAR is mapped where there is not even a page table: of a change
 * of protection the kernel then tells nobody but the driver.
 */
static void lonely_scene_open(struct scene *scene, int access)
{
	uint8_t *lonely = (uint8_t *)0x200000000000;

	bars_by_driver();
	scene_open(scene, BAR);
	memory_release(&scene->bar);
	scene->bar.bytes = bar_mmap(BAR, lonely, WINDOW, READ_WRITE,
				    MAP_SHARED | MAP_FIXED_NOREPLACE, 0);
	assert_ptr_equal(scene->bar.bytes, lonely);
	scene->bar.mr =
		must_register(scene->pair.device.pd, lonely, WINDOW, access);
}

/* The notifiers have no entries to tell of, and yet the region must go. */
static void event_revokes(void **state)
{
	const struct event *event = *state;
	struct scene scene;

	lonely_scene_open(&scene, ACCESS_ALL);
	assert_reachable(&scene);
	event->happen(scene.bar.bytes);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_registers_anew(&scene);
	scene_close(&scene);
	function_unbind(FIRST);
}

/* A region that only reads loses nothing by mprotect(PROT_READ). */
static void reader_stays(void **state)
{
	struct scene scene;

	(void)state;
	lonely_scene_open(&scene, IBV_ACCESS_REMOTE_READ);
	mapping_read_only(scene.bar.bytes);
	assert_status(peer_access(&scene, IBV_WR_RDMA_READ, 100, 1000),
		      IBV_WC_SUCCESS);
	mapping_inaccessible(scene.bar.bytes);
	assert_status(peer_access(&scene, IBV_WR_RDMA_READ, 100, 1000),
		      IBV_WC_REM_ACCESS_ERR);
	memory_release(&scene.bar);
	scene_close(&scene);
	function_unbind(FIRST);
}

static int try_register(struct ibv_pd *pd, void *bytes, size_t size, int access)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, bytes, size, access);

	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

static void read_only_open(void **state)
{
	struct device device;
	void *mapped;
	int fd;

	(void)state;
	bars_by_driver();
	device_open(&device);
	fd = must_open(bar_path(BAR), O_RDONLY);
	assert_ptr_equal(mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, 0),
			 MAP_FAILED);
	assert_int_equal(errno, EACCES);
	mapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(mapped != MAP_FAILED);
	assert_int_equal(mprotect(mapped, PAGE, READ_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(try_register(device.pd, mapped, PAGE,
				      IBV_ACCESS_LOCAL_WRITE),
			 EACCES);
	assert_int_equal(try_register(device.pd, mapped, PAGE, ACCESS_ALL),
			 EACCES);
	assert_int_equal(try_register(device.pd, mapped, PAGE,
				      IBV_ACCESS_REMOTE_READ),
			 0);
	assert_int_equal(munmap(mapped, PAGE), 0);
	close(fd);
	device_close(&device);
	function_unbind(FIRST);
}

static void allow_registers(const char *value)
{
	assert_int_equal(module_set(BAR_MODULE, "allow_registers", value, NULL),
			 0);
}

static void registers_by_parameter(void **state)
{
	struct bar_resource res;
	struct memory host, registers = { .kind = BAR };
	struct transfer t;
	struct pair pair;
	int fd;

	(void)state;
	bars_by_driver();
	pair_open(&pair);
	memory_map(&host, HOST, PAGE);
	memory_register(&host, pair.device.pd);
	res = function_resource(FIRST, 0);
	registers.size = res.end - res.start + 1;
	fd = must_open(bar_file(FIRST, 0, false), O_RDWR);
	registers.bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(registers.bytes != MAP_FAILED);

	assert_int_equal(try_register(pair.device.pd, registers.bytes,
				      registers.size, ACCESS_ALL),
			 EPERM);
	allow_registers("Y");
	/* The rest of the page is not the BAR's. */
	assert_int_equal(try_register(pair.device.pd, registers.bytes,
				      registers.size + 1, ACCESS_ALL),
			 ENXIO);
	memory_register(&registers, pair.device.pd);
	/* The interrupt mask, of which one byte is read. */
	*(volatile uint32_t *)registers.bytes = 0x5a;
	t = (struct transfer){
		.opcode = IBV_WR_RDMA_READ,
		.local = host.bytes,
		.lkey = host.mr->lkey,
		.length = 1,
		.remote = (uintptr_t)registers.bytes,
		.rkey = registers.mr->rkey,
	};
	assert_status(run_transfer(&pair.near, &t), IBV_WC_SUCCESS);
	assert_int_equal(host.bytes[0], 0x5a);
	*(volatile uint32_t *)registers.bytes = 0;
	allow_registers("N");
	assert_int_equal(try_register(pair.device.pd, registers.bytes,
				      registers.size, ACCESS_ALL),
			 EPERM);
	assert_int_equal(ibv_dereg_mr(registers.mr), 0);
	assert_int_equal(munmap(registers.bytes, PAGE), 0);
	close(fd);
	memory_release(&host);
	pair_close(&pair);
	function_unbind(FIRST);
}

static void as_nobody(int socket, void *argument)
{
	const bool *allowed = argument;
	struct scene scene;

	become(NOBODY);
	if (*allowed) {
		scene_open(&scene, BAR);
		assert_reachable(&scene);
		memory_release(&scene.bar);
		scene_close(&scene);
	} else {
		assert_int_equal(open(bar_path(BAR), O_RDONLY), -1);
		assert_int_equal(errno, EACCES);
	}
	meet(socket);
}

/* The right to open the two files is all that a user needs. */
static void unprivileged_user(void **state)
{
	struct device device;
	struct child child;
	struct stat before;
	char verbs[128];

	(void)state;
	bars_by_driver();
	device_open(&device);
	snprintf(verbs, sizeof(verbs), "/dev/infiniband/%s",
		 device.context->device->dev_name);
	device_close(&device);
	assert_int_equal(stat(verbs, &before), 0);
	assert_int_equal(chmod(verbs, 0666), 0);
	for (int i = 0; i < 2; i++) {
		bool allowed = i;

		child_start(&child, as_nobody, &allowed);
		meet(child.socket);
		child_finish(&child);
		assert_int_equal(chmod(bar_path(BAR), 0666), 0);
	}
	assert_int_equal(chmod(verbs, before.st_mode & 07777), 0);
	function_unbind(FIRST);
}

#define EVENT(happen) (&(const struct event){ happen })

static const enum memory_kind uncached = BAR, combining = BAR_WC;

static const struct test tests[] = {
	TEST_OF("bar/rdma-uncached", rdma_both_ways, &uncached),
	TEST_OF("bar/rdma-write-combining", rdma_both_ways, &combining),
	TEST("bar/mr-without-page-table-entries", without_entries),
	TEST_OF("bar/mprotect-read-revokes", event_revokes,
		EVENT(mapping_read_only)),
	TEST_OF("bar/mprotect-of-a-page-revokes", event_revokes,
		EVENT(protect_a_page)),
	TEST_OF("bar/mprotect-none-revokes", event_revokes,
		EVENT(mapping_inaccessible)),
	TEST_OF("bar/munmap-revokes", event_revokes, EVENT(mapping_unmapped)),
	TEST_OF("bar/map-fixed-revokes", event_revokes, EVENT(mapping_covered)),
	TEST("bar/mprotect-read-keeps-a-reader", reader_stays),
	TEST("bar/read-only-file", read_only_open),
	TEST("bar/registers-by-parameter", registers_by_parameter),
	TEST("bar/unprivileged-user", unprivileged_user),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
