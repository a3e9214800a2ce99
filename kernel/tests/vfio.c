// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * BARs mapped through vfio-pci: the pages come by fault, and go at a reset or
 * when memory decoding is switched off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faulting.h"
#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "vfio_function.h"

static void registers_unfaulted(void **state)
{
	static uint8_t data[WINDOW], seen[WINDOW];
	struct scene scene;
	struct vfio vfio;

	(void)state;
	vfio_bind();
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio, 0, WINDOW));

	pattern_fill(data, WINDOW, 51);
	memcpy(scene.host.bytes, data, WINDOW);
	assert_status(peer_access(&scene, IBV_WR_RDMA_WRITE, 0, WINDOW),
		      IBV_WC_SUCCESS);
	host_read(1, 0, seen, WINDOW);
	assert_bytes(seen, data, WINDOW, "file behind the BAR");

	pattern_fill(data, WINDOW, 52);
	host_write(1, 0, data, WINDOW);
	assert_status(peer_access(&scene, IBV_WR_RDMA_READ, 0, WINDOW),
		      IBV_WC_SUCCESS);
	assert_bytes(scene.host.bytes, data, WINDOW, "read by the peer");

	memory_release(&scene.bar);
	scene_close(&scene);
	vfio_close(&vfio);
	vfio_give_back();
}

/* The region is gone, the mapping is not: it can be registered again. */
static void assert_again(struct scene *scene, int references)
{
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_revoked(scene);
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
	memory_register(&scene->bar, scene->pair.device.pd);
	assert_reachable(scene);
	memory_release(&scene->bar);
	scene_close(scene);
	expect_references(VERBS_MODULE, references);
}

static void reset_revokes(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct scene scene;
	struct vfio vfio;

	(void)state;
	vfio_bind();
	vfio_open(&vfio);
	if (!vfio_can_reset(&vfio)) {
		vfio_close(&vfio);
		vfio_give_back();
		skip_test("the kernel knows no reset for this function");
	}
	scene_open_over(&scene, BAR2, vfio_map(&vfio, 0, WINDOW));
	assert_reachable(&scene);
	assert_int_equal(vfio_reset(&vfio), 0);
	vfio_set_memory_decoding(&vfio, true);
	assert_again(&scene, references);
	vfio_close(&vfio);
	vfio_give_back();
}

static void memory_disable_revokes(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct scene scene;
	struct ibv_mr *mr;
	struct vfio vfio;

	(void)state;
	vfio_bind();
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio, 0, WINDOW));
	assert_reachable(&scene);
	vfio_set_memory_decoding(&vfio, false);
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_revoked(&scene);
	/* No page can be faulted in now. */
	mr = ibv_reg_mr(scene.pair.device.pd, scene.bar.bytes, WINDOW,
			ACCESS_ALL);
	assert_null(mr);
	assert_int_equal(errno, EFAULT);
	vfio_set_memory_decoding(&vfio, true);
	assert_again(&scene, references);
	vfio_close(&vfio);
	vfio_give_back();
}

/* The mapping holds the device open, and the region needs only that. */
static void close_keeps(void **state)
{
	struct scene scene;
	struct vfio vfio;

	(void)state;
	vfio_bind();
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio, 0, WINDOW));
	vfio_close(&vfio);
	assert_reachable(&scene);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
	vfio_give_back();
}

/* vfio-pci lets go of the function only when its user has; the region ends now. */
static void unbind_revokes(void **state)
{
	int references = module_references(VERBS_MODULE), status;
	char path[PATH_SIZE], address[32], command[2 * PATH_SIZE];
	struct scene scene;
	struct vfio vfio;
	pid_t unbinder;

	(void)state;
	vfio_bind();
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio, 0, WINDOW));
	assert_reachable(&scene);
	pci_file(BAR2, "driver/unbind", path);
	pci_address(BAR2, address);
	snprintf(command, sizeof(command), "echo %s >%s", address, path);
	unbinder = fork();
	assert_true(unbinder >= 0);
	if (!unbinder) {
		/* A program of its own: it must have none of our files open. */
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	for (int i = 0; !ranges_of(getpid(), "revoked") && i < 400; i++)
		usleep(50 * 1000);
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_revoked(&scene);
	assert_int_equal(waitpid(unbinder, &status, WNOHANG), 0);
	memory_release(&scene.bar);
	vfio_close(&vfio);
	assert_int_equal(waitpid(unbinder, &status, 0), unbinder);
	assert_int_equal(status, 0);
	vfio_give_back();
	assert_registers_anew(&scene);
	scene_close(&scene);
	expect_references(VERBS_MODULE, references);
}

/* A region over a mapping that has no pages yet, nor page tables for them. */
struct unfaulted {
	struct scene scene;
	struct vfio vfio;
};

static void prepare_unfaulted(void *argument)
{
	struct unfaulted *unfaulted = argument;
	void *bytes = vfio_map(&unfaulted->vfio, 0, WINDOW);

	unfaulted->scene.bar.bytes =
		mremap(bytes, WINDOW, WINDOW, MREMAP_MAYMOVE | MREMAP_FIXED,
		       (void *)0x500000000000);
	assert_true(unfaulted->scene.bar.bytes != MAP_FAILED);
}

static int call_register(void *argument)
{
	struct unfaulted *unfaulted = argument;
	struct scene *scene = &unfaulted->scene;

	scene->bar.mr = ibv_reg_mr(scene->pair.device.pd, scene->bar.bytes,
				   WINDOW, ACCESS_ALL);
	return scene->bar.mr ? 0 : errno;
}

static void check_registered(void *argument, int error)
{
	struct unfaulted *unfaulted = argument;

	if (error)
		assert_int_equal(call_register(argument), 0);
	assert_reachable(&unfaulted->scene);
	memory_release(&unfaulted->scene.bar);
	unfaulted->scene.bar.mr = NULL;
}

static void faults_while_faulting_in(void **state)
{
	const struct faulted faulted = {
		.name = "register what is yet to be faulted in",
		.prepare = prepare_unfaulted,
		.call = call_register,
		.check = check_registered,
	};
	struct unfaulted unfaulted;

	(void)state;
	faults_prepare();
	vfio_bind();
	vfio_open(&unfaulted.vfio);
	scene_open_over(&unfaulted.scene, BAR2,
			vfio_map(&unfaulted.vfio, 0, WINDOW));
	memory_release(&unfaulted.scene.bar);
	fail_each(&faulted, &unfaulted);
	scene_close(&unfaulted.scene);
	vfio_close(&unfaulted.vfio);
	vfio_give_back();
}

static const struct test tests[] = {
	TEST("vfio/registers-unfaulted", registers_unfaulted),
	TEST("vfio/reset-revokes", reset_revokes),
	TEST("vfio/memory-disable-revokes", memory_disable_revokes),
	TEST("vfio/close-keeps-mapping", close_keeps),
	TEST("vfio/unbind-revokes", unbind_revokes),
	TEST_WITHIN(600, "faults/register-on-demand", faults_while_faulting_in),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
