// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr tells while things happen: registrations, their ends, and
 * refusals, with all that belongs to each; and whose they are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "monitor.h"
#include "peer.h"
#include "runner.h"
#include "system.h"

#define WINDOW ASKER_SIZE
#define OFFSET 300
#define LENGTH (WINDOW - 500)

static uint64_t now(void)
{
	struct timespec time;

	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &time), 0);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void told_of_a_life(void **state)
{
	struct p2pmr_event first, last;
	uint64_t before, between;
	struct listing listing;
	struct ibv_mr *mr, was;
	struct asker a;
	int fd = monitor_open();

	(void)state;
	asker_open(&a, BAR_WC);
	before = now();
	mr = must_register(a.device.pd, a.memory.bytes + OFFSET, LENGTH,
			   ACCESS_ALL);
	was = *mr;
	list(a.fd, &listing, 0);
	between = now();
	assert_int_equal(ibv_dereg_mr(mr), 0);

	monitor_next(fd, P2PMR_EVENT_REGISTER, &first);
	assert_event_of(&first, &was, 1);
	assert_int_equal(first.id, range_of(&listing, getpid())->id);
	assert_int_equal(first.device_bytes, LENGTH);
	assert_int_equal(first.cause, 0);
	assert_location(&first.location, BAR_WC, OFFSET);
	assert_in_range(first.time_ns, before, between);

	monitor_next(fd, P2PMR_EVENT_DEREGISTER, &last);
	assert_event_of(&last, &was, 1);
	assert_int_equal(last.id, first.id);
	assert_int_equal(last.cause, 0);
	assert_location(&last.location, BAR_WC, OFFSET);
	assert_in_range(last.time_ns, between, now());
	assert_quiet(fd);
	asker_close(&a);
	close(fd);
}

/* Of which the first piece of device memory is somewhere in the middle. */
static void told_of_a_mixed_range(void **state)
{
	struct p2pmr_event event;
	struct asker a;
	int fd = monitor_open();

	(void)state;
	asker_open(&a, HOST);
	assert_ptr_equal(bar_mmap(BAR2, a.memory.bytes + PAGE, 2 * PAGE,
				  PROT_READ, MAP_SHARED | MAP_FIXED, 3 * PAGE),
			 a.memory.bytes + PAGE);
	a.memory.mr = must_register(a.device.pd, a.memory.bytes, WINDOW,
				    IBV_ACCESS_REMOTE_READ);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	assert_event_of(&event, a.memory.mr, 0);
	assert_int_equal(event.device_bytes, 2 * PAGE);
	assert_location(&event.location, BAR2, 3 * PAGE);
	asker_close(&a);
	close(fd);
}

struct cause {
	uint32_t number;
	void (*revoke)(struct asker *asker);
};

static void by_munmap(struct asker *asker)
{
	assert_int_equal(munmap(asker->memory.bytes + PAGE, PAGE), 0);
}

static void by_mprotect(struct asker *asker)
{
	assert_int_equal(mprotect(asker->memory.bytes, PAGE, PROT_READ), 0);
}

static void by_removal(struct asker *asker)
{
	char path[PATH_SIZE];

	pci_file(asker->memory.kind, "remove", path);
	write_file(path, "1\n");
	write_file("/sys/bus/pci/rescan", "1\n");
	pci_file(asker->memory.kind, "enable", path);
	write_file(path, "1\n");
}

/* Once, and with where it was: its end later is no event any more. */
static void told_of_a_revocation(void **state)
{
	const struct cause *cause = *state;
	struct p2pmr_event first, event;
	struct asker a;
	int fd = monitor_open();

	asker_open(&a, BAR2);
	memory_register(&a.memory, a.device.pd);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &first);
	assert_quiet(fd);
	cause->revoke(&a);
	monitor_next(fd, P2PMR_EVENT_REVOKE, &event);
	assert_event_of(&event, a.memory.mr, 1);
	assert_int_equal(event.id, first.id);
	assert_int_equal(event.cause, cause->number);
	assert_location(&event.location, BAR2, 0);
	asker_close(&a);
	assert_quiet(fd);
	close(fd);
}

