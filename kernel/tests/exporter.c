// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the core promises an exporter, seen through one that does as it is
 * told: it learns who asks, may take its time, takes back a part or all, and
 * is told of every range that has ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "exporting.h"
#include "modules.h"
#include "monitor.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

/* Two regions over neighbouring parts of the exporter's memory. */
struct neighbours {
	struct scene scene;  /* whose `bar` is the first part */
	struct memory other; /* the second */
};

static void neighbours_open(struct neighbours *n)
{
	exporter_load("");
	scene_open_over(&n->scene, BAR, exporter_map(0));
	n->other = (struct memory){ .kind = BAR,
				    .bytes = exporter_map(WINDOW),
				    .size = WINDOW };
	memory_register(&n->other, n->scene.pair.device.pd);
	assert_reachable(&n->scene);
	assert_status(own_access(&n->scene, n->other.mr, IBV_WR_RDMA_READ),
		      IBV_WC_SUCCESS);
}

static void neighbours_close(struct neighbours *n)
{
	memory_release(&n->other);
	memory_release(&n->scene.bar);
	assert_exporter_says("users=0 ");
	scene_close(&n->scene);
	exporter_unload();
}

static void tells_who_asks(void **state)
{
	struct neighbours n;
	struct ibv_mr *mr;
	char expected[128];

	(void)state;
	neighbours_open(&n);
	assert_exporter_says("users=2 ");
	mr = must_register(n.scene.pair.device.pd, n.other.bytes + 100, 5000,
			   IBV_ACCESS_REMOTE_READ);
	snprintf(
		expected, sizeof(expected),
		"users=3 held=0 pid=%d importer=p2pmr_verbs offset=%zu length=5000 write=0\n",
		getpid(), WINDOW + 100);
	assert_exporter_says(expected);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_exporter_says("users=2 ");
	/* A revocation from the other side is an end as well. */
	assert_int_equal(munmap(n.other.bytes, PAGE), 0);
	assert_exporter_says("users=1 ");
	neighbours_close(&n);
}

