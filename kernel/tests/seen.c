// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What an administrator sees of regions: tracepoints, debugfs, the rdma tool,
 * and the kernel log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define INSTANCE "/sys/kernel/tracing/instances/p2pmr-test"
#define DEBUGFS	 "/sys/kernel/debug/p2pmr/"

/* A trace buffer of the test's own, with the events of p2pmr alone. */
static void trace_start(void)
{
	rmdir(INSTANCE);
	assert_int_equal(mkdir(INSTANCE, 0700), 0);
	write_file(INSTANCE "/events/p2pmr/enable", "1\n");
}

static char *trace_end(void)
{
	char *text = read_file(INSTANCE "/trace");

	write_file(INSTANCE "/events/p2pmr/enable", "0\n");
	assert_int_equal(rmdir(INSTANCE), 0);
	return text;
}

static unsigned int count(const char *text, const char *part)
{
	unsigned int n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

static void assert_once(const char *text, const char *part)
{
	if (count(text, part) != 1)
		fail_msg("\"%s\" is there %u times in:\n%s", part,
			 count(text, part), text);
}

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

static void range_event(char line[256], const char *event, pid_t pid,
			const void *start, const char *rest)
{
	snprintf(line, 256, "%s: pid=%d start=%#lx length=%lu%s", event, pid,
		 (unsigned long)start, LENGTH, rest);
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
	range_event(line, "p2pmr_register", getpid(), region.bar.bytes, rest);
	assert_once(text, line);
	range_event(line, "p2pmr_deregister", getpid(), region.bar.bytes, rest);
	assert_once(text, line);
	assert_int_equal(count(text, "p2pmr_revoke:"), 0);
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

static unsigned long counter(const char *name)
{
	char *text = read_file(DEBUGFS "counters"), *line, wanted[64];
	unsigned long value;

	snprintf(wanted, sizeof(wanted), "%s ", name);
	line = strstr(text, wanted);
	if (!line)
		fail_msg("no counter %s in:\n%s", name, text);
	value = strtoul(line + strlen(wanted), NULL, 10);
	free(text);
	return value;
}

static void trace_of_a_revocation(void **state)
{
	const struct cause *cause = *state;
	char line[256], rest[64], name[64], *text;
	struct seen_region region;
	unsigned long before;

	snprintf(rest, sizeof(rest), " cause=%s\n", cause->name);
	snprintf(name, sizeof(name), "revoked_%s", cause->name);
	before = counter(name);
	trace_start();
	region_open(&region, BAR2);
	cause->revoke(&region);
	region_close(&region);
	text = trace_end();
	range_event(line, "p2pmr_revoke", getpid(), region.bar.bytes, rest);
	assert_once(text, line);
	assert_int_equal(count(text, "p2pmr_deregister:"), 0);
	assert_int_equal(counter(name), before + 1);
	free(text);
}

static void trace_of_an_exit(void **state)
{
	unsigned long before = counter("revoked_exit");
	char line[256], *text;
	struct child child;
	uint8_t *start;

	(void)state;
	trace_start();
	child_start(&child, hold_and_exit, NULL);
	receive_message(child.socket, &start, sizeof(start));
	meet(child.socket);
	child_finish(&child);
	text = trace_end();
	range_event(line, "p2pmr_revoke", child.pid, start, " cause=exit\n");
	assert_once(text, line);
	assert_int_equal(counter("revoked_exit"), before + 1);
	free(text);
}

static void trace_of_a_deleted_device(void **state)
{
	unsigned long before = counter("revoked_importer");
	char line[256], *text;
	struct child child;
	uint8_t *start;

	(void)state;
	soft_roce_add("rxe1", "dummy1", "198.51.100.1");
	assert_int_equal(setenv("P2PMR_DEV", "rxe1", 1), 0);
	trace_start();
	child_start(&child, hold_and_exit, NULL);
	receive_message(child.socket, &start, sizeof(start));
	assert_true(shell("rdma link delete rxe1 &"));
	for (int i = 0; counter("revoked_importer") == before && i < 200; i++)
		usleep(100 * 1000);
	meet(child.socket);
	child_finish(&child);
	text = trace_end();
	range_event(line, "p2pmr_revoke", child.pid, start,
		    " cause=importer\n");
	assert_once(text, line);
	assert_int_equal(counter("revoked_importer"), before + 1);
	free(text);
	for (int i = 0; rdma_device_exists("rxe1") && i < 200; i++)
		usleep(100 * 1000);
	assert_true(shell("ip link delete dummy1"));
}

/* The kernel's log from the moment of the call on. */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	assert_true(fd >= 0);
	assert_true(lseek(fd, 0, SEEK_END) >= 0);
	return fd;
}

/* How many lines name a refusal of this process; the last is left in `line`. */
static unsigned int log_refusals(int fd, char line[1024])
{
	char record[1024], process[64];
	unsigned int n = 0;
	ssize_t size;

	snprintf(process, sizeof(process), "refused for seen[%d]: ", getpid());
	while ((size = read(fd, record, sizeof(record) - 1)) > 0) {
		record[size] = '\0';
		if (!strstr(record, process))
			continue;
		n++;
		if (line)
			strcpy(line, record);
	}
	close(fd);
	return n;
}

/* What other tests had refused may have used up what the log takes. */
#define LOG_INTERVAL 5
#define LOG_BURST    10

static void one_line_for_a_refusal(void **state)
{
	unsigned long before = counter("refused");
	char line[1024] = "", expected[256], *text;
	struct device device;
	struct memory bar;
	int log;

	(void)state;
	sleep(LOG_INTERVAL + 1);
	device_open(&device);
	bar.size = PAGE;
	bar.bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(bar.bytes != MAP_FAILED);
	trace_start();
	log = log_open();
	assert_null(ibv_reg_mr(device.pd, bar.bytes, PAGE, ACCESS_ALL));
	assert_int_equal(errno, EACCES);
	text = trace_end();
	assert_int_equal(log_refusals(log, line), 1);
	assert_non_null(strstr(line, "p2pmr: "));
	assert_non_null(strstr(line, "mapping's protection"));

	snprintf(expected, sizeof(expected),
		 "p2pmr_refuse: pid=%d importer=p2pmr_verbs reason=", getpid());
	assert_once(text, expected);
	assert_once(text, "mapping's protection");
	assert_int_equal(count(text, "p2pmr_register:"), 0);
	assert_int_equal(counter("refused"), before + 1);
	free(text);
	assert_int_equal(munmap(bar.bytes, PAGE), 0);
	device_close(&device);
}

#define MANY 1000

static void many_refusals(void **state)
{
	unsigned long before = counter("refused");
	time_t start = time(NULL);
	unsigned int lines, most;
	struct device device;
	uint8_t *bytes;
	char *text;
	int log;

	(void)state;
	device_open(&device);
	bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	trace_start();
	log = log_open();
	for (int i = 0; i < MANY; i++) {
		assert_null(ibv_reg_mr(device.pd, bytes, PAGE, ACCESS_ALL));
		assert_int_equal(errno, EACCES);
	}
	lines = log_refusals(log, NULL);
	most = LOG_BURST * ((time(NULL) - start) / LOG_INTERVAL + 2);
	text = trace_end();
	print_message("%u lines\n", lines);
	assert_true(lines <= most && most < MANY / 2);
	/* Nothing but the log is limited. */
	assert_int_equal(count(text, "p2pmr_refuse:"), MANY);
	assert_int_equal(counter("refused"), before + MANY);
	free(text);
	assert_int_equal(munmap(bytes, PAGE), 0);
	device_close(&device);
}

/* The one line of a debugfs file about this process, or "". */
static void own_line(const char *file, char line[512])
{
	char *text = read_file(file), wanted[32];

	line[0] = '\0';
	snprintf(wanted, sizeof(wanted), "pid=%d ", getpid());
	for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
		if (!strstr(at, wanted))
			continue;
		assert_string_equal(line, "");
		snprintf(line, 512, "%s", at);
	}
	free(text);
}

