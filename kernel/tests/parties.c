// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr tells of who takes part: exporters, and the RDMA devices that
 * importers are attached to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "chardev.h"
#include "child.h"
#include "modules.h"
#include "peer.h"
#include "plain.h"
#include "runner.h"
#include "system.h"

#define MAX_PARTIES   16
#define SECOND_DEVICE "rxe1"
#define SECOND_NETDEV "dummy1"
#define RENAMED	      "p2pmr-renamed-device"

struct exporters {
	struct p2pmr_ioc_exporters request;
	struct p2pmr_exporter_info info[MAX_PARTIES];
};

static const struct p2pmr_exporter_info *find_exporter(struct exporters *all,
						       const char *name)
{
	int fd = chardev_ready();

	memset(all->info, 0xa5, sizeof(all->info));
	all->request = (struct p2pmr_ioc_exporters){
		.size = sizeof(all->request),
		.exporters = (uintptr_t)all->info,
		.exporter_size = sizeof(all->info[0]),
		.capacity = MAX_PARTIES,
	};
	assert_int_equal(chardev_error(fd, P2PMR_IOC_EXPORTERS, &all->request),
			 0);
	close(fd);
	assert_in_range(all->request.count, 1, MAX_PARTIES);
	for (uint32_t i = 0; i < all->request.count; i++)
		if (!strcmp(all->info[i].name, name))
			return &all->info[i];
	return NULL;
}

static void builtin_exporter(void **state)
{
	const struct p2pmr_exporter_info *info;
	struct exporters all;
	uint64_t before;
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	info = find_exporter(&all, "pci-bar");
	assert_ptr_equal(info, &all.info[0]);
	assert_string_equal(info->module, CORE_MODULE);
	assert_int_equal(info->flags, P2PMR_EXPORTER_BUILTIN);
	assert_int_equal(info->reserved, 0);
	before = info->mappings;
	memory_register(&a.memory, a.device.pd);
	assert_int_equal(find_exporter(&all, "pci-bar")->mappings, before + 1);
	/* Revoked, it uses nothing. */
	assert_int_equal(munmap(a.memory.bytes, PAGE), 0);
	assert_int_equal(find_exporter(&all, "pci-bar")->mappings, before);
	asker_close(&a);
	assert_int_equal(find_exporter(&all, "pci-bar")->mappings, before);
}

static void loaded_exporter(void **state)
{
	const struct p2pmr_exporter_info *info;
	struct exporters all;
	struct asker a;
	uint64_t builtin;
	int fd;

	(void)state;
	function_bind(FIRST);
	asker_open(&a, BAR2);
	info = find_exporter(&all, BAR_MODULE);
	assert_non_null(info);
	assert_string_equal(info->module, BAR_MODULE);
	assert_int_equal(info->flags, 0);
	assert_int_equal(info->mappings, 0);
	builtin = all.info[0].mappings;
	memory_release(&a.memory);
	fd = must_open(bar_file(FIRST, 2, false), O_RDWR);
	a.memory.bytes = mmap(NULL, ASKER_SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);
	close(fd);
	assert_true(a.memory.bytes != MAP_FAILED);
	a.memory.size = ASKER_SIZE;
	memory_register(&a.memory, a.device.pd);
	assert_int_equal(find_exporter(&all, BAR_MODULE)->mappings, 1);
	assert_int_equal(all.info[0].mappings, builtin);
	asker_close(&a);
	assert_int_equal(find_exporter(&all, BAR_MODULE)->mappings, 0);
}

struct instances {
	struct p2pmr_ioc_instances request;
	struct p2pmr_instance_info info[MAX_PARTIES];
};

static const struct p2pmr_instance_info *find_instance(struct instances *all,
						       const char *name)
{
	int fd = chardev_ready();

	memset(all->info, 0xa5, sizeof(all->info));
	all->request = (struct p2pmr_ioc_instances){
		.size = sizeof(all->request),
		.instances = (uintptr_t)all->info,
		.instance_size = sizeof(all->info[0]),
		.capacity = MAX_PARTIES,
	};
	assert_int_equal(chardev_error(fd, P2PMR_IOC_INSTANCES, &all->request),
			 0);
	close(fd);
	assert_in_range(all->request.count, 0, MAX_PARTIES);
	for (uint32_t i = 0; i < all->request.count; i++)
		if (!strcmp(all->info[i].name, name))
			return &all->info[i];
	return NULL;
}

