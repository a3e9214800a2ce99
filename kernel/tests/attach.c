// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Devices that come and go while the modules are loaded, and modules that
 * come and go while the devices are used.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "exported.h"
#include "modules.h"
#include "peer.h"
#include "plain.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"

#define SECOND	       "rxe1"
#define SECOND_NETDEV  "dummy1"
#define SECOND_ADDRESS "198.51.100.1"

static void use_device(const char *name)
{
	assert_int_equal(setenv("P2PMR_DEV", name, 1), 0);
}

static void works_on(const char *name)
{
	struct scene scene;

	use_device(name);
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static void added_with_modules_loaded(void **state)
{
	(void)state;
	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	works_on(SECOND);
	soft_roce_delete(SECOND, SECOND_NETDEV);
	works_on("rxe0");
}

static void added_before_modules(void **state)
{
	(void)state;
	modules_unload();
	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	modules_load();
	works_on(SECOND);
	works_on("rxe0");
	soft_roce_delete(SECOND, SECOND_NETDEV);
	works_on("rxe0");
}

/* The modules go first, the device after: nothing of them is left in it. */
static void deleted_without_modules(void **state)
{
	(void)state;
	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	works_on(SECOND);
	modules_unload();
	soft_roce_delete(SECOND, SECOND_NETDEV);
	modules_load();
	works_on("rxe0");
}

static void several_devices(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct scene first, second;

	(void)state;
	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	use_device("rxe0");
	scene_open(&first, BAR);
	use_device(SECOND);
	scene_open(&second, BAR2_WC);
	assert_int_equal(ranges_of(getpid(), "live"), 2);
	assert_reachable(&first);
	assert_reachable(&second);

	/* Revocation on one device leaves the other alone. */
	assert_int_equal(munmap(second.bar.bytes, WINDOW), 0);
	assert_revoked(&second);
	assert_reachable(&first);
	assert_int_equal(ibv_dereg_mr(second.bar.mr), 0);
	assert_registers_anew(&second);
	scene_close(&second);

	soft_roce_delete(SECOND, SECOND_NETDEV);
	assert_reachable(&first);
	memory_release(&first.bar);
	assert_registers_anew(&first);
	scene_close(&first);
	expect_references(VERBS_MODULE, before);
}

/* What happened to a process whose device was deleted under it. */
struct deletion {
	bool waited; /* the deletion returned only after the close */
	enum ibv_wc_status
		use;	    /* of the region's key after the deletion began */
	int deregistration; /* errno */
};

/* A region over what, and whether it was registered by a dma-buf. */
struct holding {
	enum memory_kind kind;
	bool by_dmabuf;
};

/* The scene's memory once more, with the same addresses. */
static void register_dmabuf_of(struct scene *scene, struct raw_mr *mr)
{
	int fd = must_export(scene->bar.bytes, WINDOW);
	int error = uverbs_register_dmabuf(scene->pair.device.pd, fd, 0, WINDOW,
					   (uintptr_t)scene->bar.bytes,
					   ACCESS_ALL, mr);

	if (error)
		fail_msg("registering a dma-buf: %s", strerror(error));
	close(fd);
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
}

static enum ibv_wc_status write_by_peer(struct scene *scene, uint32_t rkey)
{
	return try_transfer(&scene->pair.near,
			    &(struct transfer){
				    .opcode = IBV_WR_RDMA_WRITE,
				    .local = scene->host.bytes,
				    .lkey = scene->host.mr->lkey,
				    .length = 1000,
				    .remote = (uintptr_t)scene->bar.bytes,
				    .rkey = rkey,
			    });
}

static void hold_region(int socket, void *argument)
{
	const struct holding *holding = argument;
	struct deletion seen = { 0 };
	struct raw_mr mr = { 0 };
	struct scene scene;

	use_device(SECOND);
	scene_open(&scene, holding->kind);
	assert_reachable(&scene);
	mr.rkey = scene.bar.mr->rkey;
	if (holding->by_dmabuf)
		register_dmabuf_of(&scene, &mr);
	assert_status(write_by_peer(&scene, mr.rkey), IBV_WC_SUCCESS);
	meet(socket); /* registered */
	meet(socket); /* the deletion has begun */
	seen.use = write_by_peer(&scene, mr.rkey);
	seen.deregistration = holding->by_dmabuf ? uverbs_try_deregister(&mr)
						 : ibv_dereg_mr(scene.bar.mr);
	send_message(socket, &seen, sizeof(seen));
	meet(socket); /* all has been looked at; the exit closes the file */
}

static struct deletion delete_under(struct holding holding)
{
	struct deletion seen;
	struct child child;
	pid_t deleter;
	bool waited;

	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	child_start(&child, hold_region, &holding);
	meet(child.socket);
	assert_int_equal(mrs_of(child.pid, "live"), holding.kind != HOST);
	deleter = soft_roce_start_deleting(SECOND);
	waited = !process_ends(deleter, 80);
	/* Revoked, or, where the kernel takes all from the process, gone. */
	assert_int_equal(mrs_of(child.pid, "live"), 0);
	meet(child.socket);
	receive_message(child.socket, &seen, sizeof(seen));
	seen.waited = waited && !process_ends(deleter, 10);
	assert_int_equal(seen.waited, waited);
	meet(child.socket);
	child_finish(&child);
	soft_roce_finish_deleting(deleter, SECOND, SECOND_NETDEV);
	assert_int_equal(ranges_of(child.pid, NULL), 0);
	return seen;
}

static void compare_deletions(struct holding holding)
{
	int before = module_references(VERBS_MODULE);
	struct deletion host = delete_under((struct holding){ HOST, false });
	struct deletion device = delete_under(holding);

	print_message("waits for the close: %d; deregistration: %d\n",
		      host.waited, host.deregistration);
	assert_int_equal(device.waited, host.waited);
	assert_int_equal(device.deregistration, host.deregistration);
	/* Where the device still works for those who have it open. */
	if (host.use == IBV_WC_SUCCESS)
		assert_status(device.use, IBV_WC_REM_ACCESS_ERR);
	else
		assert_status(device.use, host.use);
	expect_references(VERBS_MODULE, before);
	works_on("rxe0");
	modules_unload();
	modules_load();
}

static void deleted_under_region(void **state)
{
	(void)state;
	compare_deletions((struct holding){ BAR, false });
}

static void deleted_under_dmabuf(void **state)
{
	(void)state;
	compare_deletions((struct holding){ BAR, true });
}

static void without_address(void **state)
{
	(void)state;
	soft_roce_add(SECOND, SECOND_NETDEV, NULL);
	assert_false(shell("ip -oneline address show dev %s | grep inet",
			   SECOND_NETDEV));
	assert_int_equal(try_register_on(SECOND, HOST), 0);
	assert_int_equal(try_register_on(SECOND, BAR), 0);
	assert_int_equal(try_register_on(SECOND, BAR2_WC), 0);
	soft_roce_delete(SECOND, SECOND_NETDEV);
}

#define TENANTS 2
/* Each unloading takes seconds, since it waits for tasks that are never idle. */
#define ROUNDS 4

/* Host memory, without a pause, until told to stop. */
static void register_host_memory(int socket, void *argument)
{
	struct memory memory;
	unsigned long count = 0;
	struct plain plain;
	char end = 0;

	(void)argument;
	assert_true(plain_open(&plain, "rxe0"));
	memory_map(&memory, HOST, WINDOW);
	meet(socket);
	while (recv(socket, &end, 1, MSG_DONTWAIT) != 1) {
		struct ibv_mr *mr = must_register(plain.pd, memory.bytes,
						  WINDOW, ACCESS_ALL);

		assert_int_equal(ibv_dereg_mr(mr), 0);
		count++;
	}
	send_message(socket, &count, sizeof(count));
	memory_release(&memory);
	plain_close(&plain);
}

static void unload_under_registration(void **state)
{
	struct child children[TENANTS];
	unsigned long count;

	(void)state;
	for (int i = 0; i < TENANTS; i++) {
		child_start(&children[i], register_host_memory, NULL);
		meet(children[i].socket);
	}
	for (int i = 0; i < ROUNDS; i++) {
		modules_unload();
		modules_load();
	}
	for (int i = 0; i < TENANTS; i++) {
		send_message(children[i].socket, "x", 1);
		receive_message(children[i].socket, &count, sizeof(count));
		child_finish(&children[i]);
		print_message("%lu registrations\n", count);
		assert_true(count > 50);
	}
	works_on("rxe0");
}

static const struct test tests[] = {
	TEST("attach/device-added-with-modules-loaded",
	     added_with_modules_loaded),
	TEST("attach/device-added-before-modules", added_before_modules),
	TEST("attach/device-deleted-after-modules", deleted_without_modules),
	TEST("attach/several-devices", several_devices),
	TEST("attach/device-deleted-under-region", deleted_under_region),
	TEST("attach/device-deleted-under-dmabuf", deleted_under_dmabuf),
	TEST("attach/device-without-address", without_address),
	TEST_WITHIN(240, "attach/unload-under-host-registration",
		    unload_under_registration),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
