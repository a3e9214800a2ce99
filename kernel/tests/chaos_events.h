/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What may happen to a couple under traffic: each event with the memory it can
 * happen to, who does it, and what is to come of it.
 */
#ifndef P2PMR_TESTS_CHAOS_EVENTS_H
#define P2PMR_TESTS_CHAOS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "chaos_couple.h"

struct chaos;

struct event {
	const char *name;
	unsigned int weight;  /* how often, in a deck of all events */
	unsigned int sources; /* bits: the memory that it can happen to */
	/* By the owner, or by the director. */
	int (*owner)(struct owned *);
	void (*happen)(struct chaos *chaos);
	/* The system as before; the couple has ended. */
	void (*undo)(struct chaos *chaos);
	bool revokes;
	bool on_second_device; /* only there; otherwise on either */
	bool may_fail;	       /* see struct couple_plan */
	bool no_reads;	       /* likewise */
	bool device_goes;
	enum side kills; /* unless SIDES */
};

extern const struct event events[];
extern const size_t event_count;
const struct event *find_event(const char *name);

/* The RDMA device that events may take, beside the lab's. */
#define SECOND_DEVICE "rxe1"
#define SECOND_NETDEV "dummy1"

/* What was done so far. */
struct tally {
	unsigned long rounds, transfers, bytes, refused;
	unsigned long planted; /* bytes that stayed as the host had put them */
};

struct chaos {
	uint64_t random;
	struct tally tally;
	struct couple survivors, victims;
	struct child remover; /* of the RDMA device */
};

/* What events must do to the survivors themselves. */
void survivors_start(struct chaos *chaos);
bool survivors_end(struct chaos *chaos, char why[WHY_SIZE]);
/* The second function under the driver that the source wants, or the exporter. */
void function_prepare(enum source source);
/* What it needed beside that; whoever used it has ended. */
void function_release(enum source source);
/* With no driver, and all else that events leave behind gone. */
void function_clean_up(void);

#endif
