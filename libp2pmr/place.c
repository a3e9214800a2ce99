// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping where address and BAR are congruent, see place.h. */
#define _GNU_SOURCE
#include "place.h"

#include <errno.h>
#include <sys/mman.h>

/* Of x86-64 and of arm64 with 4 KiB pages, largest first. */
static const size_t large_pages[] = { 1ul << 30, 1ul << 21 };

#define TRIES 8

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

/* A free place, which another thread may have taken when this returns. */
static void *find_place(uint64_t offset, size_t length, size_t alignment)
{
	size_t room = length + alignment;
	uint8_t *found =
		mmap(NULL, room, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (found == MAP_FAILED)
		return NULL;
	munmap(found, room);
	return found + ((offset - (uintptr_t)found) & (alignment - 1));
}

/* Mapped at the place, or nothing: a kernel before 4.17 takes it for a hint. */
static void *mmap_at(void *place, int fd, uint64_t offset, size_t length,
		     int prot)
{
	void *mapped = mmap(place, length, prot,
			    MAP_SHARED | MAP_FIXED_NOREPLACE, fd, offset);

	if (mapped == MAP_FAILED || mapped == place)
		return mapped;
	munmap(mapped, length);
	errno = EEXIST;
	return MAP_FAILED;
}

void *place_mmap(int fd, uint64_t offset, size_t length, int prot)
{
	size_t alignment = alignment_for(offset, length);
	void *place, *mapped;

	/* Others look for room too; but not many times in a row. */
	for (int tries = 0; alignment && tries < TRIES; tries++) {
		place = find_place(offset, length, alignment);
		/* Not everybody has room for two; then it is given up. */
		if (!place)
			break;
		mapped = mmap_at(place, fd, offset, length, prot);
		if (mapped != MAP_FAILED || errno != EEXIST)
			return mapped;
	}
	return mmap(NULL, length, prot, MAP_SHARED, fd, offset);
}
