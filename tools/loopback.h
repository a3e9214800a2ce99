/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Two queue pairs of one RDMA device that are connected to each other. What
 * fails is said in one line on standard error.
 */
#ifndef P2PMR_TOOL_LOOPBACK_H
#define P2PMR_TOOL_LOOPBACK_H

#include <infiniband/verbs.h>
#include <stdbool.h>

struct loopback {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_comp_channel *events; /* of cq, once it is armed */
	struct ibv_cq *cq;
	struct ibv_qp *near, *far; /* two messages can be on their way */
};

/* Both end with loopback_close(), whatever has come of them. */
bool loopback_open(struct loopback *loopback, const char *device);
void loopback_close(struct loopback *loopback);

/*
 * An RDMA WRITE or READ of as many bytes at the same place in both MRs, done when
 * it returns. soft-RoCE's longest message is 8 MiB.
 */
bool loopback_transfer(struct loopback *loopback, enum ibv_wr_opcode opcode,
		       const struct ibv_mr *local, const struct ibv_mr *remote,
		       size_t at, uint32_t length);

#endif
