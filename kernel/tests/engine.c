// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The device with the DMA engine, see engine.h. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bar.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define DRIVER	 "/sys/bus/pci/drivers/" ENGINE_MODULE
#define FAULT_MS 5000
/* The kernel reports some three faults in five seconds, and no more. */
#define PAUSE_MS   2000
#define LINE_ROOM  1024
#define FAULT_ROOM 160

static char address[32]; /* of the device: 0000:00:1e.0 */

static void find_device(void)
{
	glob_t found;

	if (glob(DRIVER "/*:*:*", 0, NULL, &found))
		fail_msg("the guest has no device for " ENGINE_MODULE);
	assert_int_equal(found.gl_pathc, 1);
	snprintf(address, sizeof(address), "%s",
		 strrchr(found.gl_pathv[0], '/') + 1);
	globfree(&found);
}

void engine_load(void)
{
	test_module_load(ENGINE_MODULE, "%s", "");
	find_device();
	engine_reaches(ENGINE_IDS "/*");
	assert_int_equal(module_set(CORE_MODULE, "deny_pairs", "", NULL), 0);
}

void engine_reaches(const char *pairs)
{
	assert_int_equal(module_set(CORE_MODULE, "allow_pairs", pairs, NULL),
			 0);
}

const char *engine_address(void)
{
	return address;
}

void engine_unload(void)
{
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_true(module_try_remove(ENGINE_MODULE));
	engine_reaches("");
}

void engine_unbind(void)
{
	write_file(DRIVER "/unbind", address);
}

void engine_choose(const char *other)
{
	engine_unbind();
	snprintf(address, sizeof(address), "%s", other);
	engine_bind();
}

void engine_bind(void)
{
	write_file(DRIVER "/bind", address);
}

void skip_with_dma_checker(void)
{
	if (!access("/sys/kernel/debug/dma-api", F_OK))
		skip_test("the DMA-API checker takes failures for mappings");
}

int engine_open(void)
{
	int fd = open("/dev/" ENGINE_MODULE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail_msg("/dev/" ENGINE_MODULE ": %s", strerror(errno));
	return fd;
}

static int request_error(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument) ? errno : 0;
}

int engine_try_map(int fd, const void *bytes, size_t length, bool write,
		   unsigned int direction)
{
	struct edu_map map = {
		.address = (uintptr_t)bytes,
		.length = length,
		.write = write,
		.direction = direction,
		.mask_bits = 64,
	};

	return request_error(fd, EDU_MAP, &map);
}

void engine_map(int fd, const void *bytes, size_t length)
{
	int error = engine_try_map(fd, bytes, length, true, EDU_BOTH_WAYS);

	if (error)
		fail_msg("mapping %zu bytes for the device: %s", length,
			 strerror(error));
}

int engine_try_attach(int fd, int dmabuf, unsigned int mode,
		      unsigned int direction)
{
	struct edu_attach attach = {
		.fd = dmabuf,
		.mode = mode,
		.direction = direction,
		.mask_bits = 64,
	};

	return request_error(fd, EDU_ATTACH, &attach);
}

void engine_attach(int fd, int dmabuf, unsigned int mode)
{
	int error = engine_try_attach(fd, dmabuf, mode, EDU_BOTH_WAYS);

	if (error)
		fail_msg("attaching the device: %s", strerror(error));
}

void engine_unmap(int fd)
{
	assert_int_equal(request_error(fd, EDU_UNMAP, NULL), 0);
}

bool engine_segment(int fd, unsigned int index, struct edu_segment *segment)
{
	*segment = (struct edu_segment){ .index = index };
	return !request_error(fd, EDU_SEGMENT, segment);
}

int engine_try_move(int fd, unsigned long request, size_t offset, size_t length)
{
	struct edu_transfer transfer = { .offset = offset, .length = length };

	return request_error(fd, request, &transfer);
}

void engine_move(int fd, unsigned long request, size_t offset, size_t length)
{
	int error = engine_try_move(fd, request, offset, length);

	if (error)
		fail_msg("%s %zu bytes at %zu: %s",
			 request == EDU_LOAD ? "load" : "store", length, offset,
			 strerror(error));
}

static void move_host(uint8_t *data, size_t length, unsigned long request)
{
	struct memory host;
	int fd = engine_open();

	memory_map(&host, HOST, PAGE);
	memcpy(host.bytes, data, length);
	engine_map(fd, host.bytes, PAGE);
	engine_move(fd, request, 0, length);
	close(fd);
	memcpy(data, host.bytes, length);
	memory_release(&host);
}

void engine_fill(const uint8_t *data, size_t length)
{
	uint8_t copy[EDU_BUFFER];

	assert_true(length <= sizeof(copy));
	memcpy(copy, data, length);
	move_host(copy, length, EDU_LOAD);
}

void engine_read(uint8_t *data, size_t length)
{
	/* What stays so was not stored. */
	memset(data, 0xee, length);
	move_host(data, length, EDU_STORE);
}

/*
 * What the kernel writes of an access to that page, as far as it is certain.
 * Newer kernels name the device with its domain: `device` is either.
 */
static void describe_fault(char fault[FAULT_ROOM], const char *device,
			   unsigned long request, uint64_t dma)
{
	snprintf(
		fault, FAULT_ROOM,
		"DMAR: [DMA %s NO_PASID] Request device [%s] fault addr 0x%llx [fault reason",
		request == EDU_STORE ? "Write" : "Read", device,
		(unsigned long long)dma & ~(PAGE - 1ull));
}

/* The kernel log is read for faults: a test says which one it provokes. */
static void announce(const char *fault)
{
	char line[FAULT_ROOM + 32];

	snprintf(line, sizeof(line), "p2pmr-lab: expect %s\n", fault);
	write_file("/dev/kmsg", line);
}

static bool begins(const char *text, const char *beginning)
{
	return !strncmp(text, beginning, strlen(beginning));
}

/* Reads on in the kernel log until a line begins so or so. */
static void await_fault(int log, const char *fault, const char *longer)
{
	char line[LINE_ROOM], *text;
	struct pollfd p = { .fd = log, .events = POLLIN };

	while (poll(&p, 1, FAULT_MS) == 1) {
		ssize_t n = read(log, line, sizeof(line) - 1);

		if (n < 0)
			continue;
		line[n] = '\0';
		text = strchr(line, ';');
		if (text &&
		    (begins(text + 1, fault) || begins(text + 1, longer)))
			return;
	}
	fail_msg("not in the kernel log: %s", fault);
}

void assert_stopped(int fd, unsigned long request, size_t offset, size_t length)
{
	struct edu_transfer transfer = { .offset = offset,
					 .length = length,
					 .flags = EDU_REGARDLESS };
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct edu_segment segment;
	char fault[FAULT_ROOM], longer[FAULT_ROOM];

	assert_true(log >= 0);
	assert_true(engine_segment(fd, 0, &segment));
	assert_true(offset + length <= segment.length);
	usleep(PAUSE_MS * 1000);
	describe_fault(fault, strchr(address, ':') + 1, request,
		       segment.dma + offset);
	describe_fault(longer, address, request, segment.dma + offset);
	announce(fault);
	assert_true(lseek(log, 0, SEEK_END) >= 0);
	assert_int_equal(request_error(fd, request, &transfer), 0);
	await_fault(log, fault, longer);
	close(log);
}