static void register_and_exit(int socket, void *argument)
{
	struct device device;
	struct memory bar;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, device.pd);
	meet(socket);
	_exit(0);
}

/* The process has gone, but what it had is told of. */
static void told_of_an_exit(void **state)
{
	struct p2pmr_event event;
	struct child child;
	int fd = monitor_open();

	(void)state;
	child_start(&child, register_and_exit, NULL);
	meet(child.socket);
	child_finish(&child);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	monitor_next(fd, P2PMR_EVENT_REVOKE, &event);
	assert_int_equal(event.cause, P2PMR_REVOKED_EXIT);
	assert_int_equal(event.length, WINDOW);
	assert_location(&event.location, BAR, 0);
	assert_quiet(fd);
	close(fd);
}

static void hold_device(int socket, void *argument)
{
	struct device device;
	struct memory bar;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&bar, device.pd);
	meet(socket);
	meet(socket);
	_exit(0);
}

static void told_of_a_deleted_device(void **state)
{
	struct p2pmr_event event;
	struct child child;
	int fd = monitor_open();

	(void)state;
	soft_roce_add("rxe1", "dummy1", "198.51.100.1");
	assert_int_equal(setenv("P2PMR_DEV", "rxe1", 1), 0);
	child_start(&child, hold_device, NULL);
	meet(child.socket);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	assert_string_equal(event.instance, "rxe1");
	assert_true(shell("rdma link delete rxe1 &"));
	monitor_next(fd, P2PMR_EVENT_REVOKE, &event);
	assert_int_equal(event.cause, P2PMR_REVOKED_IMPORTER);
	assert_int_equal(event.pid, child.pid);
	assert_string_equal(event.instance, "rxe1");
	meet(child.socket);
	child_finish(&child);
	for (int i = 0; rdma_device_exists("rxe1") && i < 200; i++)
		usleep(100 * 1000);
	assert_true(shell("ip link delete dummy1"));
	close(fd);
}

static void told_of_a_refusal(void **state)
{
	static const struct p2pmr_location nowhere;
	struct p2pmr_event event;
	struct refused refused;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	refused_ask(&refused);
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	assert_int_equal(event.error, EACCES);
	assert_non_null(strstr(event.reason, REFUSED_REASON));
	assert_int_equal(event.pid, getpid());
	assert_int_equal(event.uid, getuid());
	assert_int_equal(event.id, 0);
	assert_int_equal(event.length, 0);
	assert_string_equal(event.importer, "p2pmr_verbs");
	assert_string_equal(event.instance, need_env("P2PMR_DEV"));
	assert_memory_equal(&event.location, &nowhere, sizeof(nowhere));

	/* What the RDMA side refuses is told by the same name. */
	assert_null(ibv_reg_mr(refused.device.pd, refused.bytes, PAGE,
			       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND));
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	assert_int_equal(event.error, EOPNOTSUPP);
	assert_non_null(strstr(event.reason, "are not supported"));
	assert_string_equal(event.importer, "p2pmr_verbs");
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

static void query_is_no_event(void **state)
{
	struct refused refused;
	struct answer answer;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	query(fd, &answer, refused.bytes, PAGE);
	assert_int_equal(answer.query.write_error, EACCES);
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

#define CAUSE(number, how) (&(const struct cause){ number, how })

static const struct test tests[] = {
	TEST("device/watch-register-and-deregister", told_of_a_life),
	TEST("device/watch-mixed-range", told_of_a_mixed_range),
	TEST_OF("device/watch-revoke-munmap", told_of_a_revocation,
		CAUSE(P2PMR_REVOKED_UNMAP, by_munmap)),
	TEST_OF("device/watch-revoke-mprotect", told_of_a_revocation,
		CAUSE(P2PMR_REVOKED_PROTECT, by_mprotect)),
	TEST_OF("device/watch-revoke-removal", told_of_a_revocation,
		CAUSE(P2PMR_REVOKED_DEVICE, by_removal)),
	TEST("device/watch-revoke-exit", told_of_an_exit),
	TEST("device/watch-revoke-device-deleted", told_of_a_deleted_device),
	TEST("device/watch-refusal", told_of_a_refusal),
	TEST("device/watch-query-is-no-event", query_is_no_event),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