static int registration_error(struct ibv_pd *pd, struct memory *memory)
{
	struct ibv_mr *mr =
		ibv_reg_mr(pd, memory->bytes, memory->size, ACCESS_ALL);

	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

static void takes_back_a_part(void **state)
{
	unsigned long before = debugfs_counter("revoked_exporter");
	struct neighbours n;

	(void)state;
	neighbours_open(&n);
	/* One byte in the middle of the first region. */
	exporter_do("take %lu 1\n", 5 * PAGE + 7);
	assert_exporter_says("users=1 ");
	assert_revoked(&n.scene);
	assert_int_equal(ranges_of(getpid(), "live"), 1);
	assert_status(own_access(&n.scene, n.other.mr, IBV_WR_RDMA_READ),
		      IBV_WC_SUCCESS);
	assert_int_equal(debugfs_counter("revoked_exporter"), before + 1);

	assert_int_equal(ibv_dereg_mr(n.scene.bar.mr), 0);
	assert_int_equal(registration_error(n.scene.pair.device.pd,
					    &n.scene.bar),
			 ENODEV);
	exporter_do("give\n");
	memory_register(&n.scene.bar, n.scene.pair.device.pd);
	assert_reachable(&n.scene);
	neighbours_close(&n);
}

static void takes_back_all(void **state)
{
	unsigned long before = debugfs_counter("revoked_exporter");
	struct neighbours n;

	(void)state;
	neighbours_open(&n);
	/* What ends where the memory begins, or begins where it ends. */
	exporter_do("take %lu %lu\n", 2 * WINDOW, PAGE);
	assert_int_equal(ranges_of(getpid(), "live"), 2);
	exporter_do("take 0 %lu\n", 2 * WINDOW);
	assert_exporter_says("users=0 ");
	assert_int_equal(ranges_of(getpid(), "revoked"), 2);
	assert_revoked(&n.scene);
	assert_int_not_equal(own_access(&n.scene, n.other.mr, IBV_WR_RDMA_READ),
			     IBV_WC_SUCCESS);
	assert_int_equal(debugfs_counter("revoked_exporter"), before + 2);
	neighbours_close(&n);
}

/* All from there on, however far that is, and nothing before it. */
static void takes_back_the_rest(void **state)
{
	struct neighbours n;

	(void)state;
	neighbours_open(&n);
	exporter_do("take %lu %lu\n", WINDOW, UINT64_MAX);
	assert_exporter_says("users=1 ");
	assert_reachable(&n.scene);
	assert_int_not_equal(own_access(&n.scene, n.other.mr, IBV_WR_RDMA_READ),
			     IBV_WC_SUCCESS);
	neighbours_close(&n);
}

/* Host memory before it and after it, twice the exporter's in between. */
static void takes_back_a_part_of_a_mixed_range(void **state)
{
	/* Of the exporter's memory, and whether the range goes by that. */
	static const struct {
		size_t at;
		bool goes;
	} parts[] = { { 0, true },
		      { 2 * WINDOW - 1, true },
		      { 2 * WINDOW, false } };
	const size_t size = 5 * WINDOW;
	struct device device;
	struct ibv_mr *mr;

	(void)state;
	device_open(&device);
	exporter_load("");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		uint8_t *bytes =
			mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		print_message("%zu\n", i);
		assert_true(bytes != MAP_FAILED);
		for (size_t n = 0; n < 2; n++)
			assert_true(mremap(exporter_map(n * WINDOW), WINDOW,
					   WINDOW,
					   MREMAP_MAYMOVE | MREMAP_FIXED,
					   bytes + (1 + 2 * n) * WINDOW) !=
				    MAP_FAILED);
		mr = must_register(device.pd, bytes, size, ACCESS_ALL);
		assert_exporter_says("users=2 ");
		exporter_do("take %zu 1\n", parts[i].at);
		assert_exporter_says(parts[i].goes ? "users=0 " : "users=2 ");
		assert_int_equal(ranges_of(getpid(), "live"), !parts[i].goes);
		exporter_do("give\n");
		assert_int_equal(ibv_dereg_mr(mr), 0);
		assert_int_equal(munmap(bytes, size), 0);
		assert_exporter_says("users=0 ");
	}
	exporter_unload();
	device_close(&device);
}

/* No notifier would tell of a change of their rights. */
static void must_know_of_mprotect(void **state)
{
	(void)state;
	assert_false(exporter_try_load("entries=0 mprotect=0"));
	assert_true(exporter_try_load("entries=0"));
	exporter_unload();
}

static void mapping_moved(uint8_t *bytes)
{
	void *elsewhere = mmap(NULL, WINDOW, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(elsewhere != MAP_FAILED);
	assert_ptr_equal(mremap(bytes, WINDOW, WINDOW,
				MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere),
			 elsewhere);
	assert_int_equal(munmap(elsewhere, WINDOW), 0);
}

/* Whatever ends a mapping does so without a single page table entry. */
static void mapping_without_entries(void **state)
{
	static const struct {
		void (*happen)(uint8_t *bytes);
		bool stays; /* something is mapped there */
	} ends[] = { { mapping_moved, false },
		     { mapping_unmapped, false },
		     { mapping_covered, true },
		     { mapping_inaccessible, true } };
	struct scene scene;

	(void)state;
	exporter_load("entries=0");
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		print_message("%zu\n", i);
		scene_open_over(&scene, BAR, exporter_map(0));
		assert_reachable(&scene);
		assert_exporter_says("users=1 ");
		ends[i].happen(scene.bar.bytes);
		assert_exporter_says("users=0 ");
		assert_revoked(&scene);
		assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
		if (ends[i].stays)
			assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
		scene_close(&scene);
	}
	exporter_unload();
}

