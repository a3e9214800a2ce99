// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * To whom /dev/p2pmr tells what happens: to a user what is its own, to root
 * all, and to nobody more because of where the file comes from.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "monitor.h"
#include "peer.h"
#include "runner.h"

#define WINDOW	 ASKER_SIZE
#define OVERFLOW 65534 /* a user id that a namespace does not have */

/* Watches while root does things, then does some itself. */
static void nobody_watches(int socket, void *argument)
{
	struct p2pmr_event event;
	struct device device;
	struct memory bar;
	int fd;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR2, WINDOW);
	become(NOBODY);
	fd = monitor_open();
	meet(socket);
	meet(socket);
	assert_quiet(fd);
	memory_register(&bar, device.pd);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	assert_int_equal(event.uid, NOBODY);
	assert_event_of(&event, bar.mr, 1);
	memory_release(&bar);
	monitor_next(fd, P2PMR_EVENT_DEREGISTER, &event);
	assert_quiet(fd);
	device_close(&device);
	close(fd);
}

static void own_and_not_others(void **state)
{
	struct refused refused;
	struct p2pmr_event event;
	struct child child;
	struct asker a;
	int fd;

	(void)state;
	refused_open(&refused);
	asker_open(&a, BAR);
	child_start(&child, nobody_watches, NULL);
	meet(child.socket);
	memory_register(&a.memory, a.device.pd);
	refused_ask(&refused);
	assert_int_equal(munmap(a.memory.bytes, PAGE), 0);
	asker_close(&a);
	fd = monitor_open();
	meet(child.socket);
	child_finish(&child);

	/* Root is told of nobody's, the address included. */
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	assert_int_equal(event.uid, NOBODY);
	assert_int_equal(event.pid, child.pid);
	assert_int_not_equal(event.address, 0);
	monitor_next(fd, P2PMR_EVENT_DEREGISTER, &event);
	assert_int_equal(event.uid, NOBODY);
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

static void nobody_registers(int socket, void *argument)
{
	struct device device;
	struct memory bar;

	(void)argument;
	device_open(&device);
	memory_map(&bar, BAR2, WINDOW);
	become(NOBODY);
	meet(socket);
	memory_register(&bar, device.pd);
	meet(socket);
	meet(socket);
	memory_release(&bar);
	device_close(&device);
}

/* The same user, but another process. */
static void nobody_looks_on(int socket, void *argument)
{
	struct p2pmr_event event;
	struct listing listing;
	int fd;

	(void)argument;
	become(NOBODY);
	fd = monitor_open();
	meet(socket);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	assert_int_equal(event.uid, NOBODY);
	assert_int_equal(event.length, WINDOW);
	assert_int_equal(event.address, 0);
	list(fd, &listing, 0);
	assert_int_equal(listing.list.count, 1);
	assert_int_equal(listing.ranges[0].id, event.id);
	assert_int_equal(listing.ranges[0].address, 0);
	meet(socket);
	close(fd);
}

static void address_for_the_process(void **state)
{
	struct child registers, looks_on;

	(void)state;
	child_start(&looks_on, nobody_looks_on, NULL);
	child_start(&registers, nobody_registers, NULL);
	meet(looks_on.socket);
	meet(registers.socket);
	meet(registers.socket);
	meet(looks_on.socket);
	meet(registers.socket);
	child_finish(&registers);
	child_finish(&looks_on);
}

static void assert_not_readable(int fd)
{
	struct p2pmr_event event;

	assert_int_equal(read(fd, &event, sizeof(event)), -1);
	assert_int_equal(errno, EPERM);
}

/* Root's file tells nobody nothing, unless it is asked to begin anew. */
static void nobody_reads(int socket, void *argument)
{
	int fd = *(int *)argument;

	become(NOBODY);
	assert_not_readable(fd);
	meet(socket); /* root reads */
	meet(socket);
	assert_int_equal(monitor_error(fd, sizeof(struct p2pmr_event)), 0);
	meet(socket); /* root registers */
	meet(socket);
	assert_quiet(fd);
	meet(socket);
}

static void somebody_reads(int socket, void *argument)
{
	become(SOMEBODY_ELSE);
	assert_not_readable(*(int *)argument);
	meet(socket);
}

static void rights_of_the_reader(void **state)
{
	struct p2pmr_event event;
	struct child nobody, other;
	struct refused refused;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	refused_ask(&refused);
	child_start(&nobody, nobody_reads, &fd);
	meet(nobody.socket);
	/* Nothing is gone because somebody was not allowed to read it. */
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	meet(nobody.socket);
	meet(nobody.socket);
	refused_ask(&refused);
	meet(nobody.socket);
	meet(nobody.socket);
	child_finish(&nobody);
	/* Now it is nobody's, and not for anybody else; root is not refused. */
	child_start(&other, somebody_reads, &fd);
	meet(other.socket);
	child_finish(&other);
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

/* In namespaces of its own, where the other process and its user have no id. */
static void look_from_inside(int socket)
{
	struct p2pmr_event event;
	int fd = monitor_open();

	meet(socket);
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	assert_int_equal(event.pid, 0);
	assert_int_equal(event.uid, OVERFLOW);
	meet(socket);
	meet(socket);
	monitor_next(fd, P2PMR_EVENT_REGISTER, &event);
	assert_int_equal(event.pid, 0);
	assert_int_equal(event.uid, OVERFLOW);
	assert_int_equal(event.address, 0);
	meet(socket);
	close(fd);
}

static void in_new_namespaces(int socket, void *argument)
{
	int status;
	pid_t pid;

	(void)argument;
	assert_int_equal(unshare(CLONE_NEWUSER | CLONE_NEWPID), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		assert_int_equal(getpid(), 1);
		look_from_inside(socket);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void ids_of_the_reader(void **state)
{
	struct refused refused;
	struct child child;
	struct asker a;

	(void)state;
	refused_open(&refused);
	asker_open(&a, BAR);
	child_start(&child, in_new_namespaces, NULL);
	meet(child.socket);
	refused_ask(&refused);
	meet(child.socket);
	memory_register(&a.memory, a.device.pd);
	meet(child.socket);
	meet(child.socket);
	child_finish(&child);
	asker_close(&a);
	refused_close(&refused);
}

#define USER_MAX 16

static void watch_as_often_as_possible(int socket, void *argument)
{
	struct p2pmr_event event;
	struct refused refused;
	int fds[USER_MAX], more;

	(void)argument;
	refused_open(&refused);
	become(NOBODY);
	for (int i = 0; i < USER_MAX; i++)
		fds[i] = monitor_open();
	more = chardev_ready();
	assert_int_equal(monitor_error(more, sizeof(event)), EDQUOT);
	/* One that does so already may begin anew. */
	assert_int_equal(monitor_error(fds[3], sizeof(event)), 0);
	assert_int_equal(monitor_error(more, sizeof(event)), EDQUOT);

	refused_ask(&refused);
	for (int i = 0; i < USER_MAX; i++) {
		monitor_next(fds[i], P2PMR_EVENT_REFUSE, &event);
		assert_int_equal(event.uid, NOBODY);
		assert_quiet(fds[i]);
	}
	close(fds[0]);
	assert_int_equal(monitor_error(more, sizeof(event)), 0);
	meet(socket);
	meet(socket);
	refused_close(&refused);
}

static void many_files(void **state)
{
	struct child child;
	int fds[2 * USER_MAX];

	(void)state;
	child_start(&child, watch_as_often_as_possible, NULL);
	meet(child.socket);
	/* Others are not bound by what nobody has. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = monitor_open();
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	meet(child.socket);
	child_finish(&child);
}

static const struct test tests[] = {
	TEST("device/watch-own-and-not-others", own_and_not_others),
	TEST("device/watch-address-for-the-process", address_for_the_process),
	TEST("device/watch-rights-of-the-reader", rights_of_the_reader),
	TEST("device/watch-ids-of-the-reader", ids_of_the_reader),
	TEST("device/watch-many-files", many_files),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
