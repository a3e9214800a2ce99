// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Host memory is never worse off: every kind of it, and every bad argument,
 * gives the same result with the modules as without them.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "endpoint.h"
#include "host_kinds.h"
#include "modules.h"
#include "runner.h"

#define SIZE HOST_SIZE

#define LOCAL	    IBV_ACCESS_LOCAL_WRITE
#define REMOTE_READ IBV_ACCESS_REMOTE_READ

static const struct case_ {
	const char *name;
	void *(*memory)(void);
	size_t offset;
	size_t length;
	unsigned int access;
	int error; /* what must come; -1: whatever the kernel says */
} cases[] = {
	{ "anonymous", host_anonymous, 0, SIZE, ACCESS_ALL, 0 },
	{ "anonymous, one byte", host_anonymous, 4095, 1, ACCESS_ALL, 0 },
	{ "anonymous, unaligned", host_anonymous, 37, 9001, ACCESS_ALL, 0 },
	{ "anonymous, no rights", host_anonymous, 0, SIZE, 0, 0 },
	{ "anonymous, relaxed ordering", host_anonymous, 0, SIZE,
	  ACCESS_ALL | IBV_ACCESS_RELAXED_ORDERING, 0 },
	{ "anonymous, memory windows", host_anonymous, 0, SIZE,
	  ACCESS_ALL | IBV_ACCESS_MW_BIND, -1 },
	{ "anonymous, zero based", host_anonymous, 0, SIZE,
	  ACCESS_ALL | IBV_ACCESS_ZERO_BASED, -1 },
	{ "anonymous, on demand", host_anonymous, 0, SIZE,
	  ACCESS_ALL | IBV_ACCESS_ON_DEMAND, -1 },
	{ "anonymous, huge pages asked", host_anonymous, 0, SIZE,
	  ACCESS_ALL | IBV_ACCESS_HUGETLB, -1 },
	{ "anonymous, unknown flag", host_anonymous, 0, SIZE,
	  ACCESS_ALL | 1 << 15, EINVAL },
	{ "anonymous, remote without local write", host_anonymous, 0, SIZE,
	  IBV_ACCESS_REMOTE_WRITE, EINVAL },
	{ "anonymous, zero length", host_anonymous, 0, 0, ACCESS_ALL, EINVAL },
	{ "anonymous, zero length, unaligned", host_anonymous, 5, 0, ACCESS_ALL,
	  -1 },
	{ "anonymous, past the end", host_anonymous, 0, 1ul << 40, ACCESS_ALL,
	  -1 },
	{ "anonymous, wraps", host_anonymous, 0, -(size_t)PAGE, ACCESS_ALL,
	  -1 },
	{ "shared anonymous", host_anonymous_shared, 0, SIZE, ACCESS_ALL, 0 },
	{ "read-only, write", host_read_only, 0, SIZE, LOCAL, EFAULT },
	{ "read-only, read", host_read_only, 0, SIZE, REMOTE_READ, -1 },
	{ "read-only, no rights", host_read_only, 0, SIZE, 0, -1 },
	{ "half read-only, write", host_half_read_only, 0, SIZE, LOCAL,
	  EFAULT },
	{ "no access", host_without_rights, 0, SIZE, REMOTE_READ, -1 },
	{ "huge page", host_huge, 0, HUGE_PAGE, ACCESS_ALL, 0 },
	{ "huge page, part of it", host_huge, 12345, 54321, ACCESS_ALL, 0 },
	{ "huge page, asked for", host_huge, 0, HUGE_PAGE,
	  ACCESS_ALL | IBV_ACCESS_HUGETLB, -1 },
	{ "file, shared", host_file_shared, 0, SIZE, ACCESS_ALL, -1 },
	{ "file, private", host_file_private, 0, SIZE, ACCESS_ALL, 0 },
	{ "file, read-only", host_file_read_only, 0, SIZE, REMOTE_READ, -1 },
	{ "file, read-only, write", host_file_read_only, 0, SIZE, LOCAL,
	  EFAULT },
	{ "memfd", host_memfd, 0, SIZE, ACCESS_ALL, 0 },
	{ "file too short", host_file_too_short, 0, SIZE, ACCESS_ALL, EFAULT },
	{ "hole", host_with_hole, 0, SIZE, ACCESS_ALL, EFAULT },
	{ "hole, before it", host_with_hole, 0, 4 * PAGE, ACCESS_ALL, 0 },
	{ "unmapped", host_unmapped, 0, SIZE, ACCESS_ALL, EFAULT },
	{ "null", host_null, 0, SIZE, ACCESS_ALL, EFAULT },
	{ "kernel address", host_kernel_address, 0, SIZE, ACCESS_ALL, -1 },
};

