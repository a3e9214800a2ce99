// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The RDMA device goes while a region over a BAR is alive. Its user is told
 * by failing transfers, and may keep the tombstone as long as he likes.
 */
#include <stdio.h>
#include <unistd.h>

#include "child.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"

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

/* Addresses appear a little after the device; the tests need one. */
static void make_device(const char *parent)
{
	const char *const argv[] = {
		"rdma",	  "link", "add", need_env("P2PMR_DEV"), "type", "rxe",
		"netdev", parent, NULL
	};

	assert_int_equal(run_command(argv), 0);
	sleep(1);
}

static void hold_region(int socket, void *argument)
{
	struct transfer t = { .opcode = IBV_WR_RDMA_WRITE, .length = 64 };
	struct scene scene;
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
	ibv_dereg_mr(scene.bar.mr);
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
	child_start(&remover, delete_device, NULL);
	sleep(1);
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
