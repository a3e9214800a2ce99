// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Where an administrator finds a region listed: debugfs and the rdma tool.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

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

#define LENGTH (5 * PAGE - 100)

static void register_bar(struct device *device, struct memory *bar,
			 enum memory_kind kind)
{
	device_open(device);
	memory_map(bar, kind, 5 * PAGE);
	bar->mr = must_register(device->pd, bar->bytes, LENGTH, ACCESS_ALL);
}

static void debugfs_shows_a_region(void **state)
{
	static const char *const files[] = { DEBUGFS "ranges", DEBUGFS "mrs" };
	char line[512], address[32], extent[64], keys[64];
	struct device device;
	struct memory bar;

	(void)state;
	register_bar(&device, &bar, BAR2_WC);
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
	snprintf(keys, sizeof(keys), "%x", bar.mr->lkey);
	assert_in(line, keys);

	assert_int_equal(munmap(bar.bytes, bar.size), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		own_line(files[i], line);
		assert_in(line, " state=revoked ");
		assert_null(strstr(line, "pci-bar:"));
	}
	assert_int_equal(ibv_dereg_mr(bar.mr), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		own_line(files[i], line);
		assert_string_equal(line, "");
	}
	device_close(&device);
}

/* What the rdma tool lists: all regions on the device, and one of ours. */
struct tool_list {
	int all;
	int ours; /* of this process, with this length and these keys */
};

static struct tool_list ask_tool(const struct ibv_mr *mr)
{
	FILE *pipe = popen("rdma resource show mr", "r");
	struct tool_list found = { 0 };
	char line[512], wanted[128];

	assert_non_null(pipe);
	snprintf(wanted, sizeof(wanted), " rkey 0x%x lkey 0x%x mrlen %zu pdn ",
		 mr->rkey, mr->lkey, mr->length);
	while (fgets(line, sizeof(line), pipe)) {
		char process[64];

		if (!strstr(line, "rxe0"))
			continue;
		snprintf(process, sizeof(process), " pid %d comm %s", getpid(),
			 program_invocation_short_name);
		found.all++;
		found.ours += strstr(line, wanted) && strstr(line, process);
	}
	assert_int_equal(pclose(pipe), 0);
	return found;
}

/* Once, as any other: what p2pmr makes of its own behind it is no region. */
static void rdma_tool_shows_a_region(void **state)
{
	struct tool_list before, now;
	struct ibv_mr mr = { 0 };
	struct device device;
	struct memory bar;

	(void)state;
	before = ask_tool(&mr);
	register_bar(&device, &bar, BAR);
	mr = *bar.mr;
	now = ask_tool(&mr);
	assert_int_equal(now.ours, 1);
	assert_int_equal(now.all, before.all + 1);
	/* Until it is deregistered: the process still has it. */
	assert_int_equal(munmap(bar.bytes, bar.size), 0);
	now = ask_tool(&mr);
	assert_int_equal(now.ours, 1);
	assert_int_equal(now.all, before.all + 1);
	assert_int_equal(ibv_dereg_mr(bar.mr), 0);
	now = ask_tool(&mr);
	assert_int_equal(now.ours, 0);
	assert_int_equal(now.all, before.all);
	device_close(&device);
}

static const struct test tests[] = {
	TEST("seen/debugfs", debugfs_shows_a_region),
	TEST("seen/rdma-resource-show-mr", rdma_tool_shows_a_region),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
