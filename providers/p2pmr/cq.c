// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Completion queues: making, resizing, destroying. Polling is in poll.c. */
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "p2pmr.h"

#define WC_SIZE sizeof(struct ib_uverbs_wc)

/* Does the application say that no two threads come at once? */
static bool is_shared(const struct ibv_cq_init_attr_ex *attr)
{
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) &&
	    (attr->flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED))
		return false;
	if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD)
		return p2pmr_pd_is_shared(attr->parent_domain);
	return true;
}

static int check_attr(const struct ibv_cq_init_attr_ex *attr)
{
	if (attr->wc_flags & ~p2pmr_wc_flags)
		return EOPNOTSUPP;
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) &&
	    (!attr->parent_domain || !to_pd(attr->parent_domain)->parent_of))
		return EINVAL;
	return 0;
}

static struct p2pmr_cq *create(struct ibv_context *context,
			       const struct ibv_cq_init_attr_ex *attr)
{
	struct p2pmr_create_cq_resp resp = {};
	struct p2pmr_cq *cq;
	int error;

	error = check_attr(attr);
	if (error)
		goto err;
	cq = calloc(1, sizeof(*cq));
	if (!cq)
		return NULL;
	error = ibv_cmd_create_cq_ex(context, attr, &cq->verbs, NULL, 0,
				     &resp.ibv_resp, sizeof(resp), 0);
	if (error)
		goto err_free;
	error = p2pmr_ring_map(&cq->ring, context->cmd_fd, &resp.mi, WC_SIZE,
			       P2PMR_TAKES);
	if (error)
		goto err_destroy;
	p2pmr_lock_init(&cq->lock, is_shared(attr));
	pthread_mutex_init(&cq->senders_lock, NULL);
	list_head_init(&cq->senders);
	return cq;

err_destroy:
	ibv_cmd_destroy_cq(&cq->verbs.cq);
err_free:
	free(cq);
err:
	errno = error;
	return NULL;
}

struct ibv_cq *p2pmr_create_cq(struct ibv_context *context, int cqe,
			       struct ibv_comp_channel *channel, int vector)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = cqe,
		.channel = channel,
		.comp_vector = vector,
	};
	struct p2pmr_cq *cq = create(context, &attr);

	return cq ? &cq->verbs.cq : NULL;
}

struct ibv_cq_ex *p2pmr_create_cq_ex(struct ibv_context *context,
				     struct ibv_cq_init_attr_ex *attr)
{
	struct p2pmr_cq *cq = create(context, attr);

	if (!cq)
		return NULL;
	p2pmr_set_poll_ops(&cq->verbs.cq_ex, attr->wc_flags);
	return &cq->verbs.cq_ex;
}

void p2pmr_cq_add_sender(struct ibv_cq *ibcq, struct p2pmr_qp *qp)
{
	struct p2pmr_cq *cq = to_cq(ibcq);

	pthread_mutex_lock(&cq->senders_lock);
	list_add(&cq->senders, &qp->sender);
	pthread_mutex_unlock(&cq->senders_lock);
}

void p2pmr_cq_remove_sender(struct ibv_cq *ibcq, struct p2pmr_qp *qp)
{
	struct p2pmr_cq *cq = to_cq(ibcq);

	pthread_mutex_lock(&cq->senders_lock);
	list_del(&qp->sender);
	pthread_mutex_unlock(&cq->senders_lock);
}

/* Completions that are sure to come to a CQ from one of its QPs. */
static uint32_t sends_under_way(const struct p2pmr_qp *qp)
{
	const struct p2pmr_ring *ring = &qp->ring;
	uint32_t end = p2pmr_ring_filled(ring);
	uint32_t at = p2pmr_ring_emptied(ring);
	uint32_t count = 0;

	for (; at != end; at = p2pmr_ring_next(ring, at)) {
		const struct rxe_send_wqe *wqe = p2pmr_ring_element(ring, at);

		if (qp->all_signaled ||
		    (wqe->wr.send_flags & IBV_SEND_SIGNALED))
			count++;
	}
	return count;
}

/*
 * The kernel refuses a size below what is in the CQ. soft-RoCE sends behind the
 * caller's back, so that what it has been told to send may not be in it yet.
 */
static bool is_enough(struct p2pmr_cq *cq, int cqe)
{
	uint64_t count = 0;
	struct p2pmr_qp *qp;

	pthread_mutex_lock(&cq->senders_lock);
	list_for_each(&cq->senders, qp, sender) count += sends_under_way(qp);
	pthread_mutex_unlock(&cq->senders_lock);
	count +=
		(p2pmr_ring_filled(&cq->ring) - cq->ring.index) & cq->ring.mask;
	return cqe >= 0 && (uint64_t)cqe >= count;
}

/*
 * The kernel moves the completions to a new ring, so nobody may poll the old
 * one meanwhile. If the new one cannot be mapped, the old one stays: there is
 * nothing in it any more, but to poll it does no harm.
 */
int p2pmr_resize_cq(struct ibv_cq *ibcq, int cqe)
{
	struct p2pmr_cq *cq = to_cq(ibcq);
	struct p2pmr_resize_cq_resp resp = {};
	struct ibv_resize_cq cmd;
	struct p2pmr_ring ring;
	int error = EINVAL;

	p2pmr_lock(&cq->lock);
	if (cqe >= ibcq->cqe || is_enough(cq, cqe))
		error = ibv_cmd_resize_cq(ibcq, cqe, &cmd, sizeof(cmd),
					  &resp.ibv_resp, sizeof(resp));
	if (!error)
		error = p2pmr_ring_map(&ring, ibcq->context->cmd_fd, &resp.mi,
				       WC_SIZE, P2PMR_TAKES);
	if (!error) {
		p2pmr_ring_unmap(&cq->ring);
		cq->ring = ring;
	}
	p2pmr_unlock(&cq->lock);
	return error;
}

/* What stays moves up to where the kernel goes on. */
void p2pmr_cq_purge(struct ibv_cq *ibcq, uint32_t qp_num)
{
	struct p2pmr_cq *cq = to_cq(ibcq);
	struct p2pmr_ring *ring = &cq->ring;
	uint32_t from, to;

	p2pmr_lock(&cq->lock);
	from = to = p2pmr_ring_filled(ring);
	while (from != ring->index) {
		const struct ib_uverbs_wc *wc;

		from = (from - 1) & ring->mask;
		wc = p2pmr_ring_element(ring, from);
		if (wc->qp_num == qp_num)
			continue;
		to = (to - 1) & ring->mask;
		if (to != from)
			memcpy(p2pmr_ring_element(ring, to), wc, WC_SIZE);
	}
	if (to != from)
		p2pmr_ring_take_to(ring, to);
	p2pmr_unlock(&cq->lock);
}

int p2pmr_destroy_cq(struct ibv_cq *ibcq)
{
	struct p2pmr_cq *cq = to_cq(ibcq);
	int error = ibv_cmd_destroy_cq(ibcq);

	if (error)
		return error;
	p2pmr_ring_unmap(&cq->ring);
	p2pmr_lock_destroy(&cq->lock);
	pthread_mutex_destroy(&cq->senders_lock);
	free(cq);
	return 0;
}
