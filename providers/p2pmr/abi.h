/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The commands whose request or answer has a part of soft-RoCE's or of
 * p2pmr's behind that of uverbs, or has had one since some version.
 */
#ifndef P2PMR_COMMANDS_H
#define P2PMR_COMMANDS_H

#include <infiniband/driver.h>
#include <infiniband/kern-abi.h>
#include <kernel-abi/p2pmr-verbs-abi.h>
#include <kernel-abi/rdma_user_rxe.h>
#include <rdma/p2pmr-verbs-abi.h>
#include <rdma/rdma_user_rxe.h>

/* rdma-core 54 gave it a driver's own part, of which soft-RoCE has none. */
static inline int p2pmr_cmd_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset,
					  size_t length, uint64_t iova, int fd,
					  int access, struct verbs_mr *mr)
{
#ifdef P2PMR_DMABUF_HAS_DRIVER_PART
	return ibv_cmd_reg_dmabuf_mr(pd, offset, length, iova, fd, access, mr,
				     NULL);
#else
	return ibv_cmd_reg_dmabuf_mr(pd, offset, length, iova, fd, access, mr);
#endif
}

DECLARE_DRV_CMD(p2pmr_create_ah, IB_USER_VERBS_CMD_CREATE_AH, empty,
		rxe_create_ah_resp);
DECLARE_DRV_CMD(p2pmr_create_cq, IB_USER_VERBS_EX_CMD_CREATE_CQ, empty,
		rxe_create_cq_resp);
DECLARE_DRV_CMD(p2pmr_resize_cq, IB_USER_VERBS_CMD_RESIZE_CQ, empty,
		rxe_resize_cq_resp);
DECLARE_DRV_CMD(p2pmr_create_qp, IB_USER_VERBS_EX_CMD_CREATE_QP, empty,
		rxe_create_qp_resp);
DECLARE_DRV_CMD(p2pmr_create_srq, IB_USER_VERBS_CMD_CREATE_SRQ, empty,
		rxe_create_srq_resp);
DECLARE_DRV_CMD(p2pmr_create_srq_ex, IB_USER_VERBS_CMD_CREATE_XSRQ, empty,
		rxe_create_srq_resp);
DECLARE_DRV_CMD(p2pmr_modify_srq, IB_USER_VERBS_CMD_MODIFY_SRQ,
		rxe_modify_srq_cmd, empty);
DECLARE_DRV_CMD(p2pmr_reg_mr_cmd, IB_USER_VERBS_CMD_REG_MR, p2pmr_reg_mr_req,
		p2pmr_reg_mr_resp);

#endif
