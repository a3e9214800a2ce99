// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Network namespaces: whoever can register host memory on a device, from
 * wherever, can register device memory on it.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "child.h"
#include "modules.h"
#include "peer.h"
#include "plain.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define SECOND	      "rxe1"
#define SECOND_NETDEV "dummy1"
#define NAMESPACE     "p2pmr-test"

struct outcome {
	int host;
	int bar;
};

static struct outcome try_both(const char *name)
{
	struct outcome outcome = {
		.host = try_register_on(name, HOST),
		.bar = try_register_on(name, BAR),
	};

	print_message("%s: host memory %d, BAR %d\n", name, outcome.host,
		      outcome.bar);
	return outcome;
}

/* From here on this process sees the devices of a network of its own. */
static void enter_new_namespace(void)
{
	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	assert_true(shell("mount --make-rprivate / &&"
			  "mount -t sysfs sysfs /sys &&"
			  "mount -t debugfs debugfs /sys/kernel/debug &&"
			  "ip link set lo up"));
}

static void use_from_new_namespace(int socket, void *argument)
{
	struct outcome outcome;

	enter_new_namespace();
	outcome = try_both(argument);
	send_message(socket, &outcome, sizeof(outcome));
	meet(socket);
}

static struct outcome from_new_namespace(char *device)
{
	struct outcome outcome;
	struct child child;

	child_start(&child, use_from_new_namespace, device);
	receive_message(child.socket, &outcome, sizeof(outcome));
	meet(child.socket);
	child_finish(&child);
	return outcome;
}

static void process_elsewhere(void **state)
{
	struct outcome outcome = from_new_namespace("rxe0");

	(void)state;
	assert_int_equal(outcome.host, 0);
	assert_int_equal(outcome.bar, 0);
}

static void make_device_in_new_namespace(int socket, void *argument)
{
	struct outcome outcome;

	(void)argument;
	enter_new_namespace();
	soft_roce_add(SECOND, SECOND_NETDEV, "198.51.100.1");
	outcome = try_both(SECOND);
	send_message(socket, &outcome, sizeof(outcome));
	soft_roce_delete(SECOND, SECOND_NETDEV);
}

static void device_elsewhere(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct outcome outcome;
	struct child child;

	(void)state;
	child_start(&child, make_device_in_new_namespace, NULL);
	receive_message(child.socket, &outcome, sizeof(outcome));
	child_finish(&child);
	assert_int_equal(outcome.host, 0);
	assert_int_equal(outcome.bar, 0);
	expect_references(VERBS_MODULE, before);
}

static void hold_namespace(int socket, void *argument)
{
	struct outcome outcome;

	enter_new_namespace();
	meet(socket); /* it can be given a device now */
	meet(socket); /* it has been, or not */
	outcome = try_both(argument);
	send_message(socket, &outcome, sizeof(outcome));
	meet(socket);
}

/* Moves the second device, where the kernel does that, to a process. */
static bool try_move(struct outcome *there)
{
	struct child child;
	bool moved;

	child_start(&child, hold_namespace, SECOND);
	meet(child.socket);
	assert_true(shell("ip netns attach " NAMESPACE " %d", child.pid));
	moved = shell("rdma dev set " SECOND " netns " NAMESPACE);
	meet(child.socket);
	receive_message(child.socket, there, sizeof(*there));
	meet(child.socket);
	child_finish(&child);
	assert_true(shell("ip netns delete " NAMESPACE));
	return moved;
}

static void exclusive(void **state)
{
	struct outcome here, elsewhere, there;
	bool moved;

	(void)state;
	soft_roce_add(SECOND, SECOND_NETDEV, "198.51.100.1");
	rdma_netns_mode("exclusive");
	here = try_both(SECOND);
	elsewhere = from_new_namespace(SECOND);
	moved = try_move(&there);
	rdma_netns_mode("shared");

	assert_int_equal(here.host, 0);
	assert_int_equal(here.bar, 0);
	assert_int_equal(elsewhere.host, -1);
	assert_int_equal(elsewhere.bar, -1);
	print_message("the device can%s be moved\n", moved ? "" : "not");
	assert_int_equal(there.host, moved ? 0 : -1);
	assert_int_equal(there.bar, there.host);
	/*
	 * Of a namespace that goes, the devices come back, to one client of
	 * the kernel after the other.
	 */
	for (int i = 0; i < 50; i++) {
		here = try_both(SECOND);
		if (!here.bar)
			break;
		usleep(200 * 1000);
	}
	assert_int_equal(here.host, 0);
	assert_int_equal(here.bar, 0);
	soft_roce_delete(SECOND, SECOND_NETDEV);
}

static const struct test tests[] = {
	TEST("attach/process-in-another-namespace", process_elsewhere),
	TEST("attach/device-in-another-namespace", device_elsewhere),
	TEST("attach/exclusive-namespaces", exclusive),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
