// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which device may be given DMA addresses of whose memory: what the kernel part
 * knows of the way between the two, and what the administrator says. The lab's
 * engine and its BARs have only a root complex in common that nobody knows;
 * vm/tests/fabric has other machines.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "chardev.h"
#include "child.h"
#include "engine.h"
#include "exported.h"
#include "exporting.h"
#include "host.h"
#include "modules.h"
#include "reach.h"
#include "revoked.h"
#include "system.h"
#include "watch.h"

#define MEMORY_IDS "1af4:1110"

/* Under KVM the guest has the CPU of the machine, which may be a known one. */
static void need_unknown_root(void)
{
	char *cpu = read_file("/proc/cpuinfo"), *family;
	bool known;

	family = strstr(cpu, "cpu family");
	known = strstr(cpu, "AuthenticAMD") && family &&
		atoi(strchr(family, ':') + 1) >= 23;
	free(cpu);
	if (known)
		skip_test("this CPU's root complex is known");
}

static void set_denied(const char *pairs)
{
	assert_int_equal(module_set(CORE_MODULE, "deny_pairs", pairs, NULL), 0);
}

static int try_map_bar(void)
{
	struct memory bar;
	int fd = engine_open(), error;

	memory_map(&bar, BAR, EXPORTED);
	error = engine_try_map(fd, bar.bytes, EXPORTED, true, EDU_BOTH_WAYS);
	close(fd);
	memory_release(&bar);
	return error;
}

/* By either way in, however it attaches; some pin, see pinned_are_allowed(). */
static void assert_all_refused(int dmabuf)
{
	assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), EXDEV);
	assert_int_equal(reach_try_attach(dmabuf, EDU_REVOCABLE), EXDEV);
	assert_int_equal(try_map_bar(), EXDEV);
}

static void assert_none_refused(int dmabuf)
{
	assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), 0);
	assert_int_equal(reach_try_attach(dmabuf, EDU_REVOCABLE), 0);
	assert_int_equal(try_map_bar(), 0);
}

/* Each refusal has its line; what is refused leaves nothing behind. */
static void wrong_pair(void **state)
{
	char reason[REASON_SIZE], expected[REASON_SIZE], *text;
	int dmabuf, fd;

	(void)state;
	need_unknown_root();
	engine_load();
	pinned_are_allowed();
	engine_reaches("");
	dmabuf = export_bar(BAR);
	trace_start();
	assert_all_refused(dmabuf);
	text = trace_end();
	snprintf(expected, sizeof(expected), "%s does not reach %s: %s",
		 engine_address(), function_address(FIRST),
		 "the root complex between them is not known to carry it");
	for (size_t i = 0; i < 3; i++) {
		refusal_reason(text, i, reason);
		assert_non_null(strstr(reason, expected));
	}
	free(text);
	assert_int_equal(ranges_of(getpid(), NULL), 1);
	engine_reaches(ENGINE_IDS "/" MEMORY_IDS);
	fd = engine_open();
	engine_attach(fd, dmabuf, EDU_DYNAMIC);
	assert_moves(fd, BAR, 1, 1000);
	close(fd);
	assert_none_refused(dmabuf);
	close(dmabuf);
	pinned_are_as_before();
	engine_unload();
}

/* What is denied is so whatever else is known; what is mapped stays. */
static void denied(void **state)
{
	int dmabuf, fd;

	(void)state;
	engine_load();
	pinned_are_allowed();
	dmabuf = export_bar(BAR);
	fd = engine_open();
	engine_attach(fd, dmabuf, EDU_DYNAMIC);
	set_denied("*/*");
	assert_all_refused(dmabuf);
	assert_moves(fd, BAR, 1, 1000);
	engine_unmap(fd);
	assert_int_equal(engine_try_attach(fd, dmabuf, EDU_DYNAMIC,
					   EDU_BOTH_WAYS),
			 EXDEV);
	set_denied("");
	assert_none_refused(dmabuf);
	pinned_are_as_before();
	close(fd);
	close(dmabuf);
	engine_unload();
}

