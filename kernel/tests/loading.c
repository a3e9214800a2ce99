// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Loading and unloading: without the modules a BAR is refused as ever, with
 * a region alive they stay, and coming and going leaves the device sound.
 */
#include <errno.h>
#include <sys/mman.h>

#include "modules.h"
#include "revoked.h"
#include "runner.h"

static int attempt(struct ibv_pd *pd, enum memory_kind kind, int access)
{
	struct memory memory;
	struct ibv_mr *mr;
	int error = 0;

	memory_map(&memory, kind, WINDOW);
	mr = ibv_reg_mr(pd, memory.bytes, WINDOW, access);
	if (mr)
		assert_int_equal(ibv_dereg_mr(mr), 0);
	else
		error = errno;
	memory_release(&memory);
	return error;
}

static void efault_without_modules(void **state)
{
	static const enum memory_kind bars[] = { BAR, BAR_WC, BAR2, BAR2_WC };
	struct device device;

	(void)state;
	modules_unload();
	device_open(&device);
	for (size_t i = 0; i < ARRAY_SIZE(bars); i++) {
		assert_int_equal(attempt(device.pd, bars[i], ACCESS_ALL),
				 EFAULT);
		assert_int_equal(attempt(device.pd, bars[i],
					 IBV_ACCESS_REMOTE_READ),
				 EFAULT);
	}
	assert_int_equal(attempt(device.pd, HOST, ACCESS_ALL), 0);
	modules_load();
	/* The file was open already when the modules came. */
	for (size_t i = 0; i < ARRAY_SIZE(bars); i++)
		assert_int_equal(attempt(device.pd, bars[i], ACCESS_ALL), 0);
	device_close(&device);
}

static void unload_refused(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	assert_false(module_try_remove(VERBS_MODULE));
	assert_false(module_try_remove(CORE_MODULE));
	assert_reachable(&scene);

	/* Revoked, it holds them still: its deregistration is to come. */
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_false(module_try_remove(VERBS_MODULE));
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	modules_unload();
	modules_load();
	assert_registers_anew(&scene);
	scene_close(&scene);
}

static void load_unload_loop(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	memory_release(&scene.bar);
	for (int i = 0; i < 20; i++) {
		modules_unload();
		if (i % 5 == 0)
			assert_int_equal(attempt(scene.pair.device.pd, BAR,
						 ACCESS_ALL),
					 EFAULT);
		modules_load();
		assert_registers_anew(&scene);
	}
	scene_close(&scene);
}

/* Host regions made under one state of the modules live on in the other. */
static void host_regions_outlive_modules(void **state)
{
	struct memory made_with, made_without;
	struct device device;

	(void)state;
	device_open(&device);
	memory_map(&made_with, HOST, WINDOW);
	memory_map(&made_without, HOST, WINDOW);
	memory_register(&made_with, device.pd);
	modules_unload();
	memory_register(&made_without, device.pd);
	memory_release(&made_with);
	modules_load();
	memory_release(&made_without);
	device_close(&device);
}

/* What the modules stand on is in use, by soft-RoCE for one. */
static void modprobe_removes(void **state)
{
	const char *const argv[] = { "modprobe", "-r", VERBS_MODULE, NULL };

	(void)state;
	assert_true(module_references("ib_uverbs") > 0);
	assert_int_equal(run_command(argv), 0);
	assert_false(module_is_loaded(VERBS_MODULE));
	assert_false(module_is_loaded(CORE_MODULE));
	assert_true(module_is_loaded("ib_uverbs"));
	modules_load();
}

static const struct test tests[] = {
	TEST("verbs/without-modules-efault", efault_without_modules),
	TEST("verbs/unload-refused-while-mr-lives", unload_refused),
	TEST("verbs/load-unload-loop", load_unload_loop),
	TEST("verbs/modprobe-removes", modprobe_removes),
	TEST("verbs/host-mr-outlives-modules", host_regions_outlive_modules),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
