// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The ibv_wr_* calls, one for each operation. Between wr_start() and
 * wr_complete() they fill elements that the kernel does not see yet; the first
 * error is kept and takes back all of them.
 */
#include <string.h>

#include "p2pmr.h"

/* The first reason counts. */
static void fail(struct p2pmr_qp *qp, int error)
{
	if (!qp->error)
		qp->error = error;
}

static void wr_start(struct ibv_qp_ex *ibqp)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);

	p2pmr_lock(&qp->lock);
	qp->error = ibqp->qp_base.state < IBV_QPS_RTS ? EINVAL : 0;
	if (p2pmr_owes_doorbell(qp))
		fail(qp, p2pmr_pay_doorbell(qp));
	qp->next = qp->ring.index;
}

static int wr_complete(struct ibv_qp_ex *ibqp)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);
	int error = qp->error;
	bool posted = !error && qp->next != qp->ring.index;

	if (posted)
		p2pmr_ring_fill_to(&qp->ring, qp->next);
	p2pmr_unlock(&qp->lock);
	if (posted)
		p2pmr_ring_doorbell(qp);
	return error;
}

static void wr_abort(struct ibv_qp_ex *ibqp)
{
	p2pmr_unlock(&to_qp_ex(ibqp)->lock);
}

/* The next element with what all operations have, and no data; NULL on error. */
static inline struct rxe_send_wqe *begin(struct ibv_qp_ex *ibqp,
					 enum ibv_wr_opcode opcode)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);
	struct rxe_send_wqe *wqe;

	if (qp->error)
		return NULL;
	if (!p2pmr_ring_has_room(&qp->ring, qp->next)) {
		qp->error = ENOMEM;
		return NULL;
	}
	wqe = p2pmr_ring_element(&qp->ring, qp->next);
	qp->next = p2pmr_ring_next(&qp->ring, qp->next);
	qp->wqe = wqe;
	wqe->wr.wr_id = ibqp->wr_id;
	wqe->wr.opcode = opcode;
	wqe->wr.send_flags = ibqp->wr_flags;
	wqe->status = 0;
	wqe->state = 0;
	wqe->has_rd_atomic = 0;
	wqe->dma.length = 0;
	wqe->dma.resid = 0;
	wqe->dma.cur_sge = 0;
	wqe->dma.num_sge = 0;
	wqe->dma.sge_offset = 0;
	return wqe;
}

static inline struct rxe_send_wqe *begin_rdma(struct ibv_qp_ex *qp,
					      enum ibv_wr_opcode opcode,
					      uint32_t rkey, uint64_t address)
{
	struct rxe_send_wqe *wqe = begin(qp, opcode);

	if (!wqe)
		return NULL;
	wqe->iova = address;
	wqe->wr.wr.rdma.remote_addr = address;
	wqe->wr.wr.rdma.rkey = rkey;
	return wqe;
}

static void wr_send(struct ibv_qp_ex *qp)
{
	begin(qp, IBV_WR_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *qp, __be32 imm_data)
{
	struct rxe_send_wqe *wqe = begin(qp, IBV_WR_SEND_WITH_IMM);

	if (wqe)
		wqe->wr.ex.imm_data = imm_data;
}

static void wr_send_inv(struct ibv_qp_ex *qp, uint32_t rkey)
{
	struct rxe_send_wqe *wqe = begin(qp, IBV_WR_SEND_WITH_INV);

	if (wqe)
		wqe->wr.ex.invalidate_rkey = rkey;
}

static void wr_rdma_read(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address)
{
	begin_rdma(qp, IBV_WR_RDMA_READ, rkey, address);
}

static void wr_rdma_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address)
{
	begin_rdma(qp, IBV_WR_RDMA_WRITE, rkey, address);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *qp, uint32_t rkey,
			      uint64_t address, __be32 imm_data)
{
	struct rxe_send_wqe *wqe =
		begin_rdma(qp, IBV_WR_RDMA_WRITE_WITH_IMM, rkey, address);

	if (wqe)
		wqe->wr.ex.imm_data = imm_data;
}

static void atomic(struct ibv_qp_ex *qp, enum ibv_wr_opcode opcode,
		   uint32_t rkey, uint64_t address, uint64_t compare_add,
		   uint64_t swap)
{
	struct rxe_send_wqe *wqe;

	if (address & 7) {
		fail(to_qp_ex(qp), EINVAL);
		return;
	}
	wqe = begin(qp, opcode);
	if (!wqe)
		return;
	wqe->iova = address;
	wqe->wr.wr.atomic.remote_addr = address;
	wqe->wr.wr.atomic.compare_add = compare_add;
	wqe->wr.wr.atomic.swap = swap;
	wqe->wr.wr.atomic.rkey = rkey;
}

static void wr_atomic_cmp_swp(struct ibv_qp_ex *qp, uint32_t rkey,
			      uint64_t address, uint64_t compare, uint64_t swap)
{
	atomic(qp, IBV_WR_ATOMIC_CMP_AND_SWP, rkey, address, compare, swap);
}

