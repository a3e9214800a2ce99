// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Finding the pool of device memory, and room in it, see dm_pool.h. */
#include "dm_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARIABLE "P2PMR_DM_BAR"

struct pool {
	char path[PATH_MAX];
	off_t start, end; /* in the file, whole pages; end 0: of the file */
};

static uint64_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static bool parse_number(const char *text, off_t *number)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || value > INT64_MAX ||
	    value % page_size())
		return false;
	*number = value;
	return true;
}

/* Where the offset begins: of folders and addresses of PCI functions no colon counts. */
static char *skip_file(char *path)
{
	char *slash = strrchr(path, '/');
	char *name = slash ? slash + 1 : path;
	int address = 0;

	sscanf(name, "%*x:%*x:%*x.%*x%n", &address);
	return strchr(name + address, ':');
}

static int parse(struct pool *pool)
{
	const char *text = secure_getenv(VARIABLE);
	char *offset, *length = NULL;

	memset(pool, 0, sizeof(*pool));
	if (!text || !*text)
		return EOPNOTSUPP;
	if (strlen(text) >= sizeof(pool->path))
		return ENAMETOOLONG;
	strcpy(pool->path, text);
	offset = skip_file(pool->path);
	if (!offset)
		return 0;
	*offset++ = '\0';
	length = strchr(offset, ':');
	if (length)
		*length++ = '\0';
	if (!parse_number(offset, &pool->start) ||
	    (length && !parse_number(length, &pool->end)) ||
	    (length && !pool->end) || pool->end > INT64_MAX - pool->start)
		return EINVAL;
	if (length)
		pool->end += pool->start;
	return 0;
}

/* Opens the file; its size limits the pool, if it has one. */
static int open_pool(struct pool *pool, int *fd)
{
	struct stat facts;
	int error = parse(pool);

	if (error)
		return error;
	*fd = open(pool->path, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return errno;
	if (fstat(*fd, &facts)) {
		error = errno;
	} else if (S_ISREG(facts.st_mode)) {
		if (!pool->end)
			pool->end = facts.st_size & -(off_t)page_size();
		if (pool->end > facts.st_size || pool->start >= pool->end)
			error = EINVAL;
	} else if (!pool->end) {
		/* A device file does not say how long it is. */
		error = EINVAL;
	}
	if (error)
		close(*fd);
	return error;
}

uint64_t p2pmr_dm_pool_size(void)
{
	struct pool pool;
	int fd;

	if (open_pool(&pool, &fd))
		return 0;
	close(fd);
	return pool.end - pool.start;
}

/* First fit: from what is in the way on to where that ends. */
static int find_place(const struct pool *pool,
		      const struct p2pmr_dm_space *space, off_t size,
		      off_t alignment, off_t *start)
{
	off_t at = pool->start;
	int error;

	do {
		at = (at + alignment - 1) & -alignment;
		if (at > pool->end || size > pool->end - at)
			return ENOMEM;
		*start = at;
		error = p2pmr_dm_space_take(space, at, size, &at);
	} while (error == EAGAIN && at > *start);
	return error == EAGAIN ? ENOMEM : error;
}

static int map(struct p2pmr_dm_range *range, int fd)
{
	int error;

	range->bytes = mmap(NULL, range->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, range->start);
	if (range->bytes == MAP_FAILED)
		return errno;
	error = p2pmr_dm_space_check(&range->space, range->start, range->bytes,
				     range->size);
	if (error)
		munmap(range->bytes, range->size);
	return error;
}

static int take(const struct pool *pool, int fd, uint64_t length,
		uint64_t alignment, struct p2pmr_dm_range *range)
{
	uint64_t page = page_size();
	int error;

	if (alignment < page)
		alignment = page;
	if (length > (uint64_t)(pool->end - pool->start) ||
	    alignment > (uint64_t)pool->end)
		return ENOMEM;
	range->size = (length + page - 1) & -page;
	error = p2pmr_dm_space_open(&range->space, fd, pool->start);
	if (error)
		return error;
	error = find_place(pool, &range->space, range->size, alignment,
			   &range->start);
	if (!error)
		error = map(range, fd);
	if (error)
		close(range->space.fd);
	return error;
}

int p2pmr_dm_pool_take(uint64_t length, uint64_t alignment,
		       struct p2pmr_dm_range *range)
{
	struct pool pool;
	int fd, error;

	if (!length)
		return EINVAL;
	error = open_pool(&pool, &fd);
	if (error)
		return error;
	error = take(&pool, fd, length, alignment, range);
	close(fd);
	return error;
}

void p2pmr_dm_pool_give_back(struct p2pmr_dm_range *range)
{
	munmap(range->bytes, range->size);
	p2pmr_dm_space_give_back(&range->space, range->start, range->size);
}
