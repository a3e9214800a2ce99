// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Device memory as a dma-buf, see exported.h. */
#include "exported.h"

#include <errno.h>
#include <rdma/p2pmr-abi.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "engine.h"
#include "host.h"
#include "modules.h"
#include "runner.h"

#define PARAMETER "allow_pinned"

static char before[PARAMETER_SIZE];

int try_export(const void *bytes, size_t length, uint32_t flags, int *dmabuf)
{
	struct p2pmr_ioc_export export = { .size = sizeof(export),
					   .flags = flags,
					   .address = (uintptr_t)bytes,
					   .length = length,
					   .fd = 77 };
	int fd = chardev_ready();
	int error = chardev_error(fd, P2PMR_IOC_EXPORT, &export);

	close(fd);
	if (error)
		assert_int_equal(export.fd, -1);
	*dmabuf = export.fd;
	return error;
}

int must_export(const void *bytes, size_t length)
{
	int dmabuf;
	int error = try_export(bytes, length, P2PMR_EXPORT_WRITE, &dmabuf);

	if (error)
		fail_msg("exporting %zu bytes: %s", length, strerror(error));
	return dmabuf;
}

void pinned_are_allowed(void)
{
	assert_int_equal(module_set(CORE_MODULE, PARAMETER, "Y", before), 0);
}

void pinned_are_as_before(void)
{
	assert_int_equal(module_set(CORE_MODULE, PARAMETER, before, NULL), 0);
}

int export_bar(enum memory_kind kind)
{
	struct memory bar;
	int dmabuf;

	memory_map(&bar, kind, EXPORTED);
	dmabuf = must_export(bar.bytes, EXPORTED);
	memory_release(&bar);
	return dmabuf;
}

void assert_moves(int fd, enum memory_kind kind, size_t offset, size_t length)
{
	static uint8_t data[EDU_BUFFER], expected[EXPORTED], seen[EXPORTED];
	int index = bar_index(kind);

	memset(expected, 0, EXPORTED);
	host_fill(index, 0, EXPORTED, 0);
	pattern_fill(data, length, offset + length);
	memcpy(expected + offset, data, length);
	engine_fill(data, length);
	engine_move(fd, EDU_STORE, offset, length);
	host_read(index, 0, seen, EXPORTED);
	assert_bytes(seen, expected, EXPORTED, "file behind the BAR");

	pattern_fill(expected, EXPORTED, offset + length + 1);
	host_write(index, 0, expected, EXPORTED);
	engine_move(fd, EDU_LOAD, offset, length);
	engine_read(data, length);
	assert_bytes(data, expected + offset, length, "read by the device");
}
