// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * p2pmr_bar while the kernel runs out of memory at each place where it can: binding,
 * its files and mappings, and regions over them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "faulting.h"
#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define SECONDS	   600
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define BIND	   "/sys/bus/pci/drivers/" BAR_MODULE "/bind"
/* Where nothing else is, so that a mapping has its page tables alone. */
#define LONELY ((void *)0x500000000000)

static void must(int error)
{
	assert_int_equal(error, 0);
}

/* What is planted from outside is there. */
static void assert_reads(const uint8_t *bytes)
{
	static uint8_t planted[64];

	pattern_fill(planted, sizeof(planted), 17);
	host_write(FIRST, 0, planted, sizeof(planted));
	assert_bytes(bytes, planted, sizeof(planted), "mapping");
}

static int call_bind(void *argument)
{
	(void)argument;
	return write_sysfs(BIND, function_address(FIRST));
}

static int try_map(const char *path, void *address, uint8_t **bytes)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), error = 0;

	if (fd < 0)
		return errno;
	*bytes = mmap(address, WINDOW, READ_WRITE,
		      MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0), fd, 0);
	if (*bytes == MAP_FAILED)
		error = errno;
	close(fd);
	return error;
}

static void unbind(void)
{
	must(write_sysfs(function_file(FIRST, "driver/unbind"),
			 function_address(FIRST)));
}

static bool files_are_there(void)
{
	return !access(bar_file(FIRST, 2, false), F_OK) &&
	       !access(bar_file(FIRST, 2, true), F_OK);
}

/*
 * The kernel does not mind if it finds no memory for the name of a device's node: it
 * takes the device's own instead, and at the end does not know it any more.
 */
static void remove_misnamed(void)
{
	for (int wc = 0; wc < 2; wc++) {
		char path[64];

		snprintf(path, sizeof(path), "/dev/%s-bar2%s",
			 function_address(FIRST), wc ? "-wc" : "");
		unlink(path);
	}
}

static void check_bound(void *argument, int error)
{
	uint8_t *bytes;

	if (error) {
		assert_false(function_is_bound(FIRST));
		assert_false(files_are_there());
	} else if (!files_are_there()) {
		unbind();
		remove_misnamed();
		error = ENOENT;
	}
	if (error)
		must(call_bind(argument));
	assert_true(function_is_bound(FIRST));
	for (int wc = 0; wc < 2; wc++) {
		must(try_map(bar_file(FIRST, 2, wc), NULL, &bytes));
		assert_reads(bytes);
		must(munmap(bytes, WINDOW));
	}
	unbind();
}

/*
 * A function that is near a node is probed by a worker there, whose allocations are not
 * ours to fail. -1 is no node.
 */
static void set_node(const char *node)
{
	const char *path = function_file(FIRST, "numa_node");

	if (!access(path, F_OK))
		must(write_sysfs(path, node));
}

static void fail_binding(const struct faulted *faulted)
{
	must(write_sysfs(function_file(FIRST, "driver_override"), BAR_MODULE));
	set_node("-1");
	fail_each(faulted, NULL);
	set_node("0");
}

/* The kernel says EBUSY when it finds no memory to note who has the BAR, or a minor. */
static void binding(void **state)
{
	const struct faulted faulted = { .name = "bind to p2pmr_bar",
					 .call = call_bind,
					 .check = check_bound,
					 .errors = { EBUSY } };

	(void)state;
	faults_prepare();
	assert_true(shell("modprobe " BAR_MODULE));
	fail_binding(&faulted);
}

/* The same for what the driver's own function does, without the bus's part. */
static void probing(void **state)
{
	const struct faulted faulted = { .name = "probe of p2pmr_bar",
					 .call = call_bind,
					 .check = check_bound,
					 .errors = { EBUSY } };

	(void)state;
	faults_prepare();
	assert_true(shell("modprobe " BAR_MODULE));
	faults_below_module(BAR_MODULE);
	fail_binding(&faulted);
}

struct mapping {
	const char *path;
	uint8_t *bytes;
};

static int call_map(void *argument)
{
	struct mapping *mapping = argument;

	return try_map(mapping->path, LONELY, &mapping->bytes);
}

