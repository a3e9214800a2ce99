/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A BAR registered for a peer, and the proofs that the peer reaches it, or
 * that it no longer does and no byte of the BAR moves: what the tests of
 * revocation share.
 */
#ifndef P2PMR_TESTS_REVOKED_H
#define P2PMR_TESTS_REVOKED_H

#include "bar.h"
#include "endpoint.h"

#define WINDOW (16 * PAGE)

struct scene {
	struct pair pair;
	struct memory host; /* the peer's own buffer */
	struct memory bar;  /* bar.mr: the region to be revoked */
	enum memory_kind kind;
};

void scene_open(struct scene *scene, enum memory_kind kind);
/* The same over WINDOW bytes that the test has mapped by itself. */
void scene_open_over(struct scene *scene, enum memory_kind kind, void *bytes);
/* `bar` must have been unmapped and deregistered by the test. */
void scene_close(struct scene *scene);

/* How many MRs p2pmr_verbs has in store for a device, and its parameter for that. */
#define STORE	   32
#define STORE_SIZE "/sys/module/p2pmr_verbs/parameters/store"
/* So that each region over `bar` is made on the spot, until the test is over. */
void scene_empty_store(struct scene *scene);

/* One access of the peer to the region; repairs the queue pairs after. */
enum ibv_wc_status peer_access(struct scene *scene, enum ibv_wr_opcode opcode,
			       size_t offset, size_t length);
/* One use of the region's lkey on the posting side. */
enum ibv_wc_status own_access(struct scene *scene, const struct ibv_mr *mr,
			      enum ibv_wr_opcode opcode);

/* The peer reads and writes at both ends, and what it reads is there. */
void assert_reachable(struct scene *scene);
/* Every kind of access is refused, and the file behind the BAR stays. */
void assert_revoked(struct scene *scene);
/* What can happen to WINDOW bytes of a mapping. */
void mapping_unmapped(uint8_t *bytes);
void mapping_covered(uint8_t *bytes); /* by host memory */
void mapping_read_only(uint8_t *bytes);
void mapping_inaccessible(uint8_t *bytes);

/* A new mapping and a new registration work; undoes both. */
void assert_registers_anew(struct scene *scene);

#endif
