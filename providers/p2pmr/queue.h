/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A ring that user space and the kernel share (struct rxe_queue_buf): one side
 * puts elements in, the other takes them out, each moves an index of its own.
 *
 * What does not change is copied out of the shared page, and so is the index
 * of this side, which only this side writes. Who calls holds the ring's lock.
 */
#ifndef P2PMR_QUEUE_H
#define P2PMR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rdma/rdma_user_rxe.h>

struct p2pmr_ring {
	uint8_t *data, *end;
	uint32_t mask;
	uint32_t index;	 /* of this side: the next one to fill or to take */
	uint32_t others; /* of the kernel's side, when last looked at */
	size_t stride;	 /* an element's size, a power of two */
	uint32_t shift;	 /* of which it is this one */
	struct rxe_queue_buf *shared;
	size_t size; /* of the mapping; 0 if there is none */
};

enum p2pmr_side {
	P2PMR_FILLS, /* a work queue */
	P2PMR_TAKES  /* a completion queue */
};

/*
 * Maps what a create or resize command has answered. The kernel's elements may
 * be larger than least_element, not smaller. Returns 0 or an errno, and leaves
 * the ring as it was then.
 */
int p2pmr_ring_map(struct p2pmr_ring *ring, int cmd_fd,
		   const struct mminfo *info, size_t least_element,
		   enum p2pmr_side side);
/*
 * The same in the place of a ring that the kernel does not use any more. On
 * failure the old one has neither room nor elements, until this succeeds.
 */
int p2pmr_ring_replace(struct p2pmr_ring *ring, int cmd_fd,
		       const struct mminfo *info, size_t least_element,
		       enum p2pmr_side side);
void p2pmr_ring_unmap(struct p2pmr_ring *ring);

static inline void *p2pmr_ring_element(const struct p2pmr_ring *ring,
				       uint32_t index)
{
	return ring->data + index * ring->stride;
}

static inline uint32_t p2pmr_ring_index(const struct p2pmr_ring *ring,
					const void *element)
{
	size_t offset = (const uint8_t *)element - ring->data;

	return offset >> ring->shift;
}

static inline uint32_t p2pmr_ring_next(const struct p2pmr_ring *ring,
				       uint32_t index)
{
	return (index + 1) & ring->mask;
}

/* How far the kernel has emptied the ring. */
static inline uint32_t p2pmr_ring_emptied(const struct p2pmr_ring *ring)
{
	return __atomic_load_n(&ring->shared->consumer_index,
			       __ATOMIC_ACQUIRE) &
	       ring->mask;
}

/* Is there room for an element at index? One slot stays empty. */
static inline bool p2pmr_ring_has_room(struct p2pmr_ring *ring, uint32_t index)
{
	uint32_t next = p2pmr_ring_next(ring, index);

	if (__builtin_expect(next != ring->others, 1))
		return true;
	ring->others = p2pmr_ring_emptied(ring);
	return next != ring->others;
}

/* Elements before index are complete: the kernel may see them. */
static inline void p2pmr_ring_fill_to(struct p2pmr_ring *ring, uint32_t index)
{
	ring->index = index;
	__atomic_store_n(&ring->shared->producer_index, index,
			 __ATOMIC_RELEASE);
}

/* How far the kernel has filled the ring. */
static inline uint32_t p2pmr_ring_filled(const struct p2pmr_ring *ring)
{
	return __atomic_load_n(&ring->shared->producer_index,
			       __ATOMIC_ACQUIRE) &
	       ring->mask;
}

/* Elements before index have been read: the kernel may write over them. */
static inline void p2pmr_ring_take_to(struct p2pmr_ring *ring, uint32_t index)
{
	ring->index = index;
	__atomic_store_n(&ring->shared->consumer_index, index,
			 __ATOMIC_RELEASE);
}

#endif
