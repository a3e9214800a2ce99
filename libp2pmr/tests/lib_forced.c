// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The way of NICs on soft-RoCE: with P2PMR_DMABUF=always the preloaded library
 * registers device memory by a dma-buf though the driver could do without. This
 * program calls nothing but ibv_reg_mr(), and starts itself anew with that
 * library and p2pmr's provider.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "exchange.h"
#include "exported.h"
#include "exporting.h"
#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "system.h"

/* An MR over a dma-buf is a range, and so is the buffer itself. */
static void assert_by_dmabuf(int mrs)
{
	assert_int_equal(mrs_of(getpid(), "live"), mrs);
	assert_int_equal(ranges_of(getpid(), "live"), 2 * mrs);
}

/* The buffer goes with its last region, but its file some time after. */
static void assert_nothing_left(void)
{
	assert_int_equal(mrs_of(getpid(), NULL), 0);
	for (int i = 0; ranges_of(getpid(), NULL) && i < 200; i++)
		usleep(50 * 1000);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

static const struct {
	size_t local_offset, remote_offset, length;
} shapes[] = {
	{ 0, 0, 1 },
	{ 4093, 8190, 7 },
	{ 4097, 12287, 12345 },
	{ 9, 4001, 50001 },
};

struct route {
	enum operation operation;
	enum memory_kind local, remote;
	int bars;
};

/* What came where it should is seen by the CPU, and from outside of the machine. */
static void moves(void **state)
{
	static uint8_t seen[WINDOW];
	const struct route *route = *state;
	struct memory local, remote;
	struct pair pair;

	pair_open(&pair);
	memory_map(&local, route->local, WINDOW);
	memory_map(&remote, route->remote, WINDOW);
	memory_register(&local, pair.device.pd);
	memory_register(&remote, pair.device.pd);
	assert_by_dmabuf(route->bars);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		exchange_checked(
			&pair, route->operation,
			(struct place){ &local, shapes[i].local_offset },
			(struct place){ &remote, shapes[i].remote_offset },
			shapes[i].length, WINDOW, i);
		if (remote.kind == HOST)
			continue;
		host_read(bar_index(remote.kind), 0, seen, WINDOW);
		assert_bytes(seen, remote.bytes, WINDOW, "file behind the BAR");
	}
	memory_release(&local);
	memory_release(&remote);
	pair_close(&pair);
	assert_nothing_left();
}

static void atomics(void **state)
{
	uint64_t *word, found;
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	assert_by_dmabuf(1);
	word = (uint64_t *)(scene.bar.bytes + PAGE - sizeof(*word));
	*word = 41;
	assert_status(peer_access(&scene, IBV_WR_ATOMIC_FETCH_AND_ADD,
				  PAGE - sizeof(*word), sizeof(*word)),
		      IBV_WC_SUCCESS);
	memcpy(&found, scene.host.bytes, sizeof(found));
	assert_int_equal(found, 41);
	host_read(bar_index(BAR), PAGE - sizeof(*word), (uint8_t *)&found,
		  sizeof(found));
	assert_int_equal(found, 42);
	memory_release(&scene.bar);
	scene_close(&scene);
}

