// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * BARs mapped by a driver that p2pmr has never heard of, which does no more
 * than remap_pfn_range(): in one piece, in pieces, or wrongly.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"
#include "remapping.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define PAGES (WINDOW / PAGE)

/*
 * Writes and reads through the region, and looks from outside where each page
 * of it is: page i of the region is page order[i] of the BAR.
 */
static void assert_moves(struct scene *scene, const size_t order[PAGES])
{
	static uint8_t data[WINDOW], seen[PAGE];

	pattern_fill(data, WINDOW, 61);
	memcpy(scene->host.bytes, data, WINDOW);
	host_fill(bar_index(scene->kind), 0, 2 * WINDOW, 0);
	/* Neither begins nor ends at a page. */
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, 0, 777),
		      IBV_WC_SUCCESS);
	memcpy(scene->host.bytes, data + 777, WINDOW - 777);
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, 777, WINDOW - 777),
		      IBV_WC_SUCCESS);
	for (size_t i = 0; i < PAGES; i++) {
		host_read(bar_index(scene->kind), order[i] * PAGE, seen, PAGE);
		assert_bytes(seen, data + i * PAGE, PAGE, "a page outside");
	}

	pattern_fill(data, WINDOW, 62);
	for (size_t i = 0; i < PAGES; i++)
		host_write(bar_index(scene->kind), order[i] * PAGE,
			   data + i * PAGE, PAGE);
	assert_status(peer_access(scene, IBV_WR_RDMA_READ, 0, WINDOW),
		      IBV_WC_SUCCESS);
	assert_bytes(scene->host.bytes, data, WINDOW, "read by the peer");
}

typedef size_t (*order_function)(size_t i);

static size_t straight(size_t i)
{
	return i + 3;
}

static size_t backwards(size_t i)
{
	return PAGES - 1 - i;
}

/* Runs of three pages, some page apart from the next. */
static size_t fragments(size_t i)
{
	return i + i / 3;
}

static void maps_and_moves(void **state)
{
	order_function order_of = *(const order_function *)*state;
	uint64_t start, pages[PAGES];
	size_t order[PAGES];
	struct scene scene;

	remap_load(0);
	start = physical_address(BAR);
	for (size_t i = 0; i < PAGES; i++) {
		order[i] = order_of(i);
		pages[i] = start + order[i] * PAGE;
	}
	scene_open_over(&scene, BAR, remap_map(pages, PAGES));
	assert_moves(&scene, order);

	assert_int_equal(munmap(scene.bar.bytes + PAGE, PAGE), 0);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	/* The region kept neither the driver nor anything of it. */
	remap_unload();
	scene_close(&scene);
}

/* What the driver has mapped says what it is, not who mapped it. */
static void refused(const uint64_t *pages, size_t count, int expected)
{
	struct device device;
	struct ibv_mr *mr;
	void *bytes;

	remap_load(0);
	bytes = remap_map(pages, count);
	device_open(&device);
	mr = ibv_reg_mr(device.pd, bytes, count * PAGE, ACCESS_ALL);
	assert_null(mr);
	assert_int_equal(errno, expected);
	/* The first page alone is all right, if it is of a BAR. */
	mr = ibv_reg_mr(device.pd, bytes, PAGE, ACCESS_ALL);
	assert_int_equal(mr != NULL, pages[0] != REMAP_RAM);
	if (mr)
		assert_int_equal(ibv_dereg_mr(mr), 0);
	device_close(&device);
	assert_int_equal(munmap(bytes, count * PAGE), 0);
	remap_unload();
}

static void two_bars(void **state)
{
	uint64_t pages[] = { physical_address(BAR), physical_address(BAR2) };

	(void)state;
	refused(pages, 2, ENXIO);
}

static void past_the_end(void **state)
{
	uint64_t last = physical_address(BAR) + bar_size(BAR) - PAGE;
	uint64_t pages[] = { last, last + PAGE };

	(void)state;
	refused(pages, 2, ENXIO);
}

static void ram_only(void **state)
{
	static const uint64_t pages[] = { REMAP_RAM, REMAP_RAM };

	(void)state;
	refused(pages, 2, ENXIO);
}

static void ram_after_bar(void **state)
{
	uint64_t pages[] = { physical_address(BAR), REMAP_RAM,
			     physical_address(BAR) + PAGE };

	(void)state;
	refused(pages, 3, ENXIO);
}

static void uio(void **state)
{
	size_t order[PAGES];
	struct scene scene;
	char name[16], node[32];
	void *bytes;
	FILE *pipe;
	int fd;

	(void)state;
	remap_load(WINDOW);
	pipe = popen("basename $(dirname $(grep -lx p2pmr_test "
		     "/sys/class/uio/*/name))",
		     "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%15s", name), 1);
	pclose(pipe);
	snprintf(node, sizeof(node), "/dev/%s", name);
	fd = open(node, O_RDWR);
	if (fd < 0)
		fail_msg("%s: %s", node, strerror(errno));
	bytes = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	for (size_t i = 0; i < PAGES; i++)
		order[i] = i;
	scene_open_over(&scene, BAR, bytes);
	assert_moves(&scene, order);
	close(fd);
	assert_reachable(&scene);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
	remap_unload();
}

#define ORDER(function) (&(const order_function){ function })

static const struct test tests[] = {
	TEST_OF("remap/one-piece", maps_and_moves, ORDER(straight)),
	TEST_OF("remap/pages-backwards", maps_and_moves, ORDER(backwards)),
	TEST_OF("remap/fragments", maps_and_moves, ORDER(fragments)),
	TEST("remap/refused-two-bars-in-one-mapping", two_bars),
	TEST("remap/refused-past-the-end-of-the-bar", past_the_end),
	TEST("remap/refused-ram", ram_only),
	TEST("remap/refused-ram-between-bar-pages", ram_after_bar),
	TEST("remap/uio", uio),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
