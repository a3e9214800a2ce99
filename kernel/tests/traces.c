// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The tracepoints: a region comes, goes, or is revoked for a cause.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

struct seen_region {
	struct device device;
	struct memory bar;
};

#define LENGTH (5 * PAGE - 100)

static void region_open(struct seen_region *r, enum memory_kind kind)
{
	device_open(&r->device);
	memory_map(&r->bar, kind, 5 * PAGE);
	r->bar.mr =
		must_register(r->device.pd, r->bar.bytes, LENGTH, ACCESS_ALL);
}

static void region_close(struct seen_region *r)
{
	assert_int_equal(ibv_dereg_mr(r->bar.mr), 0);
	munmap(r->bar.bytes, r->bar.size);
	device_close(&r->device);
}

static void trace_of_a_life(void **state)
{
	const char *rest = " device_bytes=20380 segments=1 write=1";
	struct seen_region region;
	char line[256], *text;

	(void)state;
	assert_int_equal(LENGTH, 20380);
	trace_start();
	region_open(&region, BAR);
	region_close(&region);
	text = trace_end();
	range_event(line, "p2pmr_register", getpid(), region.bar.bytes, LENGTH,
		    rest);
	assert_once(text, line);
	range_event(line, "p2pmr_deregister", getpid(), region.bar.bytes,
		    LENGTH, rest);
	assert_once(text, line);
	assert_int_equal(count_in(text, "p2pmr_revoke:"), 0);
	free(text);
}

/* A mixed region says how much of it is device memory, and in how many parts. */
static void trace_of_a_mixed_region(void **state)
{
	struct device device;
	struct memory memory;
	char line[256], *text;

	(void)state;
	device_open(&device);
	memory_map(&memory, HOST, 6 * PAGE);
	memset(memory.bytes, 1, memory.size);
	assert_ptr_equal(bar_mmap(BAR_WC, memory.bytes + PAGE, 2 * PAGE,
				  PROT_READ, MAP_SHARED | MAP_FIXED, 0),
			 memory.bytes + PAGE);
	trace_start();
	memory.mr = must_register(device.pd, memory.bytes, 3 * PAGE,
				  IBV_ACCESS_REMOTE_READ);
	text = trace_end();
	snprintf(
		line, sizeof(line),
		"p2pmr_register: pid=%d start=%#lx length=%lu device_bytes=%lu segments=2 write=0",
		getpid(), (unsigned long)memory.bytes, 3 * PAGE, 2 * PAGE);
	assert_once(text, line);
	free(text);
	memory_release(&memory);
	device_close(&device);
}

static void hold_and_exit(int socket, void *argument)
{
	struct seen_region region;
	uint8_t *start;

	(void)argument;
	region_open(&region, BAR);
	start = region.bar.bytes;
	send_message(socket, &start, sizeof(start));
	meet(socket);
	_exit(0);
}

static void revoke_by_munmap(struct seen_region *r)
{
	assert_int_equal(munmap(r->bar.bytes + PAGE, PAGE), 0);
}

static void revoke_by_mprotect(struct seen_region *r)
{
	assert_int_equal(mprotect(r->bar.bytes, PAGE, PROT_READ), 0);
}

static void revoke_by_removal(struct seen_region *r)
{
	char path[PATH_SIZE];

	pci_file(r->bar.kind, "remove", path);
	write_file(path, "1\n");
	write_file("/sys/bus/pci/rescan", "1\n");
	pci_file(r->bar.kind, "enable", path);
	write_file(path, "1\n");
}

struct cause {
	const char *name;
	void (*revoke)(struct seen_region *region);
};

/* Revoked once, for that cause, since its counter was read. */
static void assert_revocation(const char *text, pid_t pid, const void *start,
			      const char *cause, unsigned long before)
{
	char line[256], rest[64], name[64];

	snprintf(rest, sizeof(rest), " cause=%s\n", cause);
	snprintf(name, sizeof(name), "revoked_%s", cause);
	range_event(line, "p2pmr_revoke", pid, start, LENGTH, rest);
	assert_once(text, line);
	assert_int_equal(debugfs_counter(name), before + 1);
}

static void trace_of_a_revocation(void **state)
{
	const struct cause *cause = *state;
	struct seen_region region;
	unsigned long before;
	char name[64], *text;

	snprintf(name, sizeof(name), "revoked_%s", cause->name);
	before = debugfs_counter(name);
	trace_start();
	region_open(&region, BAR2);
	cause->revoke(&region);
	region_close(&region);
	text = trace_end();
	assert_revocation(text, getpid(), region.bar.bytes, cause->name,
			  before);
	assert_int_equal(count_in(text, "p2pmr_deregister:"), 0);
	free(text);
}

static void trace_of_an_exit(void **state)
{
	unsigned long before = debugfs_counter("revoked_exit");
	struct child child;
	uint8_t *start;
	char *text;

	(void)state;
	trace_start();
	child_start(&child, hold_and_exit, NULL);
	receive_message(child.socket, &start, sizeof(start));
	meet(child.socket);
	child_finish(&child);
	text = trace_end();
	assert_revocation(text, child.pid, start, "exit", before);
	free(text);
}

static void trace_of_a_deleted_device(void **state)
{
	unsigned long before = debugfs_counter("revoked_importer");
	struct child child;
	uint8_t *start;
	char *text;

	(void)state;
	soft_roce_add("rxe1", "dummy1", "198.51.100.1");
	assert_int_equal(setenv("P2PMR_DEV", "rxe1", 1), 0);
	trace_start();
	child_start(&child, hold_and_exit, NULL);
	receive_message(child.socket, &start, sizeof(start));
	assert_true(shell("rdma link delete rxe1 &"));
	for (int i = 0;
	     debugfs_counter("revoked_importer") == before && i < 200; i++)
		usleep(100 * 1000);
	meet(child.socket);
	child_finish(&child);
	text = trace_end();
	assert_revocation(text, child.pid, start, "importer", before);
	free(text);
	for (int i = 0; rdma_device_exists("rxe1") && i < 200; i++)
		usleep(100 * 1000);
	assert_true(shell("ip link delete dummy1"));
}

#define CAUSE(name, how) (&(const struct cause){ name, how })

static const struct test tests[] = {
	TEST("seen/trace-register-deregister", trace_of_a_life),
	TEST("seen/trace-mixed-region", trace_of_a_mixed_region),
	TEST_OF("seen/trace-revoke-munmap", trace_of_a_revocation,
		CAUSE("unmap", revoke_by_munmap)),
	TEST_OF("seen/trace-revoke-mprotect", trace_of_a_revocation,
		CAUSE("protect", revoke_by_mprotect)),
	TEST_OF("seen/trace-revoke-removal", trace_of_a_revocation,
		CAUSE("device", revoke_by_removal)),
	TEST("seen/trace-revoke-exit", trace_of_an_exit),
	TEST("seen/trace-revoke-device-deleted", trace_of_a_deleted_device),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
