// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The function or the driver goes while mappings and regions are alive: from
 * then on nobody reaches the device, and everybody can still clean up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "child.h"
#include "host.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

/* How the function goes, and how it comes back to the driver. */
struct departure {
	void (*leave)(void);
	void (*come_back)(void);
	enum memory_kind kind;
};

static void leave_by_unbind(void)
{
	function_unbind(FIRST);
}

static void come_back_by_bind(void)
{
	function_bind(FIRST);
}

static void leave_by_remove(void)
{
	assert_int_equal(write_sysfs(function_file(FIRST, "remove"), "1"), 0);
	assert_false(function_is_there(FIRST));
}

static void come_back_by_rescan(void)
{
	assert_int_equal(write_sysfs("/sys/bus/pci/rescan", "1"), 0);
	function_await(FIRST);
	function_bind(FIRST);
}

static void leave_by_unplug(void)
{
	host_unplug(FIRST);
	assert_false(function_is_there(FIRST));
}

static void come_back_by_plug(void)
{
	host_plug(FIRST);
	function_await(FIRST);
	function_bind(FIRST);
}

/* A process that has inherited the mapping. */
static void heir(int socket, void *argument)
{
	uint8_t *bytes = argument;

	assert_false(reading_faults(bytes));
	meet(socket);
	meet(socket); /* the function has left */
	assert_true(reading_faults(bytes));
	assert_true(writing_faults(bytes + PAGE, 0xcc));
	meet(socket);
	meet(socket); /* it is back */
	assert_true(reading_faults(bytes));
	meet(socket);
}

static void assert_cpu_shut_out(uint8_t *bytes)
{
	uint8_t planted = 0x77, seen;

	host_write(FIRST, 10, &planted, 1);
	assert_true(reading_faults(bytes + 10));
	assert_true(writing_faults(bytes + 10, 0x99));
	assert_true(reading_faults(bytes + WINDOW - 1));
	host_read(FIRST, 10, &seen, 1);
	assert_int_equal(seen, planted);
}

static void departure_revokes(void **state)
{
	const struct departure *departure = *state;
	struct scene scene;
	struct child child;
	int file;

	bars_by_driver();
	file = must_open(bar_path(departure->kind), O_RDWR);
	scene_open(&scene, departure->kind);
	assert_reachable(&scene);
	assert_false(writing_faults(scene.bar.bytes + 10, 0x11));
	child_start(&child, heir, scene.bar.bytes);
	meet(child.socket);

	departure->leave();
	assert_revoked(&scene);
	assert_cpu_shut_out(scene.bar.bytes);
	meet(child.socket);
	meet(child.socket);
	assert_int_equal(access(bar_path(departure->kind), F_OK), -1);
	assert_ptr_equal(mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, file, 0),
			 MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	assert_null(ibv_reg_mr(scene.pair.device.pd, scene.bar.bytes, WINDOW,
			       ACCESS_ALL));
	assert_int_equal(errno, ENODEV);

	/* What is of before stays dead when the function is back. */
	departure->come_back();
	assert_revoked(&scene);
	assert_cpu_shut_out(scene.bar.bytes);
	meet(child.socket);
	meet(child.socket);
	child_finish(&child);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	close(file);
	assert_registers_anew(&scene);
	scene_close(&scene);
	function_unbind(FIRST);
}

/* File, mapping, region: each by itself keeps the module. */
static void unload_refused(void **state)
{
	struct scene scene;
	int file;

	(void)state;
	bars_by_driver();
	file = must_open(bar_path(BAR), O_RDWR);
	assert_false(module_try_remove(BAR_MODULE));
	scene_open(&scene, BAR);
	close(file);
	assert_false(module_try_remove(BAR_MODULE));
	assert_reachable(&scene);

	/* Bound, and so in use by nobody, it goes and lets the function go. */
	memory_release(&scene.bar);
	expect_references(BAR_MODULE, 0);
	assert_true(module_try_remove(BAR_MODULE));
	assert_false(function_is_bound(FIRST));
	assert_int_equal(access("/dev/p2pmr_bar", F_OK), -1);

	function_bind(FIRST);
	assert_registers_anew(&scene);
	scene_close(&scene);
	function_unbind(FIRST);
}