static void traced(void **state)
{
	char line[256], *text;
	struct neighbours n;

	(void)state;
	neighbours_open(&n);
	trace_start();
	exporter_do("take %lu %lu\n", WINDOW + PAGE, PAGE);
	text = trace_end();
	range_event(line, "p2pmr_revoke", getpid(), n.other.bytes, WINDOW,
		    " cause=exporter\n");
	assert_once(text, line);
	assert_int_equal(count_in(text, "p2pmr_revoke:"), 1);
	free(text);
	neighbours_close(&n);
}

/* To those who watch, under the exporter's name, which is all that is known. */
static void told(void **state)
{
	struct p2pmr_event event;
	struct neighbours n;
	int fd;

	(void)state;
	neighbours_open(&n);
	fd = monitor_open();
	exporter_do("take %lu %lu\n", WINDOW + PAGE, PAGE);
	monitor_next(fd, P2PMR_EVENT_REVOKE, &event);
	assert_event_of(&event, n.other.mr, 1);
	assert_int_equal(event.cause, P2PMR_REVOKED_EXPORTER);
	assert_int_equal(event.location.flags, P2PMR_LOCATION_EXPORTER);
	assert_string_equal(event.location.exporter, EXPORTER_MODULE);
	assert_quiet(fd);
	close(fd);
	neighbours_close(&n);
}

/* A registration in a thread. */
struct registration {
	struct ibv_pd *pd;
	void *bytes;
	atomic_bool done;
	int error;
};

static void *register_once(void *argument)
{
	struct registration *r = argument;
	struct ibv_mr *mr = ibv_reg_mr(r->pd, r->bytes, WINDOW, ACCESS_ALL);

	r->error = mr ? ibv_dereg_mr(mr) : errno;
	r->done = true;
	return NULL;
}

static void register_in_child(int socket, void *argument)
{
	struct scene scene;

	(void)argument;
	meet(socket); /* the other one is held */
	scene_open(&scene, BAR2);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
	meet(socket);
	meet(socket); /* it was held all the time */
}

/* While an exporter takes its time for one process, others go on. */
static void waits_alone(void **state)
{
	struct registration held = { 0 };
	struct device device;
	struct child child;
	pthread_t thread;

	(void)state;
	exporter_load("");
	device_open(&device);
	held.pd = device.pd;
	held.bytes = exporter_map(0);
	child_start(&child, register_in_child, NULL);
	exporter_do("hold\n");
	assert_int_equal(pthread_create(&thread, NULL, register_once, &held),
			 0);
	for (int i = 0; !exporter_says("held=1 ") && i < 200; i++)
		usleep(50 * 1000);
	assert_true(exporter_says("held=1 "));
	meet(child.socket);
	meet(child.socket);
	assert_true(exporter_says("held=1 "));
	assert_false(held.done);
	meet(child.socket);
	exporter_do("release\n");
	assert_int_equal(pthread_join(thread, NULL), 0);
	child_finish(&child);
	assert_int_equal(held.error, 0);
	assert_int_equal(munmap(held.bytes, WINDOW), 0);
	device_close(&device);
	exporter_unload();
}

static const struct test tests[] = {
	TEST("exporter/learns-who-asks", tells_who_asks),
	TEST("exporter/takes-back-a-part", takes_back_a_part),
	TEST("exporter/takes-back-all", takes_back_all),
	TEST("exporter/takes-back-the-rest", takes_back_the_rest),
	TEST("exporter/takes-back-a-part-of-a-mixed-range",
	     takes_back_a_part_of_a_mixed_range),
	TEST("exporter/must-know-of-mprotect", must_know_of_mprotect),
	TEST("exporter/mapping-without-entries", mapping_without_entries),
	TEST("exporter/waits-alone", waits_alone),
	TEST("seen/trace-revoke-exporter", traced),
	TEST("device/watch-revoke-exporter", told),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