/* Memory of the host is nobody's: no way to it is asked about. */
static void host_memory(void **state)
{
	struct memory memory;
	int fd;

	(void)state;
	engine_load();
	set_denied("*/*");
	memory_map(&memory, HOST, 4 * PAGE);
	fd = engine_open();
	engine_map(fd, memory.bytes, memory.size);
	engine_unmap(fd);
	/* One page of a BAR among it is enough. */
	assert_true(bar_mmap(BAR, memory.bytes + PAGE, PAGE,
			     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     0) != MAP_FAILED);
	assert_int_equal(engine_try_map(fd, memory.bytes, memory.size, true,
					EDU_BOTH_WAYS),
			 EXDEV);
	set_denied("");
	close(fd);
	assert_int_equal(munmap(memory.bytes, memory.size), 0);
	engine_unload();
}

/* Two BARs in one buffer: one that is not reached is one too many. */
static void one_of_two(void **state)
{
	char pair[100];
	struct memory memory;
	int dmabuf;

	(void)state;
	engine_load();
	memory_map(&memory, HOST, 2 * PAGE);
	for (int i = 0; i < 2; i++)
		assert_true(bar_mmap(i ? BAR2 : BAR, memory.bytes + i * PAGE,
				     PAGE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
	dmabuf = must_export(memory.bytes, 2 * PAGE);
	for (int function = FIRST; function <= SECOND; function++) {
		snprintf(pair, sizeof(pair), "%s/%s", engine_address(),
			 function_address(function));
		set_denied(pair);
		assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), EXDEV);
	}
	set_denied("");
	assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), 0);
	close(dmabuf);
	assert_int_equal(munmap(memory.bytes, memory.size), 0);
	engine_unload();
}

/* Each form of an entry, which fits or does not. */
static void entries(void **state)
{
	char address[100], other[100], both[200];
	int dmabuf;

	(void)state;
	engine_load();
	dmabuf = export_bar(BAR);
	snprintf(address, sizeof(address), " %s / %s ", engine_address(),
		 function_address(FIRST));
	snprintf(other, sizeof(other), "%s/%s", engine_address(),
		 function_address(SECOND));
	snprintf(both, sizeof(both), "%s,%s", other, address);
	const char *const fitting[] = { "*/*", ENGINE_IDS "/*", "*/" MEMORY_IDS,
					address, both };
	const char *const not [] = { "1234:11e9/*", MEMORY_IDS "/" ENGINE_IDS,
				     "*/0000:00:1f.7", other };

	for (size_t i = 0; i < ARRAY_SIZE(fitting); i++) {
		set_denied(fitting[i]);
		assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), EXDEV);
	}
	for (size_t i = 0; i < ARRAY_SIZE(not ); i++) {
		set_denied(not [i]);
		assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), 0);
	}
	set_denied("");
	close(dmabuf);
	engine_unload();
}

static void malformed(void **state)
{
	static const char *const values[] = {
		"*",
		"1234:11e8",
		"1234:11e8/",
		"/*",
		"/",
		"*/*/*",
		"**/*",
		"*/0000:01:00.8",
		"*/0000:01:20.0",
		"*/0000:100:00.0",
		"*/10000:0",
		"*/-1:1",
		"*/*,1234",
		"0x1234:11e8/*",
		"*>*",
	};
	static const char *const names[] = { "allow_pairs", "deny_pairs" };
	char before[PARAMETER_SIZE], now[PARAMETER_SIZE], path[100], *longer;

	(void)state;
	longer = malloc(2000);
	memset(longer, ',', 1999);
	longer[1999] = '\0';
	for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
		assert_int_equal(module_set(CORE_MODULE, names[k],
					    "1:2/*, */3:4", before),
				 0);
		for (size_t i = 0; i < ARRAY_SIZE(values); i++)
			assert_int_equal(module_set(CORE_MODULE, names[k],
						    values[i], NULL),
					 EINVAL);
		snprintf(path, sizeof(path), "/sys/module/p2pmr/parameters/%s",
			 names[k]);
		assert_int_equal(try_write_file(path, longer), ENOSPC);
		/* The value stays. */
		assert_int_equal(module_set(CORE_MODULE, names[k], " , ", now),
				 0);
		assert_string_equal(now, "1:2/*, */3:4");
		assert_int_equal(module_set(CORE_MODULE, names[k], before, now),
				 0);
		assert_string_equal(now, "");
	}
	free(longer);
}

