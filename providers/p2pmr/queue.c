// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping the rings that user space and the kernel share, see queue.h. */
#include "queue.h"

#include <errno.h>
#include <sys/mman.h>

/* The kernel's word, but a mismatch of versions must not become a wild store. */
static int check_shape(const struct rxe_queue_buf *shared, size_t size,
		       size_t least_element)
{
	uint64_t elements = (uint64_t)shared->index_mask + 1;

	if (size < sizeof(*shared) || shared->log2_elem_size > 31 ||
	    (1ull << shared->log2_elem_size) < least_element ||
	    (elements & (elements - 1)) ||
	    elements << shared->log2_elem_size > size - sizeof(*shared))
		return EPROTO;
	return 0;
}

int p2pmr_ring_map(struct p2pmr_ring *ring, int cmd_fd,
		   const struct mminfo *info, size_t least_element,
		   enum p2pmr_side side)
{
	struct rxe_queue_buf *shared;
	size_t stride;
	int error;

	shared = mmap(NULL, info->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      cmd_fd, info->offset);
	if (shared == MAP_FAILED)
		return errno;
	error = check_shape(shared, info->size, least_element);
	if (error) {
		munmap(shared, info->size);
		return error;
	}
	stride = (size_t)1 << shared->log2_elem_size;
	*ring = (struct p2pmr_ring){
		.data = shared->data,
		.end = shared->data + ((size_t)shared->index_mask + 1) * stride,
		.mask = shared->index_mask,
		.stride = stride,
		.shift = shared->log2_elem_size,
		.index = side == P2PMR_FILLS ? shared->producer_index
					     : shared->consumer_index,
		.others = side == P2PMR_FILLS ? shared->consumer_index
					      : shared->producer_index,
		.shared = shared,
		.size = info->size,
	};
	return 0;
}

/* With a single slot, which stays empty, a ring is both full and empty. */
int p2pmr_ring_replace(struct p2pmr_ring *ring, int cmd_fd,
		       const struct mminfo *info, size_t least_element,
		       enum p2pmr_side side)
{
	struct p2pmr_ring new;
	int error = p2pmr_ring_map(&new, cmd_fd, info, least_element, side);

	if (error) {
		ring->mask = 0;
		ring->end = ring->data + ring->stride;
		ring->index = 0;
		ring->others = 0;
		return error;
	}
	p2pmr_ring_unmap(ring);
	*ring = new;
	return 0;
}

void p2pmr_ring_unmap(struct p2pmr_ring *ring)
{
	if (ring->size)
		munmap(ring->shared, ring->size);
	ring->size = 0;
}
