// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr tells of registered ranges, and to whom.
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

#define WINDOW	   ASKER_SIZE
#define OFFSET	   300
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define IMPORTER   "p2pmr_verbs"

static void assert_live(const struct p2pmr_list_range *range, size_t length,
			int write)
{
	assert_non_null(range);
	assert_int_equal(range->state, P2PMR_STATE_LIVE);
	assert_int_equal(range->length, length);
	assert_int_equal(range->flags, write ? P2PMR_RANGE_WRITE : 0);
	assert_int_equal(range->reserved, 0);
	assert_string_equal(range->importer, IMPORTER);
	assert_string_equal(range->instance, need_env("P2PMR_DEV"));
}

static void live_then_gone(void **state)
{
	const struct p2pmr_list_range *range;
	struct listing listing;
	struct asker a;
	struct ibv_mr *mr;
	uint64_t age;

	(void)state;
	asker_open(&a, BAR_WC);
	list(a.fd, &listing, 0);
	assert_null(range_of(&listing, getpid()));

	mr = must_register(a.device.pd, a.memory.bytes + OFFSET, WINDOW - 500,
			   ACCESS_ALL);
	list(a.fd, &listing, 0);
	range = range_of(&listing, getpid());
	assert_live(range, WINDOW - 500, 1);
	assert_int_equal(range->device_bytes, WINDOW - 500);
	assert_int_equal(range->device_segments, 1);
	assert_int_equal(range->uid, 0);
	assert_location(&range->location, BAR_WC, OFFSET);
	assert_int_equal(range->address, (uintptr_t)a.memory.bytes + OFFSET);
	age = range->age_ms;
	assert_in_range(age, 0, 60 * 1000);
	usleep(50 * 1000);
	list(a.fd, &listing, 0);
	assert_in_range(range_of(&listing, getpid())->age_ms, age + 50,
			age + 60 * 1000);

	assert_int_equal(ibv_dereg_mr(mr), 0);
	list(a.fd, &listing, P2PMR_LIST_ALL);
	assert_null(range_of(&listing, getpid()));
	asker_close(&a);
}

static void read_only_range(void **state)
{
	struct listing listing;
	struct asker a;
	struct ibv_mr *mr;

	(void)state;
	asker_open(&a, BAR2);
	mr = must_register(a.device.pd, a.memory.bytes + PAGE, PAGE,
			   IBV_ACCESS_REMOTE_READ);
	list(a.fd, &listing, 0);
	assert_live(range_of(&listing, getpid()), PAGE, 0);
	assert_location(&range_of(&listing, getpid())->location, BAR2, PAGE);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	asker_close(&a);
}

/* Host memory, then a part of one BAR, then of the other. */
static void mixed_range(void **state)
{
	const struct p2pmr_list_range *range;
	struct listing listing;
	struct asker a;

	(void)state;
	asker_open(&a, HOST);
	assert_ptr_equal(bar_mmap(BAR2_WC, a.memory.bytes + PAGE, 2 * PAGE,
				  READ_WRITE, MAP_SHARED | MAP_FIXED, 3 * PAGE),
			 a.memory.bytes + PAGE);
	assert_ptr_equal(bar_mmap(BAR, a.memory.bytes + 3 * PAGE, PAGE,
				  READ_WRITE, MAP_SHARED | MAP_FIXED, 0),
			 a.memory.bytes + 3 * PAGE);
	memory_register(&a.memory, a.device.pd);
	list(a.fd, &listing, 0);
	range = range_of(&listing, getpid());
	assert_live(range, WINDOW, 1);
	assert_int_equal(range->device_bytes, 3 * PAGE);
	assert_int_equal(range->device_segments, 2);
	assert_location(&range->location, BAR2_WC, 3 * PAGE);
	asker_close(&a);
}

