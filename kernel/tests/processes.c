// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * BAR regions and several processes: peers with a PD each, the same BAR
 * registered by both, fork, and a user without privileges.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "host.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"

#define OFFSET 4090
#define LENGTH 20000

static void write_then_read(int socket, void *argument)
{
	static uint8_t expected[WINDOW];
	struct region region;
	struct memory local;
	struct peer peer;

	(void)argument;
	peer_open(&peer, socket);
	memory_map(&local, HOST, WINDOW);
	memory_register(&local, peer.device.pd);
	region = learn_region(&peer);

	pattern_fill(local.bytes, WINDOW, 21);
	pattern_fill(expected, WINDOW, 21);
	assert_status(peer_transfer(&peer, IBV_WR_RDMA_WRITE, &local, &region,
				    OFFSET, LENGTH),
		      IBV_WC_SUCCESS);
	memset(local.bytes, 0, LENGTH);
	assert_status(peer_transfer(&peer, IBV_WR_RDMA_READ, &local, &region,
				    OFFSET, LENGTH),
		      IBV_WC_SUCCESS);
	assert_bytes(local.bytes, expected, WINDOW, "read by the peer");
	meet(socket);

	memory_release(&local);
	peer_close(&peer);
}

static void peer_in_another_process(void **state)
{
	static uint8_t expected[WINDOW], seen[WINDOW], data[WINDOW];
	struct memory bar;
	struct child child;
	struct peer peer;

	(void)state;
	child_start(&child, write_then_read, NULL);
	peer_open(&peer, child.socket);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, peer.device.pd);
	pattern_fill(expected, WINDOW, 20);
	memcpy(bar.bytes, expected, WINDOW);
	tell_region(&peer, bar.mr);
	meet(child.socket);

	pattern_fill(data, WINDOW, 21);
	memcpy(expected + OFFSET, data, LENGTH);
	assert_bytes(bar.bytes, expected, WINDOW, "BAR");
	host_read(0, 0, seen, WINDOW);
	assert_bytes(seen, expected, WINDOW, "file behind the BAR");
	child_finish(&child);
	memory_release(&bar);
	peer_close(&peer);
}

/* The child's own region of the same BAR is the source or the target. */
static void owner_of_same_bar(int socket, void *argument)
{
	struct region region;
	struct memory bar;
	struct peer peer;

	(void)argument;
	peer_open(&peer, socket);
	memory_map(&bar, BAR_WC, WINDOW);
	memory_register(&bar, peer.device.pd);
	region = learn_region(&peer);
	assert_status(peer_transfer(&peer, IBV_WR_RDMA_WRITE, &bar, &region,
				    WINDOW / 2, 5000),
		      IBV_WC_SUCCESS);
	meet(socket);
	memory_release(&bar);
	peer_close(&peer);
}

static void same_bar_in_both(void **state)
{
	static uint8_t expected[WINDOW];
	struct memory bar;
	struct child child;
	struct peer peer;

	(void)state;
	child_start(&child, owner_of_same_bar, NULL);
	peer_open(&peer, child.socket);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, peer.device.pd);
	pattern_fill(expected, WINDOW, 22);
	memcpy(bar.bytes, expected, WINDOW);
	tell_region(&peer, bar.mr);
	meet(child.socket);
	memcpy(expected + WINDOW / 2, expected, 5000);
	assert_bytes(bar.bytes, expected, WINDOW, "BAR");
	/* The other's deregistration and exit leave this region alone. */
	child_finish(&child);
	memory_release(&bar);
	peer_close(&peer);
}

static void unmap_own_copy(int socket, void *argument)
{
	struct scene *scene = argument;

	assert_int_equal(munmap(scene->bar.bytes, WINDOW), 0);
	meet(socket); /* unmapped */
	meet(socket); /* the owner has tried */
}

/* The copy of the mapping in a child is none of the region's business. */
static void fork_keeps(void **state)
{
	struct scene scene;
	struct child child;

	(void)state;
	scene_open(&scene, BAR);
	child_start(&child, unmap_own_copy, &scene);
	assert_reachable(&scene);
	meet(child.socket);
	assert_reachable(&scene);
	meet(child.socket);
	child_finish(&child);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static void keep_mapping(int socket, void *argument)
{
	volatile uint8_t *bytes = ((struct scene *)argument)->bar.bytes;

	meet(socket);	/* the owner has unmapped */
	(void)bytes[0]; /* this process still has its mapping */
	meet(socket);
}

/* The region is of the address space that made it. */
static void owner_unmaps_after_fork(void **state)
{
	struct scene scene;
	struct child child;

	(void)state;
	scene_open(&scene, BAR);
	child_start(&child, keep_mapping, &scene);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_revoked(&scene);
	meet(child.socket);
	meet(child.socket);
	child_finish(&child);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
}

static void file_closed(void **state)
{
	int fd = open(bar_path(BAR), O_RDWR);
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	memory_release(&scene.bar);
	scene.bar.bytes =
		mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(scene.bar.bytes != MAP_FAILED);
	memory_register(&scene.bar, scene.pair.device.pd);
	assert_reachable(&scene);
	assert_int_equal(close(fd), 0);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static void as_nobody(int socket, void *argument)
{
	struct scene scene;

	(void)argument;
	become(NOBODY);
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
	meet(socket);
}

struct permission {
	const char *path;
	mode_t before;
};

static void open_to_all(struct permission *permission, const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	permission->path = path;
	permission->before = st.st_mode & 07777;
	assert_int_equal(chmod(path, 0666), 0);
}

static void device_node(char *path, size_t size)
{
	struct device device;

	device_open(&device);
	snprintf(path, size, "/dev/infiniband/%s",
		 device.context->device->dev_name);
	device_close(&device);
}

static void unprivileged_user(void **state)
{
	struct permission permissions[2];
	struct child child;
	char node[128];

	(void)state;
	device_node(node, sizeof(node));
	open_to_all(&permissions[0], bar_path(BAR));
	open_to_all(&permissions[1], node);
	child_start(&child, as_nobody, NULL);
	meet(child.socket);
	child_finish(&child);
	for (size_t i = 0; i < ARRAY_SIZE(permissions); i++)
		assert_int_equal(
			chmod(permissions[i].path, permissions[i].before), 0);
}

static const struct test tests[] = {
	TEST("verbs/peer-in-another-process", peer_in_another_process),
	TEST("verbs/same-bar-in-two-processes", same_bar_in_both),
	TEST("verbs/mr-survives-closed-file", file_closed),
	TEST("verbs/unprivileged-user", unprivileged_user),
	TEST("range/fork-keeps", fork_keeps),
	TEST("range/owner-munmap-revokes-despite-child",
	     owner_unmaps_after_fork),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
