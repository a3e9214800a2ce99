// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Making every kind of host memory, see host_kinds.h. */
#define _GNU_SOURCE
#include "host_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define ANONYMOUS  (MAP_PRIVATE | MAP_ANONYMOUS)

void *host_anonymous(void)
{
	return mmap(NULL, HOST_SIZE, READ_WRITE, ANONYMOUS, -1, 0);
}

void *host_anonymous_shared(void)
{
	return mmap(NULL, HOST_SIZE, READ_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		    0);
}

void *host_read_only(void)
{
	return mmap(NULL, HOST_SIZE, PROT_READ, ANONYMOUS, -1, 0);
}

void *host_without_rights(void)
{
	return mmap(NULL, HOST_SIZE, PROT_NONE, ANONYMOUS, -1, 0);
}

void *host_huge(void)
{
	return mmap(NULL, HUGE_PAGE, READ_WRITE, ANONYMOUS | MAP_HUGETLB, -1,
		    0);
}

static void *of_file(int prot, int flags)
{
	char path[] = "/var/tmp/p2pmr-XXXXXX";
	int fd = mkstemp(path);
	void *mapped;

	if (fd < 0 || ftruncate(fd, HOST_SIZE))
		return MAP_FAILED;
	mapped = mmap(NULL, HOST_SIZE, prot, flags, fd, 0);
	unlink(path);
	close(fd);
	return mapped;
}

void *host_file_shared(void)
{
	return of_file(READ_WRITE, MAP_SHARED);
}

void *host_file_private(void)
{
	return of_file(READ_WRITE, MAP_PRIVATE);
}

void *host_file_read_only(void)
{
	return of_file(PROT_READ, MAP_SHARED);
}

void *host_memfd(void)
{
	int fd = memfd_create("host memory", MFD_CLOEXEC);
	void *mapped;

	if (fd < 0 || ftruncate(fd, HOST_SIZE))
		return MAP_FAILED;
	mapped = mmap(NULL, HOST_SIZE, READ_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return mapped;
}

/* A file that ends before its mapping does. */
void *host_file_too_short(void)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	void *mapped;

	if (fd < 0 || ftruncate(fd, PAGE))
		return MAP_FAILED;
	mapped = mmap(NULL, HOST_SIZE, READ_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return mapped;
}

void *host_with_hole(void)
{
	uint8_t *bytes = host_anonymous();

	if (bytes == MAP_FAILED || munmap(bytes + 4 * PAGE, PAGE))
		return MAP_FAILED;
	return bytes;
}

void *host_half_read_only(void)
{
	uint8_t *bytes = host_anonymous();

	if (bytes == MAP_FAILED ||
	    mprotect(bytes + HOST_SIZE / 2, HOST_SIZE / 2, PROT_READ))
		return MAP_FAILED;
	return bytes;
}

void *host_unmapped(void)
{
	void *bytes = host_anonymous();

	if (bytes == MAP_FAILED || munmap(bytes, HOST_SIZE))
		return MAP_FAILED;
	return bytes;
}

void *host_null(void)
{
	return NULL;
}

void *host_kernel_address(void)
{
	return (void *)0xffff800000000000ul;
}

void set_huge_pages(const char *count)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "w");

	assert_non_null(file);
	assert_true(fputs(count, file) >= 0);
	assert_int_equal(fclose(file), 0);
}