static void revoked_range(void **state)
{
	const struct p2pmr_list_range *range;
	static const struct p2pmr_location nowhere;
	struct listing listing;
	struct device device;
	struct memory bar;
	uint64_t id;
	int fd = chardev_ready();

	(void)state;
	device_open(&device);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, device.pd);
	list(fd, &listing, 0);
	range = range_of(&listing, getpid());
	assert_live(range, WINDOW, 1);
	id = range->id;
	assert_int_equal(munmap(bar.bytes + PAGE, PAGE), 0);

	list(fd, &listing, 0);
	assert_null(range_of(&listing, getpid()));
	list(fd, &listing, P2PMR_LIST_ALL);
	range = range_of(&listing, getpid());
	assert_non_null(range);
	assert_int_equal(range->id, id);
	assert_int_equal(range->state, P2PMR_STATE_REVOKED);
	assert_int_equal(range->device_segments, 0);
	assert_memory_equal(&range->location, &nowhere, sizeof(nowhere));
	memory_release(&bar);
	list(fd, &listing, P2PMR_LIST_ALL);
	assert_null(range_of(&listing, getpid()));
	device_close(&device);
	close(fd);
}

/* Nothing of those before it, whatever the kernel described in the same place. */
static void revoked_behind_many(void **state)
{
	enum {
		NUMBER = 40
	};
	static const struct p2pmr_location nowhere;
	const struct p2pmr_list_range *last;
	struct ibv_mr *mrs[NUMBER];
	struct listing listing;
	struct memory bar;
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	memory_map(&bar, BAR2, WINDOW);
	for (int i = 0; i < NUMBER; i++)
		mrs[i] = must_register(a.device.pd, a.memory.bytes, PAGE,
				       ACCESS_ALL);
	memory_register(&bar, a.device.pd);
	assert_int_equal(munmap(bar.bytes, PAGE), 0);
	list(a.fd, &listing, P2PMR_LIST_ALL);
	assert_int_equal(listing.list.count, NUMBER + 1);
	last = &listing.ranges[NUMBER];
	assert_int_equal(last->state, P2PMR_STATE_REVOKED);
	assert_int_equal(last->device_segments, 0);
	assert_memory_equal(&last->location, &nowhere, sizeof(nowhere));
	memory_release(&bar);
	for (int i = 0; i < NUMBER; i++)
		assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	asker_close(&a);
}

/* The same ranges in portions of one, two, ..., and never one twice. */
static void in_portions(void **state)
{
	enum {
		NUMBER = 40
	};
	struct listing all, some;
	struct ibv_mr *mrs[NUMBER];
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	for (int i = 0; i < NUMBER; i++)
		mrs[i] = must_register(a.device.pd, a.memory.bytes + i, 100 + i,
				       ACCESS_ALL);
	list(a.fd, &all, 0);
	assert_int_equal(all.list.count, NUMBER);
	for (int i = 0; i < NUMBER; i++)
		assert_int_equal(all.ranges[i].length, 100 + i);

	for (uint32_t portion = 1; portion <= NUMBER; portion += 3) {
		uint64_t after = 0;
		uint32_t seen = 0;

		do {
			list_prepare(&some, 0);
			some.list.after = after;
			some.list.capacity = portion;
			assert_int_equal(chardev_error(a.fd, P2PMR_IOC_LIST,
						       &some.list),
					 0);
			assert_in_range(some.list.count, 0, portion);
			for (uint32_t i = 0; i < some.list.count; i++) {
				after = some.ranges[i].id;
				assert_int_equal(after, all.ranges[seen++].id);
			}
		} while (some.list.count == portion);
		assert_int_equal(seen, NUMBER);
	}
	for (int i = 0; i < NUMBER; i++)
		assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	asker_close(&a);
}

/* A caller from the time when elements ended with the location. */
static void smaller_elements(void **state)
{
	enum {
		FORMERLY = 144
	};
	uint8_t bytes[3 * FORMERLY];
	struct listing listing;
	struct ibv_mr *mrs[2];
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	for (size_t i = 0; i < ARRAY_SIZE(mrs); i++)
		mrs[i] = must_register(a.device.pd, a.memory.bytes, 100 + i,
				       ACCESS_ALL);
	memset(bytes, 0xa5, sizeof(bytes));
	list_prepare(&listing, 0);
	listing.list.ranges = (uintptr_t)bytes;
	listing.list.range_size = FORMERLY;
	assert_int_equal(chardev_error(a.fd, P2PMR_IOC_LIST, &listing.list), 0);
	assert_int_equal(listing.list.count, 2);
	for (size_t i = 0; i < ARRAY_SIZE(mrs); i++) {
		const struct p2pmr_list_range *range =
			(void *)(bytes + i * FORMERLY);

		assert_int_equal(range->length, 100 + i);
		assert_location(&range->location, BAR, 0);
		assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	}
	for (size_t at = 2 * FORMERLY; at < sizeof(bytes); at++)
		assert_int_equal(bytes[at], 0xa5);
	asker_close(&a);
}

