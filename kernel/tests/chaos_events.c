// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The events and what each does, see chaos_events.h. */
#define _GNU_SOURCE
#include "chaos_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bound.h"
#include "exporting.h"
#include "host.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

/* How long what does not revoke lasts, so that traffic meets it. */
#define LAST_US 200000

static unsigned int last_us(struct chaos *chaos)
{
	return LAST_US / 4 + next_random(&chaos->random) % LAST_US;
}

static bool second_has_driver(void)
{
	return access(function_file(SECOND, "driver"), F_OK) == 0;
}

void function_clean_up(void)
{
	char *enabled;

	if (!function_is_there(SECOND)) {
		assert_int_equal(write_sysfs("/sys/bus/pci/rescan", "1"), 0);
		function_await(SECOND);
	}
	/* Without one as well: a driver that was unloaded is still its override. */
	pci_bind(BAR2, "");
	enabled = read_file(function_file(SECOND, "enable"));
	if (atoi(enabled) == 0)
		write_file(function_file(SECOND, "enable"), "1\n");
	free(enabled);
}

static bool is_of_driver(enum source source)
{
	return source == DRIVER || source == DRIVER_WC ||
	       source == DMABUF_DRIVER;
}

void function_prepare(enum source source)
{
	if (source == DMABUF_EXPORTER)
		exporter_load("lasting=1");
	if (source_function(source) != SECOND)
		return;
	function_clean_up();
	if (is_of_driver(source))
		function_bind(SECOND);
	else if (source == VFIO)
		vfio_bind();
}

void function_release(enum source source)
{
	if (source != DMABUF_EXPORTER)
		return;
	expect_references(EXPORTER_MODULE, 0);
	exporter_unload();
}

static void kill_owner(struct chaos *chaos)
{
	couple_kill(&chaos->victims, OWNER);
}

static void kill_peer(struct chaos *chaos)
{
	couple_kill(&chaos->victims, PEER);
}

static void unbind(struct chaos *chaos)
{
	(void)chaos;
	function_unbind(SECOND);
}

/* The exporter wants one byte of it, and has all of it. */
static void take_back(struct chaos *chaos)
{
	exporter_do("take %zu 1\n",
		    chaos->victims.plan.offset +
			    next_random(&chaos->random) % OWNED_SIZE);
	assert_exporter_says("users=0 ");
}

static void remove_function(struct chaos *chaos)
{
	(void)chaos;
	assert_int_equal(write_sysfs(function_file(SECOND, "remove"), "1"), 0);
	assert_false(function_is_there(SECOND));
}

static void rescan(struct chaos *chaos)
{
	(void)chaos;
	function_clean_up();
}

static void unplug(struct chaos *chaos)
{
	(void)chaos;
	host_unplug(SECOND);
	assert_false(function_is_there(SECOND));
}

static void plug(struct chaos *chaos)
{
	(void)chaos;
	host_plug(SECOND);
	function_await(SECOND);
}

/* May sleep until the last user closes the device. */
static void delete_device(int socket, void *argument)
{
	(void)socket;
	(void)argument;
	assert_true(shell("rdma link delete " SECOND_DEVICE));
}

static void delete_link(struct chaos *chaos)
{
	pid_t owner = chaos->victims.children[OWNER].pid;

	child_start(&chaos->remover, delete_device, NULL);
	/* A dma-buf itself is not the RDMA device's. */
	for (int i = 0; mrs_of(owner, NULL) != mrs_of(owner, "revoked"); i++) {
		assert_true(i < 2000);
		usleep(10 * 1000);
	}
}

static void add_link(struct chaos *chaos)
{
	child_finish(&chaos->remover);
	assert_true(shell("rdma link add " SECOND_DEVICE
			  " type rxe netdev " SECOND_NETDEV));
}

/* 0 or an errno; never waits. */
static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? errno : 0;
}

static void try_to_unload(struct chaos *chaos)
{
	enum source source = chaos->victims.plan.source;

	assert_int_equal(unload(VERBS_MODULE), EWOULDBLOCK);
	assert_int_equal(unload(CORE_MODULE), EWOULDBLOCK);
	if (is_of_driver(source))
		assert_int_equal(unload(BAR_MODULE), EWOULDBLOCK);
}

