// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Each call of the library with each call that it makes itself failing once:
 * the n-th, for all n until it gets through. It fails with that errno, or does
 * its work all the same; and nothing is left behind.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>
#include <p2pmr_provider.h>

#include "bound.h"
#include "endpoint.h"
#include "part.h"
#include "runner.h"
#include "system.h"

/* ------------------------------------------------ calls that may fail -- */

/* Counts down to the call that fails; negative: none does. */
static int until_failure = -1;
static int failure_errno;
static bool has_failed;
/* Allocated and not freed by the library, while it is at work. */
static long blocks;
static bool at_work;

static bool fails(int error)
{
	if (until_failure < 0 || until_failure-- > 0)
		return false;
	has_failed = true;
	failure_errno = error;
	errno = error;
	return true;
}

/* The linker leads the library's calls to __wrap_... */
#define WRAP(type, name, parameters, arguments, error, failed)            \
	type __real_##name parameters;                                    \
	type __wrap_##name parameters;                                    \
	type __wrap_##name parameters                                     \
	{                                                                 \
		return fails(error) ? (failed) : __real_##name arguments; \
	}

WRAP(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size),
     EIO, -1)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), EOVERFLOW, -1)
WRAP(int, fstatfs, (int fd, struct statfs *facts), (fd, facts), ENOSYS, -1)
WRAP(ssize_t, readlink, (const char *path, char *buffer, size_t size),
     (path, buffer, size), ELOOP, -1)
WRAP(int, ioctl, (int fd, unsigned long request, void *argument),
     (fd, request, argument), ENOMEM, -1)
WRAP(void *, mmap,
     (void *address, size_t length, int prot, int flags, int fd, off_t offset),
     (address, length, prot, flags, fd, offset), ENOMEM, MAP_FAILED)
WRAP(int, eventfd, (unsigned int value, int flags), (value, flags), ENFILE, -1)
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fails(EMFILE) ? -1 : __real_open(path, flags, mode);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	if (fails(ENOMEM))
		return NULL;
	blocks += at_work;
	return __real_calloc(count, size);
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
	blocks -= at_work && block;
	__real_free(block);
}

/* ------------------------------- a provider of the test's, and a NIC's -- */

static struct memory memory;

static bool has_provider, is_silent;
/* The device has a driver that pins no device memory, but takes dma-bufs. */
static bool is_nic;

struct ibv_mr *__real_ibv_reg_mr_iova2(struct ibv_pd *pd, void *address,
				       size_t length, uint64_t iova,
				       unsigned int access);
struct ibv_mr *__wrap_ibv_reg_mr_iova2(struct ibv_pd *pd, void *address,
				       size_t length, uint64_t iova,
				       unsigned int access);
struct ibv_mr *__wrap_ibv_reg_mr_iova2(struct ibv_pd *pd, void *address,
				       size_t length, uint64_t iova,
				       unsigned int access)
{
	if (fails(ENOSPC))
		return NULL;
	if (is_nic) {
		errno = EFAULT;
		return NULL;
	}
	return __real_ibv_reg_mr_iova2(pd, address, length, iova, access);
}

struct ibv_mr *__wrap_ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset,
					size_t length, uint64_t iova, int fd,
					int access);
struct ibv_mr *__wrap_ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset,
					size_t length, uint64_t iova, int fd,
					int access)
{
	(void)fd;
	if (fails(ENOBUFS))
		return NULL;
	return __real_ibv_reg_mr_iova2(pd, memory.bytes + offset, length, iova,
				       access);
}

static bool owns(const struct ibv_context *context)
{
	return context && has_provider;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *address, size_t length,
			     uint64_t iova, unsigned int access,
			     const struct p2pmr_reg_mr_req *req,
			     struct p2pmr_reg_mr_resp *resp)
{
	resp->size = is_silent ? 0 : sizeof(*resp);
	(void)req;
	return __wrap_ibv_reg_mr_iova2(pd, address, length, iova, access);
}

