// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Shared receive queues: making, resizing, destroying. */
#include <stdlib.h>

#include "abi.h"
#include "p2pmr.h"

#define WQE_SIZE(max_sge) \
	(sizeof(struct rxe_recv_wqe) + (max_sge) * sizeof(struct rxe_sge))

/* What the two ways of creation have in common; consumes srq on error. */
static struct ibv_srq *finish(struct p2pmr_srq *srq, struct ibv_pd *pd,
			      const struct ibv_srq_attr *attr,
			      const struct mminfo *info, int error)
{
	struct p2pmr_receive_queue *queue = &srq->queue;

	if (error)
		goto err_free;
	error = p2pmr_ring_map(&queue->ring, pd->context->cmd_fd, info,
			       WQE_SIZE(attr->max_sge), P2PMR_FILLS);
	if (error) {
		ibv_cmd_destroy_srq(&srq->verbs.srq);
		goto err_free;
	}
	queue->max_sge = attr->max_sge;
	queue->max_wr = queue->ring.mask;
	p2pmr_lock_init(&queue->lock, p2pmr_pd_is_shared(pd));
	srq->verbs.srq.pd = pd;
	p2pmr_pd_hold(pd);
	return &srq->verbs.srq;

err_free:
	free(srq);
	errno = error;
	return NULL;
}

struct ibv_srq *p2pmr_create_srq(struct ibv_pd *pd,
				 struct ibv_srq_init_attr *attr)
{
	struct p2pmr_create_srq_resp resp = {};
	struct ibv_create_srq cmd;
	struct p2pmr_srq *srq;
	int error;

	srq = calloc(1, sizeof(*srq));
	if (!srq)
		return NULL;
	error = ibv_cmd_create_srq(pd, &srq->verbs.srq, attr, &cmd, sizeof(cmd),
				   &resp.ibv_resp, sizeof(resp));
	return finish(srq, pd, &attr->attr, &resp.mi, error);
}

struct ibv_srq *p2pmr_create_srq_ex(struct ibv_context *context,
				    struct ibv_srq_init_attr_ex *attr)
{
	struct p2pmr_create_srq_ex_resp resp = {};
	struct ibv_create_xsrq cmd;
	struct p2pmr_srq *srq;
	int error;

	if (!(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD)) {
		errno = EINVAL;
		return NULL;
	}
	if ((attr->comp_mask & IBV_SRQ_INIT_ATTR_TYPE) &&
	    attr->srq_type != IBV_SRQT_BASIC) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	srq = calloc(1, sizeof(*srq));
	if (!srq)
		return NULL;
	error = ibv_cmd_create_srq_ex(context, &srq->verbs, attr, &cmd,
				      sizeof(cmd), &resp.ibv_resp,
				      sizeof(resp));
	return finish(srq, attr->pd, &attr->attr, &resp.mi, error);
}

int p2pmr_srq_map_owed(struct p2pmr_srq *srq)
{
	struct p2pmr_receive_queue *queue = &srq->queue;
	int error;

	error = p2pmr_ring_replace(&queue->ring, srq->verbs.srq.context->cmd_fd,
				   &queue->owed, WQE_SIZE(queue->max_sge),
				   P2PMR_FILLS);
	if (error)
		return error;
	queue->owed.size = 0;
	queue->max_wr = queue->ring.mask;
	return 0;
}

/*
 * As with a CQ that is resized: nobody may post meanwhile, and a new ring that
 * cannot be mapped now is mapped by who posts next.
 */
static int resize(struct p2pmr_srq *srq, struct ibv_srq_attr *attr, int mask)
{
	struct p2pmr_receive_queue *queue = &srq->queue;
	struct p2pmr_modify_srq cmd;
	struct mminfo info = {};
	int error;

	cmd.mmap_info_addr = (uintptr_t)&info;
	p2pmr_lock(&queue->lock);
	error = ibv_cmd_modify_srq(&srq->verbs.srq, attr, mask, &cmd.ibv_cmd,
				   sizeof(cmd));
	if (!error) {
		queue->max_wr = UINT32_MAX;
		queue->owed = info;
		p2pmr_srq_map_owed(srq);
	}
	p2pmr_unlock(&queue->lock);
	return error;
}

int p2pmr_modify_srq(struct ibv_srq *ibsrq, struct ibv_srq_attr *attr, int mask)
{
	struct p2pmr_modify_srq cmd;

	if (mask & IBV_SRQ_MAX_WR)
		return resize(to_srq(ibsrq), attr, mask);
	cmd.mmap_info_addr = 0;
	return ibv_cmd_modify_srq(ibsrq, attr, mask, &cmd.ibv_cmd, sizeof(cmd));
}

int p2pmr_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
	struct ibv_query_srq cmd;

	return ibv_cmd_query_srq(srq, attr, &cmd, sizeof(cmd));
}

int p2pmr_destroy_srq(struct ibv_srq *ibsrq)
{
	struct p2pmr_srq *srq = to_srq(ibsrq);
	int error = ibv_cmd_destroy_srq(ibsrq);

	if (error)
		return error;
	p2pmr_pd_release(ibsrq->pd);
	p2pmr_ring_unmap(&srq->queue.ring);
	p2pmr_lock_destroy(&srq->queue.lock);
	free(srq);
	return 0;
}
