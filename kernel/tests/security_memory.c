// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a user without privileges can make the kernel hold, and what the kernel
 * tells about itself: where docs/security.md has no other test for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addresses.h"
#include "chardev.h"
#include "child.h"
#include "exported.h"
#include "modules.h"
#include "monitor.h"
#include "peer.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"
#include "watch.h"

#define READ_WRITE   (PROT_READ | PROT_WRITE)
#define AT_MOST	     8
#define LOG_INTERVAL 6 /* seconds; the kernel counts lines for 5 */

/* Map, register, unmap, and keep what is left: errnos one after the other. */
static void collect_tombstones(int socket, void *argument)
{
	int file = open(bar_path(BAR), O_RDWR), errors[AT_MOST];
	struct ibv_mr *mrs[AT_MOST];
	struct device device;

	(void)argument;
	assert_true(file >= 0);
	become(NOBODY);
	device_open(&device);
	for (int i = 0; i < AT_MOST; i++) {
		void *bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, file, 0);

		assert_true(bytes != MAP_FAILED);
		mrs[i] = ibv_reg_mr(device.pd, bytes, PAGE, ACCESS_ALL);
		errors[i] = mrs[i] ? 0 : errno;
		assert_int_equal(munmap(bytes, PAGE), 0);
	}
	send_message(socket, errors, sizeof(errors));
	for (int i = 0; i < AT_MOST; i++)
		if (mrs[i])
			assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	device_close(&device);
}

/* What is left of a revoked region is memory too. */
static void tombstones_count(void **state)
{
	char before[PARAMETER_SIZE];
	int errors[AT_MOST];
	struct child child;

	(void)state;
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", "3", before), 0);
	child_start(&child, collect_tombstones, NULL);
	receive_message(child.socket, errors, sizeof(errors));
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", before, NULL), 0);
	child_finish(&child);
	for (int i = 0; i < AT_MOST; i++)
		assert_int_equal(errors[i], i < 3 ? 0 : EDQUOT);
}

#define MOST_FILES 400

/* The ordinary limit of open files is one of these, too. */
static void open_many(int socket, void *argument)
{
	const struct rlimit files = { MOST_FILES, MOST_FILES };
	int opened = 0;

	(void)argument;
	become(NOBODY);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	while (opened < 2 * MOST_FILES &&
	       open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC) >= 0)
		opened++;
	assert_int_equal(errno, EMFILE);
	send_message(socket, &opened, sizeof(opened));
}

static void open_files_are_limited(void **state)
{
	int before = module_references(CORE_MODULE), opened;
	struct child child;

	(void)state;
	child_start(&child, open_many, NULL);
	receive_message(child.socket, &opened, sizeof(opened));
	child_finish(&child);
	assert_in_range(opened, MOST_FILES / 2, MOST_FILES);
	expect_references(CORE_MODULE, before);
}

static void assert_file_tells_none(const char *path)
{
	char *text = read_file(path);

	assert_true(strlen(text) > 0);
	assert_no_address_said(path, text);
	free(text);
}

/* As much of the kernel's log as came since it was opened. */
static void assert_log_tells_none(int log)
{
	char record[LOG_LINE];
	unsigned int lines = 0;
	ssize_t size;

	while ((size = read(log, record, sizeof(record) - 1)) > 0) {
		record[size] = '\0';
		if (!strstr(record, "p2pmr"))
			continue;
		lines++;
		/* Before that is the time, in digits too. */
		assert_no_address_said("kernel log", strchr(record, ';'));
	}
	assert_true(lines > 0);
}

/* Refusals for reasons that have to do with addresses. */
static void be_refused(struct device *device, uint8_t *bar)
{
	uint8_t *read_only =
			bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0),
		*private =
			bar_mmap(BAR, NULL, PAGE, READ_WRITE, MAP_PRIVATE, 0),
		*registers = registers_map();

	assert_true(read_only != MAP_FAILED && private != MAP_FAILED);
	assert_null(ibv_reg_mr(device->pd, read_only, PAGE, ACCESS_ALL));
	assert_null(ibv_reg_mr(device->pd, private, PAGE, ACCESS_ALL));
	assert_null(ibv_reg_mr(device->pd, registers, 256, ACCESS_ALL));
	assert_null(ibv_reg_mr(device->pd, bar, 1ul << 40, ACCESS_ALL));
	assert_null(ibv_reg_mr(device->pd, bar, PAGE,
			       ACCESS_ALL | IBV_ACCESS_ZERO_BASED));
	munmap(read_only, PAGE);
	munmap(private, PAGE);
	munmap(registers, PAGE);
}

