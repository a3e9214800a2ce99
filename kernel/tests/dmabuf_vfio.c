// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * dma-bufs that vfio-pci makes, where the kernel's does: registered on soft-RoCE, and
 * ended by whatever takes the memory from the function.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "chardev.h"
#include "imported.h"
#include "modules.h"
#include "runner.h"
#include "system.h"
#include "vfio_function.h"

/* As in the kernel's headers, which may be older than the kernel. */
#define FEATURE_DMA_BUF 11

struct feature_dma_buf {
	uint32_t argsz;
	uint32_t flags;
	uint32_t region_index;
	uint32_t open_flags;
	uint32_t more_flags;
	uint32_t nr_ranges;
	struct {
		uint64_t offset, length;
	} ranges[2];
};

#define FIRST_PART  (2 * PAGE)
#define SECOND_PART (6 * PAGE)

/* Eight pages of BAR 2 from two places, also mapped, one after the other. */
static void vfio_export(struct vfio *vfio, struct buffer *buffer, int flags)
{
	struct feature_dma_buf feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_GET | FEATURE_DMA_BUF,
		.region_index = VFIO_PCI_BAR2_REGION_INDEX,
		.open_flags = flags | O_CLOEXEC,
		.nr_ranges = 2,
		.ranges = { { 16 * PAGE, FIRST_PART }, { PAGE, SECOND_PART } },
	};
	int fd = ioctl(vfio->device, VFIO_DEVICE_FEATURE, &feature);

	if (fd < 0 && errno == ENOTTY) {
		vfio_close(vfio);
		vfio_give_back();
		skip_test("this kernel's vfio-pci makes no dma-bufs");
	}
	if (fd < 0)
		fail_msg("VFIO_DEVICE_FEATURE_DMA_BUF: %s", strerror(errno));
	*buffer = (struct buffer){ .exporter = "vfio",
				   .fd = fd,
				   .size = FIRST_PART + SECOND_PART };
	buffer->bytes = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(buffer->bytes != MAP_FAILED);
	assert_true(mremap(vfio_map(vfio, 16 * PAGE, FIRST_PART), FIRST_PART,
			   FIRST_PART, MREMAP_MAYMOVE | MREMAP_FIXED,
			   buffer->bytes) == buffer->bytes);
	assert_true(mremap(vfio_map(vfio, PAGE, SECOND_PART), SECOND_PART,
			   SECOND_PART, MREMAP_MAYMOVE | MREMAP_FIXED,
			   buffer->bytes + FIRST_PART) ==
		    buffer->bytes + FIRST_PART);
}

static void begin(struct vfio *vfio, struct buffer *buffer, int flags)
{
	vfio_bind();
	vfio_open(vfio);
	vfio_export(vfio, buffer, flags);
}

static void end(struct vfio *vfio, struct buffer *buffer)
{
	buffer_release(buffer);
	vfio_close(vfio);
	vfio_give_back();
}

static void imports(void **state)
{
	static const struct {
		size_t offset, length;
	} parts[] = { { 0, FIRST_PART + SECOND_PART },
		      { PAGE + 5, 2 * PAGE },
		      { FIRST_PART + 100, 3000 } };
	static struct listing listing;
	int fd = chardev_ready();
	struct buffer buffer;
	struct import import;
	struct vfio vfio;

	(void)state;
	begin(&vfio, &buffer, O_RDWR);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		import_open(&import, buffer.fd, parts[i].offset,
			    parts[i].length);
		assert_imported(&import, &buffer, parts[i].offset);
		list(fd, &listing, 0);
		assert_int_equal(listing.list.count, 1);
		assert_int_equal(listing.ranges[0].location.bar, 2);
		assert_true(listing.ranges[0].location.flags &
			    P2PMR_LOCATION_OFFSET);
		import_close(&import, true);
	}
	end(&vfio, &buffer);
	close(fd);
}

static void read_only(void **state)
{
	struct buffer buffer;
	struct import import;
	struct vfio vfio;

	(void)state;
	begin(&vfio, &buffer, O_RDONLY);
	import_open_peer(&import);
	assert_int_equal(import_register(&import, buffer.fd, 0, PAGE,
					 ACCESS_ALL),
			 EACCES);
	assert_int_equal(import_register(&import, buffer.fd, 0, PAGE,
					 IBV_ACCESS_REMOTE_READ),
			 0);
	assert_status(import_access(&import, IBV_WR_RDMA_READ, 0, 8),
		      IBV_WC_SUCCESS);
	import_close(&import, true);
	end(&vfio, &buffer);
}

/* What the administrator rules out is ruled out by this way, too. */
static void ruled_out(void **state)
{
	char before[PARAMETER_SIZE], address[32];
	struct buffer buffer;
	struct import import;
	struct vfio vfio;
	int error;

	(void)state;
	begin(&vfio, &buffer, O_RDWR);
	import_open_peer(&import);
	pci_address(BAR2, address);
	assert_int_equal(module_set(CORE_MODULE, "deny", address, before), 0);
	error = import_register(&import, buffer.fd, 0, PAGE, ACCESS_ALL);
	assert_int_equal(module_set(CORE_MODULE, "deny", before, NULL), 0);
	assert_int_equal(error, EPERM);
	import_close(&import, false);
	end(&vfio, &buffer);
}

/* Switched off, the memory is gone; switched on again the buffer has it anew. */
static void memory_disable_revokes(void **state)
{
	struct buffer buffer;
	struct import import;
	struct vfio vfio;

	(void)state;
	begin(&vfio, &buffer, O_RDWR);
	import_open(&import, buffer.fd, 0, buffer.size);
	assert_imported(&import, &buffer, 0);
	vfio_set_memory_decoding(&vfio, false);
	assert_int_equal(ranges_of(getpid(), "live"), 0);
	assert_not_imported(&import);
	uverbs_deregister(&import.mr);
	assert_int_equal(import_register(&import, buffer.fd, 0, PAGE,
					 ACCESS_ALL),
			 ENODEV);
	vfio_set_memory_decoding(&vfio, true);
	assert_int_equal(import_register(&import, buffer.fd, 0, buffer.size,
					 ACCESS_ALL),
			 0);
	assert_imported(&import, &buffer, 0);
	import_close(&import, true);
	end(&vfio, &buffer);
}

/* The device's last user has gone, and the buffer with it. */
static void close_revokes(void **state)
{
	struct buffer buffer;
	struct import import;
	struct vfio vfio;

	(void)state;
	begin(&vfio, &buffer, O_RDWR);
	import_open(&import, buffer.fd, 0, buffer.size);
	assert_imported(&import, &buffer, 0);
	assert_int_equal(munmap(buffer.bytes, buffer.size), 0);
	vfio_close(&vfio);
	assert_int_equal(ranges_of(getpid(), "live"), 0);
	assert_not_imported(&import);
	import_close(&import, true);
	close(buffer.fd);
	vfio_give_back();
}

static const struct test tests[] = {
	TEST("dmabuf/import-of-vfio", imports),
	TEST("dmabuf/import-of-vfio-read-only", read_only),
	TEST("dmabuf/import-of-vfio-ruled-out", ruled_out),
	TEST("dmabuf/import-of-vfio-memory-disabled", memory_disable_revokes),
	TEST("dmabuf/import-of-vfio-closed", close_revokes),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