static void check_mapped(void *argument, int error)
{
	struct mapping *mapping = argument;

	if (error)
		must(call_map(mapping));
	assert_reads(mapping->bytes);
	must(munmap(mapping->bytes, WINDOW));
}

static void fail_mappings(const struct faulted *faulted, bool wc)
{
	struct mapping mapping;

	faults_prepare();
	function_bind(FIRST);
	mapping.path = bar_file(FIRST, 2, wc);
	fail_each(faulted, &mapping);
	function_unbind(FIRST);
}

static void mapping(void **state)
{
	const struct faulted faulted = { .name = "open and mmap of p2pmr_bar",
					 .call = call_map,
					 .check = check_mapped };

	(void)state;
	fail_mappings(&faulted, true);
}

static void prepare_touch(void *argument)
{
	must(call_map(argument));
}

/* Both a read, and a write to another page. */
static int call_touch(void *argument)
{
	struct mapping *mapping = argument;
	volatile uint8_t *bytes = mapping->bytes;

	bytes[PAGE] = bytes[0];
	return 0;
}

static void check_touched(void *argument, int error)
{
	(void)error;
	struct mapping *mapping = argument;

	assert_reads(mapping->bytes);
	must(munmap(mapping->bytes, WINDOW));
}

/* The access is tried again until there is memory for it. */
static void touching(void **state)
{
	const struct faulted faulted = { .name = "page fault in p2pmr_bar",
					 .prepare = prepare_touch,
					 .call = call_touch,
					 .check = check_touched,
					 .never_fails = true };

	(void)state;
	fail_mappings(&faulted, false);
}

/* All of it: the file, the mapping, the region. */
static int call_all(void *argument)
{
	struct scene *scene = argument;
	int error = try_map(bar_path(BAR), LONELY, &scene->bar.bytes);

	scene->bar.mr = NULL;
	if (error)
		return error;
	scene->bar.mr = ibv_reg_mr(scene->pair.device.pd, scene->bar.bytes,
				   WINDOW, ACCESS_ALL);
	if (scene->bar.mr)
		return 0;
	error = errno;
	munmap(scene->bar.bytes, WINDOW);
	return error;
}

static void check_all(void *argument, int error)
{
	struct scene *scene = argument;

	if (error)
		must(call_all(scene));
	assert_reachable(scene);
	memory_release(&scene->bar);
}

/* Of regions over the driver's file, which the calls make and release. */
static void fail_regions(const struct faulted *faulted)
{
	struct scene scene;

	faults_prepare();
	bars_by_driver();
	scene_open(&scene, BAR);
	memory_release(&scene.bar);
	fail_each(faulted, &scene);
	scene_close(&scene);
	function_unbind(FIRST);
}

static void registering(void **state)
{
	const struct faulted faulted = { .name = "register through p2pmr_bar",
					 .call = call_all,
					 .check = check_all };

	(void)state;
	fail_regions(&faulted);
}

/* In an order that leaves the region revoked before it is deregistered. */
static void prepare_end(void *argument)
{
	must(call_all(argument));
}

static int call_end(void *argument)
{
	struct scene *scene = argument;

	if (scene->bar.bytes && munmap(scene->bar.bytes, WINDOW))
		return errno;
	scene->bar.bytes = NULL;
	return ibv_dereg_mr(scene->bar.mr);
}

static void check_ended(void *argument, int error)
{
	struct scene *scene = argument;

	if (error)
		must(call_end(scene));
	must(call_all(scene));
	assert_reachable(scene);
	memory_release(&scene->bar);
}

static void ending(void **state)
{
	const struct faulted faulted = { .name = "unmap and dereg of p2pmr_bar",
					 .prepare = prepare_end,
					 .call = call_end,
					 .check = check_ended };

	(void)state;
	fail_regions(&faulted);
}

static const struct test tests[] = {
	TEST_WITHIN(SECONDS, "faults/bar-bind", binding),
	TEST_WITHIN(SECONDS, "faults/bar-probe", probing),
	TEST_WITHIN(SECONDS, "faults/bar-mmap", mapping),
	TEST_WITHIN(SECONDS, "faults/bar-touch", touching),
	TEST_WITHIN(SECONDS, "faults/bar-register", registering),
	TEST_WITHIN(SECONDS, "faults/bar-munmap-and-dereg", ending),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
