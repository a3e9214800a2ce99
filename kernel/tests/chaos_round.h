/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Rounds of chaos: one event each, and after it the proofs that it did what it
 * must and nothing else.
 */
#ifndef P2PMR_TESTS_CHAOS_ROUND_H
#define P2PMR_TESTS_CHAOS_ROUND_H

#include "chaos_events.h"

/* Where in a BAR things happen; around it is what must stay as it is. */
#define CHAOS_VICTIMS_AT (256 * PAGE)

/* The survivors run, both BARs are known outside of what couples use. */
void chaos_open(struct chaos *chaos);
/* The survivors end; the rest of both BARs is as it was. */
bool chaos_close(struct chaos *chaos, char why[WHY_SIZE]);

/* What the round does follows from the seed alone; false and why if it fails. */
bool chaos_round(struct chaos *chaos, const struct event *event, uint64_t seed,
		 char why[WHY_SIZE]);
/* Where and on which device the last round was. */
const char *chaos_place(const struct chaos *chaos);

#endif