static const struct p2pmr_provider own_provider = { .owns = owns,
						    .reg_mr = reg_mr };

const struct p2pmr_provider *__wrap_provider_of(const struct ibv_context *c);
const struct p2pmr_provider *__wrap_provider_of(const struct ibv_context *c)
{
	return own_provider.owns(c) ? &own_provider : NULL;
}

/* ------------------------------------------------------- what is left -- */

struct possessions {
	long blocks;
	long descriptors;
	long pages;
	long ranges;
};

static long count_entries(const char *path)
{
	DIR *dir = opendir(path);
	long entries = 0;

	assert_non_null(dir);
	while (readdir(dir))
		entries++;
	closedir(dir);
	return entries;
}

/* Of the address space; mappings side by side count as one, their pages do not. */
static long count_pages(void)
{
	char *statm = read_file("/proc/self/statm");
	long pages = atol(statm);

	free(statm);
	return pages;
}

static struct possessions possessions(void)
{
	/* valgrind maps what it needs for code that runs for the first time. */
	bool is_alone = !getenv("P2PMR_UNDER_VALGRIND");

	return (struct possessions){
		.blocks = blocks,
		.descriptors = count_entries("/proc/self/fd"),
		.pages = is_alone ? count_pages() : 0,
		.ranges = ranges_of(getpid(), "live"),
	};
}

/* ---------------------------------------------------------- scenarios -- */

static struct device device;

static void *map_by_address(void)
{
	return p2pmr_map_bar(function_address(FIRST), 2, NULL);
}

static void *map_by_sysfs(void)
{
	return p2pmr_map_file(bar_path(BAR), NULL);
}

static void *map_by_driver(void)
{
	return p2pmr_map_file(bar_file(FIRST, 2, false), NULL);
}

static void end_mapping(void *mapping)
{
	assert_int_equal(p2pmr_mapping_length(mapping), bar_size(BAR));
	assert_int_equal(p2pmr_unmap(mapping), 0);
}

/* Of more segments than the first attempt has room for. */
static void *query_segments(void)
{
	return p2pmr_query(memory.bytes, memory.size);
}

static void end_answer(void *answer)
{
	assert_int_equal(p2pmr_answer_count(answer), 20);
	p2pmr_answer_free(answer);
}

static void *reg_with(uint32_t flags)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr), .flags = flags };

	return p2pmr_reg_mr(device.pd, memory.bytes, PAGE, ACCESS_ALL, &attr);
}

static void *reg_plain(void)
{
	return reg_with(0);
}

static void *reg_extended(void)
{
	return reg_with(P2PMR_REG_EVENTFD);
}

static void *reg_device_only(void)
{
	return reg_with(P2PMR_REG_REQUIRE_DEVICE);
}

static void end_mr(void *mr)
{
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
}

struct scenario {
	void *(*begin)(void);
	void (*end)(void *handle);
	int least;		 /* calls that it makes */
	enum memory_kind memory; /* to ask about or to register */
	bool provider;
	bool bound;
	bool striped;
	/* On a NIC, and what it fails with if p2pmr cannot be asked. */
	bool nic;
	int unasked;
};

static const struct scenario scenarios[] = {
	{ map_by_address, end_mapping, 7, .memory = HOST },
	{ map_by_sysfs, end_mapping, 7, .memory = HOST },
	{ map_by_driver, end_mapping, 8, .memory = HOST, .bound = true },
	{ query_segments, end_answer, 6, .memory = HOST, .striped = true },
	{ reg_plain, end_mr, 2, .memory = BAR },
	{ reg_extended, end_mr, 3, .memory = BAR, .provider = true },
	{ reg_extended, end_mr, 3, .memory = HOST, .provider = true },
	{ reg_plain, end_mr, 14, .memory = BAR, .nic = true,
	  .unasked = EFAULT },
	{ reg_device_only, end_mr, 9, .memory = BAR, .nic = true,
	  .unasked = EOPNOTSUPP },
};