/* A part of a page, as a program may register it. */
static void unaligned(void **state)
{
	static uint8_t around[2 * PAGE], seen[2 * PAGE];
	struct memory bar;
	struct scene scene;
	struct ibv_mr *mr;

	(void)state;
	scene_open(&scene, BAR2);
	memory_map(&bar, BAR, 2 * PAGE);
	pattern_fill(around, sizeof(around), 81);
	memcpy(bar.bytes, around, sizeof(around));
	mr = must_register(scene.pair.device.pd, bar.bytes + 77, PAGE,
			   ACCESS_ALL);
	assert_ptr_equal(mr->addr, bar.bytes + 77);
	pattern_fill(scene.host.bytes, PAGE, 82);
	memcpy(around + 77, scene.host.bytes, PAGE);
	struct transfer write = { .opcode = IBV_WR_RDMA_WRITE,
				  .local = scene.host.bytes,
				  .lkey = scene.host.mr->lkey,
				  .length = PAGE,
				  .remote = (uintptr_t)mr->addr,
				  .rkey = mr->rkey };

	assert_status(run_transfer(&scene.pair.near, &write), IBV_WC_SUCCESS);
	/* Of the rest of its pages nothing can be reached. */
	write.length = PAGE + 1;
	assert_int_not_equal(run_transfer(&scene.pair.near, &write),
			     IBV_WC_SUCCESS);
	pair_reconnect(&scene.pair);
	host_read(bar_index(BAR), 0, seen, sizeof(seen));
	assert_bytes(seen, around, sizeof(seen), "file behind the BAR");
	assert_int_equal(ibv_dereg_mr(mr), 0);
	memory_release(&bar);
	memory_release(&scene.bar);
	scene_close(&scene);
}

/* As on a NIC, and unlike other regions of soft-RoCE. */
static void outlives_mapping(void **state)
{
	uint8_t seen[1000];
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_by_dmabuf(1);
	pattern_fill(scene.host.bytes, sizeof(seen), 83);
	assert_status(peer_access(&scene, IBV_WR_RDMA_WRITE, 5000,
				  sizeof(seen)),
		      IBV_WC_SUCCESS);
	host_read(bar_index(BAR), 5000, seen, sizeof(seen));
	assert_bytes(seen, scene.host.bytes, sizeof(seen),
		     "file behind the BAR");
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	assert_nothing_left();
	scene_close(&scene);
}

struct ending {
	void (*begin)(void);
	void (*end)(void);
	void (*restore)(void);
};

static void ends(void **state)
{
	const struct ending *ending = *state;
	struct scene scene;

	if (ending->begin)
		ending->begin();
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	assert_by_dmabuf(1);
	ending->end();
	assert_int_equal(ranges_of(getpid(), "live"), 0);
	assert_revoked(&scene);
	memory_release(&scene.bar);
	assert_nothing_left();
	if (ending->restore)
		ending->restore();
	scene_close(&scene);
}

struct traffic {
	struct scene *scene;
	enum ibv_wr_opcode opcode;
	atomic_uint moved;
	bool received; /* the last message, by its completion */
};

/* Until it fails; for sends there is always a receive into the region. */
static void *keep_moving(void *argument)
{
	struct traffic *traffic = argument;
	struct scene *scene = traffic->scene;
	struct transfer transfer = { .opcode = traffic->opcode,
				     .local = scene->host.bytes,
				     .lkey = scene->host.mr->lkey,
				     .length = WINDOW,
				     .remote = (uintptr_t)scene->bar.bytes,
				     .rkey = scene->bar.mr->rkey };
	struct ibv_sge sge = { transfer.remote, WINDOW, scene->bar.mr->lkey };
	struct ibv_recv_wr *bad, receive = { .sg_list = &sge, .num_sge = 1 };
	struct ibv_wc wc = { .status = IBV_WC_SUCCESS };

	for (;; traffic->moved++) {
		bool sends = traffic->opcode == IBV_WR_SEND;

		if (sends && ibv_post_recv(scene->pair.far.qp, &receive, &bad))
			return NULL;
		if (try_transfer(&scene->pair.near, &transfer))
			break;
		if (sends && !try_completion(&scene->pair.far, &wc, 5000))
			return NULL;
		traffic->received = wc.status == IBV_WC_SUCCESS;
	}
	return argument;
}

