// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The RDMA device goes while a region over a BAR is alive. Its user is told
 * by failing transfers, and may keep the tombstone as long as he likes.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "child.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

/* The network device that rxe0 was made on. */
static void parent_of_device(char name[32])
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/parent",
		 need_env("P2PMR_DEV"));
	file = fopen(path, "r");
	if (!file || fscanf(file, "%31s", name) != 1)
		fail_msg("%s: unreadable", path);
	fclose(file);
}

/* May sleep until the last user closes the device. */
static void delete_device(int socket, void *argument)
{
	const char *const argv[] = { "rdma", "link", "delete",
				     need_env("P2PMR_DEV"), NULL };

	(void)argument;
	assert_int_equal(run_command(argv), 0);
	meet(socket);
}

static void make_device(const char *parent)
{
	const char *const argv[] = {
		"rdma",	  "link", "add", need_env("P2PMR_DEV"), "type", "rxe",
		"netdev", parent, NULL
	};

	assert_int_equal(run_command(argv), 0);
}

/* However long the deletion takes to get there: revoked, or all is gone. */
static void wait_not_live(pid_t pid)
{
	for (int i = 0; ranges_of(pid, "live") && i < 200; i++)
		usleep(100 * 1000);
	assert_int_equal(ranges_of(pid, "live"), 0);
}

static void hold_region(int socket, void *argument)
{
	struct transfer t = { .opcode = IBV_WR_RDMA_WRITE, .length = 64 };
	struct scene scene;
	int error;
	char go;

	(void)argument;
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	meet(socket); /* registered */
	receive_message(socket, &go, 1);

	/* Whatever this kernel leaves of the device, it is no way to the BAR. */
	t.local = scene.host.bytes;
	t.lkey = scene.host.mr->lkey;
	t.remote = (uintptr_t)scene.bar.bytes;
	t.rkey = scene.bar.mr->rkey;
	assert_int_not_equal(try_transfer(&scene.pair.near, &t),
			     IBV_WC_SUCCESS);
	/* EIO is libibverbs' word where the kernel has taken all already. */
	error = ibv_dereg_mr(scene.bar.mr);
	assert_true(error == 0 || error == EIO);
	meet(socket); /* tried and deregistered */
}

static void device_deleted(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct child user, remover;
	struct scene scene;
	char parent[32];

	(void)state;
	parent_of_device(parent);
	child_start(&user, hold_region, NULL);
	meet(user.socket);
	assert_int_equal(ranges_of(user.pid, "live"), 1);
	child_start(&remover, delete_device, NULL);
	wait_not_live(user.pid);
	send_message(user.socket, "g", 1);
	meet(user.socket);
	child_finish(&user);
	meet(remover.socket);
	child_finish(&remover);
	make_device(parent);

	expect_references(VERBS_MODULE, references);
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
	modules_unload();
	modules_load();
}

static const struct test tests[] = {
	TEST("range/rdma-device-deleted-revokes", device_deleted),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
