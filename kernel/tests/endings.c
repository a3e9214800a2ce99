// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Processes that end with a region alive: whatever way they go, nothing of
 * them stays, and nobody reaches the BAR through them afterwards.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "host.h"
#include "modules.h"
#include "peer.h"
#include "runner.h"

#define WINDOW (16 * PAGE)
#define MUCH   (4ul << 20) /* takes longer than killing a process */

enum ending {
	EXIT,
	KILL,
	EXEC
};

static void end_process(enum ending ending)
{
	char *const argv[] = { "true", NULL };

	switch (ending) {
	case EXIT:
		_exit(0);
	case KILL:
		raise(SIGKILL);
		break;
	case EXEC:
		execvp(argv[0], argv);
		_exit(127);
	}
}

static void register_and_end(int socket, void *argument)
{
	enum ending ending = *(const enum ending *)argument;
	struct memory bar, whole;
	struct peer peer;

	peer_open(&peer, socket);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, peer.device.pd);
	memory_map(&whole, BAR2_WC, 0);
	memory_register(&whole, peer.device.pd);
	tell_region(&peer, bar.mr);
	meet(socket); /* the parent has used it */
	end_process(ending);
}

static void wait_end(struct child *child)
{
	int status;

	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->socket);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	else
		assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* A process that owns a region, and how this one reaches it. */
struct owned {
	struct child owner;
	struct peer peer;
	struct memory local;
	struct region region;
};

static void owned_open(struct owned *o, void (*run)(int, void *),
		       void *argument, size_t size)
{
	child_start(&o->owner, run, argument);
	peer_open(&o->peer, o->owner.socket);
	memory_map(&o->local, HOST, size);
	memory_register(&o->local, o->peer.device.pd);
	o->region = learn_region(&o->peer);
}

static void owned_close(struct owned *o)
{
	memory_release(&o->local);
	peer_close(&o->peer);
}

static void leaves_nothing(void **state)
{
	int before = module_references(VERBS_MODULE);
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct owned o;

	owned_open(&o, register_and_end, *state, WINDOW);
	assert_status(peer_transfer(&o.peer, IBV_WR_RDMA_WRITE, &o.local,
				    &o.region, 0, WINDOW),
		      IBV_WC_SUCCESS);
	assert_true(module_references(VERBS_MODULE) > before);
	meet(o.owner.socket);
	wait_end(&o.owner);

	pattern_fill(planted, WINDOW, 5);
	host_write(0, 0, planted, WINDOW);
	assert_int_not_equal(peer_transfer(&o.peer, IBV_WR_RDMA_WRITE, &o.local,
					   &o.region, 0, WINDOW),
			     IBV_WC_SUCCESS);
	host_read(0, 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");
	expect_references(VERBS_MODULE, before);
	owned_close(&o);

	modules_unload();
	modules_load();
}

/*
 * The owner makes a child that keeps the verbs file open, and dies: queue
 * pair and key live on, but the region's address space is gone.
 */
static void leave_file_to_a_child(int socket, void *argument)
{
	struct memory bar;
	struct peer peer;
	pid_t keeper;

	(void)argument;
	peer_open(&peer, socket);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, peer.device.pd);
	keeper = fork();
	assert_true(keeper >= 0);
	if (!keeper) {
		/* Ends when the test closes the socket, in any way. */
		char end;

		while (read(socket, &end, 1) > 0 && end != 'x')
			;
		_exit(0);
	}
	tell_region(&peer, bar.mr);
	_exit(0);
}

static void address_space_gone_file_held(void **state)
{
	int before = module_references(VERBS_MODULE);
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct owned o;
	int status;

	(void)state;
	owned_open(&o, leave_file_to_a_child, NULL, WINDOW);
	assert_int_equal(waitpid(o.owner.pid, &status, 0), o.owner.pid);
	assert_int_equal(status, 0);

	pattern_fill(planted, WINDOW, 6);
	host_write(0, 0, planted, WINDOW);
	assert_status(peer_transfer(&o.peer, IBV_WR_RDMA_WRITE, &o.local,
				    &o.region, 0, WINDOW),
		      IBV_WC_REM_ACCESS_ERR);
	host_read(0, 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");

	/* The tombstone stays with the file, and goes with it. */
	assert_true(module_references(VERBS_MODULE) > before);
	send_message(o.owner.socket, "x", 1);
	expect_references(VERBS_MODULE, before);
	close(o.owner.socket);
	owned_close(&o);
}

static void register_and_wait(int socket, void *argument)
{
	struct memory bar;
	struct peer peer;

	(void)argument;
	peer_open(&peer, socket);
	memory_map(&bar, BAR, MUCH);
	memory_register(&bar, peer.device.pd);
	tell_region(&peer, bar.mr);
	for (;;)
		pause();
}

/* The killed process is the target of writes that never pause. */
static void killed_under_traffic(void **state)
{
	int before = module_references(VERBS_MODULE);
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct owned o;
	struct ibv_wc wc;
	struct transfer t;

	(void)state;
	owned_open(&o, register_and_wait, NULL, MUCH);
	t = (struct transfer){
		.opcode = IBV_WR_RDMA_WRITE,
		.local = o.local.bytes,
		.lkey = o.local.mr->lkey,
		.length = MUCH,
		.remote = o.region.address,
		.rkey = o.region.rkey,
	};
	for (int i = 0; i < 40; i++)
		post(&o.peer.queue, &t);
	assert_status(wait_completion(&o.peer.queue).status, IBV_WC_SUCCESS);
	child_kill(&o.owner);

	pattern_fill(planted, WINDOW, 7);
	host_write(0, 0, planted, WINDOW);
	for (int i = 1; i < 40; i++)
		wc = wait_completion(&o.peer.queue);
	/* All may be through where the kill has had to wait for a CPU. */
	if (wc.status == IBV_WC_SUCCESS) {
		host_write(0, 0, planted, WINDOW);
		wc.status = run_transfer(&o.peer.queue, &t);
	}
	assert_int_not_equal(wc.status, IBV_WC_SUCCESS);
	host_read(0, 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");
	expect_references(VERBS_MODULE, before);
	owned_close(&o);
}

#define HOW(how) (&(const enum ending){ how })

static const struct test tests[] = {
	TEST_OF("range/exit-with-live-mr", leaves_nothing, HOW(EXIT)),
	TEST_OF("range/kill-with-live-mr", leaves_nothing, HOW(KILL)),
	TEST_OF("range/exec-with-live-mr", leaves_nothing, HOW(EXEC)),
	TEST("range/kill-under-traffic", killed_under_traffic),
	TEST("range/address-space-gone-file-held",
	     address_space_gone_file_held),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
