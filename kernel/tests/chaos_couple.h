/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Two processes around one MR: its owner, who moves bytes by its lkey, and a
 * peer, who moves bytes by its rkey, until something happens and beyond. What
 * they see is in memory that they share with who has started them.
 */
#ifndef P2PMR_TESTS_CHAOS_COUPLE_H
#define P2PMR_TESTS_CHAOS_COUPLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "chaos_memory.h"
#include "child.h"

/* In this order, each by who is named, REVOKED or KEPT but not both. */
enum stage {
	RUNNING, /* from the start */
	EVENT,	 /* by the director: it may happen now */
	REVOKED, /* by who has done it: no later transfer may succeed */
	KEPT,	 /* by who has done it: transfers go on */
	STOP	 /* by the director */
};

enum side {
	OWNER,
	PEER,
	SIDES
};

#define WHY_SIZE 256

struct side_report {
	atomic_ulong transfers, bytes; /* that were checked */
	atomic_ulong failures;
	atomic_ulong reads; /* that were posted */
	atomic_bool is_wrong;
	atomic_bool has_settled; /* after a revocation: has tried enough */
	char wrong[WHY_SIZE];
};

struct couple_state {
	atomic_int stage;
	atomic_int error; /* of what the owner has done */
	struct side_report sides[SIDES];
};

struct couple_plan {
	const char *device;
	enum source source;
	size_t offset;
	uint64_t seed;
	unsigned int pause_us;	      /* longest between two transfers */
	int (*event)(struct owned *); /* by the owner, if not NULL */
	bool keeps;		      /* what the owner does revokes nothing */
	bool by_engine;	  /* the owner's bytes go by the DMA engine */
	bool may_fail;	  /* transfers, though nothing is revoked */
	bool no_reads;	  /* by RDMA during the event */
	bool device_goes; /* the RDMA device: nothing can be closed */
};

struct couple {
	struct couple_plan plan;
	struct couple_state *state;
	struct child children[SIDES];
	bool is_dead[SIDES]; /* as was meant */
	int link[2];
};

void couple_start(struct couple *couple, const struct couple_plan *plan);

/*
 * These wait, and tell why they do so in vain: for each living side's next
 * checked transfers; for the owner's deed; for the sides to be done with
 * trying what was revoked. A side that has found something wrong is told of.
 */
bool couple_moves(struct couple *couple, unsigned int transfers,
		  char why[WHY_SIZE]);
bool couple_has_happened(struct couple *couple, char why[WHY_SIZE]);
bool couple_has_settled(struct couple *couple, char why[WHY_SIZE]);

/* How many RDMA READs both sides have posted. */
unsigned long couple_reads(const struct couple *couple);

/* SIGKILL; the address space is gone when it returns. */
void couple_kill(struct couple *couple, enum side side);
/* Both stop, close what they have, and end; frees the state. */
bool couple_end(struct couple *couple, char why[WHY_SIZE]);

/* How many seconds any of these waits. */
extern unsigned int couple_patience;

#endif
