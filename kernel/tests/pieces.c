// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A user's limit counts a region once for each contiguous piece of device memory,
 * wherever the pieces come from: what the kernel holds for it grows with them.
 */
#include <errno.h>
#include <sys/mman.h>

#include "child.h"
#include "endpoint.h"
#include "modules.h"
#include "remapping.h"
#include "runner.h"
#include "system.h"

#define PIECES	   3
#define READ_WRITE (PROT_READ | PROT_WRITE)

/* Three mappings side by side. */
static void *map_mappings(void)
{
	uint8_t *bytes =
		bar_mmap(BAR, NULL, PIECES * PAGE, READ_WRITE, MAP_SHARED, 0);

	for (int i = 0; i < PIECES; i++)
		assert_true(bar_mmap(BAR, bytes + i * PAGE, PAGE, READ_WRITE,
				     MAP_SHARED | MAP_FIXED,
				     2 * i * PAGE) != MAP_FAILED);
	return bytes;
}

/* One mapping of three pages that do not follow each other. */
static void *map_scattered(void)
{
	uint64_t pages[PIECES];

	for (int i = 0; i < PIECES; i++)
		pages[i] = physical_address(BAR) + 2 * i * PAGE;
	return remap_map(pages, PIECES);
}

struct outcome {
	int errors[4];
};

static int try(struct ibv_pd *pd, uint8_t *bytes, int pieces,
	       struct ibv_mr **mr)
{
	*mr = ibv_reg_mr(pd, bytes, pieces * PAGE, ACCESS_ALL);
	return *mr ? 0 : errno;
}

static void hold(int socket, void *argument)
{
	void *(*map)(void) = *(void *(**)(void))argument;
	struct outcome outcome;
	struct ibv_mr *mrs[4];
	struct device device;
	uint8_t *bytes = map();

	device_open(&device);
	become(NOBODY);
	outcome.errors[0] = try(device.pd, bytes, 3, &mrs[0]);
	outcome.errors[1] = try(device.pd, bytes, 3, &mrs[1]);
	outcome.errors[2] = try(device.pd, bytes, 2, &mrs[2]);
	if (mrs[0])
		assert_int_equal(ibv_dereg_mr(mrs[0]), 0);
	outcome.errors[3] = try(device.pd, bytes, 3, &mrs[3]);
	send_message(socket, &outcome, sizeof(outcome));
}

static void expect_five_pieces(void *(*map)(void))
{
	char before[PARAMETER_SIZE];
	struct outcome outcome;
	struct child child;

	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", "5", before), 0);
	child_start(&child, hold, &map);
	receive_message(child.socket, &outcome, sizeof(outcome));
	child_finish(&child);
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", before, NULL), 0);
	assert_int_equal(outcome.errors[0], 0);
	assert_int_equal(outcome.errors[1], EDQUOT);
	assert_int_equal(outcome.errors[2], 0);
	assert_int_equal(outcome.errors[3], 0);
}

static void pieces_count(void **state)
{
	(void)state;
	expect_five_pieces(map_mappings);
	remap_load(0);
	expect_five_pieces(map_scattered);
	remap_unload();
}

static const struct test tests[] = {
	TEST("verbs/limit-counts-pieces", pieces_count),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
