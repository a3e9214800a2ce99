/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * uverbs commands written by hand: what the stock soft-RoCE library has no call
 * for.
 */
#ifndef P2PMR_TESTS_UVERBS_H
#define P2PMR_TESTS_UVERBS_H

#include <infiniband/verbs.h>
#include <rdma/p2pmr-verbs-abi.h>
#include <stddef.h>
#include <stdint.h>

/* A region that the library knows nothing of. */
struct raw_mr {
	struct ibv_context *context;
	uint32_t handle;
	uint32_t lkey, rkey;
};

/*
 * Registers with `request`, of `request_size` bytes (a multiple of 4), as driver
 * data, and room for `answer_size` bytes of answer. 0, or the kernel's errno.
 */
int uverbs_register(struct ibv_pd *pd, void *address, size_t length, int access,
		    const void *request, size_t request_size, void *answer,
		    size_t answer_size, struct raw_mr *mr);
/* 0, or the kernel's errno. */
int uverbs_try_deregister(struct raw_mr *mr);
void uverbs_deregister(struct raw_mr *mr);

/* A part of a dma-buf, by the call that stock libraries do not make for soft-RoCE. */
int uverbs_register_dmabuf(struct ibv_pd *pd, int fd, uint64_t offset,
			   uint64_t length, uint64_t iova, int access,
			   struct raw_mr *mr);

struct keys {
	uint32_t lkey, rkey;
};

/* 0 and the new keys, or the kernel's errno. */
int uverbs_reregister(struct ibv_context *context, uint32_t handle, int flags,
		      struct ibv_pd *pd, void *address, size_t length,
		      int access, struct keys *keys);

#endif
