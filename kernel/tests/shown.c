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
#include <sys/socket.h>
#include <unistd.h>

#include "bar.h"
#include "child.h"
#include "endpoint.h"
#include "peer.h"
#include "plain.h"
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

#define REGISTRARS 2
#define ROUNDS	   15
#define LEFT	   8 /* regions of each round whose owner dies */

/* One that is unmapped, one that is not, and those that the process leaves behind. */
static void register_and_leave(int socket, void *argument)
{
	struct plain *plain = argument;
	struct memory bar;

	(void)socket;
	for (int i = 0; i < 2; i++) {
		memory_map(&bar, BAR, 2 * PAGE);
		memory_register(&bar, plain->pd);
		if (i)
			assert_int_equal(munmap(bar.bytes, PAGE), 0);
		memory_release(&bar);
	}
	memory_map(&bar, BAR, 2 * PAGE);
	for (int i = 0; i < LEFT; i++)
		must_register(plain->pd, bar.bytes, 2 * PAGE, ACCESS_ALL);
}

/* What a process has left behind is deregistered by another one's close. */
static void register_in_rounds(int socket, void *argument)
{
	struct plain plain;
	struct child owner;

	(void)argument;
	meet(socket);
	for (int i = 0; i < ROUNDS; i++) {
		assert_true(plain_open(&plain, "rxe0"));
		child_start(&owner, register_and_leave, &plain);
		child_finish(&owner);
		assert_int_equal(ibv_close_device(plain.context), 0);
	}
	send_message(socket, "x", 1);
}

/* Each line is whole, and how many there were. */
static void read_lines(const char *file, const char *begin, unsigned int *live,
		       unsigned int *revoked)
{
	char *text = read_file(file);

	assert_true(!*text || text[strlen(text) - 1] == '\n');
	for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
		assert_ptr_equal(strstr(at, begin), at);
		assert_in(at, "pid=");
		assert_in(at, " importer=p2pmr_verbs state=");
		assert_in(at, " write=1");
		*live += strstr(at, " state=live ") != NULL;
		*revoked += strstr(at, " state=revoked ") != NULL;
	}
	free(text);
}

static bool has_ended(struct child *child)
{
	char end;

	return recv(child->socket, &end, 1, MSG_DONTWAIT) == 1;
}

/* Regions and the processes that made them go while they are being read of. */
static void debugfs_beside_registrations(void **state)
{
	unsigned int live[2] = { 0 }, revoked[2] = { 0 }, reads = 0, ended = 0;
	struct child registrars[REGISTRARS];

	(void)state;
	for (int i = 0; i < REGISTRARS; i++) {
		child_start(&registrars[i], register_in_rounds, NULL);
		meet(registrars[i].socket);
	}
	for (; ended < REGISTRARS; reads++) {
		read_lines(DEBUGFS "mrs", "dev=rxe0 ", &live[0], &revoked[0]);
		read_lines(DEBUGFS "ranges", "pid=", &live[1], &revoked[1]);
		for (int i = 0; i < REGISTRARS; i++)
			ended += has_ended(&registrars[i]);
	}
	print_message("%u times read: %u and %u live, %u and %u revoked\n",
		      reads, live[0], live[1], revoked[0], revoked[1]);
	for (int i = 0; i < REGISTRARS; i++)
		child_finish(&registrars[i]);
	for (int i = 0; i < 2; i++)
		assert_true(live[i] && revoked[i]);
	read_lines(DEBUGFS "mrs", "none is left", &live[0], &revoked[0]);
	read_lines(DEBUGFS "ranges", "none is left", &live[1], &revoked[1]);
}

static const struct test tests[] = {
	TEST("seen/debugfs-beside-registrations", debugfs_beside_registrations),
	TEST("seen/debugfs", debugfs_shows_a_region),
	TEST("seen/rdma-resource-show-mr", rdma_tool_shows_a_region),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
