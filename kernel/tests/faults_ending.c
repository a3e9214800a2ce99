// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Revocation needs no memory: it works while none is to be had, and what begins
 * it, and fails for want of memory, leaves a region that is whole or revoked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "child.h"
#include "exporting.h"
#include "faulting.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define SECONDS 600

/* A region, and how its memory goes. */
struct ending {
	struct scene scene;
	void *(*map)(void);
	int (*end)(uint8_t *bytes);
	void (*restore)(void); /* what else has gone with it; or NULL */
};

static int errno_of(int ret)
{
	return ret < 0 ? errno : 0;
}

static int unmap_all(uint8_t *bytes)
{
	return errno_of(munmap(bytes, WINDOW));
}

static int unmap_middle(uint8_t *bytes)
{
	return errno_of(munmap(bytes + 4 * PAGE, PAGE));
}

static int protect_middle(uint8_t *bytes)
{
	return errno_of(mprotect(bytes + 4 * PAGE, PAGE, PROT_READ));
}

static int cover_middle(uint8_t *bytes)
{
	void *mapped = mmap(bytes + 4 * PAGE, PAGE, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return mapped == MAP_FAILED ? errno : 0;
}

/* To a place of its own, which needs new page tables. */
static int move_away(uint8_t *bytes)
{
	void *moved =
		mremap(bytes, WINDOW, WINDOW, MREMAP_MAYMOVE | MREMAP_FIXED,
		       (void *)0x500000000000);

	if (moved == MAP_FAILED)
		return errno;
	return 0;
}

static void restore_moved(void)
{
	munmap((void *)0x500000000000, WINDOW);
}

static int take_back(uint8_t *bytes)
{
	(void)bytes;
	return exporter_try("take 0 %lu\n", WINDOW);
}

static void give(void)
{
	exporter_do("give\n");
}

static int unbind(uint8_t *bytes)
{
	(void)bytes;
	return write_sysfs("/sys/bus/pci/drivers/" BAR_MODULE "/unbind",
			   function_address(FIRST));
}

static void *map_sysfs(void)
{
	struct memory bar;

	memory_map(&bar, BAR, WINDOW);
	return bar.bytes;
}

static void *map_exporter(void)
{
	return exporter_map(0);
}

static void *map_bound(void)
{
	function_bind(FIRST);
	return map_sysfs();
}

static void prepare(void *argument)
{
	struct ending *ending = argument;
	struct scene *scene = &ending->scene;

	scene->bar.bytes = ending->map();
	memory_register(&scene->bar, scene->pair.device.pd);
}

static int call(void *argument)
{
	struct ending *ending = argument;

	return ending->end(ending->scene.bar.bytes);
}

static void check(void *argument, int error)
{
	struct ending *ending = argument;
	struct scene *scene = &ending->scene;
	enum ibv_wc_status status;

	if (error) {
		status = peer_access(scene, IBV_WR_RDMA_WRITE, 0, 64);
		if (status != IBV_WC_SUCCESS)
			assert_status(status, IBV_WC_REM_ACCESS_ERR);
		assert_int_equal(call(ending), 0);
	}
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, 0, 64),
		      IBV_WC_REM_ACCESS_ERR);
	memory_release(&scene->bar);
	scene->bar.mr = NULL;
	if (ending->restore)
		ending->restore();
}

static void open_ending(struct ending *ending)
{
	faults_prepare();
	scene_open(&ending->scene, BAR);
	memory_release(&ending->scene.bar);
}

static void fail_ending(struct ending *ending, const char *name)
{
	const struct faulted faulted = {
		.name = name, .prepare = prepare, .call = call, .check = check
	};

	open_ending(ending);
	fail_each(&faulted, ending);
	scene_close(&ending->scene);
}

struct by_mapping {
	const char *name;
	int (*end)(uint8_t *bytes);
	void (*restore)(void);
};

static void by_mapping(void **state)
{
	const struct by_mapping *how = *state;
	struct ending ending = { .map = map_sysfs,
				 .end = how->end,
				 .restore = how->restore };

	fail_ending(&ending, how->name);
}

static void by_exporter(void **state)
{
	struct ending ending = { .map = map_exporter,
				 .end = take_back,
				 .restore = give };

	(void)state;
	exporter_load("");
	fail_ending(&ending, "revoke by the exporter");
	exporter_unload();
}

