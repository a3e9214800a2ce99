// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * One verbs file in the hands of two processes: a region is of the address
 * space that registered it, whoever has the file.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "host.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

/* Gives the file away, and dies when it has been used. */
static void register_and_pass(int socket, void *argument)
{
	struct memory bar, host;
	struct peer peer;

	(void)argument;
	peer_open(&peer, socket);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, peer.device.pd);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, peer.device.pd);
	tell_region(&peer, bar.mr);
	tell_region(&peer, host.mr);
	send_file(socket, peer.device.context->cmd_fd);
	meet(socket);
	_exit(0);
}

static enum ibv_wc_status write_to(struct peer *peer,
				   const struct memory *local,
				   const struct region *region)
{
	return peer_transfer(peer, IBV_WR_RDMA_WRITE, local, region, 0, WINDOW);
}

/* The region dies with its owner, and nothing else of the file does. */
static void passed_to_another(void **state)
{
	int before = module_references(VERBS_MODULE), fd;
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct region bar, host;
	struct memory local;
	struct child owner;
	struct peer peer;

	(void)state;
	child_start(&owner, register_and_pass, NULL);
	peer_open(&peer, owner.socket);
	memory_map(&local, HOST, WINDOW);
	memory_register(&local, peer.device.pd);
	bar = learn_region(&peer);
	host = learn_region(&peer);
	fd = receive_file(owner.socket);
	assert_status(write_to(&peer, &local, &bar), IBV_WC_SUCCESS);
	assert_status(write_to(&peer, &local, &host), IBV_WC_SUCCESS);
	meet(owner.socket);
	child_finish(&owner);

	assert_int_equal(ranges_of(owner.pid, "live"), 0);
	assert_int_equal(ranges_of(owner.pid, "revoked"), 1);
	/* The queue pair and what is pinned belong to the file. */
	assert_status(write_to(&peer, &local, &host), IBV_WC_SUCCESS);
	pattern_fill(planted, WINDOW, 81);
	host_write(0, 0, planted, WINDOW);
	assert_status(write_to(&peer, &local, &bar), IBV_WC_REM_ACCESS_ERR);
	host_read(0, 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");

	assert_true(module_references(VERBS_MODULE) > before);
	assert_int_equal(close(fd), 0);
	expect_references(VERBS_MODULE, before);
	memory_release(&local);
	peer_close(&peer);
}

/* Through the inherited file, but of its own mapping of the same address. */
static void register_in_own_memory(int socket, void *argument)
{
	struct scene *scene = argument;
	struct ibv_mr *mr;

	assert_ptr_equal(bar_mmap(BAR2, scene->bar.bytes, WINDOW,
				  PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 scene->bar.bytes);
	mr = must_register(scene->pair.device.pd, scene->bar.bytes, WINDOW,
			   ACCESS_ALL);
	send_message(socket, mr, sizeof(*mr));
	meet(socket);
	_exit(0);
}

/* A region of the file that another process has registered, for this one. */
static struct ibv_mr *adopt(const struct ibv_mr *mr)
{
	/* The library has more behind it, all of it zero for a plain region. */
	struct ibv_mr *copy = calloc(4, sizeof(*copy));

	assert_non_null(copy);
	*copy = *mr;
	return copy;
}

/* What the peer reaches from now on: the same address in another memory. */
static void turn_to(struct scene *scene, enum memory_kind kind,
		    struct ibv_mr *mr)
{
	scene->kind = kind;
	scene->bar.mr = mr;
}

static void of_whoever_registers(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct ibv_mr of_child, *mine, *theirs;
	struct scene scene;
	struct child child;

	(void)state;
	scene_open(&scene, BAR);
	mine = scene.bar.mr;
	child_start(&child, register_in_own_memory, &scene);
	receive_message(child.socket, &of_child, sizeof(of_child));
	theirs = adopt(&of_child);
	assert_int_equal(ranges_of(child.pid, "live"), 1);
	assert_int_equal(ranges_of(getpid(), "live"), 1);
	turn_to(&scene, BAR2, theirs);
	assert_reachable(&scene);

	/* What this process does to the address is not about theirs. */
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_int_equal(ranges_of(child.pid, "live"), 1);
	assert_reachable(&scene);
	turn_to(&scene, BAR, mine);
	assert_revoked(&scene);

	meet(child.socket);
	child_finish(&child);
	assert_int_equal(ranges_of(child.pid, "live"), 0);
	turn_to(&scene, BAR2, theirs);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(theirs), 0);
	assert_int_equal(ibv_dereg_mr(mine), 0);
	expect_references(VERBS_MODULE, before);
	scene_close(&scene);
}

static const struct test tests[] = {
	TEST("range/file-passed-to-another-process", passed_to_another),
	TEST("range/region-is-of-the-process-that-registered",
	     of_whoever_registers),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
