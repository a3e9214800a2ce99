// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* vfio-pci from user space, see vfio_function.h. */
#include "vfio_function.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "runner.h"
#include "system.h"

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

void vfio_set_memory_decoding(struct vfio *vfio, bool on)
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

void vfio_bind(void)
{
	assert_true(shell("modprobe -a vfio-pci vfio_iommu_type1"));
	/* The lab's IOMMU remaps no interrupts, and the function has none. */
	write_file(
		"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
		"1\n");
	pci_bind(BAR2, "vfio-pci");
}

void vfio_open(struct vfio *vfio)
{
	char address[32];

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
	vfio_set_memory_decoding(vfio, true);
}

void *vfio_map(struct vfio *vfio, size_t offset, size_t size)
{
	void *bytes =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		     vfio->device,
		     region_offset(vfio, VFIO_PCI_BAR2_REGION_INDEX) + offset);

	if (bytes == MAP_FAILED)
		fail_msg("mmap of the region of BAR 2: %s", strerror(errno));
	return bytes;
}

void vfio_close(struct vfio *vfio)
{
	assert_int_equal(close(vfio->device), 0);
	assert_int_equal(close(vfio->group), 0);
	assert_int_equal(close(vfio->container), 0);
}

void vfio_give_back(void)
{
	char path[PATH_SIZE];

	pci_bind(BAR2, "");
	pci_file(BAR2, "enable", path);
	write_file(path, "1\n");
}

bool vfio_can_reset(struct vfio *vfio)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	assert_int_equal(ioctl(vfio->device, VFIO_DEVICE_GET_INFO, &info), 0);
	return info.flags & VFIO_DEVICE_FLAGS_RESET;
}

int vfio_reset(struct vfio *vfio)
{
	return ioctl(vfio->device, VFIO_DEVICE_RESET) ? errno : 0;
}