#define CASES ARRAY_SIZE(cases)

static int errno_of(struct ibv_pd *pd, const struct case_ *c)
{
	uint8_t *bytes = c->memory();
	struct ibv_mr *mr;

	if (bytes == MAP_FAILED)
		fail_msg("%s: no memory: %s", c->name, strerror(errno));
	mr = ibv_reg_mr(pd, bytes + c->offset, c->length, c->access);
	if (!mr)
		return errno;
	assert_ptr_equal(mr->addr, bytes + c->offset);
	assert_int_equal(mr->length, c->length);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

/* A process of its own: what it maps goes with it. */
static void run_cases(int socket, void *argument)
{
	struct device device;
	int errors[CASES];

	(void)argument;
	device_open(&device);
	for (size_t i = 0; i < CASES; i++)
		errors[i] = errno_of(device.pd, &cases[i]);
	device_close(&device);
	send_message(socket, errors, sizeof(errors));
}

static void gather(void (*run)(int, void *), int *errors, size_t size)
{
	struct child child;

	child_start(&child, run, NULL);
	receive_message(child.socket, errors, size);
	child_finish(&child);
}

static void same_results(void **state)
{
	int without[CASES], with[CASES], differ = 0;

	(void)state;
	set_huge_pages("4\n");
	modules_unload();
	gather(run_cases, without, sizeof(without));
	modules_load();
	gather(run_cases, with, sizeof(with));
	set_huge_pages("0\n");

	for (size_t i = 0; i < CASES; i++) {
		bool wrong = without[i] != with[i] ||
			     (cases[i].error >= 0 && with[i] != cases[i].error);

		print_message("%c %-40s without: %-20s with: %s\n",
			      wrong ? '!' : ' ', cases[i].name,
			      strerror(without[i]), strerror(with[i]));
		differ += wrong;
	}
	assert_int_equal(differ, 0);
}

/* As nobody, who may pin 64 KiB: what fits, what does not, what is freed. */
static void run_limited(int socket, void *argument)
{
	const struct rlimit limit = { SIZE, SIZE };
	struct ibv_mr *first, *second;
	struct device device;
	uint8_t *bytes = host_anonymous();
	int errors[3] = { 0 };

	(void)argument;
	device_open(&device);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	become(NOBODY);

	first = ibv_reg_mr(device.pd, bytes, SIZE, ACCESS_ALL);
	errors[0] = first ? 0 : errno;
	second = ibv_reg_mr(device.pd, bytes, PAGE, ACCESS_ALL);
	errors[1] = second ? 0 : errno;
	if (first)
		ibv_dereg_mr(first);
	first = ibv_reg_mr(device.pd, bytes, SIZE, ACCESS_ALL);
	errors[2] = first ? 0 : errno;
	send_message(socket, errors, sizeof(errors));
}

static void same_memory_limit(void **state)
{
	int without[3], with[3];

	(void)state;
	modules_unload();
	gather(run_limited, without, sizeof(without));
	modules_load();
	gather(run_limited, with, sizeof(with));
	assert_int_equal(with[0], 0);
	assert_int_equal(with[1], ENOMEM);
	assert_int_equal(with[2], 0);
	assert_memory_equal(with, without, sizeof(with));
}

static const struct test tests[] = {
	TEST("verbs/host-memory-unchanged", same_results),
	TEST("verbs/host-memory-limit-unchanged", same_memory_limit),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
