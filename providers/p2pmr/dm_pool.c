// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Who has which part of the pool of device memory, see dm_pool.h. */
#include "dm_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
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

/* Addresses of PCI functions have colons, so the last part of the path counts. */
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
	offset = strrchr(pool->path, '/');
	offset = strchr(offset ? offset : pool->path, ':');
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

static struct flock lock_of(off_t start, off_t size)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = start,
		.l_len = size,
	};

	return lock;
}

/* First fit: from what is in the way on to where that ends. */
static int find_place(const struct pool *pool, int fd, off_t size,
		      off_t alignment, off_t *start)
{
	struct flock lock;
	off_t at = pool->start;

	for (;;) {
		at = (at + alignment - 1) & -alignment;
		if (at > pool->end || size > pool->end - at)
			return ENOMEM;
		lock = lock_of(at, size);
		if (!fcntl(fd, F_OFD_SETLK, &lock)) {
			*start = at;
			return 0;
		}
		if (errno != EAGAIN && errno != EACCES)
			return errno;
		lock = lock_of(at, size);
		if (fcntl(fd, F_OFD_GETLK, &lock))
			return errno;
		/* Given back in between: the same place again. */
		if (lock.l_type == F_UNLCK)
			continue;
		if (!lock.l_len)
			return ENOMEM;
		at = lock.l_start + lock.l_len;
	}
}

int p2pmr_dm_pool_take(uint64_t length, uint64_t alignment,
		       struct p2pmr_dm_range *range)
{
	uint64_t page = page_size();
	struct pool pool;
	int error;

	if (!length)
		return EINVAL;
	error = open_pool(&pool, &range->fd);
	if (error)
		return error;
	if (alignment < page)
		alignment = page;
	if (length > (uint64_t)(pool.end - pool.start) ||
	    alignment > (uint64_t)pool.end) {
		error = ENOMEM;
	} else {
		range->size = (length + page - 1) & -page;
		error = find_place(&pool, range->fd, range->size, alignment,
				   &range->start);
	}
	if (error)
		close(range->fd);
	return error;
}

void p2pmr_dm_pool_give_back(struct p2pmr_dm_range *range)
{
	struct flock lock = lock_of(range->start, range->size);

	/* A child that has been forked meanwhile holds the open file too. */
	lock.l_type = F_UNLCK;
	fcntl(range->fd, F_OFD_SETLK, &lock);
	close(range->fd);
}