static void assert_events_tell_none(int monitor)
{
	struct p2pmr_event event;
	unsigned int n = 0;

	while (read(monitor, &event, sizeof(event)) == sizeof(event)) {
		assert_no_address_in("event", &event, sizeof(event));
		assert_no_address_said("event", event.reason);
		n++;
	}
	assert_true(n >= 6);
}

/* The places that only root can read are as silent as the others. */
static void no_address_anywhere(void **state)
{
	struct p2pmr_reg_mr_req request = { .size = sizeof(request) };
	struct p2pmr_reg_mr_resp response = { 0 };
	int log, monitor, dmabuf;
	struct raw_mr raw;
	struct asker a;
	char path[64], *trace;

	(void)state;
	asker_open(&a, BAR);
	/* Lines that earlier tests have used up are there again. */
	sleep(LOG_INTERVAL);
	log = log_open();
	trace_start();
	monitor = monitor_open();
	memory_register(&a.memory, a.device.pd);
	assert_int_equal(uverbs_register(a.device.pd, a.memory.bytes, PAGE,
					 ACCESS_ALL, &request, sizeof(request),
					 &response, sizeof(response), &raw),
			 0);
	assert_no_address_in("response", &response, sizeof(response));
	dmabuf = must_export(a.memory.bytes, PAGE);
	be_refused(&a.device, a.memory.bytes);

	assert_file_tells_none(DEBUGFS "ranges");
	assert_file_tells_none(DEBUGFS "mrs");
	assert_file_tells_none(DEBUGFS "stores");
	assert_file_tells_none(DEBUGFS "counters");
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", dmabuf);
	assert_file_tells_none(path);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", a.fd);
	assert_file_tells_none(path);
	assert_true(shell("rdma resource show mr >/run/p2pmr-mrs"));
	assert_file_tells_none("/run/p2pmr-mrs");
	unlink("/run/p2pmr-mrs");

	uverbs_deregister(&raw);
	close(dmabuf);
	assert_int_equal(munmap(a.memory.bytes, PAGE), 0);
	assert_events_tell_none(monitor);
	trace = trace_end();
	assert_true(count_in(trace, "p2pmr_revoke") > 0);
	assert_true(count_in(trace, "p2pmr_refuse") > 0);
	assert_no_address_said("trace", trace);
	free(trace);
	assert_log_tells_none(log);
	close(log);
	close(monitor);
	asker_close(&a);
}

#define PARAMETERS   "/sys/module/p2pmr*/parameters/*"
#define TRACE_SWITCH "/sys/kernel/tracing/events/p2pmr/enable"

/*
 * By the files' own modes: the folder of debugfs is closed as well, so that who
 * only tries to open a file there learns nothing of it.
 */
static void assert_closed(const char *pattern, mode_t closed, size_t at_least)
{
	struct stat st;
	glob_t found;

	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= at_least);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		assert_int_equal(stat(found.gl_pathv[i], &st), 0);
		if (st.st_mode & closed || st.st_uid || st.st_gid)
			fail_msg("%s: mode %#o", found.gl_pathv[i], st.st_mode);
	}
	globfree(&found);
}

static void look_for_what_is_roots(int socket, void *argument)
{
	glob_t found;

	(void)argument;
	assert_int_equal(glob(DEBUGFS "*", 0, NULL, &found), 0);
	assert_int_equal(glob(TRACE_SWITCH, GLOB_APPEND, NULL, &found), 0);
	become(NOBODY);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		assert_int_equal(open(found.gl_pathv[i], O_RDONLY), -1);
		assert_int_equal(errno, EACCES);
	}
	globfree(&found);
	assert_int_equal(glob(PARAMETERS, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		assert_int_equal(open(found.gl_pathv[i], O_WRONLY), -1);
		assert_int_equal(errno, EACCES);
	}
	globfree(&found);
	send_message(socket, "x", 1);
}

static void debugging_is_for_root(void **state)
{
	struct child child;
	char word;

	(void)state;
	assert_closed(DEBUGFS "*", S_IRWXG | S_IRWXO, 4);
	assert_closed(PARAMETERS, S_IWGRP | S_IWOTH, 8);
	child_start(&child, look_for_what_is_roots, NULL);
	receive_message(child.socket, &word, sizeof(word));
	child_finish(&child);
}

static const struct test tests[] = {
	TEST("security/tombstones-count", tombstones_count),
	TEST("security/open-files-are-limited", open_files_are_limited),
	TEST("security/no-address-anywhere", no_address_anywhere),
	TEST("security/debugging-is-for-root", debugging_is_for_root),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
