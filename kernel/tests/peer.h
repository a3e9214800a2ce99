/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Two processes, each with a device, a PD and a queue pair of its own: how
 * they find each other over the socket between parent and child.
 */
#ifndef P2PMR_TESTS_PEER_H
#define P2PMR_TESTS_PEER_H

#include "bar.h"
#include "endpoint.h"

/* What one process tells the other about its region. */
struct region {
	uint64_t address;
	uint64_t length;
	uint32_t rkey;
};

struct peer {
	struct device device;
	struct queue queue;
	int socket;
};

/* Opens and connects; both processes call it. */
void peer_open(struct peer *peer, int socket);
void peer_close(struct peer *peer);

void tell_region(struct peer *peer, const struct ibv_mr *mr);
struct region learn_region(struct peer *peer);

/* One transfer between `local` and the other process's region. */
enum ibv_wc_status peer_transfer(struct peer *peer, enum ibv_wr_opcode opcode,
				 const struct memory *local,
				 const struct region *region, size_t offset,
				 size_t length);

/* A point that both reach before either goes on. */
void meet(int socket);

#endif