/* Memory of an exporter that does not say whose it is. */
static void owner_unknown(void **state)
{
	char reason[REASON_SIZE], *text;
	void *bytes;
	int dmabuf;

	(void)state;
	engine_load();
	exporter_load("lasting=1");
	bytes = exporter_map(0);
	dmabuf = must_export(bytes, PAGE);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	engine_reaches(ENGINE_IDS "/" MEMORY_IDS);
	trace_start();
	assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), EXDEV);
	text = trace_end();
	refusal_reason(text, 0, reason);
	assert_non_null(strstr(reason, "one of them is no PCI function"));
	free(text);
	engine_reaches(ENGINE_IDS "/*");
	assert_int_equal(reach_try_attach(dmabuf, EDU_DYNAMIC), 0);
	close(dmabuf);
	exporter_unload();
	engine_unload();
}

static int group_in_sysfs(const char *address)
{
	char path[100], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 address);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	return atoi(strrchr(target, '/') + 1);
}

/* What is answered comes true, and follows the administrator. */
static void asked(void **state)
{
	const char *memory = function_address(FIRST), *device;
	struct p2pmr_ioc_reach reach;

	(void)state;
	need_unknown_root();
	engine_load();
	device = engine_address();
	reach = reach_must_ask(device, memory);
	assert_int_equal(reach.error, 0);
	assert_int_equal(reach.path, P2PMR_PATH_ALLOWED);
	engine_reaches("");
	reach = reach_must_ask(device, memory);
	assert_int_equal(reach.error, EXDEV);
	assert_int_equal(reach.path, P2PMR_PATH_UNKNOWN_ROOT);
	assert_int_equal(reach.properties, P2PMR_REACH_TRANSLATED);
	/* A root port is above the one, the root bus above both. */
	assert_int_equal(reach.links, 3);
	assert_int_equal(reach.group, group_in_sysfs(memory));
	assert_int_equal(reach.device_group, group_in_sysfs(device));
	assert_int_not_equal(reach.group, -1);
	assert_int_equal(try_map_bar(), EXDEV);

	set_denied("*/" MEMORY_IDS);
	reach = reach_must_ask(device, memory);
	assert_int_equal(reach.error, EXDEV);
	assert_int_equal(reach.path, P2PMR_PATH_DENIED);
	/* The other way round is another pair. */
	reach = reach_must_ask(memory, device);
	assert_int_equal(reach.path, P2PMR_PATH_UNKNOWN_ROOT);
	set_denied("");
	engine_unbind();
	assert_int_equal(reach_must_ask(device, memory).properties,
			 P2PMR_REACH_TRANSLATED);
	engine_bind();
	engine_unload();
}

static void asked_wrongly(void **state)
{
	const char *memory = function_address(FIRST);
	struct p2pmr_ioc_reach reach, good = reach_question(memory, memory);

	(void)state;
	reach = good;
	assert_int_equal(reach_ask(&reach), 0);
	reach = good;
	reach.flags = 1;
	assert_int_equal(reach_ask(&reach), EINVAL);
	reach = good;
	reach.reserved = 1;
	assert_int_equal(reach_ask(&reach), EINVAL);
	reach = good;
	reach.device_reserved = 1;
	assert_int_equal(reach_ask(&reach), EINVAL);
	reach = good;
	reach.size--;
	assert_int_equal(reach_ask(&reach), EINVAL);
	reach = reach_question("fffe:00:00.0", memory);
	assert_int_equal(reach_ask(&reach), ENODEV);
	reach = reach_question(memory, "0000:ff:1f.7");
	assert_int_equal(reach_ask(&reach), ENODEV);
}

static void nobody_asks(int socket, void *argument)
{
	const char *memory = function_address(FIRST);

	(void)argument;
	become(NOBODY);
	reach_must_ask("0000:00:1e.0", memory);
	send_message(socket, "", 1);
}

static void anybody_may_ask(void **state)
{
	struct child child;
	char byte;

	(void)state;
	child_start(&child, nobody_asks, NULL);
	receive_message(child.socket, &byte, 1);
	child_finish(&child);
}

static const struct test tests[] = {
	TEST("dmabuf/topology-wrong-pair", wrong_pair),
	TEST("dmabuf/topology-denied", denied),
	TEST("dmabuf/topology-host-memory", host_memory),
	TEST("dmabuf/topology-one-of-two", one_of_two),
	TEST("dmabuf/topology-entries", entries),
	TEST("dmabuf/topology-malformed", malformed),
	TEST("dmabuf/topology-owner-unknown", owner_unknown),
	TEST("dmabuf/topology-asked", asked),
	TEST("dmabuf/topology-asked-wrongly", asked_wrongly),
	TEST("dmabuf/topology-anybody-may-ask", anybody_may_ask),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
