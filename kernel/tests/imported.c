// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* dma-bufs of several exporters, see imported.h. */
#define _GNU_SOURCE
#include "imported.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exported.h"
#include "runner.h"
#include "system.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define CARDS	   8

/* Of DRM what is needed here: not every Debian has its header with the kernel's. */
struct drm_version {
	int major, minor, patch;
	size_t name_length;
	char *name;
	size_t date_length;
	char *date;
	size_t description_length;
	char *description;
};

struct drm_dumb {
	uint32_t height, width, bits, flags;
	uint32_t handle, pitch;
	uint64_t size;
};

struct drm_prime {
	uint32_t handle, flags;
	int32_t fd;
};

#define DRM_VERSION	_IOWR('d', 0x00, struct drm_version)
#define DRM_CREATE_DUMB _IOWR('d', 0xb2, struct drm_dumb)
#define DRM_PRIME_TO_FD _IOWR('d', 0x2d, struct drm_prime)

static int open_or_skip(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		skip_test("this kernel has no %s", path);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

static void map(struct buffer *buffer, int fd)
{
	buffer->bytes = mmap(NULL, buffer->size, READ_WRITE, MAP_SHARED, fd, 0);
	if (buffer->bytes == MAP_FAILED)
		fail_msg("mmap of %s: %s", buffer->exporter, strerror(errno));
}

void buffer_of_udmabuf(struct buffer *buffer, size_t size)
{
	int fd = open_or_skip("/dev/udmabuf");
	struct udmabuf_create create = {
		.memfd = memfd_create("udmabuf",
				      MFD_ALLOW_SEALING | MFD_CLOEXEC),
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = size,
	};

	assert_int_equal(ftruncate(create.memfd, size), 0);
	assert_int_equal(fcntl(create.memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	*buffer = (struct buffer){ .exporter = "udmabuf", .size = size };
	/* The file's own pages. */
	map(buffer, create.memfd);
	buffer->fd = ioctl(fd, UDMABUF_CREATE, &create);
	if (buffer->fd < 0)
		fail_msg("UDMABUF_CREATE: %s", strerror(errno));
	close(create.memfd);
	close(fd);
}

void buffer_of_heap(struct buffer *buffer, size_t size)
{
	int fd = open_or_skip("/dev/dma_heap/system");
	struct dma_heap_allocation_data data = {
		.len = size,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	if (ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &data))
		fail_msg("DMA_HEAP_IOCTL_ALLOC: %s", strerror(errno));
	close(fd);
	*buffer = (struct buffer){ .exporter = "system",
				   .fd = data.fd,
				   .size = size };
	map(buffer, buffer->fd);
}

static int open_card(const char *driver)
{
	char path[32], name[32];

	for (int i = 0; i < CARDS; i++) {
		struct drm_version version = { .name = name,
					       .name_length =
						       sizeof(name) - 1 };
		int fd;

		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!ioctl(fd, DRM_VERSION, &version)) {
			name[version.name_length] = '\0';
			if (!strcmp(name, driver))
				return fd;
		}
		close(fd);
	}
	return -1;
}

void buffer_of_drm(struct buffer *buffer, size_t size)
{
	struct drm_dumb create = { .height = 1, .width = size / 4, .bits = 32 };
	struct drm_prime prime = { .flags = O_CLOEXEC | O_RDWR };
	int fd;

	if (!shell("modprobe vgem"))
		skip_test("this kernel has no DRM driver vgem");
	fd = open_card("vgem");
	if (fd < 0)
		fail_msg("no card of the DRM driver vgem");
	if (ioctl(fd, DRM_CREATE_DUMB, &create))
		fail_msg("DRM_CREATE_DUMB: %s", strerror(errno));
	assert_int_equal(create.size, size);
	prime.handle = create.handle;
	if (ioctl(fd, DRM_PRIME_TO_FD, &prime))
		fail_msg("DRM_PRIME_TO_FD: %s", strerror(errno));
	close(fd);
	*buffer = (struct buffer){ .exporter = "drm",
				   .fd = prime.fd,
				   .size = size };
	map(buffer, buffer->fd);
}

void buffer_of_bar(struct buffer *buffer, size_t size)
{
	struct memory bar;

	memory_map(&bar, BAR, size);
	*buffer = (struct buffer){ .exporter = "pci-bar",
				   .fd = must_export(bar.bytes, size),
				   .size = size,
				   .bytes = bar.bytes };
}

void buffer_release(struct buffer *buffer)
{
	if (buffer->fd >= 0)
		close(buffer->fd);
	assert_int_equal(munmap(buffer->bytes, buffer->size), 0);
}

void import_open_peer(struct import *import)
{
	memset(import, 0, sizeof(*import));
	pair_open(&import->pair);
	memory_map(&import->host, HOST, IMPORT_WINDOW);
	memory_register(&import->host, import->pair.device.pd);
}

int import_register(struct import *import, int fd, size_t offset, size_t length,
		    int access)
{
	import->iova = 0x100000000 + offset % PAGE;
	import->length = length;
	return uverbs_register_dmabuf(import->pair.device.pd, fd, offset,
				      length, import->iova, access,
				      &import->mr);
}

void import_open(struct import *import, int fd, size_t offset, size_t length)
{
	int error;

	import_open_peer(import);
	error = import_register(import, fd, offset, length, ACCESS_ALL);
	if (error)
		fail_msg("registering a dma-buf: %s", strerror(error));
}

void import_close(struct import *import, bool registered)
{
	if (registered)
		uverbs_deregister(&import->mr);
	memory_release(&import->host);
	pair_close(&import->pair);
}

enum ibv_wc_status import_access(struct import *import,
				 enum ibv_wr_opcode opcode, size_t offset,
				 size_t length)
{
	enum ibv_wc_status status = run_transfer(
		&import->pair.near, &(struct transfer){
					    .opcode = opcode,
					    .local = import->host.bytes,
					    .lkey = import->host.mr->lkey,
					    .length = length,
					    .remote = import->iova + offset,
					    .rkey = import->mr.rkey,
					    .compare_add = 1,
				    });

	if (status != IBV_WC_SUCCESS)
		pair_reconnect(&import->pair);
	return status;
}

void assert_imported(struct import *import, const struct buffer *buffer,
		     size_t offset)
{
	static uint8_t data[IMPORT_WINDOW], seen[IMPORT_WINDOW];
	size_t length = import->length;

	assert_true(length <= IMPORT_WINDOW && offset + length <= buffer->size);
	memset(buffer->bytes, 0, buffer->size);
	pattern_fill(data, length, offset + 61);
	memcpy(import->host.bytes, data, length);
	assert_status(import_access(import, IBV_WR_RDMA_WRITE, 0, length),
		      IBV_WC_SUCCESS);
	memcpy(seen, buffer->bytes + offset, length);
	assert_bytes(seen, data, length, buffer->exporter);
	/* And nothing before or after. */
	for (size_t i = 0; i < buffer->size; i++)
		if ((i < offset || i >= offset + length) && buffer->bytes[i])
			fail_msg("byte %zu has been written, too", i);

	pattern_fill(data, length, offset + 62);
	memcpy(buffer->bytes + offset, data, length);
	assert_status(import_access(import, IBV_WR_RDMA_READ, 0, length),
		      IBV_WC_SUCCESS);
	assert_bytes(import->host.bytes, data, length, "read by the peer");
	assert_status(import_access(import, IBV_WR_RDMA_WRITE, length - 1, 2),
		      IBV_WC_REM_ACCESS_ERR);
}

void assert_not_imported(struct import *import)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_WRITE,
		IBV_WR_RDMA_READ,
		IBV_WR_ATOMIC_FETCH_AND_ADD,
	};
	static uint8_t before[IMPORT_WINDOW];

	memset(import->host.bytes, 0xee, IMPORT_WINDOW);
	memset(before, 0xee, IMPORT_WINDOW);
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		assert_status(import_access(import, opcodes[i], 0, 8),
			      IBV_WC_REM_ACCESS_ERR);
	assert_bytes(import->host.bytes, before, IMPORT_WINDOW,
		     "the peer's buffer");
}
