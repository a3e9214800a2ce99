/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Two reliable-connected queue pairs of one device, connected with each other:
 * the shortest way from one memory region to another. Errors end the program
 * with a message, since a demonstration has nothing else to do about them.
 */
#ifndef P2PMR_DEMO_PAIR_H
#define P2PMR_DEMO_PAIR_H

#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdint.h>

struct pair {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *local, *peer;
	union ibv_gid gid;
	uint8_t gid_index;
};

/* The device named in P2PMR_DEV, and a protection domain on it. */
void pair_open(struct pair *pair);
void pair_connect(struct pair *pair);
void pair_close(struct pair *pair);

/* One RDMA operation of the local queue pair; returns how it completed. */
enum ibv_wc_status pair_rdma(struct pair *pair, enum ibv_wr_opcode opcode,
			     const struct ibv_mr *mr, void *local,
			     uint32_t length, const void *remote,
			     uint32_t rkey);

/* Prints the message and errno, and ends the program. */
void die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

#endif
