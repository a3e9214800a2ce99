// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Copying between device and host memory. The device's side decides where
 * pieces begin: there an access that is not aligned becomes two on the bus, or
 * none at all on some CPUs, while the host's side may lie anywhere.
 */
#include "copy.h"

#include <stdint.h>
#include <string.h>

#include <infiniband/p2pmr.h>

/* Before reading: what this thread has stored must not still be on its way. */
static void fence_before_reading(void)
{
	__sync_synchronize();
}

/* Streaming loads heed no order, and the caller's next load counts on one. */
static void fence_after_reading(void)
{
#if defined(__x86_64__)
	__builtin_ia32_lfence();
#else
	__sync_synchronize();
#endif
}

/* Write-combining and non-temporal stores wait in buffers until then. */
static void fence_after_writing(void)
{
#if defined(__x86_64__)
	__builtin_ia32_sfence();
#else
	__sync_synchronize();
#endif
}

/* The widest access that is aligned at the device and not too long. */
static size_t piece_at(const volatile void *device, size_t length)
{
	uintptr_t address = (uintptr_t)device;

	for (size_t width = 8; width > 1; width /= 2)
		if (!(address & (width - 1)) && length >= width)
			return width;
	return 1;
}

static void store(volatile void *device, const uint8_t *source, size_t width)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (width) {
	case 8:
		memcpy(&u64, source, 8);
		*(volatile uint64_t *)device = u64;
		break;
	case 4:
		memcpy(&u32, source, 4);
		*(volatile uint32_t *)device = u32;
		break;
	case 2:
		memcpy(&u16, source, 2);
		*(volatile uint16_t *)device = u16;
		break;
	default:
		*(volatile uint8_t *)device = *source;
	}
}

static void load(uint8_t *destination, const volatile void *device,
		 size_t width)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (width) {
	case 8:
		u64 = *(const volatile uint64_t *)device;
		memcpy(destination, &u64, 8);
		break;
	case 4:
		u32 = *(const volatile uint32_t *)device;
		memcpy(destination, &u32, 4);
		break;
	case 2:
		u16 = *(const volatile uint16_t *)device;
		memcpy(destination, &u16, 2);
		break;
	default:
		*destination = *(const volatile uint8_t *)device;
	}
}

void copy_to_plain(void *device, const void *source, size_t length)
{
	const uint8_t *from = source;
	uint8_t *to = device;

	while (length) {
		size_t width = piece_at(to, length);

		store(to, from, width);
		to += width;
		from += width;
		length -= width;
	}
}

void copy_from_plain(void *destination, const void *device, size_t length)
{
	const uint8_t *from = device;
	uint8_t *to = destination;

	while (length) {
		size_t width = piece_at(from, length);

		load(to, from, width);
		to += width;
		from += width;
		length -= width;
	}
}

/* Bytes before the first whole line, and how many lines follow. */
static size_t split(const void *device, size_t length, size_t *lines)
{
	size_t head = -(uintptr_t)device & (COPY_LINE - 1);

	if (head > length)
		head = length;
	*lines = (length - head) / COPY_LINE;
	return head;
}

void copy_to_combining(void *device, const void *source, size_t length,
		       const struct copy_stream *stream)
{
	size_t lines, head = split(device, length, &lines), body;
	const uint8_t *from = source;
	uint8_t *to = device;

	if (!stream || !lines) {
		copy_to_plain(device, source, length);
	} else {
		body = lines * COPY_LINE;
		copy_to_plain(to, from, head);
		stream->to(to + head, from + head, lines);
		copy_to_plain(to + head + body, from + head + body,
			      length - head - body);
	}
	fence_after_writing();
}

void copy_from_combining(void *destination, const void *device, size_t length,
			 const struct copy_stream *stream)
{
	size_t lines, head = split(device, length, &lines), body;
	const uint8_t *from = device;
	uint8_t *to = destination;

	fence_before_reading();
	if (!stream || !lines) {
		copy_from_plain(destination, device, length);
	} else {
		body = lines * COPY_LINE;
		copy_from_plain(to, from, head);
		stream->from(to + head, from + head, lines);
		copy_from_plain(to + head + body, from + head + body,
				length - head - body);
	}
	fence_after_reading();
}

static bool is_cached(uint32_t caching)
{
	return caching == P2PMR_CACHING_WRITE_BACK ||
	       caching == P2PMR_CACHING_WRITE_THROUGH ||
	       caching == P2PMR_CACHING_WRITE_PROTECTED;
}

void p2pmr_copy_to(void *device, const void *source, size_t length,
		   uint32_t caching)
{
	/* Of nothing, even where pointers are null. */
	if (!length)
		return;
	if (caching == P2PMR_CACHING_WRITE_COMBINING) {
		copy_to_combining(device, source, length, copy_best_stream());
	} else if (is_cached(caching)) {
		memcpy(device, source, length);
	} else {
		copy_to_plain(device, source, length);
		/* It may be write-combining, for all that is known. */
		fence_after_writing();
	}
}

void p2pmr_copy_from(void *destination, const void *device, size_t length,
		     uint32_t caching)
{
	if (!length)
		return;
	if (caching == P2PMR_CACHING_WRITE_COMBINING) {
		copy_from_combining(destination, device, length,
				    copy_best_stream());
	} else if (is_cached(caching)) {
		memcpy(destination, device, length);
	} else {
		fence_before_reading();
		copy_from_plain(destination, device, length);
		fence_after_reading();
	}
}
