// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Completion queues: making and destroying, which QPs they serve, and taking
 * out what a QP has left. Polling is in poll.c.
 */
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
	pthread_mutex_init(&cq->members_lock, NULL);
	list_head_init(&cq->senders);
	list_head_init(&cq->receivers);
	if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) {
		cq->domain = attr->parent_domain;
		p2pmr_pd_hold(cq->domain);
	}
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

/* A QP is on the lists of its CQs while the kernel has it. */
static void change_list(struct ibv_cq *ibcq, struct list_head *list,
			struct list_node *node, bool add)
{
	struct p2pmr_cq *cq = to_cq(ibcq);

	pthread_mutex_lock(&cq->members_lock);
	if (add)
		list_add(list, node);
	else
		list_del(node);
	pthread_mutex_unlock(&cq->members_lock);
}

static void change_membership(struct p2pmr_qp *qp, bool add)
{
	struct ibv_qp *ibqp = &qp->verbs.qp;

	change_list(ibqp->send_cq, &to_cq(ibqp->send_cq)->senders, &qp->sender,
		    add);
	change_list(ibqp->recv_cq, &to_cq(ibqp->recv_cq)->receivers,
		    &qp->receiver, add);
}

void p2pmr_cq_add_member(struct p2pmr_qp *qp)
{
	change_membership(qp, true);
}

void p2pmr_cq_remove_member(struct p2pmr_qp *qp)
{
	change_membership(qp, false);
}

/* Without a lock, whoever comes is the one that polls. */
bool p2pmr_cq_is_polled(const struct p2pmr_cq *cq)
{
	const void *poller = __atomic_load_n(&cq->poller, __ATOMIC_RELAXED);

	return poller &&
	       (!cq->lock.needed || poller == __builtin_thread_pointer());
}

/* What is being shown, and what comes after it, are at other places now. */
static void move_poll(struct p2pmr_cq *cq, uint32_t shown, uint32_t filled)
{
	struct p2pmr_ring *ring = &cq->ring;
	void *wc = p2pmr_ring_element(ring, shown);

	memcpy(wc, cq->wc, WC_SIZE);
	cq->wc = wc;
	cq->last = p2pmr_ring_element(ring, (filled - 1) & ring->mask);
}

/*
 * What stays moves up to where the kernel goes on. Who polls field by field and
 * resets a QP in between has the lock already, and goes on being shown what he
 * is shown.
 */
void p2pmr_cq_purge(struct ibv_cq *ibcq, uint32_t qp_num)
{
	struct p2pmr_cq *cq = to_cq(ibcq);
	struct p2pmr_ring *ring = &cq->ring;
	bool is_polled = p2pmr_cq_is_polled(cq);
	uint32_t first, filled, from, to;

	if (!is_polled)
		p2pmr_lock(&cq->lock);
	if (cq->owed.size)
		p2pmr_cq_map_owed(cq);
	first = ring->index;
	if (is_polled)
		first = p2pmr_ring_next(ring, p2pmr_ring_index(ring, cq->wc));
	from = to = filled = p2pmr_ring_filled(ring);
	while (from != first) {
		const struct ib_uverbs_wc *wc;

		from = (from - 1) & ring->mask;
		wc = p2pmr_ring_element(ring, from);
		if (wc->qp_num == qp_num)
			continue;
		to = (to - 1) & ring->mask;
		if (to != from)
			memcpy(p2pmr_ring_element(ring, to), wc, WC_SIZE);
	}
	if (to != from && is_polled)
		move_poll(cq, (to - 1) & ring->mask, filled);
	else if (to != from)
		p2pmr_ring_take_to(ring, to);
	if (!is_polled)
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
	pthread_mutex_destroy(&cq->members_lock);
	if (cq->domain)
		p2pmr_pd_release(cq->domain);
	free(cq);
	return 0;
}
