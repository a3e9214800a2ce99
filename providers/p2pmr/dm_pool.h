/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The pool of device memory: a part of a BAR, named by the user in
 * P2PMR_DM_BAR=FILE[:OFFSET[:LENGTH]], and shared by all processes that name
 * it, or another file of the same BAR.
 */
#ifndef P2PMR_DM_POOL_H
#define P2PMR_DM_POOL_H

#include "dm_space.h"

/* A taken part of the pool, mapped. */
struct p2pmr_dm_range {
	struct p2pmr_dm_space space;
	off_t start; /* in the file */
	uint8_t *bytes;
	size_t size; /* whole pages */
};

/* The pool's size in bytes; 0 without one, or if it cannot be used. */
uint64_t p2pmr_dm_pool_size(void);

/* Returns 0 or an errno; alignment is a power of two. */
int p2pmr_dm_pool_take(uint64_t length, uint64_t alignment,
		       struct p2pmr_dm_range *range);
void p2pmr_dm_pool_give_back(struct p2pmr_dm_range *range);

#endif
