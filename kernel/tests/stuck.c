// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include "stuck.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runner.h"

#define TOUCH_TIMEOUT 10000 /* ms */

void stuck_map(struct stuck *stuck, size_t size)
{
	struct uffdio_register registration = {
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_api api = { .api = UFFD_API };

	stuck->size = size;
	stuck->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	assert_true(stuck->fd >= 0);
	assert_int_equal(ioctl(stuck->fd, UFFDIO_API, &api), 0);
	stuck->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(stuck->bytes != MAP_FAILED);
	registration.range.start = (uintptr_t)stuck->bytes;
	registration.range.len = size;
	assert_int_equal(ioctl(stuck->fd, UFFDIO_REGISTER, &registration), 0);
}

bool stuck_is_touched(struct stuck *stuck)
{
	struct pollfd event = { .fd = stuck->fd, .events = POLLIN };

	return poll(&event, 1, TOUCH_TIMEOUT) == 1;
}

void stuck_let_go(struct stuck *stuck)
{
	assert_int_equal(close(stuck->fd), 0);
	stuck->fd = -1;
}

void stuck_unmap(struct stuck *stuck)
{
	assert_int_equal(stuck->fd, -1);
	assert_int_equal(munmap(stuck->bytes, stuck->size), 0);
}
