// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Locks that stand for parts of a device's memory, see dm_space.h. */
#include "dm_space.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rdma/p2pmr-abi.h>

/* Of BARs and of locks; it divides all page sizes. */
#define UNIT 4096

/* A BAR may have 2^28 units, which leaves 35 bits for its name. */
#define BAR_BITS 28

static int64_t place_of(const struct p2pmr_dm_space *space, off_t offset)
{
	return space->origin + offset / UNIT;
}

static struct flock lock_of(const struct p2pmr_dm_space *space, short type,
			    off_t offset, size_t size)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = place_of(space, offset),
		.l_len = size / UNIT,
	};

	return lock;
}

/* ENOSPC if the range is not alike throughout. */
static int ask(int fd, const void *address, size_t length,
	       struct p2pmr_query_segment *segment)
{
	struct p2pmr_ioc_query query = {
		.size = sizeof(query),
		.address = (uintptr_t)address,
		.length = length,
		.segments = (uintptr_t)segment,
		.segment_size = sizeof(*segment),
		.capacity = 1,
	};

	memset(segment, 0, sizeof(*segment));
	return ioctl(fd, P2PMR_IOC_QUERY, &query) ? errno : 0;
}

/*
 * Of PCI domains 16 bits count: two that are alike in them share the places for
 * their locks, which costs them room and nothing else.
 */
static int find_place(const struct p2pmr_location *location, int64_t *place)
{
	const uint32_t needed =
		P2PMR_LOCATION_PCI | P2PMR_LOCATION_BAR | P2PMR_LOCATION_OFFSET;
	uint64_t name = location->domain & 0xffff;

	if ((location->flags & needed) != needed ||
	    location->bar_offset % UNIT ||
	    location->bar_offset / UNIT >> BAR_BITS || location->bar > 7)
		return EOPNOTSUPP;
	name = name << 8 | location->bus;
	name = name << 8 | location->devfn;
	name = name << 3 | location->bar;
	*place = name << BAR_BITS | location->bar_offset / UNIT;
	return 0;
}

static int open_locks(int *fd)
{
	struct p2pmr_ioc_hello hello = { .size = sizeof(hello),
					 .version = P2PMR_ABI_VERSION };
	int error;

	*fd = open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT ? EOPNOTSUPP : errno;
	if (!ioctl(*fd, P2PMR_IOC_HELLO, &hello))
		return 0;
	error = errno;
	close(*fd);
	return error;
}

/* What the kernel says of the page at the offset. */
static int ask_of_file(int fd, int file, off_t offset,
		       struct p2pmr_query_segment *segment)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *bytes;
	int error;

	bytes = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file,
		     offset);
	if (bytes == MAP_FAILED)
		return errno;
	error = ask(fd, bytes, page, segment);
	munmap(bytes, page);
	return error;
}

int p2pmr_dm_space_open(struct p2pmr_dm_space *space, int file, off_t offset)
{
	struct p2pmr_query_segment segment;
	int64_t place = offset / UNIT;
	int fd, error;

	error = open_locks(&fd);
	if (error)
		return error;
	error = ask_of_file(fd, file, offset, &segment);
	if (!error && segment.kind == P2PMR_SEGMENT_DEVICE) {
		error = find_place(&segment.location, &place);
	} else if (!error) {
		close(fd);
		fd = fcntl(file, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return errno;
	}
	if (error) {
		close(fd);
		return error;
	}
	space->fd = fd;
	space->origin = place - offset / UNIT;
	space->is_device = segment.kind == P2PMR_SEGMENT_DEVICE;
	return 0;
}

int p2pmr_dm_space_take(const struct p2pmr_dm_space *space, off_t offset,
			size_t size, off_t *next)
{
	struct flock lock;

	for (;;) {
		lock = lock_of(space, F_WRLCK, offset, size);
		if (!fcntl(space->fd, F_OFD_SETLK, &lock))
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return errno;
		lock = lock_of(space, F_WRLCK, offset, size);
		if (fcntl(space->fd, F_OFD_GETLK, &lock))
			return errno;
		/* Given back in between: the same place again. */
		if (lock.l_type != F_UNLCK)
			break;
	}
	*next = 0;
	if (lock.l_len)
		*next = (lock.l_start + lock.l_len - space->origin) * UNIT;
	return EAGAIN;
}

void p2pmr_dm_space_give_back(const struct p2pmr_dm_space *space, off_t offset,
			      size_t size)
{
	struct flock lock = lock_of(space, F_UNLCK, offset, size);

	/* A child that has been forked meanwhile holds the open file too. */
	fcntl(space->fd, F_OFD_SETLK, &lock);
	close(space->fd);
}

/* A file need not be laid out as its BAR is. */
int p2pmr_dm_space_check(const struct p2pmr_dm_space *space, off_t offset,
			 const void *bytes, size_t size)
{
	struct p2pmr_query_segment segment;
	int64_t place;
	int error;

	if (!space->is_device)
		return 0;
	error = ask(space->fd, bytes, size, &segment);
	if (!error)
		error = segment.kind == P2PMR_SEGMENT_DEVICE
				? find_place(&segment.location, &place)
				: EOPNOTSUPP;
	if (error)
		return error == ENOSPC ? EOPNOTSUPP : error;
	return place == place_of(space, offset) ? 0 : EOPNOTSUPP;
}