static void wr_atomic_fetch_add(struct ibv_qp_ex *qp, uint32_t rkey,
				uint64_t address, uint64_t add)
{
	atomic(qp, IBV_WR_ATOMIC_FETCH_AND_ADD, rkey, address, add, 0);
}

static void wr_local_inv(struct ibv_qp_ex *qp, uint32_t rkey)
{
	struct rxe_send_wqe *wqe = begin(qp, IBV_WR_LOCAL_INV);

	if (wqe)
		wqe->wr.ex.invalidate_rkey = rkey;
}

static void wr_bind_mw(struct ibv_qp_ex *qp, struct ibv_mw *mw, uint32_t rkey,
		       const struct ibv_mw_bind_info *info)
{
	struct rxe_send_wqe *wqe = begin(qp, IBV_WR_BIND_MW);

	if (!wqe)
		return;
	wqe->wr.wr.mw.addr = info->addr;
	wqe->wr.wr.mw.length = info->length;
	wqe->wr.wr.mw.mr_lkey = info->mr ? info->mr->lkey : 0;
	wqe->wr.wr.mw.mw_rkey = mw->rkey;
	wqe->wr.wr.mw.rkey = rkey;
	wqe->wr.wr.mw.access = info->mw_access_flags;
}

#ifdef P2PMR_HAVE_ATOMIC_WRITE
static void wr_atomic_write(struct ibv_qp_ex *qp, uint32_t rkey,
			    uint64_t address, const void *bytes)
{
	struct rxe_send_wqe *wqe =
		begin_rdma(qp, IBV_WR_ATOMIC_WRITE, rkey, address);

	if (!wqe)
		return;
	memcpy(wqe->dma.inline_data, bytes, 8);
	wqe->dma.length = 8;
	wqe->dma.resid = 8;
}
#endif

#ifdef P2PMR_HAVE_FLUSH
static void wr_flush(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t address,
		     size_t length, uint8_t type, uint8_t level)
{
	struct rxe_send_wqe *wqe;

	/* The kernel's element has no more bits for it. */
	if (length > UINT32_MAX) {
		fail(to_qp_ex(qp), EINVAL);
		return;
	}
	wqe = begin(qp, IBV_WR_FLUSH);
	if (!wqe)
		return;
	wqe->iova = address;
	wqe->wr.wr.flush.remote_addr = address;
	wqe->wr.wr.flush.length = length;
	wqe->wr.wr.flush.rkey = rkey;
	wqe->wr.wr.flush.type = type;
	wqe->wr.wr.flush.level = level;
	wqe->dma.length = length;
	wqe->dma.resid = length;
}
#endif

#define SEND_OPS (IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM)
#define WRITE_OPS \
	(IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM)
#define UC_OPS                                           \
	(SEND_OPS | WRITE_OPS | IBV_QP_EX_WITH_BIND_MW | \
	 IBV_QP_EX_WITH_SEND_WITH_INV)
#define RC_OPS                               \
	(UC_OPS | IBV_QP_EX_WITH_RDMA_READ | \
	 IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP | \
	 IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_LOCAL_INV)

uint64_t p2pmr_supported_send_ops(enum ibv_qp_type type)
{
	uint64_t ops = RC_OPS;

#ifdef P2PMR_HAVE_ATOMIC_WRITE
	ops |= IBV_QP_EX_WITH_ATOMIC_WRITE;
#endif
#ifdef P2PMR_HAVE_FLUSH
	ops |= IBV_QP_EX_WITH_FLUSH;
#endif
	switch (type) {
	case IBV_QPT_RC:
		return ops;
	case IBV_QPT_UC:
		return UC_OPS;
	case IBV_QPT_UD:
		return SEND_OPS;
	default:
		return 0;
	}
}

void p2pmr_set_send_ops(struct p2pmr_qp *qp, uint64_t ops)
{
	struct ibv_qp_ex *ex = &qp->verbs.qp_ex;

#define GIVE(flag, call)                 \
	if (ops & IBV_QP_EX_WITH_##flag) \
	ex->call = call
	GIVE(SEND, wr_send);
	GIVE(SEND_WITH_IMM, wr_send_imm);
	GIVE(SEND_WITH_INV, wr_send_inv);
	GIVE(RDMA_READ, wr_rdma_read);
	GIVE(RDMA_WRITE, wr_rdma_write);
	GIVE(RDMA_WRITE_WITH_IMM, wr_rdma_write_imm);
	GIVE(ATOMIC_CMP_AND_SWP, wr_atomic_cmp_swp);
	GIVE(ATOMIC_FETCH_AND_ADD, wr_atomic_fetch_add);
	GIVE(LOCAL_INV, wr_local_inv);
	GIVE(BIND_MW, wr_bind_mw);
#ifdef P2PMR_HAVE_ATOMIC_WRITE
	GIVE(ATOMIC_WRITE, wr_atomic_write);
#endif
#ifdef P2PMR_HAVE_FLUSH
	GIVE(FLUSH, wr_flush);
#endif
#undef GIVE
	p2pmr_set_data_ops(ex);
	ex->wr_start = wr_start;
	ex->wr_complete = wr_complete;
	ex->wr_abort = wr_abort;
}
