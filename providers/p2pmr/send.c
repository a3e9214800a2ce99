// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ibv_post_send(): a whole chain of work requests goes into the ring, which is
 * published once, and one system call tells the kernel.
 */
#include <string.h>
#include <unistd.h>

#include "p2pmr.h"

void p2pmr_init_doorbell(struct p2pmr_qp *qp)
{
	qp->doorbell = (struct ibv_post_send){
		.hdr.command = IB_USER_VERBS_CMD_POST_SEND,
		.hdr.in_words = sizeof(qp->doorbell) / 4,
		.hdr.out_words = sizeof(qp->doorbell_resp) / 4,
		.response = (uintptr_t)&qp->doorbell_resp,
		.qp_handle = qp->verbs.qp.handle,
		.wqe_size = sizeof(struct ib_uverbs_send_wr),
	};
}

/* A post of no work request at all makes the kernel look at the ring. */
static int ring_doorbell(struct p2pmr_qp *qp)
{
	ssize_t size = sizeof(qp->doorbell);
	ssize_t written =
		write(qp->verbs.qp.context->cmd_fd, &qp->doorbell, size);

	if (written == size)
		return 0;
	return written < 0 ? errno : EIO;
}

/*
 * The requests are in the ring, and the kernel may look at it for another
 * reason: they cannot be taken back, so the call is owed.
 */
void p2pmr_ring_doorbell(struct p2pmr_qp *qp)
{
	if (__builtin_expect(!ring_doorbell(qp), 1))
		return;
	__atomic_store_n(&qp->owes_doorbell, true, __ATOMIC_SEQ_CST);
	p2pmr_cq_owes(qp->verbs.qp.send_cq);
}

/* What comes to be owed while this one is under way stays owed. */
int p2pmr_pay_doorbell(struct p2pmr_qp *qp)
{
	int error;

	if (!__atomic_exchange_n(&qp->owes_doorbell, false, __ATOMIC_SEQ_CST))
		return 0;
	error = ring_doorbell(qp);
	if (error)
		__atomic_store_n(&qp->owes_doorbell, true, __ATOMIC_SEQ_CST);
	return error;
}

/* The part of the element that depends on the operation. */
static int fill_operation(struct p2pmr_qp *qp, struct rxe_send_wqe *wqe,
			  const struct ibv_send_wr *wr)
{
	switch (wr->opcode) {
	case IBV_WR_RDMA_READ:
		if (wr->send_flags & IBV_SEND_INLINE)
			return EINVAL;
		/* fallthrough */
	case IBV_WR_RDMA_WRITE:
	case IBV_WR_RDMA_WRITE_WITH_IMM:
		wqe->iova = wr->wr.rdma.remote_addr;
		wqe->wr.wr.rdma.remote_addr = wr->wr.rdma.remote_addr;
		wqe->wr.wr.rdma.rkey = wr->wr.rdma.rkey;
		return 0;
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		if ((wr->wr.atomic.remote_addr & 7) || wqe->dma.length < 8 ||
		    (wr->send_flags & IBV_SEND_INLINE))
			return EINVAL;
		wqe->iova = wr->wr.atomic.remote_addr;
		wqe->wr.wr.atomic.remote_addr = wr->wr.atomic.remote_addr;
		wqe->wr.wr.atomic.compare_add = wr->wr.atomic.compare_add;
		wqe->wr.wr.atomic.swap = wr->wr.atomic.swap;
		wqe->wr.wr.atomic.rkey = wr->wr.atomic.rkey;
		return 0;
	case IBV_WR_BIND_MW:
		if (!wr->bind_mw.mw || wr->num_sge)
			return EINVAL;
		wqe->wr.wr.mw.addr = wr->bind_mw.bind_info.addr;
		wqe->wr.wr.mw.length = wr->bind_mw.bind_info.length;
		wqe->wr.wr.mw.mr_lkey = wr->bind_mw.bind_info.mr
						? wr->bind_mw.bind_info.mr->lkey
						: 0;
		wqe->wr.wr.mw.mw_rkey = wr->bind_mw.mw->rkey;
		wqe->wr.wr.mw.rkey = wr->bind_mw.rkey;
		wqe->wr.wr.mw.access = wr->bind_mw.bind_info.mw_access_flags;
		return 0;
	case IBV_WR_LOCAL_INV:
		return wr->num_sge ? EINVAL : 0;
	default: /* sends */
		if (qp->verbs.qp.qp_type == IBV_QPT_RC ||
		    qp->verbs.qp.qp_type == IBV_QPT_UC)
			return 0;
		if (!wr->wr.ud.ah)
			return EINVAL;
		wqe->wr.wr.ud.remote_qpn = wr->wr.ud.remote_qpn;
		wqe->wr.wr.ud.remote_qkey = wr->wr.ud.remote_qkey;
		wqe->wr.wr.ud.pkey_index = 0;
		wqe->wr.wr.ud.ah_num = to_ah(wr->wr.ud.ah)->number;
		return 0;
	}
}

