/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One operation that moves bytes between two registered memories, with what
 * it reports checked on both ends: the common step of the transfer tests.
 */
#ifndef P2PMR_TESTS_EXCHANGE_H
#define P2PMR_TESTS_EXCHANGE_H

#include "bar.h"
#include "endpoint.h"

enum operation {
	WRITE,
	WRITE_IMM,
	READ,
	SEND,
	SEND_IMM
};

/* A stretch of a registered memory. */
struct place {
	const struct memory *memory;
	size_t offset;
};

/*
 * The near queue pair posts; `local` is its side, `remote` the far one's
 * (for the sends: where the far side receives). READ moves remote to local,
 * everything else local to remote.
 */
void exchange(struct pair *pair, enum operation operation, struct place local,
	      struct place remote, size_t length);

/* exchange(), and exactly the bytes it should move have moved. */
void exchange_checked(struct pair *pair, enum operation operation,
		      struct place local, struct place remote, size_t length,
		      size_t window, uint64_t seed);

#endif
