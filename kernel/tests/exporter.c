// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the core promises an exporter, seen through one that does as it is
 * told: it learns who asks, may take its time, takes back a part or all, and
 * is told of every range that has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "modules.h"
#include "monitor.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define MODULE "p2pmr_test_exporter"
#define FILE_  "/dev/" MODULE

static void load(void)
{
	uint64_t first, last;

	physical_range(BAR, &first, &last);
	test_module_load(MODULE, "addr=%#lx size=%lu", first, last - first + 1);
}

static void *map(size_t offset)
{
	int fd = open(FILE_, O_RDWR | O_CLOEXEC);
	void *bytes;

	if (fd < 0)
		fail_msg(FILE_ ": %s", strerror(errno));
	bytes = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     offset);
	if (bytes == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	close(fd);
	return bytes;
}

static void take(size_t offset, size_t length)
{
	char line[64];

	snprintf(line, sizeof(line), "take %zu %zu\n", offset, length);
	write_file(FILE_, line);
}

static void assert_says(const char *part)
{
	char *text = read_file(FILE_);

	if (!strstr(text, part))
		fail_msg("not \"%s\" but %s", part, text);
	free(text);
}

/* Two regions over neighbouring parts of the exporter's memory. */
struct neighbours {
	struct scene scene;  /* whose `bar` is the first part */
	struct memory other; /* the second */
};

static void neighbours_open(struct neighbours *n)
{
	load();
	scene_open_over(&n->scene, BAR, map(0));
	n->other = (struct memory){ .kind = BAR,
				    .bytes = map(WINDOW),
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
	assert_says("users=0 ");
	scene_close(&n->scene);
	assert_true(module_try_remove(MODULE));
}

static void tells_who_asks(void **state)
{
	struct neighbours n;
	struct ibv_mr *mr;
	char expected[128];

	(void)state;
	neighbours_open(&n);
	assert_says("users=2 ");
	mr = must_register(n.scene.pair.device.pd, n.other.bytes + 100, 5000,
			   IBV_ACCESS_REMOTE_READ);
	snprintf(
		expected, sizeof(expected),
		"users=3 held=0 pid=%d importer=p2pmr_verbs offset=%zu length=5000 write=0\n",
		getpid(), WINDOW + 100);
	assert_says(expected);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_says("users=2 ");
	/* A revocation from the other side is an end as well. */
	assert_int_equal(munmap(n.other.bytes, PAGE), 0);
	assert_says("users=1 ");
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
	take(5 * PAGE + 7, 1);
	assert_says("users=1 ");
	assert_revoked(&n.scene);
	assert_int_equal(ranges_of(getpid(), "live"), 1);
	assert_status(own_access(&n.scene, n.other.mr, IBV_WR_RDMA_READ),
		      IBV_WC_SUCCESS);
	assert_int_equal(debugfs_counter("revoked_exporter"), before + 1);

	assert_int_equal(ibv_dereg_mr(n.scene.bar.mr), 0);
	assert_int_equal(registration_error(n.scene.pair.device.pd,
					    &n.scene.bar),
			 ENODEV);
	write_file(FILE_, "give\n");
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
	take(2 * WINDOW, PAGE);
	assert_int_equal(ranges_of(getpid(), "live"), 2);
	take(0, 2 * WINDOW);
	assert_says("users=0 ");
	assert_int_equal(ranges_of(getpid(), "revoked"), 2);
	assert_revoked(&n.scene);
	assert_int_not_equal(own_access(&n.scene, n.other.mr, IBV_WR_RDMA_READ),
			     IBV_WC_SUCCESS);
	assert_int_equal(debugfs_counter("revoked_exporter"), before + 2);
	neighbours_close(&n);
}

static void traced(void **state)
{
	char line[256], *text;
	struct neighbours n;

	(void)state;
	neighbours_open(&n);
	trace_start();
	take(WINDOW + PAGE, PAGE);
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
	take(WINDOW + PAGE, PAGE);
	monitor_next(fd, P2PMR_EVENT_REVOKE, &event);
	assert_event_of(&event, n.other.mr, 1);
	assert_int_equal(event.cause, P2PMR_REVOKED_EXPORTER);
	assert_int_equal(event.location.flags, P2PMR_LOCATION_EXPORTER);
	assert_string_equal(event.location.exporter, MODULE);
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

static bool says(const char *part)
{
	char *text = read_file(FILE_);
	bool said = strstr(text, part);

	free(text);
	return said;
}

/* While an exporter takes its time for one process, others go on. */
static void waits_alone(void **state)
{
	struct registration held = { 0 };
	struct device device;
	struct child child;
	pthread_t thread;

	(void)state;
	load();
	device_open(&device);
	held.pd = device.pd;
	held.bytes = map(0);
	child_start(&child, register_in_child, NULL);
	write_file(FILE_, "hold\n");
	assert_int_equal(pthread_create(&thread, NULL, register_once, &held),
			 0);
	for (int i = 0; !says("held=1 ") && i < 200; i++)
		usleep(50 * 1000);
	assert_true(says("held=1 "));
	meet(child.socket);
	meet(child.socket);
	assert_true(says("held=1 "));
	assert_false(held.done);
	meet(child.socket);
	write_file(FILE_, "release\n");
	assert_int_equal(pthread_join(thread, NULL), 0);
	child_finish(&child);
	assert_int_equal(held.error, 0);
	assert_int_equal(munmap(held.bytes, WINDOW), 0);
	device_close(&device);
	assert_true(module_try_remove(MODULE));
}

static const struct test tests[] = {
	TEST("exporter/learns-who-asks", tells_who_asks),
	TEST("exporter/takes-back-a-part", takes_back_a_part),
	TEST("exporter/takes-back-all", takes_back_all),
	TEST("exporter/waits-alone", waits_alone),
	TEST("seen/trace-revoke-exporter", traced),
	TEST("device/watch-revoke-exporter", told),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
