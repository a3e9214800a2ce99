// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The kinds of memory that are compared. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "text.h"

#define MIXED	   "mixed:"
#define HUGE_PAGE  (2ul << 20)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static bool failed(const char *kind, size_t length)
{
	char *size = text_size(length);

	complain("cannot map %s of %s: %s", size, kind, strerror(errno));
	free(size);
	return false;
}

/* Aligned for pages of every size that is compared. */
static void *reserve(size_t length)
{
	uint8_t *start =
		mmap(NULL, length + HUGE_PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	return (void *)(((uintptr_t)start + HUGE_PAGE - 1) & -HUGE_PAGE);
}

static bool map_host(struct area *area, const char *kind, size_t length)
{
	bool hugetlb = !strcmp(kind, "hugetlb");
	void *place;

	if (hugetlb)
		length = (length + HUGE_PAGE - 1) & -HUGE_PAGE;
	place = reserve(length);
	if (!place)
		return failed(kind, length);
	area->bytes = mmap(place, length, READ_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				   (hugetlb ? MAP_HUGETLB : 0),
			   -1, 0);
	if (area->bytes == MAP_FAILED)
		return failed(kind, length);
	area->length = length;
	if (!hugetlb)
		madvise(area->bytes, length,
			!strcmp(kind, "thp") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(area->bytes, 1, length);
	return true;
}

/* "0000:01:00.0:2:wc" into its parts; false if it is none. */
static bool parse_bar(const char *kind, char address[16], unsigned int *bar,
		      bool *combining)
{
	int end = 0;

	if (sscanf(kind, "%12[0-9a-fA-F:.]:%u%n", address, bar, &end) != 2 ||
	    strlen(address) != 12)
		return false;
	*combining = !strcmp(kind + end, ":wc");
	return *combining || !kind[end];
}

static bool map_whole(struct area *area, const char *kind, size_t length)
{
	struct p2pmr_map_attr attr = { .size = sizeof(attr), .length = length };
	char address[16];
	unsigned int bar;
	bool combining;

	if (parse_bar(kind, address, &bar, &combining)) {
		attr.caching = combining ? P2PMR_CACHING_WRITE_COMBINING
					 : P2PMR_CACHING_UNCACHED;
		area->mapping = p2pmr_map_bar(address, bar, &attr);
	} else {
		area->mapping = p2pmr_map_file(kind, &attr);
	}
	if (!area->mapping)
		return failed(kind, length);
	area->bytes = p2pmr_mapping_address(area->mapping);
	area->length = p2pmr_mapping_length(area->mapping);
	area->caching = p2pmr_mapping_caching(area->mapping);
	return true;
}

static int open_bar(const char *kind)
{
	char address[16], path[80];
	unsigned int bar;
	bool combining;

	if (!parse_bar(kind, address, &bar, &combining))
		return open(kind, O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%u%s",
		 address, bar, combining ? "_wc" : "");
	return open(path, O_RDWR | O_CLOEXEC);
}

static bool map_host_piece(uint8_t *place, size_t length)
{
	if (mmap(place, length, READ_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	memset(place, 1, length);
	return true;
}

static bool map_pieces(struct area *area, const char *kind, size_t length,
		       unsigned int mappings, bool mixed)
{
	size_t piece = length / mappings;
	uint8_t *place = reserve(length);
	int fd = open_bar(kind);
	bool ok = place && fd >= 0;

	for (unsigned int i = 0; ok && i < mappings; i++)
		if (mixed && i % 2)
			ok = map_host_piece(place + i * piece, piece);
		else
			ok = mmap(place + i * piece, piece, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, fd,
				  (off_t)(2 * i * piece)) != MAP_FAILED;
	if (!ok)
		failed(kind, length);
	if (fd >= 0)
		close(fd);
	area->bytes = place;
	area->length = length;
	return ok;
}

static bool is_host(const char *kind)
{
	return !strcmp(kind, "host") || !strcmp(kind, "thp") ||
	       !strcmp(kind, "hugetlb");
}

bool area_map(struct area *area, const char *kind, size_t length,
	      unsigned int mappings)
{
	*area = (struct area){ .device = !is_host(kind),
			       .caching = P2PMR_CACHING_WRITE_BACK };
	if (!area->device)
		return map_host(area, kind, length);
	if (!strncmp(kind, MIXED, strlen(MIXED)))
		return map_pieces(area, kind + strlen(MIXED), length,
				  mappings < 2 ? 2 : mappings, true);
	return mappings < 2 ? map_whole(area, kind, length)
			    : map_pieces(area, kind, length, mappings, false);
}

void area_unmap(struct area *area)
{
	if (area->mapping)
		p2pmr_unmap(area->mapping);
	else
		munmap(area->bytes, area->length);
}

struct ibv_mr *must_register(struct ibv_pd *pd, const struct area *area,
			     const char *kind, size_t length)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, area->bytes, length, ACCESS);

	if (!mr)
		complain("cannot register %zu bytes of %s: %s", length, kind,
			 strerror(errno));
	return mr;
}

bool register_many(struct ibv_pd *pd, const struct area *area, const char *kind,
		   size_t length, struct ibv_mr **mrs, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		mrs[i] = must_register(pd, area, kind, length);
		if (!mrs[i])
			return false;
	}
	return true;
}
