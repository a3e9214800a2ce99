// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr counts: registrations, how they ended, and refusals.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "endpoint.h"
#include "peer.h"
#include "runner.h"

#define WINDOW	   (16 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static void registers_and_waits(int socket, void *argument)
{
	struct device device;
	struct memory bar;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, device.pd);
	meet(socket);
	pause();
}

enum ending {
	RELEASED,
	UNMAPPED,
	PROTECTED,
	KILLED
};

/* One registration that ends in the given way. */
static void register_and_end(struct device *device, enum ending ending)
{
	struct child child;
	struct memory bar;

	if (ending == KILLED) {
		child_start(&child, registers_and_waits, NULL);
		meet(child.socket);
		child_kill(&child);
		return;
	}
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, device->pd);
	if (ending == UNMAPPED)
		assert_int_equal(munmap(bar.bytes, PAGE), 0);
	else if (ending == PROTECTED)
		assert_int_equal(mprotect(bar.bytes, PAGE, PROT_READ), 0);
	memory_release(&bar);
}

static void counts_by_cause(void **state)
{
	static const char *const names[] = {
		[RELEASED] = "deregistered_live",
		[UNMAPPED] = "revoked_unmap",
		[PROTECTED] = "revoked_protect",
		[KILLED] = "revoked_exit",
	};
	struct device device;
	int fd = chardev_ready();

	(void)state;
	device_open(&device);
	for (enum ending ending = RELEASED; ending <= KILLED; ending++) {
		uint64_t registered = counter(fd, "registered"), before[4];

		print_message("%s\n", names[ending]);
		for (int i = 0; i < 4; i++)
			before[i] = counter(fd, names[i]);
		register_and_end(&device, ending);
		assert_int_equal(counter(fd, "registered"), registered + 1);
		for (int i = 0; i < 4; i++)
			assert_int_equal(counter(fd, names[i]),
					 before[i] + (i == (int)ending));
	}
	device_close(&device);
	close(fd);
}

static void counts_refusals(void **state)
{
	struct device device;
	uint64_t refused, registered;
	uint8_t *bytes;
	int fd = chardev_ready();

	(void)state;
	device_open(&device);
	refused = counter(fd, "refused");
	registered = counter(fd, "registered");
	bytes = bar_mmap(BAR, NULL, WINDOW, READ_WRITE, MAP_PRIVATE, 0);
	assert_true(bytes != MAP_FAILED);
	assert_null(ibv_reg_mr(device.pd, bytes, WINDOW, ACCESS_ALL));
	assert_int_equal(counter(fd, "refused"), refused + 1);
	assert_int_equal(counter(fd, "registered"), registered);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	device_close(&device);
	close(fd);
}

static void stats_too_small(void **state)
{
	struct p2pmr_stat stats[2] = { { .value = 77 }, { .value = 77 } };
	struct p2pmr_ioc_stats request = { .size = sizeof(request),
					   .stats = (uintptr_t)stats,
					   .stat_size = sizeof(stats[0]),
					   .capacity = 1 };
	int fd = chardev_ready();

	(void)state;
	assert_int_equal(chardev_error(fd, P2PMR_IOC_STATS, &request), ENOSPC);
	assert_true(request.count > 1);
	assert_int_not_equal(stats[0].name[0], 0);
	assert_int_equal(stats[1].value, 77);
	close(fd);
}

static const struct test tests[] = {
	TEST("device/stats-count-by-cause", counts_by_cause),
	TEST("device/stats-count-refusals", counts_refusals),
	TEST("device/stats-array-too-small", stats_too_small),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