static void attached_device(void **state)
{
	const char *name = need_env("P2PMR_DEV");
	const struct p2pmr_instance_info *info;
	struct instances all;
	struct asker a;
	uint64_t before;

	(void)state;
	asker_open(&a, BAR2);
	info = find_instance(&all, name);
	assert_non_null(info);
	assert_string_equal(info->importer, VERBS_MODULE);
	before = info->ranges;
	memory_register(&a.memory, a.device.pd);
	assert_int_equal(find_instance(&all, name)->ranges, before + 1);
	assert_int_equal(munmap(a.memory.bytes, PAGE), 0);
	assert_int_equal(find_instance(&all, name)->ranges, before);
	asker_close(&a);
	assert_int_equal(find_instance(&all, name)->ranges, before);
}

/* A device that comes, gets another name, and goes. */
static void device_renamed(void **state)
{
	struct instances all;
	struct listing listing;
	struct memory bar;
	struct plain plain;
	int fd = chardev_ready();

	(void)state;
	soft_roce_add(SECOND_DEVICE, SECOND_NETDEV, "198.51.100.1");
	assert_non_null(find_instance(&all, SECOND_DEVICE));
	assert_true(plain_open(&plain, SECOND_DEVICE));
	memory_map(&bar, BAR, PAGE);
	memory_register(&bar, plain.pd);
	assert_int_equal(find_instance(&all, SECOND_DEVICE)->ranges, 1);

	assert_true(shell("rdma dev set " SECOND_DEVICE " name " RENAMED));
	assert_null(find_instance(&all, SECOND_DEVICE));
	assert_non_null(find_instance(&all, RENAMED));
	assert_int_equal(find_instance(&all, RENAMED)->ranges, 1);
	list(fd, &listing, 0);
	assert_string_equal(range_of(&listing, getpid())->instance, RENAMED);

	memory_release(&bar);
	plain_close(&plain);
	soft_roce_delete(RENAMED, SECOND_NETDEV);
	assert_null(find_instance(&all, RENAMED));
	close(fd);
}

static void look_from_elsewhere(int socket, void *argument)
{
	struct instances all;
	bool seen;

	(void)argument;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	for (int i = 0; i < 2; i++) {
		meet(socket);
		seen = find_instance(&all, need_env("P2PMR_DEV"));
		send_message(socket, &seen, sizeof(seen));
	}
}

/* Who could not open the device is not told of it. */
static void other_network_namespace(void **state)
{
	struct instances all;
	struct child child;
	bool shared, exclusive;

	(void)state;
	child_start(&child, look_from_elsewhere, NULL);
	meet(child.socket);
	receive_message(child.socket, &shared, sizeof(shared));
	child_kill(&child);
	/* The mode can only be changed while there is no other namespace. */
	rdma_netns_mode("exclusive");
	child_start(&child, look_from_elsewhere, NULL);
	meet(child.socket);
	receive_message(child.socket, &exclusive, sizeof(exclusive));
	assert_non_null(find_instance(&all, need_env("P2PMR_DEV")));
	child_kill(&child);
	rdma_netns_mode("shared");
	assert_true(shared);
	assert_false(exclusive);
}

static void array_too_small(void **state)
{
	struct p2pmr_exporter_info info[2] = { { .flags = 77 },
					       { .flags = 77 } };
	struct p2pmr_ioc_exporters exporters = { .size = sizeof(exporters),
						 .exporters = (uintptr_t)info,
						 .exporter_size =
							 sizeof(info[0]) };
	struct p2pmr_ioc_instances instances = {
		.size = sizeof(instances),
		.instance_size = sizeof(struct p2pmr_instance_info),
	};
	int fd = chardev_ready();

	(void)state;
	assert_int_equal(chardev_error(fd, P2PMR_IOC_EXPORTERS, &exporters),
			 ENOSPC);
	assert_in_range(exporters.count, 1, MAX_PARTIES);
	assert_int_equal(info[0].flags, 77);
	exporters.capacity = 1;
	chardev_error(fd, P2PMR_IOC_EXPORTERS, &exporters);
	assert_int_equal(info[0].flags, P2PMR_EXPORTER_BUILTIN);
	assert_int_equal(info[1].flags, 77);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_INSTANCES, &instances),
			 ENOSPC);
	assert_in_range(instances.count, 1, MAX_PARTIES);
	close(fd);
}

static const struct test tests[] = {
	TEST("device/exporters-builtin", builtin_exporter),
	TEST("device/exporters-loaded", loaded_exporter),
	TEST("device/instances-attached", attached_device),
	TEST("device/instances-renamed", device_renamed),
	TEST("device/instances-of-the-namespace", other_network_namespace),
	TEST("device/exporters-array-too-small", array_too_small),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
