// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * BARs mapped through vfio-pci: the pages come by fault, and go at a reset or
 * when memory decoding is switched off.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

struct vfio {
	int container;
	int group;
	int device;
	unsigned long long config; /* where config space is in the file */
};

static int open_group(void)
{
	char path[PATH_SIZE], target[PATH_SIZE], node[32];
	ssize_t n;
	int fd;

	pci_file(BAR2, "iommu_group", path);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		fail_msg("%s: %s", path, strerror(errno));
	target[n] = '\0';
	snprintf(node, sizeof(node), "/dev/vfio/%.8s",
		 strrchr(target, '/') + 1);
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", node, strerror(errno));
	return fd;
}

static unsigned long long region_offset(struct vfio *vfio, unsigned int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
					 .index = index };

	assert_int_equal(
		ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	return info.offset;
}

static void set_memory_decoding(struct vfio *vfio, bool on)
{
	uint16_t command;

	assert_int_equal(pread(vfio->device, &command, 2,
			       vfio->config + PCI_COMMAND),
			 2);
	command &= ~PCI_COMMAND_MEMORY;
	command |= on ? PCI_COMMAND_MEMORY : 0;
	assert_int_equal(pwrite(vfio->device, &command, 2,
				vfio->config + PCI_COMMAND),
			 2);
}

static void vfio_open(struct vfio *vfio)
{
	char address[32];

	assert_true(shell("modprobe -a vfio-pci vfio_iommu_type1"));
	/* The lab's IOMMU remaps no interrupts, and the function has none. */
	write_file(
		"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
		"1\n");
	pci_bind(BAR2, "vfio-pci");
	pci_address(BAR2, address);
	vfio->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	assert_true(vfio->container >= 0);
	vfio->group = open_group();
	assert_int_equal(ioctl(vfio->group, VFIO_GROUP_SET_CONTAINER,
			       &vfio->container),
			 0);
	assert_int_equal(
		ioctl(vfio->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	vfio->device = ioctl(vfio->group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (vfio->device < 0)
		fail_msg("%s: %s", address, strerror(errno));
	vfio->config = region_offset(vfio, VFIO_PCI_CONFIG_REGION_INDEX);
	set_memory_decoding(vfio, true);
}

/* Never touched by this process until a test does. */
static void *vfio_map(struct vfio *vfio)
{
	unsigned long long offset =
		region_offset(vfio, VFIO_PCI_BAR2_REGION_INDEX);
	void *bytes = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED,
			   vfio->device, offset);

	if (bytes == MAP_FAILED)
		fail_msg("mmap of the region of BAR 2: %s", strerror(errno));
	return bytes;
}

static void vfio_close(struct vfio *vfio)
{
	assert_int_equal(close(vfio->device), 0);
	assert_int_equal(close(vfio->group), 0);
	assert_int_equal(close(vfio->container), 0);
}

/* As the other tests expect to find it. */
static void give_back(void)
{
	char path[PATH_SIZE];

	pci_bind(BAR2, "");
	pci_file(BAR2, "enable", path);
	write_file(path, "1\n");
}

static void registers_unfaulted(void **state)
{
	static uint8_t data[WINDOW], seen[WINDOW];
	struct scene scene;
	struct vfio vfio;

	(void)state;
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio));

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
	give_back();
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
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct scene scene;
	struct vfio vfio;

	(void)state;
	vfio_open(&vfio);
	assert_int_equal(ioctl(vfio.device, VFIO_DEVICE_GET_INFO, &info), 0);
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET)) {
		vfio_close(&vfio);
		give_back();
		skip_test("the kernel knows no reset for this function");
	}
	scene_open_over(&scene, BAR2, vfio_map(&vfio));
	assert_reachable(&scene);
	assert_int_equal(ioctl(vfio.device, VFIO_DEVICE_RESET), 0);
	set_memory_decoding(&vfio, true);
	assert_again(&scene, references);
	vfio_close(&vfio);
	give_back();
}

static void memory_disable_revokes(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct scene scene;
	struct ibv_mr *mr;
	struct vfio vfio;

	(void)state;
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio));
	assert_reachable(&scene);
	set_memory_decoding(&vfio, false);
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_revoked(&scene);
	/* No page can be faulted in now. */
	mr = ibv_reg_mr(scene.pair.device.pd, scene.bar.bytes, WINDOW,
			ACCESS_ALL);
	assert_null(mr);
	assert_int_equal(errno, EFAULT);
	set_memory_decoding(&vfio, true);
	assert_again(&scene, references);
	vfio_close(&vfio);
	give_back();
}

/* The mapping holds the device open, and the region needs only that. */
static void close_keeps(void **state)
{
	struct scene scene;
	struct vfio vfio;

	(void)state;
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio));
	vfio_close(&vfio);
	assert_reachable(&scene);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
	give_back();
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
	vfio_open(&vfio);
	scene_open_over(&scene, BAR2, vfio_map(&vfio));
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
	give_back();
	assert_registers_anew(&scene);
	scene_close(&scene);
	expect_references(VERBS_MODULE, references);
}

static const struct test tests[] = {
	TEST("vfio/registers-unfaulted", registers_unfaulted),
	TEST("vfio/reset-revokes", reset_revokes),
	TEST("vfio/memory-disable-revokes", memory_disable_revokes),
	TEST("vfio/close-keeps-mapping", close_keeps),
	TEST("vfio/unbind-revokes", unbind_revokes),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
