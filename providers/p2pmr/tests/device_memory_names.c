// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * One BAR, many files: whichever names the pool of device memory, what one
 * process has no other gets.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bound.h"
#include "child.h"
#include "endpoint.h"
#include "system.h"

#define OFFSET 0x100000ul
#define SIZE   0x40000ul
#define SYSFS  "/tmp/p2pmr-sysfs"

static void name_pool(const char *path, size_t offset, size_t size)
{
	char text[PATH_MAX + 64];

	snprintf(text, sizeof(text), "%s:%#lx:%#lx", path, offset, size);
	setenv("P2PMR_DM_BAR", text, 1);
}

static struct ibv_dm *alloc(struct device *device, size_t length)
{
	struct ibv_alloc_dm_attr attr = { .length = length };
	struct ibv_dm *dm;

	errno = 0;
	dm = ibv_alloc_dm(device->context, &attr);
	return dm;
}

/* All of the pool, and then nothing by the other file; and the other way. */
static void is_one_pool(struct device *device, const char *one,
			const char *other)
{
	for (int i = 0; i < 2; i++) {
		struct ibv_dm *all, *page;

		name_pool(i ? other : one, OFFSET, SIZE);
		all = alloc(device, SIZE);
		assert_non_null(all);
		name_pool(i ? one : other, OFFSET, SIZE);
		assert_null(alloc(device, 1));
		assert_int_equal(errno, ENOMEM);
		/* Beside it there is room, counted from elsewhere. */
		name_pool(i ? one : other, OFFSET - PAGE, SIZE);
		page = alloc(device, PAGE);
		assert_non_null(page);
		assert_null(alloc(device, PAGE));
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(ibv_free_dm(page), 0);
		assert_int_equal(ibv_free_dm(all), 0);
	}
}

static void with_and_without_combining(void **state)
{
	struct device device;

	(void)state;
	device_open(&device);
	is_one_pool(&device, bar_path(BAR), bar_path(BAR_WC));
	device_close(&device);
}

static void other_bars_are_other_pools(void **state)
{
	struct device device;
	struct ibv_dm *one, *other;

	(void)state;
	device_open(&device);
	name_pool(bar_path(BAR), OFFSET, SIZE);
	one = alloc(&device, SIZE);
	assert_non_null(one);
	name_pool(bar_path(BAR2), OFFSET, SIZE);
	other = alloc(&device, SIZE);
	assert_non_null(other);
	assert_int_equal(ibv_free_dm(one), 0);
	assert_int_equal(ibv_free_dm(other), 0);
	device_close(&device);
}

/* The child sees the function by a sysfs of another network. */
static void from_another_network(int socket, void *argument)
{
	char path[PATH_MAX];
	char *real = realpath(bar_path(BAR), NULL);
	struct device device;
	struct ibv_dm *dm;
	int error;

	(void)argument;
	assert_non_null(real);
	snprintf(path, sizeof(path), SYSFS "%s", real + strlen("/sys"));
	device_open(&device);
	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	assert_true(shell("mount --make-rprivate / && mkdir -p " SYSFS
			  " && mount -t sysfs sysfs " SYSFS));
	name_pool(path, OFFSET, SIZE);
	for (int i = 0; i < 2; i++) {
		dm = alloc(&device, SIZE);
		error = dm ? 0 : errno;
		send_message(socket, &error, sizeof(error));
		receive_message(socket, &error, sizeof(error));
	}
	free(real);
}

static void other_networks_share_it(void **state)
{
	struct device device;
	struct child child;
	struct ibv_dm *dm;
	int error;

	(void)state;
	device_open(&device);
	name_pool(bar_path(BAR), OFFSET, SIZE);
	dm = alloc(&device, PAGE);
	assert_non_null(dm);
	child_start(&child, from_another_network, NULL);
	receive_message(child.socket, &error, sizeof(error));
	assert_int_equal(error, ENOMEM);
	assert_int_equal(ibv_free_dm(dm), 0);
	send_message(child.socket, &error, sizeof(error));
	receive_message(child.socket, &error, sizeof(error));
	assert_int_equal(error, 0);
	assert_null(alloc(&device, 1));
	assert_int_equal(errno, ENOMEM);
	child_kill(&child);
	device_close(&device);
}

/* What was mapped through sysfs before a driver came is still somebody's. */
static void the_drivers_files_share_it(void **state)
{
	struct device device;
	struct ibv_dm *dm;

	(void)state;
	device_open(&device);
	name_pool(bar_path(BAR), OFFSET, SIZE);
	dm = alloc(&device, SIZE);
	assert_non_null(dm);
	function_bind(FIRST);
	name_pool(bar_file(FIRST, 2, false), OFFSET, SIZE);
	assert_null(alloc(&device, 1));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ibv_free_dm(dm), 0);
	dm = alloc(&device, SIZE);
	assert_non_null(dm);
	assert_null(alloc(&device, 1));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ibv_free_dm(dm), 0);
	function_unbind(FIRST);
	device_close(&device);
}

/* A file that is a pool itself: tmpfs has one for all. */
static void host_memory(void **state)
{
	char path[] = "/dev/shm/p2pmr-dm-XXXXXX";
	int fd = mkstemp(path);
	struct device device;
	struct ibv_dm *dm;

	(void)state;
	assert_return_code(fd, errno);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	device_open(&device);
	name_pool(path, PAGE, 3 * PAGE);
	dm = alloc(&device, 3 * PAGE);
	assert_non_null(dm);
	assert_null(alloc(&device, 1));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(ibv_free_dm(dm), 0);
	device_close(&device);
	close(fd);
	unlink(path);
}

static const struct test tests[] = {
	TEST("provider/dm-one-pool-with-and-without-combining",
	     with_and_without_combining),
	TEST("provider/dm-other-bars-are-other-pools",
	     other_bars_are_other_pools),
	TEST("provider/dm-one-pool-from-another-network",
	     other_networks_share_it),
	TEST("provider/dm-one-pool-through-a-driver",
	     the_drivers_files_share_it),
	TEST("provider/dm-pool-of-host-memory", host_memory),
};

int main(int argc, char **argv)
{
	setenv("IBV_DRIVERS", "p2pmr", 1);
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