/* The exporter takes it back amid traffic, and then it is the exporter's alone. */
static void taken_back(void **state)
{
	static const enum ibv_wr_opcode opcodes[] = { IBV_WR_RDMA_WRITE,
						      IBV_WR_SEND,
						      IBV_WR_RDMA_READ };
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct scene scene;
	pthread_t thread;
	void *well;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		struct traffic traffic = { .scene = &scene,
					   .opcode = opcodes[i] };

		exporter_load("lasting=1");
		scene_open_over(&scene, BAR, exporter_map(0));
		assert_by_dmabuf(1);
		assert_int_equal(pthread_create(&thread, NULL, keep_moving,
						&traffic),
				 0);
		for (int i = 0; i < 5000 && !atomic_load(&traffic.moved); i++)
			usleep(1000);
		exporter_do("take 0 1\n");
		assert_exporter_says("users=0 ");
		pattern_fill(planted, WINDOW, 84 + i);
		host_write(bar_index(BAR), 0, planted, WINDOW);
		assert_int_equal(pthread_join(thread, &well), 0);
		host_read(bar_index(BAR), 0, seen, WINDOW);
		assert_bytes(seen, planted, WINDOW, "file behind the BAR");
		assert_non_null(well);
		print_message("%u moved before\n", traffic.moved);
		assert_true(traffic.moved > 0 && traffic.received);
		pair_reconnect(&scene.pair);
		assert_revoked(&scene);
		memory_release(&scene.bar);
		scene_close(&scene);
		expect_references(EXPORTER_MODULE, 0);
		exporter_unload();
	}
}

/* What is refused is so by the exporting side, with its errno. */
static void refused(void **state)
{
	struct device device;
	void *bytes;

	(void)state;
	device_open(&device);
	bytes = bar_mmap(BAR, NULL, WINDOW, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	assert_null(ibv_reg_mr(device.pd, bytes, WINDOW, ACCESS_ALL));
	assert_int_equal(errno, EACCES);
	assert_nothing_left();
	assert_int_equal(munmap(bytes, WINDOW), 0);
	/* An exporter whose memory must not outlive its mapping. */
	exporter_load("");
	bytes = exporter_map(0);
	assert_null(ibv_reg_mr(device.pd, bytes, WINDOW, ACCESS_ALL));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	exporter_unload();
	device_close(&device);
}

#define ROUTE(...)  (&(const struct route){ __VA_ARGS__ })
#define ENDING(...) (&(const struct ending){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("dmabuf/forced-write", moves, ROUTE(WRITE, HOST, BAR, 1)),
	TEST_OF("dmabuf/forced-write-from-bar", moves,
		ROUTE(WRITE, BAR_WC, HOST, 1)),
	TEST_OF("dmabuf/forced-write-imm", moves,
		ROUTE(WRITE_IMM, BAR, BAR2, 2)),
	TEST_OF("dmabuf/forced-read", moves, ROUTE(READ, HOST, BAR, 1)),
	TEST_OF("dmabuf/forced-read-into-bar", moves,
		ROUTE(READ, BAR, BAR2, 2)),
	TEST_OF("dmabuf/forced-send", moves, ROUTE(SEND, BAR, BAR2_WC, 2)),
	TEST_OF("dmabuf/forced-receive", moves, ROUTE(SEND, HOST, BAR, 1)),
	TEST("dmabuf/forced-atomics", atomics),
	TEST("dmabuf/forced-unaligned", unaligned),
	TEST("dmabuf/forced-outlives-mapping", outlives_mapping),
	TEST_OF("dmabuf/forced-over-after-unbind", ends,
		ENDING(.begin = bars_by_driver, .end = first_unbind)),
	TEST_OF("dmabuf/forced-over-after-remove", ends,
		ENDING(.end = first_remove, .restore = first_rescan)),
	TEST_OF("dmabuf/forced-over-after-unplug", ends,
		ENDING(.end = first_unplug, .restore = first_plug)),
	TEST("dmabuf/forced-taken-back-amid-traffic", taken_back),
	TEST("dmabuf/forced-refused", refused),
};

/* The loader preloads only into what is started. */
static void start_anew(char **argv)
{
	setenv("P2PMR_DMABUF", "always", 1);
	setenv("IBV_DRIVERS", "p2pmr", 1);
	setenv("LD_PRELOAD", P2PMR_PRELOAD_PATH, 1);
	execv("/proc/self/exe", argv);
	perror("execv");
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") && !getenv("P2PMR_DMABUF"))
		start_anew(argv);
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