/* A file that is open when the driver goes from the function keeps the module. */
static void unbound_file_keeps_module(void **state)
{
	int file;

	(void)state;
	bars_by_driver();
	file = must_open(bar_path(BAR), O_RDWR);
	function_unbind(FIRST);
	assert_false(module_try_remove(BAR_MODULE));
	close(file);
	expect_references(BAR_MODULE, 0);
	assert_true(module_try_remove(BAR_MODULE));
}

/* Opens, maps, registers and touches without end; refusals are fine. */
static void use_without_end(int socket, void *argument)
{
	const enum memory_kind *kind = argument;
	struct device device;
	int file;

	device_open(&device);
	meet(socket);
	for (;;) {
		struct ibv_mr *mr;
		uint8_t *bytes;

		file = open(bar_path(*kind), O_RDWR);
		if (file < 0)
			continue;
		bytes = mmap(NULL, WINDOW, READ_WRITE, MAP_SHARED, file, 0);
		close(file);
		if (bytes == MAP_FAILED)
			continue;
		mr = ibv_reg_mr(device.pd, bytes, WINDOW, ACCESS_ALL);
		writing_faults(bytes, 1);
		reading_faults(bytes + PAGE);
		if (mr && ibv_dereg_mr(mr))
			abort();
		if (munmap(bytes, WINDOW))
			abort();
	}
}

static void unbind_against_users(void **state)
{
	static enum memory_kind kinds[] = { BAR, BAR, BAR_WC };
	struct child children[ARRAY_SIZE(kinds)];
	struct scene scene;

	(void)state;
	bars_by_driver();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		child_start(&children[i], use_without_end, &kinds[i]);
		meet(children[i].socket);
	}
	for (int i = 0; i < 30; i++) {
		usleep(20 * 1000 + i * 1000);
		function_unbind(FIRST);
		if (i % 10 == 5) {
			leave_by_remove();
			come_back_by_rescan();
		} else {
			function_bind(FIRST);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		child_kill(&children[i]);
	expect_references(BAR_MODULE, 0);
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
	function_unbind(FIRST);
}

/* The process that has everything is killed, or ends, with it in hand. */
static void owner(int socket, void *argument)
{
	struct scene scene;

	(void)argument;
	scene_open(&scene, BAR);
	scene.bar.bytes[0] = 1;
	assert_reachable(&scene);
	meet(socket);
	for (;;)
		pause();
}

static void owner_killed(void **state)
{
	struct child child;

	(void)state;
	bars_by_driver();
	child_start(&child, owner, NULL);
	meet(child.socket);
	assert_false(module_try_remove(BAR_MODULE));
	child_kill(&child);
	expect_references(BAR_MODULE, 0);
	assert_true(module_try_remove(BAR_MODULE));
}

#define DEPARTURE(leave, come_back, kind) \
	(&(const struct departure){ leave, come_back, kind })

static const struct test tests[] = {
	TEST_OF("bar/unbind-revokes", departure_revokes,
		DEPARTURE(leave_by_unbind, come_back_by_bind, BAR)),
	TEST_OF("bar/unbind-revokes-write-combining", departure_revokes,
		DEPARTURE(leave_by_unbind, come_back_by_bind, BAR_WC)),
	TEST_OF("bar/sysfs-remove-revokes", departure_revokes,
		DEPARTURE(leave_by_remove, come_back_by_rescan, BAR)),
	TEST_OF("bar/unplug-revokes", departure_revokes,
		DEPARTURE(leave_by_unplug, come_back_by_plug, BAR_WC)),
	TEST("bar/unload-refused-while-in-use", unload_refused),
	TEST("bar/unbound-file-keeps-module", unbound_file_keeps_module),
	TEST("bar/owner-killed", owner_killed),
	TEST_WITHIN(240, "bar/unbind-against-users", unbind_against_users),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