static void by_unbind(void **state)
{
	struct ending ending = { .map = map_bound, .end = unbind };

	(void)state;
	bars_by_driver();
	faults_prepare();
	scene_open(&ending.scene, BAR);
	memory_release(&ending.scene.bar);
	function_unbind(FIRST);
	fail_each(&(struct faulted){ .name = "unbind from p2pmr_bar",
				     .prepare = prepare,
				     .call = call,
				     .check = check },
		  &ending);
	scene_close(&ending.scene);
}

/*
 * No memory for anybody who works for p2pmr, whichever thread that is. That a new
 * registration fails shows that it is so.
 */
static void without_memory(struct ending *ending)
{
	struct scene *scene = &ending->scene;
	struct memory other;
	unsigned int count;
	int error, refused;

	memory_map(&other, BAR2, WINDOW);
	prepare(ending);
	assert_reachable(scene);
	faults_below_module(CORE_MODULE);
	faults_start();
	other.mr = ibv_reg_mr(scene->pair.device.pd, other.bytes, WINDOW,
			      ACCESS_ALL);
	refused = other.mr ? 0 : errno;
	error = call(ending);
	count = faults_stop();
	print_message("%u allocations failed\n", count);
	assert_int_equal(refused, ENOMEM);
	assert_true(count > 0);
	assert_int_equal(error, 0);
	check(ending, 0);
	memory_release(&other);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

static void unmapped_without_memory(void **state)
{
	struct ending ending = { .map = map_sysfs, .end = unmap_all };

	(void)state;
	open_ending(&ending);
	without_memory(&ending);
	scene_close(&ending.scene);
}

static void taken_without_memory(void **state)
{
	struct ending ending = { .map = map_exporter,
				 .end = take_back,
				 .restore = give };

	(void)state;
	exporter_load("");
	open_ending(&ending);
	without_memory(&ending);
	scene_close(&ending.scene);
	exporter_unload();
}

static int remove_function(uint8_t *bytes)
{
	(void)bytes;
	return write_sysfs(function_file(FIRST, "remove"), "1");
}

static void removed_without_memory(void **state)
{
	struct ending ending = { .map = map_sysfs,
				 .end = remove_function,
				 .restore = first_rescan };

	(void)state;
	open_ending(&ending);
	without_memory(&ending);
	scene_close(&ending.scene);
}

/* Registers, and is killed where it waits. */
static void hold_region(int socket, void *argument)
{
	struct ending *ending = argument;

	open_ending(ending);
	prepare(ending);
	meet(socket);
	pause();
}

/* What it held goes with its address space, then with its verbs file. */
static void killed_without_memory(void **state)
{
	struct ending ending = { .map = map_sysfs };
	struct child child;
	unsigned int count;
	struct scene scene;
	struct ibv_mr *mr;

	(void)state;
	faults_prepare();
	child_start(&child, hold_region, &ending);
	meet(child.socket);
	scene_open(&scene, BAR);
	memory_release(&scene.bar);
	memory_map(&scene.bar, BAR, WINDOW);
	faults_below_module(CORE_MODULE);
	faults_start();
	mr = ibv_reg_mr(scene.pair.device.pd, scene.bar.bytes, WINDOW,
			ACCESS_ALL);
	/* Who has been waited for has let go of its address space and its files. */
	child_kill(&child);
	count = faults_stop();
	assert_null(mr);
	assert_true(count > 0);
	assert_int_equal(ranges_of(child.pid, NULL), 0);
	memory_release(&scene.bar);
	assert_registers_anew(&scene);
	scene_close(&scene);
}

#define BY(...) (&(const struct by_mapping){ __VA_ARGS__ })
#define TEST_BY(name_, ...)                                             \
	{                                                               \
		.name = (name_), .run = by_mapping, .timeout = SECONDS, \
		.param = BY(__VA_ARGS__)                                \
	}

static const struct test tests[] = {
	TEST_BY("faults/munmap", "munmap", unmap_all, NULL),
	TEST_BY("faults/munmap-of-part", "munmap of a part", unmap_middle,
		NULL),
	TEST_BY("faults/mprotect", "mprotect", protect_middle, NULL),
	TEST_BY("faults/mmap-over", "mmap over it", cover_middle, NULL),
	TEST_BY("faults/mremap", "mremap", move_away, restore_moved),
	TEST_WITHIN(SECONDS, "faults/revoke-by-exporter", by_exporter),
	TEST_WITHIN(SECONDS, "faults/bar-unbind", by_unbind),
	TEST("faults/munmap-without-memory", unmapped_without_memory),
	TEST("faults/revoke-by-exporter-without-memory", taken_without_memory),
	TEST("faults/removal-without-memory", removed_without_memory),
	TEST("faults/kill-without-memory", killed_without_memory),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
