// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Watching what /dev/p2pmr tells, see monitor.h. */
#define _GNU_SOURCE
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "runner.h"

#define PATIENCE_MS 20000

static int watch(int fd, uint32_t event_size, uint32_t *capacity)
{
	struct p2pmr_ioc_watch request = {
		.size = sizeof(request),
		.event_size = event_size,
	};
	int error = chardev_error(fd, P2PMR_IOC_WATCH, &request);

	*capacity = request.capacity;
	return error;
}

int monitor_error(int fd, uint32_t event_size)
{
	uint32_t capacity;

	return watch(fd, event_size, &capacity);
}

uint32_t monitor_capacity(int fd)
{
	uint32_t capacity;

	assert_int_equal(watch(fd, sizeof(struct p2pmr_event), &capacity), 0);
	assert_in_range(capacity, 1, 100000);
	return capacity;
}

int monitor_open(void)
{
	int fd = chardev_ready();

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(monitor_error(fd, sizeof(struct p2pmr_event)), 0);
	return fd;
}

void monitor_next(int fd, uint32_t type, struct p2pmr_event *event)
{
	struct pollfd wanted = { .fd = fd, .events = POLLIN };

	memset(event, 0xa5, sizeof(*event));
	assert_int_equal(poll(&wanted, 1, PATIENCE_MS), 1);
	assert_int_equal(wanted.revents, POLLIN);
	assert_int_equal(read(fd, event, sizeof(*event)), sizeof(*event));
	assert_int_equal(event->type, type);
}

void assert_quiet(int fd)
{
	struct pollfd wanted = { .fd = fd, .events = POLLIN };
	struct p2pmr_event event;

	assert_int_equal(poll(&wanted, 1, 0), 0);
	assert_int_equal(read(fd, &event, sizeof(event)), -1);
	assert_int_equal(errno, EAGAIN);
}

void assert_event_of(const struct p2pmr_event *event, const struct ibv_mr *mr,
		     int write)
{
	char command[P2PMR_COMMAND_SIZE] = "";

	strncpy(command, program_invocation_short_name, sizeof(command) - 1);
	assert_int_not_equal(event->id, 0);
	assert_int_equal(event->pid, getpid());
	assert_int_equal(event->uid, getuid());
	assert_int_equal(event->address, (uintptr_t)mr->addr);
	assert_int_equal(event->length, mr->length);
	assert_int_equal(event->flags, write ? P2PMR_RANGE_WRITE : 0);
	assert_int_equal(event->lost, 0);
	assert_int_equal(event->error, 0);
	assert_string_equal(event->command, command);
	assert_string_equal(event->importer, "p2pmr_verbs");
	assert_string_equal(event->instance, need_env("P2PMR_DEV"));
	assert_string_equal(event->reason, "");
}

void refused_open(struct refused *refused)
{
	device_open(&refused->device);
	refused->bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(refused->bytes != MAP_FAILED);
}

void refused_ask(const struct refused *refused)
{
	assert_null(ibv_reg_mr(refused->device.pd, refused->bytes, PAGE,
			       ACCESS_ALL));
	assert_int_equal(errno, EACCES);
}

void refused_close(struct refused *refused)
{
	assert_int_equal(munmap(refused->bytes, PAGE), 0);
	device_close(&refused->device);
}
