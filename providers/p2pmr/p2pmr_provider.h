/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the provider offers libp2pmr beside the operations of libibverbs. It is
 * an interface between the two alone, and no application's.
 *
 * libp2pmr loads the provider, if it is there and fits the libibverbs of the
 * process, and looks the symbol up; another version has another symbol.
 */
#ifndef P2PMR_PROVIDER_H
#define P2PMR_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <rdma/p2pmr-verbs-abi.h>

/**
 * struct p2pmr_provider - calls into the provider
 * @owns: does the provider drive this context?
 * @reg_mr: as ibv_reg_mr_iova(), with an extended request. @resp is cleared
 *	first, and its size stays 0 if the kernel knows of no requests; the MR is
 *	then registered all the same. Ended with ibv_dereg_mr(). NULL with errno.
 */
struct p2pmr_provider {
	bool (*owns)(const struct ibv_context *context);
	struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *addr, size_t length,
				 uint64_t iova, unsigned int access,
				 const struct p2pmr_reg_mr_req *req,
				 struct p2pmr_reg_mr_resp *resp);
};

#define P2PMR_PROVIDER_SYMBOL "p2pmr_provider_1"
extern const struct p2pmr_provider p2pmr_provider_1;

#endif /* P2PMR_PROVIDER_H */
