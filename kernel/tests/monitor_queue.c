// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Reading what /dev/p2pmr tells: waiting or not, buffers of any size, a reader
 * that is too slow, and files that are closed while things happen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "chardev.h"
#include "modules.h"
#include "monitor.h"
#include "runner.h"

#define SIZE sizeof(struct p2pmr_event)

static void assert_error(int fd, void *buffer, size_t size, int error)
{
	assert_int_equal(read(fd, buffer, size), -1);
	assert_int_equal(errno, error);
}

static void before_the_request(void **state)
{
	struct p2pmr_event event;
	int fd = chardev_ready();
	struct pollfd wanted = { .fd = fd, .events = POLLIN };

	(void)state;
	assert_error(fd, &event, SIZE, EINVAL);
	assert_int_equal(poll(&wanted, 1, 0), 1);
	assert_int_equal(wanted.revents, POLLERR);
	assert_int_equal(monitor_error(fd, SIZE), 0);
	assert_int_equal(poll(&wanted, 1, 0), 0);
	close(fd);
}

static void buffers(void **state)
{
	struct p2pmr_event events[4];
	struct refused refused;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	assert_error(fd, events, 0, EINVAL);
	assert_error(fd, events, SIZE - 1, EINVAL);
	assert_error(fd, events, SIZE, EAGAIN);
	for (int i = 0; i < 5; i++)
		refused_ask(&refused);
	assert_error(fd, events, SIZE - 1, EINVAL);
	/* Whole ones only, and as many as there are. */
	assert_int_equal(read(fd, events, 3 * SIZE - 1), 2 * SIZE);
	assert_int_equal(read(fd, events, sizeof(events)), 3 * SIZE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(events[i].type, P2PMR_EVENT_REFUSE);
	assert_true(events[0].time_ns < events[1].time_ns);
	assert_true(events[1].time_ns < events[2].time_ns);
	assert_error(fd, events, sizeof(events), EAGAIN);
	refused_close(&refused);
	close(fd);
}

/* A reader of version 1, and one from the future. */
static void sizes(void **state)
{
	const size_t larger = SIZE + 24;
	uint8_t bytes[2 * (SIZE + 24)];
	struct refused refused;
	int fd = monitor_open();

	(void)state;
	assert_int_equal(monitor_error(fd, 0), EINVAL);
	assert_int_equal(monitor_error(fd, SIZE - 1), EINVAL);
	assert_int_equal(monitor_error(fd, PAGE + 1), E2BIG);
	assert_int_equal(monitor_error(fd, UINT32_MAX), E2BIG);
	assert_int_equal(monitor_error(fd, larger), 0);
	refused_open(&refused);
	refused_ask(&refused);
	refused_ask(&refused);
	memset(bytes, 0xa5, sizeof(bytes));
	assert_error(fd, bytes, larger - 1, EINVAL);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	for (size_t i = 0; i < 2; i++) {
		const struct p2pmr_event *event = (void *)(bytes + i * larger);

		assert_int_equal(event->type, P2PMR_EVENT_REFUSE);
		for (size_t at = SIZE; at < larger; at++)
			assert_int_equal(bytes[i * larger + at], 0);
	}
	refused_close(&refused);
	close(fd);
}

/* The queue is empty then, and what happens afterwards is told. */
static void anew(void **state)
{
	struct p2pmr_event event;
	struct refused refused;
	uint32_t capacity;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	capacity = monitor_capacity(fd);
	for (uint32_t i = 0; i < capacity + 5; i++)
		refused_ask(&refused);
	assert_int_equal(monitor_error(fd, SIZE), 0);
	assert_quiet(fd);
	refused_ask(&refused);
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

static void slow_reader(void **state)
{
	enum {
		MORE = 37
	};
	struct p2pmr_event event;
	struct refused refused;
	uint64_t last;
	uint32_t capacity;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	capacity = monitor_capacity(fd);
	for (uint32_t i = 0; i < capacity; i++)
		refused_ask(&refused);
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	for (uint32_t i = 0; i < 1 + MORE; i++)
		refused_ask(&refused);
	monitor_next(fd, P2PMR_EVENT_LOST, &event);
	assert_int_equal(event.lost, MORE);
	assert_int_equal(event.pid, 0);
	last = event.time_ns;
	for (uint32_t i = 0; i < capacity; i++) {
		monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
		assert_int_equal(event.lost, 0);
		assert_true(event.time_ns > last);
		last = event.time_ns;
	}
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

/* An event that cannot be written to where the reader says is lost, and told so. */
static void bad_buffer(void **state)
{
	struct p2pmr_event event;
	struct refused refused;
	uint8_t *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = monitor_open();

	(void)state;
	assert_true(pages != MAP_FAILED);
	assert_int_equal(munmap(pages + PAGE, PAGE), 0);
	refused_open(&refused);
	for (int i = 0; i < 3; i++)
		refused_ask(&refused);
	assert_error(fd, pages + PAGE, SIZE, EFAULT);
	/* The first one fits. */
	assert_int_equal(read(fd, pages + PAGE - SIZE - 10, 2 * SIZE), SIZE);
	memcpy(&event, pages + PAGE - SIZE - 10, SIZE);
	assert_int_equal(event.type, P2PMR_EVENT_LOST);
	assert_int_equal(event.lost, 1);
	monitor_next(fd, P2PMR_EVENT_LOST, &event);
	assert_int_equal(event.lost, 1);
	monitor_next(fd, P2PMR_EVENT_REFUSE, &event);
	assert_quiet(fd);
	refused_close(&refused);
	assert_int_equal(munmap(pages, PAGE), 0);
	close(fd);
}

static void *read_one(void *argument)
{
	struct p2pmr_event event;
	int fd = *(int *)argument;

	if (read(fd, &event, SIZE) != SIZE)
		return "nothing read";
	return event.type == P2PMR_EVENT_REFUSE ? NULL : "another event";
}

static void waits(void **state)
{
	struct refused refused;
	pthread_t readers[4];
	void *complaint;
	int fd = monitor_open();

	(void)state;
	refused_open(&refused);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		assert_int_equal(
			pthread_create(&readers[i], NULL, read_one, &fd), 0);
	usleep(100 * 1000);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		assert_int_equal(pthread_tryjoin_np(readers[i], &complaint),
				 EBUSY);
	/* Each gets one of them. */
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		refused_ask(&refused);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		assert_int_equal(pthread_join(readers[i], &complaint), 0);
		if (complaint)
			fail_msg("%s", (char *)complaint);
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_quiet(fd);
	refused_close(&refused);
	close(fd);
}

static void ignore(int number)
{
	(void)number;
}

static void interrupted(void **state)
{
	struct itimerval timer = { .it_value.tv_usec = 100 * 1000,
				   .it_interval.tv_usec = 100 * 1000 },
			 never = { 0 };
	struct sigaction action = { .sa_handler = ignore };
	struct p2pmr_event event;
	int fd = monitor_open();

	(void)state;
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
	assert_error(fd, &event, SIZE, EINTR);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	close(fd);
}

struct noise {
	struct device device;
	uint8_t *bytes;
	atomic_bool stop;
	atomic_uint made;
};

static void *make_noise(void *argument)
{
	struct noise *noise = argument;

	while (!noise->stop) {
		struct ibv_mr *mr = ibv_reg_mr(noise->device.pd, noise->bytes,
					       PAGE, ACCESS_ALL);

		if (!mr || ibv_dereg_mr(mr))
			return "registration failed";
		noise->made++;
	}
	return NULL;
}

/* Files come and go with whatever is in their queues, next to one that stays. */
static void closed_in_the_middle(void **state)
{
	int before = module_references(CORE_MODULE);
	struct p2pmr_event event;
	struct noise noise = { 0 };
	pthread_t threads[2];
	void *complaint;
	unsigned int seen = 0;
	int stays = monitor_open();

	(void)state;
	device_open(&noise.device);
	noise.bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_SHARED, 0);
	assert_true(noise.bytes != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_noise,
						&noise),
				 0);
	for (int i = 0; i < 300 || !seen; i++) {
		int fd = monitor_open();

		usleep(i % 7 * 200);
		if (i % 3 == 0)
			seen += read(fd, &event, SIZE) == SIZE;
		if (i % 5 == 0)
			assert_int_equal(monitor_error(fd, SIZE), 0);
		close(fd);
		assert_true(i < 10000);
	}
	noise.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &complaint), 0);
		if (complaint)
			fail_msg("%s", (char *)complaint);
	}
	print_message("%u registrations, %u files read one\n", noise.made,
		      seen);
	/* Every event that is left, and the number of those that are not. */
	for (uint64_t left = 2 * noise.made; left;) {
		assert_int_equal(read(stays, &event, SIZE), SIZE);
		left -= event.type == P2PMR_EVENT_LOST ? event.lost : 1;
	}
	assert_quiet(stays);
	close(stays);
	assert_int_equal(munmap(noise.bytes, PAGE), 0);
	device_close(&noise.device);
	expect_references(CORE_MODULE, before);
}

static const struct test tests[] = {
	TEST("device/watch-before-the-request", before_the_request),
	TEST("device/watch-buffers", buffers),
	TEST("device/watch-size-of-events", sizes),
	TEST("device/watch-anew", anew),
	TEST("device/watch-slow-reader", slow_reader),
	TEST("device/watch-bad-buffer", bad_buffer),
	TEST("device/watch-waits", waits),
	TEST("device/watch-interrupted", interrupted),
	TEST("device/watch-closed-in-the-middle", closed_in_the_middle),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
