// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping BARs, and what is known of a mapping. */
#define _GNU_SOURCE
#include "mapping.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "bar_file.h"
#include "extensible.h"
#include "place.h"

/* Of struct p2pmr_map_attr in version 0.1, which stays accepted. */
#define SIZE_0_1 32
static_assert(sizeof(struct p2pmr_map_attr) >= SIZE_0_1, "it only grows");

static int take_attr(struct p2pmr_map_attr *own,
		     const struct p2pmr_map_attr *given)
{
	int ret = extensible_take(own, sizeof(*own), given, SIZE_0_1);

	if (ret)
		return ret;
	if (own->flags & ~P2PMR_MAP_READ_ONLY || own->reserved)
		return -EINVAL;
	if (own->caching != P2PMR_CACHING_UNKNOWN &&
	    own->caching != P2PMR_CACHING_UNCACHED &&
	    own->caching != P2PMR_CACHING_WRITE_COMBINING)
		return -EINVAL;
	return 0;
}

/* Which bytes, once the file is known. */
static int take_range(struct p2pmr_mapping *mapping, uint64_t *first,
		      const struct p2pmr_map_attr *attr,
		      const struct bar_file *file)
{
	uint64_t page = sysconf(_SC_PAGESIZE), length = attr->length, end;
	uint64_t size = file->size;

	if (size && attr->offset >= size)
		return -ERANGE;
	if (!length)
		length = size ? size - attr->offset : 0;
	if (!length)
		return -EINVAL;
	if (__builtin_add_overflow(attr->offset, length, &end) ||
	    end > INT64_MAX || (size && end > size))
		return -ERANGE;
	/* The file's offsets count from the beginning of the BAR's page. */
	*first = (file->lead + attr->offset) & -page;
	end += file->lead;
	mapping->length = length;
	mapping->pages_length = ((end + page - 1) & -page) - *first;
	mapping->writable = !(attr->flags & P2PMR_MAP_READ_ONLY);
	return 0;
}

/* What the page table has, of the first segment; it stands for all. */
static uint32_t real_caching(const struct p2pmr_mapping *mapping)
{
	struct p2pmr_answer *answer = p2pmr_query(mapping->address, 1);
	const struct p2pmr_query_segment *segment;
	uint32_t caching;

	if (!answer)
		return P2PMR_CACHING_UNKNOWN;
	segment = p2pmr_answer_segment(answer, 0);
	caching = segment->kind == P2PMR_SEGMENT_HOST
			  ? P2PMR_CACHING_WRITE_BACK
			  : segment->location.caching;
	p2pmr_answer_free(answer);
	return caching;
}

/*
 * What the file stands for is what the caller may insist on; what came of it is
 * what copies go by.
 */
static int take_caching(struct p2pmr_mapping *mapping, uint32_t meant,
			uint32_t wanted)
{
	mapping->caching = real_caching(mapping);
	if (mapping->caching == P2PMR_CACHING_UNKNOWN)
		mapping->caching = meant;
	if (meant == P2PMR_CACHING_UNKNOWN)
		meant = mapping->caching;
	return wanted && wanted != meant ? -EOPNOTSUPP : 0;
}

static int map(struct p2pmr_mapping *mapping, const struct bar_file *file,
	       const struct p2pmr_map_attr *attr)
{
	uint64_t first;
	int ret = take_range(mapping, &first, attr, file);

	if (ret)
		return ret;
	mapping->pages =
		place_mmap(file->fd, first, mapping->pages_length,
			   PROT_READ | (mapping->writable ? PROT_WRITE : 0));
	if (mapping->pages == MAP_FAILED)
		/* The kernel does not say that the driver is the reason. */
		return errno == EINVAL && file->claimed ? -EBUSY : -errno;
	mapping->address =
		(uint8_t *)mapping->pages + (file->lead + attr->offset - first);
	ret = take_caching(mapping, file->caching, attr->caching);
	if (ret)
		munmap(mapping->pages, mapping->pages_length);
	return ret;
}

/* Takes the descriptor over. */
static struct p2pmr_mapping *map_opened(const struct bar_file *file,
					const struct p2pmr_map_attr *attr)
{
	struct p2pmr_mapping *mapping = calloc(1, sizeof(*mapping));
	int ret = mapping ? map(mapping, file, attr) : -ENOMEM;

	close(file->fd);
	if (!ret)
		return mapping;
	free(mapping);
	errno = -ret;
	return NULL;
}

struct p2pmr_mapping *p2pmr_map_bar(const char *address, unsigned int bar,
				    const struct p2pmr_map_attr *given)
{
	struct p2pmr_map_attr attr;
	struct bar_file file;
	int ret = take_attr(&attr, given);

	if (!ret)
		ret = bar_open_by_address(&file, address, bar, attr.caching,
					  !(attr.flags & P2PMR_MAP_READ_ONLY));
	if (!ret)
		return map_opened(&file, &attr);
	errno = -ret;
	return NULL;
}

struct p2pmr_mapping *p2pmr_map_file(const char *path,
				     const struct p2pmr_map_attr *given)
{
	struct p2pmr_map_attr attr;
	struct bar_file file;
	int ret = take_attr(&attr, given);

	if (!ret)
		ret = bar_open_by_path(&file, path,
				       !(attr.flags & P2PMR_MAP_READ_ONLY));
	if (!ret)
		return map_opened(&file, &attr);
	errno = -ret;
	return NULL;
}

int p2pmr_unmap(struct p2pmr_mapping *mapping)
{
	if (mapping && munmap(mapping->pages, mapping->pages_length))
		return -errno;
	free(mapping);
	return 0;
}

void *p2pmr_mapping_address(const struct p2pmr_mapping *mapping)
{
	return mapping->address;
}

size_t p2pmr_mapping_length(const struct p2pmr_mapping *mapping)
{
	return mapping->length;
}

uint32_t p2pmr_mapping_caching(const struct p2pmr_mapping *mapping)
{
	return mapping->caching;
}

static bool out_of_range(const struct p2pmr_mapping *mapping, uint64_t offset,
			 size_t length)
{
	return offset > mapping->length || length > mapping->length - offset;
}

int p2pmr_write(struct p2pmr_mapping *mapping, uint64_t offset,
		const void *source, size_t length)
{
	if (!mapping->writable)
		return -EACCES;
	if (out_of_range(mapping, offset, length))
		return -ERANGE;
	p2pmr_copy_to(mapping->address + offset, source, length,
		      mapping->caching);
	return 0;
}

int p2pmr_read(const struct p2pmr_mapping *mapping, uint64_t offset,
	       void *destination, size_t length)
{
	if (out_of_range(mapping, offset, length))
		return -ERANGE;
	p2pmr_copy_from(destination, mapping->address + offset, length,
			mapping->caching);
	return 0;
}