/* Of the driver nobody uses the files any more: it must go, bound as it is. */
static void unload_driver(struct chaos *chaos)
{
	enum source source = chaos->victims.plan.source;

	if (!is_of_driver(source))
		return;
	expect_references(BAR_MODULE, 0);
	assert_int_equal(unload(BAR_MODULE), 0);
	assert_false(second_has_driver());
}

/* The couple has host memory alone, and that goes on without the modules. */
static void reload_modules(struct chaos *chaos)
{
	char why[WHY_SIZE];

	if (!survivors_end(chaos, why))
		fail_msg("survivors, ended to unload the modules: %s", why);
	if (module_is_loaded(BAR_MODULE)) {
		expect_references(BAR_MODULE, 0);
		assert_int_equal(unload(BAR_MODULE), 0);
	}
	expect_references(VERBS_MODULE, 0);
	modules_unload();
	usleep(last_us(chaos));
	modules_load();
	survivors_start(chaos);
}

/*
 * Where soft-RoCE could not answer a READ because the interface was down, it later
 * completes that READ as a success, without its data (docs/reliability.md): no_reads.
 */
static void interface_down_and_up(struct chaos *chaos)
{
	assert_true(shell("ip link set " SECOND_NETDEV " down"));
	usleep(last_us(chaos));
	assert_true(shell("ip link set " SECOND_NETDEV " up"));
}

/*
 * To take all memory, or to compact it, would be minutes of emulation. Instead
 * the watermark is raised to a little below what is free: the kernel reclaims
 * all the time, and what the hog takes does not bring it to kill.
 */
#define HOG_KIB	   (64ul << 10)
#define MARGIN_KIB (96ul << 10)
#define MIN_FREE   "/proc/sys/vm/min_free_kbytes"

static size_t free_kib(void)
{
	char *text = read_file("/proc/meminfo");
	char *line = strstr(text, "MemFree:");
	size_t kib;

	assert_non_null(line);
	kib = strtoul(line + strlen("MemFree:"), NULL, 10);
	free(text);
	return kib;
}

static void be_a_hog(int socket, void *argument)
{
	uint8_t *bytes = mmap(NULL, HOG_KIB << 10, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)socket;
	(void)argument;
	assert_true(bytes != MAP_FAILED);
	write_file("/proc/self/oom_score_adj", "1000\n");
	for (size_t i = 0; i < HOG_KIB << 10; i += PAGE)
		bytes[i] = 1;
}

static void press_memory(struct chaos *chaos)
{
	char *before = read_file(MIN_FREE), line[32];
	size_t left = free_kib();
	struct child child;

	(void)chaos;
	assert_true(left > 2 * (HOG_KIB + MARGIN_KIB));
	snprintf(line, sizeof(line), "%zu\n", left - HOG_KIB - MARGIN_KIB);
	write_file(MIN_FREE, line);
	child_start(&child, be_a_hog, NULL);
	write_file("/proc/sys/vm/drop_caches", "3\n");
	child_finish(&child);
	write_file(MIN_FREE, before);
	free(before);
}

#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"

static void cpu_off_and_on(struct chaos *chaos)
{
	write_file(CPU1_ONLINE, "0\n");
	usleep(last_us(chaos));
	write_file(CPU1_ONLINE, "1\n");
}

#define OF(source)   (1u << (source))
#define FIRST_SYSFS  (OF(SYSFS_FIRST) | OF(SYSFS_FIRST_WC))
#define SECOND_SYSFS (OF(SYSFS) | OF(SYSFS_WC))
#define ANY_DRIVER   (OF(DRIVER) | OF(DRIVER_WC))
#define ANY_DEVICE   (FIRST_SYSFS | SECOND_SYSFS | ANY_DRIVER | OF(VFIO))
#define ANY_DMABUF   (OF(DMABUF_SYSFS) | OF(DMABUF_DRIVER) | OF(DMABUF_EXPORTER))
#define ANY_REGION   (ANY_DEVICE | ANY_DMABUF)
#define ANY	     (ANY_REGION | OF(HOST_MEMORY))

