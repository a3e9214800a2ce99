// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The ibv_wr_set_* calls: data and destination of the element just begun. */
#include <string.h>

#include "p2pmr.h"

static void wr_set_ud_addr(struct ibv_qp_ex *ibqp, struct ibv_ah *ah,
			   uint32_t remote_qpn, uint32_t remote_qkey)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);

	if (qp->error)
		return;
	qp->wqe->wr.wr.ud.remote_qpn = remote_qpn;
	qp->wqe->wr.wr.ud.remote_qkey = remote_qkey;
	qp->wqe->wr.wr.ud.pkey_index = 0;
	qp->wqe->wr.wr.ud.ah_num = to_ah(ah)->number;
}

static void set_length(struct p2pmr_qp *qp, uint32_t length)
{
	qp->wqe->dma.length = length;
	qp->wqe->dma.resid = length;
}

static void wr_set_sge(struct ibv_qp_ex *ibqp, uint32_t lkey, uint64_t addr,
		       uint32_t length)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);

	if (qp->error || !length)
		return;
	if (!qp->max_sge) {
		qp->error = EINVAL;
		return;
	}
	qp->wqe->dma.num_sge = 1;
	qp->wqe->dma.sge[0].addr = addr;
	qp->wqe->dma.sge[0].length = length;
	qp->wqe->dma.sge[0].lkey = lkey;
	set_length(qp, length);
}

static void wr_set_sge_list(struct ibv_qp_ex *ibqp, size_t count,
			    const struct ibv_sge *list)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);
	uint64_t length = 0;

	if (qp->error)
		return;
	if (count > qp->max_sge) {
		qp->error = EINVAL;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(&qp->wqe->dma.sge[i], &list[i],
		       sizeof(qp->wqe->dma.sge[i]));
		length += list[i].length;
	}
	if (length > UINT32_MAX) {
		qp->error = EINVAL;
		return;
	}
	qp->wqe->dma.num_sge = count;
	set_length(qp, length);
}

static void wr_set_inline_data_list(struct ibv_qp_ex *ibqp, size_t count,
				    const struct ibv_data_buf *list)
{
	struct p2pmr_qp *qp = to_qp_ex(ibqp);
	size_t left = qp->max_inline;
	uint8_t *data;

	if (qp->error)
		return;
	data = qp->wqe->dma.inline_data;
	for (size_t i = 0; i < count; i++) {
		if (list[i].length > left) {
			qp->error = EINVAL;
			return;
		}
		if (list[i].length)
			memcpy(data, list[i].addr, list[i].length);
		data += list[i].length;
		left -= list[i].length;
	}
	qp->wqe->wr.send_flags |= IBV_SEND_INLINE;
	set_length(qp, qp->max_inline - left);
}

static void wr_set_inline_data(struct ibv_qp_ex *ibqp, void *addr,
			       size_t length)
{
	struct ibv_data_buf one = { .addr = addr, .length = length };

	wr_set_inline_data_list(ibqp, 1, &one);
}

void p2pmr_set_data_ops(struct ibv_qp_ex *qp)
{
	qp->wr_set_ud_addr = wr_set_ud_addr;
	qp->wr_set_sge = wr_set_sge;
	qp->wr_set_sge_list = wr_set_sge_list;
	qp->wr_set_inline_data = wr_set_inline_data;
	qp->wr_set_inline_data_list = wr_set_inline_data_list;
}
