// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Registrations that sleep as long as a user has them sleep, and the devices that
 * are deleted meanwhile.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "endpoint.h"
#include "modules.h"
#include "peer.h"
#include "plain.h"
#include "runner.h"
#include "stuck.h"
#include "system.h"

#define SECOND	       "rxe1"
#define SECOND_NETDEV  "dummy1"
#define SECOND_ADDRESS "198.51.100.1"

#define NO_STUCK_PINNING "this kernel's pinning does not wait for userfaultfd"

struct registration {
	struct plain plain;
	struct stuck stuck;
	struct ibv_mr *mr;
};

static void *register_stuck(void *argument)
{
	struct registration *registration = argument;

	registration->mr =
		ibv_reg_mr(registration->plain.pd, registration->stuck.bytes,
			   registration->stuck.size, ACCESS_ALL);
	return NULL;
}

/* Whoever registers slow host memory holds up nobody else's device. */
static void deleted_beside_stuck_registration(void **state)
{
	struct registration registration;
	pthread_t thread;
	pid_t deleter;
	bool ended;

	(void)state;
	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	assert_true(plain_open(&registration.plain, "rxe0"));
	stuck_map(&registration.stuck, PAGE);
	assert_int_equal(pthread_create(&thread, NULL, register_stuck,
					&registration),
			 0);
	if (!stuck_is_touched(&registration.stuck)) {
		pthread_join(thread, NULL);
		assert_null(registration.mr);
		soft_roce_delete(SECOND, SECOND_NETDEV);
		skip_test(NO_STUCK_PINNING);
	}
	deleter = soft_roce_start_deleting(SECOND);
	ended = process_ends(deleter, 100);
	stuck_let_go(&registration.stuck);
	pthread_join(thread, NULL);
	soft_roce_finish_deleting(deleter, SECOND, SECOND_NETDEV);
	assert_true(ended);
	assert_non_null(registration.mr);
	assert_int_equal(ibv_dereg_mr(registration.mr), 0);
	stuck_unmap(&registration.stuck);
	plain_close(&registration.plain);
	assert_int_equal(try_register_on("rxe0", BAR), 0);
}

/* Host memory that does not come, alone or with a page of a BAR behind it. */
static void register_for_ever(int socket, void *argument)
{
	enum memory_kind kind = *(const enum memory_kind *)argument;
	struct registration registration;
	struct stuck *stuck = &registration.stuck;
	pthread_t thread;
	bool touched;

	assert_true(plain_open(&registration.plain, SECOND));
	stuck_map(stuck, 2 * PAGE);
	if (kind != HOST)
		assert_true(bar_mmap(kind, stuck->bytes + PAGE, PAGE,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
	assert_int_equal(pthread_create(&thread, NULL, register_stuck,
					&registration),
			 0);
	touched = stuck_is_touched(stuck);
	send_message(socket, &touched, sizeof(touched));
	pthread_join(thread, NULL);
}

/* Whether the deletion waited for the death of who registers. */
static bool delete_under_registration(enum memory_kind kind)
{
	struct child child;
	bool touched, waited;
	pid_t deleter;

	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	child_start(&child, register_for_ever, &kind);
	receive_message(child.socket, &touched, sizeof(touched));
	if (!touched) {
		child_finish(&child);
		soft_roce_delete(SECOND, SECOND_NETDEV);
		skip_test(NO_STUCK_PINNING);
	}
	assert_int_equal(ranges_of(child.pid, "setup"), kind != HOST);
	deleter = soft_roce_start_deleting(SECOND);
	waited = !process_ends(deleter, 20);
	child_kill(&child);
	assert_true(process_ends(deleter, 200));
	soft_roce_finish_deleting(deleter, SECOND, SECOND_NETDEV);
	assert_int_equal(ranges_of(child.pid, NULL), 0);
	return waited;
}

/*
 * Pinning host memory can take as long as a user likes. The deletion of his device
 * waits for that, as it does without device memory beside it, and no longer than he
 * lives.
 */
static void deleted_under_stuck_registration(void **state)
{
	int before = module_references(VERBS_MODULE);
	bool host = delete_under_registration(HOST);
	bool mixed = delete_under_registration(BAR);

	(void)state;
	print_message("host memory waits: %d; mixed: %d\n", host, mixed);
	assert_int_equal(mixed, host);
	expect_references(VERBS_MODULE, before);
	assert_int_equal(try_register_on("rxe0", BAR), 0);
}

static const struct test tests[] = {
	TEST("attach/device-deleted-beside-stuck-registration",
	     deleted_beside_stuck_registration),
	TEST("attach/device-deleted-under-stuck-registration",
	     deleted_under_stuck_registration),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