static void assert_in(const char *line, const char *part)
{
	if (!strstr(line, part))
		fail_msg("no \"%s\" in \"%s\"", part, line);
}

static void debugfs_shows_a_region(void **state)
{
	static const char *const files[] = { DEBUGFS "ranges", DEBUGFS "mrs" };
	char line[512], address[32], extent[64], keys[64];
	struct seen_region region;

	(void)state;
	region_open(&region, BAR2_WC);
	pci_address(BAR2, address);
	snprintf(extent, sizeof(extent), " pci-bar:%s:bar2:%lu", address,
		 LENGTH);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		own_line(files[i], line);
		assert_in(line, " importer=p2pmr_verbs state=live ");
		assert_in(line, " length=20380 device_bytes=20380 write=1");
		assert_in(line, extent);
	}
	assert_in(line, "rxe0");
	snprintf(keys, sizeof(keys), "%x", region.bar.mr->lkey);
	assert_in(line, keys);

	assert_int_equal(munmap(region.bar.bytes, region.bar.size), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		own_line(files[i], line);
		assert_in(line, " state=revoked ");
		assert_null(strstr(line, "pci-bar:"));
	}
	assert_int_equal(ibv_dereg_mr(region.bar.mr), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		own_line(files[i], line);
		assert_string_equal(line, "");
	}
	device_close(&region.device);
}

/* How many regions of this process and length the rdma tool lists. */
static int rdma_tool_lists(size_t length)
{
	char line[512], pid[32], mrlen[32];
	FILE *pipe = popen("rdma resource show mr", "r");
	int n = 0;

	assert_non_null(pipe);
	snprintf(pid, sizeof(pid), " pid %d ", getpid());
	snprintf(mrlen, sizeof(mrlen), " mrlen %zu ", length);
	while (fgets(line, sizeof(line), pipe))
		n += strstr(line, "rxe0") && strstr(line, pid) &&
		     strstr(line, mrlen) && strstr(line, " comm seen");
	assert_int_equal(pclose(pipe), 0);
	return n;
}

static void rdma_tool_shows_a_region(void **state)
{
	struct seen_region region;

	(void)state;
	assert_int_equal(rdma_tool_lists(LENGTH), 0);
	region_open(&region, BAR);
	assert_int_equal(rdma_tool_lists(LENGTH), 1);
	/* Until it is deregistered: the process still has it. */
	assert_int_equal(munmap(region.bar.bytes, region.bar.size), 0);
	assert_int_equal(rdma_tool_lists(LENGTH), 1);
	assert_int_equal(ibv_dereg_mr(region.bar.mr), 0);
	assert_int_equal(rdma_tool_lists(LENGTH), 0);
	device_close(&region.device);
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
	TEST("seen/one-log-line-for-a-refusal", one_line_for_a_refusal),
	TEST("seen/many-refusals-few-log-lines", many_refusals),
	TEST("seen/debugfs", debugfs_shows_a_region),
	TEST("seen/rdma-resource-show-mr", rdma_tool_shows_a_region),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
