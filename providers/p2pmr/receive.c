// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Posting receives, to a QP's own queue or a shared one. */
#include <string.h>

#include "p2pmr.h"

static_assert(sizeof(struct ibv_sge) == sizeof(struct rxe_sge) &&
		      offsetof(struct ibv_sge, lkey) ==
			      offsetof(struct rxe_sge, lkey),
	      "a list of SGEs is not the kernel's");

static int fill(struct p2pmr_receive_queue *queue, struct rxe_recv_wqe *wqe,
		const struct ibv_recv_wr *wr)
{
	uint32_t count = wr->num_sge;
	uint64_t length = 0;

	if (count > queue->max_sge)
		return EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		length += wr->sg_list[i].length;
		memcpy(&wqe->dma.sge[i], &wr->sg_list[i],
		       sizeof(wqe->dma.sge[i]));
	}
	if (length > UINT32_MAX)
		return EINVAL;
	wqe->wr_id = wr->wr_id;
	wqe->dma.length = length;
	wqe->dma.resid = length;
	wqe->dma.cur_sge = 0;
	wqe->dma.num_sge = count;
	wqe->dma.sge_offset = 0;
	return 0;
}

static int post(struct p2pmr_receive_queue *queue, struct ibv_recv_wr *wr,
		struct ibv_recv_wr **bad_wr);

/* There was no room, for the ring is one that is still to be mapped. */
static int map_and_post(struct p2pmr_receive_queue *queue,
			struct ibv_recv_wr **bad_wr)
{
	int error = 0;

	p2pmr_lock(&queue->lock);
	if (queue->owed.size)
		error = p2pmr_srq_map_owed(
			container_of(queue, struct p2pmr_srq, queue));
	p2pmr_unlock(&queue->lock);
	return error ? error : post(queue, *bad_wr, bad_wr);
}

static int post(struct p2pmr_receive_queue *queue, struct ibv_recv_wr *wr,
		struct ibv_recv_wr **bad_wr)
{
	struct p2pmr_ring *ring = &queue->ring;
	uint32_t index;
	int error = 0;

	p2pmr_lock(&queue->lock);
	for (index = ring->index; wr; wr = wr->next) {
		if (!p2pmr_ring_has_room(ring, index)) {
			error = ENOMEM;
			break;
		}
		error = fill(queue, p2pmr_ring_element(ring, index), wr);
		if (error)
			break;
		index = p2pmr_ring_next(ring, index);
	}
	if (index != ring->index)
		p2pmr_ring_fill_to(ring, index);
	p2pmr_unlock(&queue->lock);

	if (error) {
		*bad_wr = wr;
		if (queue->owed.size)
			return map_and_post(queue, bad_wr);
	}
	return error;
}

int p2pmr_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr,
		    struct ibv_recv_wr **bad_wr)
{
	struct p2pmr_receive_queue *queue = &to_qp(qp)->receives;

	/* Without a queue of its own it has a shared one. */
	if (qp->state == IBV_QPS_RESET || !queue->ring.size) {
		*bad_wr = wr;
		return EINVAL;
	}
	return post(queue, wr, bad_wr);
}

int p2pmr_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			struct ibv_recv_wr **bad_wr)
{
	return post(&to_srq(srq)->queue, wr, bad_wr);
}
