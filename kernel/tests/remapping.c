// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The tests' own mapping driver, see remapping.h. */
#include "remapping.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define MODULE "p2pmr_test_remap"

uint64_t physical_address(enum memory_kind kind)
{
	uint64_t first, last;

	physical_range(kind, &first, &last);
	return first;
}

void remap_load(size_t uio_size)
{
	assert_true(shell("modprobe uio"));
	test_module_load(MODULE, "uio_addr=%#lx uio_size=%zu",
			 physical_address(BAR), uio_size);
}

void remap_unload(void)
{
	assert_true(module_try_remove(MODULE));
}

void *remap_map(const uint64_t *pages, size_t count)
{
	int fd = open("/dev/" MODULE, O_RDWR);
	void *bytes;

	if (fd < 0)
		fail_msg("/dev/" MODULE ": %s", strerror(errno));
	assert_int_equal(write(fd, pages, count * sizeof(*pages)),
			 count * sizeof(*pages));
	bytes = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     0);
	if (bytes == MAP_FAILED)
		fail_msg("mmap of %zu pages: %s", count, strerror(errno));
	close(fd);
	return bytes;
}
