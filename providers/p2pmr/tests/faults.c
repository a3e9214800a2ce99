// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Failing calls of the provider's, and what is left behind, see faults.h. */
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runner.h"
#include "system.h"

/* Counts down to the call that fails; negative: none does. */
static int until_failure = -1;
static int failure_errno;
static bool has_failed;
/* Allocated and not freed by the provider, while it is at work. */
static long blocks;
static bool at_work;

static bool fails(int error)
{
	if (!at_work || until_failure < 0 || until_failure-- > 0)
		return false;
	has_failed = true;
	failure_errno = error;
	errno = error;
	return true;
}

/* -------------------------------------------- the provider's own calls -- */

#define WRAP(type, name, parameters, arguments, error, failed)            \
	type __real_##name parameters;                                    \
	type __wrap_##name parameters;                                    \
	type __wrap_##name parameters                                     \
	{                                                                 \
		return fails(error) ? (failed) : __real_##name arguments; \
	}

WRAP(int, fstat, (int fd, struct stat *st), (fd, st), EOVERFLOW, -1)
WRAP(void *, mmap,
     (void *address, size_t length, int prot, int flags, int fd, off_t offset),
     (address, length, prot, flags, fd, offset), EAGAIN, MAP_FAILED)

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

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	va_list ap;
	void *argument;

	va_start(ap, command);
	argument = va_arg(ap, void *);
	va_end(ap);
	return fails(ENOLCK) ? -1 : __real_fcntl(fd, command, argument);
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

/* libibverbs allocates what the provider frees; if it cannot, it closes fd. */
void *__real__verbs_init_and_alloc_context(struct ibv_device *device, int fd,
					   size_t size,
					   struct verbs_context *offset,
					   uint32_t driver);
void *__wrap__verbs_init_and_alloc_context(struct ibv_device *device, int fd,
					   size_t size,
					   struct verbs_context *offset,
					   uint32_t driver);
void *__wrap__verbs_init_and_alloc_context(struct ibv_device *device, int fd,
					   size_t size,
					   struct verbs_context *offset,
					   uint32_t driver)
{
	if (fails(ENOMEM)) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	blocks += at_work;
	return __real__verbs_init_and_alloc_context(device, fd, size, offset,
						    driver);
}

/* ----------------------------------- commands: libibverbs finds these -- */

/* An errno that means nothing special to libibverbs. */
#define REFUSED ENOSPC

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *argument;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	return fails(REFUSED) ? -1 : syscall(SYS_ioctl, fd, request, argument);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	return fails(REFUSED) ? -1 : syscall(SYS_write, fd, bytes, size);
}

/* ------------------------------------------------------- what is left -- */

struct possessions {
	long blocks;
	long descriptors;
	long pages;
};

/* Sanitizers and valgrind map what they need as they go. */
static bool is_alone(void)
{
#ifdef __SANITIZE_ADDRESS__
	return false;
#else
	return !getenv("P2PMR_UNDER_VALGRIND");
#endif
}

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

/* Of the address space. */
static long count_pages(void)
{
	char *statm = read_file("/proc/self/statm");
	long pages = atol(statm);

	free(statm);
	return pages;
}

static struct possessions possessions(void)
{
	return (struct possessions){
		.blocks = blocks,
		.descriptors = count_entries("/proc/self/fd"),
		.pages = is_alone() ? count_pages() : 0,
	};
}

static void assert_nothing_left(const struct scenario *s, const char *when,
				const struct possessions *before, int n)
{
	struct possessions now = possessions();

	if (memcmp(&now, before, sizeof(now)))
		fail_msg("%s, call %d of %s has failed: %+ld blocks, "
			 "%+ld descriptors, %+ld pages",
			 s->what, n, when, now.blocks - before->blocks,
			 now.descriptors - before->descriptors,
			 now.pages - before->pages);
}

/* The kernel's objects of the device, as it counts them. */
static void kernel_objects(char text[256])
{
	char command[128];
	FILE *rdma;

	snprintf(command, sizeof(command), "rdma resource show %s",
		 need_env("P2PMR_DEV"));
	rdma = popen(command, "r");
	assert_non_null(rdma);
	assert_non_null(fgets(text, 256, rdma));
	assert_int_equal(pclose(rdma), 0);
}

/* ------------------------------------------------------------ failing -- */

static void *begin(const struct scenario *s, int n, int *error)
{
	void *object;

	has_failed = false;
	until_failure = n;
	at_work = true;
	object = s->begin();
	*error = errno;
	at_work = false;
	until_failure = -1;
	return object;
}

static int end(const struct scenario *s, void *object, int n)
{
	int error;

	has_failed = false;
	until_failure = n;
	at_work = true;
	error = s->end(object);
	at_work = false;
	until_failure = -1;
	return error;
}

static void *must_begin(const struct scenario *s)
{
	int error;
	void *object = begin(s, -1, &error);

	if (!object)
		fail_msg("%s: %s", s->what, strerror(error));
	return object;
}

static void must_end(const struct scenario *s, void *object)
{
	int error = end(s, object, -1);

	if (error)
		fail_msg("end of %s: %s", s->what, strerror(error));
}

static void assert_failure(const struct scenario *s, int n, int error)
{
	if (!has_failed || error != failure_errno)
		fail_msg("%s, call %d: \"%s\", not \"%s\"", s->what, n,
			 strerror(error),
			 has_failed ? strerror(failure_errno) : "success");
}

static int fail_beginnings(const struct scenario *s,
			   const struct possessions *before)
{
	int error, refused = 0, n = 0;

	for (;; n++) {
		void *object = begin(s, n, &error);
		bool got_through = !has_failed;

		if (object) {
			must_end(s, object);
		} else {
			assert_failure(s, n, error);
			refused++;
		}
		assert_nothing_left(s, "begin", before, n);
		if (got_through)
			break;
		must_end(s, must_begin(s));
	}
	if (n < s->least || !refused)
		fail_msg("%s: %d calls, of which %d matter", s->what, n,
			 refused);
	return n;
}

static int fail_endings(const struct scenario *s,
			const struct possessions *before)
{
	void *object = must_begin(s);
	int n;

	for (n = 0;; n++) {
		int error = end(s, object, n);
		bool got_through = !has_failed;

		if (error) {
			assert_failure(s, n, error);
			continue;
		}
		/* What has not been done for it is done later. */
		if (!got_through)
			must_end(s, must_begin(s));
		assert_nothing_left(s, "end", before, n);
		if (got_through)
			break;
		object = must_begin(s);
	}
	return n;
}

static int fail_each(const struct scenario *s)
{
	char objects[256], later[256];
	struct possessions before;
	int beginnings, endings;

	/* What libraries keep from their first use on is there after it. */
	must_end(s, must_begin(s));
	possessions();
	before = possessions();
	if (is_alone())
		kernel_objects(objects);
	beginnings = fail_beginnings(s, &before);
	endings = fail_endings(s, &before);
	if (is_alone()) {
		kernel_objects(later);
		assert_string_equal(objects, later);
	}
	printf("%s: %d calls to begin, %d to end\n", s->what, beginnings,
	       endings);
	return beginnings + endings;
}

void fail_each_call(const struct scenario *scenarios, size_t count)
{
	int calls = 0;

	for (size_t i = 0; i < count; i++)
		calls += fail_each(&scenarios[i]);
	printf("in all: %d\n", calls);
}