/* Also what p2pmr alone knows that it goes with its function. */
#define SECOND_GOES \
	(SECOND_SYSFS | ANY_DRIVER | OF(DMABUF_SYSFS) | OF(DMABUF_DRIVER))

#define BY_OWNER(name_, weight_, sources_, owner_)                           \
	{                                                                    \
		.name = (name_), .weight = (weight_), .sources = (sources_), \
		.owner = (owner_), .revokes = true, .kills = SIDES           \
	}
#define KEEPS_BY_OWNER(name_, weight_, sources_, owner_)                     \
	{                                                                    \
		.name = (name_), .weight = (weight_), .sources = (sources_), \
		.owner = (owner_), .kills = SIDES                            \
	}
#define REVOKES(name_, weight_, sources_, happen_, undo_)                    \
	{                                                                    \
		.name = (name_), .weight = (weight_), .sources = (sources_), \
		.happen = (happen_), .undo = (undo_), .revokes = true,       \
		.kills = SIDES                                               \
	}
#define KEEPS(name_, weight_, sources_, happen_, undo_)                      \
	{                                                                    \
		.name = (name_), .weight = (weight_), .sources = (sources_), \
		.happen = (happen_), .undo = (undo_), .kills = SIDES         \
	}

const struct event events[] = {
	BY_OWNER("munmap", 4, ANY_DEVICE, owner_unmaps),
	BY_OWNER("munmap-of-a-page", 3, ANY_DEVICE, owner_unmaps_a_page),
	BY_OWNER("mprotect-read-only", 3, ANY_DEVICE, owner_makes_read_only),
	BY_OWNER("mprotect-none", 2, ANY_DEVICE, owner_makes_inaccessible),
	BY_OWNER("mremap", 3, ANY_DEVICE, owner_moves),
	BY_OWNER("map-fixed", 3, ANY_DEVICE, owner_covers),
	KEEPS_BY_OWNER("dmabuf-munmap", 1, ANY_DMABUF, owner_unmaps),
	KEEPS_BY_OWNER("dmabuf-close", 1, ANY_DMABUF, owner_closes),
	REVOKES("dmabuf-taken-back", 2, OF(DMABUF_EXPORTER), take_back, NULL),
	{ .name = "kill-owner",
	  .weight = 4,
	  .sources = ANY_REGION,
	  .happen = kill_owner,
	  .revokes = true,
	  .kills = OWNER },
	{ .name = "kill-peer",
	  .weight = 3,
	  .sources = ANY_REGION,
	  .happen = kill_peer,
	  .kills = PEER },
	{ .name = "link-delete",
	  .weight = 2,
	  .sources = ANY_REGION,
	  .happen = delete_link,
	  .undo = add_link,
	  .revokes = true,
	  .on_second_device = true,
	  .device_goes = true,
	  .kills = SIDES },
	REVOKES("unbind", 3, ANY_DRIVER | OF(DMABUF_DRIVER), unbind, NULL),
	REVOKES("sysfs-remove", 3, SECOND_GOES, remove_function, rescan),
	REVOKES("unplug", 1, SECOND_GOES, unplug, plug),
	BY_OWNER("vfio-reset", 1, OF(VFIO), owner_resets),
	BY_OWNER("vfio-memory-off", 1, OF(VFIO), owner_switches_decoding_off),
	KEEPS("unload", 3, ANY_REGION, try_to_unload, unload_driver),
	KEEPS("reload", 1, OF(HOST_MEMORY), reload_modules, NULL),
	{ .name = "interface-down",
	  .weight = 2,
	  .sources = ANY,
	  .happen = interface_down_and_up,
	  .on_second_device = true,
	  .may_fail = true,
	  .no_reads = true,
	  .kills = SIDES },
	KEEPS("memory-pressure", 1, ANY, press_memory, NULL),
	KEEPS("cpu-offline", 2, ANY, cpu_off_and_on, NULL),
};
const size_t event_count = ARRAY_SIZE(events);

const struct event *find_event(const char *name)
{
	for (size_t i = 0; i < event_count; i++)
		if (!strcmp(events[i].name, name))
			return &events[i];
	return NULL;
}
