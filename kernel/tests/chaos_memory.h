/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The memory that a round is about: the ways by which a process comes to a
 * mapping of it, and what the process itself can do to that mapping.
 */
#ifndef P2PMR_TESTS_CHAOS_MEMORY_H
#define P2PMR_TESTS_CHAOS_MEMORY_H

#include <stdint.h>

#include "chaos_stream.h"
#include "uverbs.h"
#include "vfio_function.h"

/* One stream from outside, one of the process itself. */
#define OWNED_SIZE (2 * STREAM_SIZE)

/*
 * Who maps the BAR, and whether the MR is over a dma-buf of that. All but those
 * said to be are about the second function.
 */
enum source {
	SYSFS_FIRST, /* of the first function */
	SYSFS_FIRST_WC,
	SYSFS,
	SYSFS_WC,
	DRIVER, /* p2pmr_bar */
	DRIVER_WC,
	VFIO,
	DMABUF_SYSFS,
	DMABUF_DRIVER,
	DMABUF_EXPORTER, /* the tests' own, over the first function */
	HOST_MEMORY,
	SOURCES
};

const char *source_name(enum source source);
/* The function as host requests count it; -1 for host memory. */
int source_function(enum source source);

struct owned {
	enum source source;
	uint8_t *bytes;
	struct vfio vfio;
	struct ibv_mr *mr; /* of a mapping */
	int dmabuf;
	struct raw_mr raw; /* of the dma-buf */
};

bool source_is_dmabuf(enum source source);

/* OWNED_SIZE bytes from that offset of the BAR. */
void owned_map(struct owned *owned, enum source source, size_t offset);
/* The MR over it, whose address, length and keys are in `mr`. */
void owned_register(struct owned *owned, struct ibv_pd *pd, struct ibv_mr *mr);
void owned_deregister(struct owned *owned);

/* What the owner does, by any of its threads; 0 or an errno. */
int owner_unmaps(struct owned *owned);
int owner_unmaps_a_page(struct owned *owned);
int owner_makes_read_only(struct owned *owned);
int owner_makes_inaccessible(struct owned *owned);
int owner_moves(struct owned *owned);
int owner_covers(struct owned *owned);
int owner_closes(struct owned *owned); /* the dma-buf */
int owner_resets(struct owned *owned);
int owner_switches_decoding_off(struct owned *owned);

#endif