static void list_arguments(void **state)
{
	struct listing listing;
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	list_prepare(&listing, 0);
	listing.list.capacity = 0;
	assert_int_equal(chardev_error(a.fd, P2PMR_IOC_LIST, &listing.list),
			 EINVAL);
	memory_register(&a.memory, a.device.pd);
	list_prepare(&listing, 0);
	listing.list.ranges = 8;
	assert_int_equal(chardev_error(a.fd, P2PMR_IOC_LIST, &listing.list),
			 EFAULT);
	asker_close(&a);
}

/* Registers as nobody, looks around, and stays until it is told to go. */
static void nobody_with_range(int socket, void *argument)
{
	const struct p2pmr_list_range *range;
	struct listing listing;
	struct device device;
	struct memory bar;
	int fd;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR2, WINDOW);
	become(NOBODY);
	fd = chardev_ready();
	list(fd, &listing, P2PMR_LIST_ALL);
	assert_int_equal(listing.list.count, 0);

	memory_register(&bar, device.pd);
	list(fd, &listing, P2PMR_LIST_ALL);
	assert_int_equal(listing.list.count, 1);
	range = range_of(&listing, getpid());
	assert_live(range, WINDOW, 1);
	assert_int_equal(range->uid, NOBODY);
	assert_location(&range->location, BAR2, 0);
	assert_int_equal(range->address, (uintptr_t)bar.bytes);
	meet(socket);
	meet(socket);
	memory_release(&bar);
	device_close(&device);
	close(fd);
}

static void own_and_others(void **state)
{
	const struct p2pmr_list_range *range;
	struct listing listing;
	struct child child;
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	memory_register(&a.memory, a.device.pd);
	child_start(&child, nobody_with_range, NULL);
	meet(child.socket);

	list(a.fd, &listing, 0);
	assert_int_equal(listing.list.count, 2);
	assert_live(range_of(&listing, getpid()), WINDOW, 1);
	range = range_of(&listing, child.pid);
	assert_live(range, WINDOW, 1);
	assert_int_equal(range->uid, NOBODY);
	assert_location(&range->location, BAR2, 0);
	assert_int_not_equal(range->address, 0);
	meet(child.socket);
	child_finish(&child);
	asker_close(&a);
}

/* A file that root has opened gives nobody no more than one of its own. */
static void nobody_with_file(int socket, void *argument)
{
	struct listing listing;

	become(NOBODY);
	list(*(int *)argument, &listing, P2PMR_LIST_ALL);
	assert_int_equal(listing.list.count, 0);
	meet(socket);
}

static void rights_of_the_caller(void **state)
{
	struct listing listing;
	struct child child;
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	memory_register(&a.memory, a.device.pd);
	list(a.fd, &listing, 0);
	assert_int_equal(listing.list.count, 1);
	child_start(&child, nobody_with_file, &a.fd);
	meet(child.socket);
	child_finish(&child);
	asker_close(&a);
}

static const struct test tests[] = {
	TEST("device/list-live-range", live_then_gone),
	TEST("device/list-read-only-range", read_only_range),
	TEST("device/list-mixed-range", mixed_range),
	TEST("device/list-revoked-range", revoked_range),
	TEST("device/list-revoked-range-behind-many", revoked_behind_many),
	TEST("device/list-in-portions", in_portions),
	TEST("device/list-smaller-elements", smaller_elements),
	TEST("device/list-arguments", list_arguments),
	TEST("device/list-own-and-not-others", own_and_others),
	TEST("device/list-by-rights-of-the-caller", rights_of_the_caller),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