static int fill_inline(struct p2pmr_qp *qp, struct rxe_send_wqe *wqe,
		       const struct ibv_send_wr *wr)
{
	uint8_t *data = wqe->dma.inline_data;
	uint32_t left = qp->max_inline;

	for (int i = 0; i < wr->num_sge; i++) {
		const struct ibv_sge *sge = &wr->sg_list[i];

		if (sge->length > left)
			return EINVAL;
		left -= sge->length;
		if (sge->length)
			memcpy(data, (const void *)(uintptr_t)sge->addr,
			       sge->length);
		data += sge->length;
	}
	wqe->dma.length = qp->max_inline - left;
	return 0;
}

static int fill_list(struct rxe_send_wqe *wqe, const struct ibv_send_wr *wr)
{
	uint64_t length = 0;

	for (int i = 0; i < wr->num_sge; i++) {
		memcpy(&wqe->dma.sge[i], &wr->sg_list[i],
		       sizeof(wqe->dma.sge[i]));
		length += wr->sg_list[i].length;
	}
	if (length > UINT32_MAX)
		return EINVAL;
	wqe->dma.length = length;
	return 0;
}

static int fill(struct p2pmr_qp *qp, struct rxe_send_wqe *wqe,
		const struct ibv_send_wr *wr)
{
	int error;

	if ((uint32_t)wr->opcode > 31 || !(qp->opcodes >> wr->opcode & 1))
		return EOPNOTSUPP;
	if ((uint32_t)wr->num_sge > qp->max_sge)
		return EINVAL;
	if (wr->send_flags & IBV_SEND_INLINE)
		error = fill_inline(qp, wqe, wr);
	else
		error = fill_list(wqe, wr);
	if (error)
		return error;
	wqe->wr.wr_id = wr->wr_id;
	wqe->wr.opcode = wr->opcode;
	wqe->wr.send_flags = wr->send_flags;
	wqe->wr.ex.imm_data = wr->imm_data;
	wqe->status = 0;
	wqe->state = 0;
	wqe->has_rd_atomic = 0;
	wqe->dma.resid = wqe->dma.length;
	wqe->dma.cur_sge = 0;
	wqe->dma.num_sge = wr->num_sge;
	wqe->dma.sge_offset = 0;
	return fill_operation(qp, wqe, wr);
}

int p2pmr_post_send(struct ibv_qp *ibqp, struct ibv_send_wr *wr,
		    struct ibv_send_wr **bad_wr)
{
	struct p2pmr_qp *qp = to_qp(ibqp);
	struct p2pmr_ring *ring = &qp->ring;
	uint32_t index;
	bool posted;
	int error = 0;

	if (ibqp->state < IBV_QPS_RTS)
		error = EINVAL;
	else if (p2pmr_owes_doorbell(qp))
		error = p2pmr_pay_doorbell(qp);
	if (error) {
		*bad_wr = wr;
		return error;
	}
	p2pmr_lock(&qp->lock);
	for (index = ring->index; wr; wr = wr->next) {
		if (!p2pmr_ring_has_room(ring, index)) {
			error = ENOMEM;
			break;
		}
		error = fill(qp, p2pmr_ring_element(ring, index), wr);
		if (error)
			break;
		index = p2pmr_ring_next(ring, index);
	}
	posted = index != ring->index;
	if (posted)
		p2pmr_ring_fill_to(ring, index);
	p2pmr_unlock(&qp->lock);

	if (error)
		*bad_wr = wr;
	if (posted)
		p2pmr_ring_doorbell(qp);
	return error;
}

/* Of type 1: its next key follows from the one that it has. */
int p2pmr_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw,
		  struct ibv_mw_bind *bind)
{
	struct ibv_send_wr *bad_wr, wr = {
		.wr_id = bind->wr_id,
		.opcode = IBV_WR_BIND_MW,
		.send_flags = bind->send_flags,
		.bind_mw = {
			.mw = mw,
			.rkey = ibv_inc_rkey(mw->rkey),
			.bind_info = bind->bind_info,
		},
	};
	int error;

	if (bind->bind_info.mw_access_flags & IBV_ACCESS_ZERO_BASED)
		return EINVAL;
	error = p2pmr_post_send(qp, &wr, &bad_wr);
	if (error)
		return error;
	mw->rkey = wr.bind_mw.rkey;
	return 0;
}