static void *begin(const struct scenario *s)
{
	void *handle;

	at_work = true;
	handle = s->begin();
	at_work = false;
	return handle;
}

static void end(const struct scenario *s, void *handle)
{
	at_work = true;
	s->end(handle);
	at_work = false;
}

static void prepare(const struct scenario *s)
{
	has_provider = s->provider;
	is_silent = false;
	device_open(&device);
	is_nic = s->nic;
	if (is_nic)
		strcpy(device.context->device->name, "nic0");
	memory_map(&memory, s->memory, 20 * PAGE);
	for (size_t page = 1; s->striped && page < 20; page += 2)
		assert_int_equal(munmap(memory.bytes + page * PAGE, PAGE), 0);
	if (s->bound)
		function_bind(FIRST);
}

static void finish(const struct scenario *s)
{
	memory_release(&memory);
	if (is_nic)
		strcpy(device.context->device->name, need_env("P2PMR_DEV"));
	device_close(&device);
	if (s->bound)
		function_unbind(FIRST);
}

static void assert_nothing_left(const struct possessions *before, int n)
{
	struct possessions now = possessions();

	if (memcmp(&now, before, sizeof(now)))
		fail_msg("after call %d has failed: %+ld blocks, %+ld "
			 "descriptors, %+ld pages, %+ld ranges",
			 n, now.blocks - before->blocks,
			 now.descriptors - before->descriptors,
			 now.pages - before->pages,
			 now.ranges - before->ranges);
}

static void every_call_fails_once(void **state)
{
	const struct scenario *s = *state;
	struct possessions before;
	int n, refused = 0;

	prepare(s);
	/* What libraries keep from their first use on is there after it. */
	end(s, begin(s));
	possessions();
	before = possessions();
	for (n = 0;; n++) {
		void *handle;
		int error;

		has_failed = false;
		until_failure = n;
		handle = begin(s);
		error = errno;
		until_failure = -1;
		if (handle) {
			end(s, handle);
		} else {
			assert_true(has_failed);
			assert_true(error == failure_errno ||
				    (s->unasked && error == s->unasked));
			refused++;
		}
		assert_nothing_left(&before, n);
		if (!has_failed)
			break;
	}
	assert_true(n >= s->least && refused >= 2);
	finish(s);
}

/* The kernel has not looked at the request: the MR goes again. */
static void unseen_request(void **state)
{
	const struct scenario *s = *state;
	struct possessions before;

	prepare(s);
	end(s, begin(s));
	is_silent = true;
	before = possessions();
	assert_null(begin(s));
	assert_int_equal(errno, EPROTONOSUPPORT);
	assert_nothing_left(&before, 0);
	finish(s);
}

static const struct test tests[] = {
	TEST_OF(LIB_TEST("failing-map-by-address"), every_call_fails_once,
		&scenarios[0]),
	TEST_OF(LIB_TEST("failing-map-by-sysfs"), every_call_fails_once,
		&scenarios[1]),
	TEST_OF(LIB_TEST("failing-map-by-driver"), every_call_fails_once,
		&scenarios[2]),
	TEST_OF(LIB_TEST("failing-query"), every_call_fails_once,
		&scenarios[3]),
	TEST_OF(LIB_TEST("failing-reg"), every_call_fails_once, &scenarios[4]),
	TEST_OF(LIB_TEST("failing-reg-extended"), every_call_fails_once,
		&scenarios[5]),
	TEST_OF(LIB_TEST("failing-reg-of-host-memory"), every_call_fails_once,
		&scenarios[6]),
	TEST_OF(LIB_TEST("failing-reg-on-nic"), every_call_fails_once,
		&scenarios[7]),
	TEST_OF(LIB_TEST("failing-reg-on-nic-of-device-memory"),
		every_call_fails_once, &scenarios[8]),
	TEST_OF(LIB_TEST("failing-unseen-request"), unseen_request,
		&scenarios[5]),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
