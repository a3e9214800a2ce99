// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping where address and BAR are congruent, see place.h. */
#define _GNU_SOURCE
#include "place.h"

#include <errno.h>
#include <sys/mman.h>

/* Of x86-64 and of arm64 with 4 KiB pages, largest first. */
static const size_t large_pages[] = { 1ul << 30, 1ul << 21 };

/*
 * A BAR begins at a multiple of its size, so the offset in it will do for the
 * address on the bus, as far as the BAR has large pages at all.
 */
static size_t alignment_for(uint64_t offset, size_t length)
{
	for (size_t i = 0; i < sizeof(large_pages) / sizeof(*large_pages);
	     i++) {
		size_t size = large_pages[i];
		size_t before = -offset & (size - 1);

		if (length >= size && length - size >= before)
			return size;
	}
	return 0;
}

void *place_mmap(int fd, uint64_t offset, size_t length, int prot)
{
	size_t alignment = alignment_for(offset, length), before;
	uint8_t *room = MAP_FAILED, *mapped;

	/* Not everybody has room for two; then the place is given up. */
	if (alignment)
		room = mmap(NULL, length + alignment, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return mmap(NULL, length, prot, MAP_SHARED, fd, offset);

	before = (offset - (uintptr_t)room) & (alignment - 1);
	mapped = mmap(room + before, length, prot, MAP_SHARED | MAP_FIXED, fd,
		      offset);
	if (mapped == MAP_FAILED) {
		int error = errno;

		munmap(room, length + alignment);
		errno = error;
		return MAP_FAILED;
	}
	/* Each is a mapping of its own by now, and cannot fail to be split. */
	if (before)
		munmap(room, before);
	munmap(mapped + length, alignment - before);
	return mapped;
}
