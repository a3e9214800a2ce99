// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What can fail when there is no way back: a doorbell, once the requests are in
 * the ring, and mapping a ring that the kernel already uses. It is done later,
 * by polls that take the place of the ordinary ones, which thus cost nothing.
 */
#include "p2pmr.h"

/* An errno if something is still owed. */
static int settle(struct p2pmr_cq *cq)
{
	struct p2pmr_qp *qp;
	int refused, error = 0;

	/* A ring that is being shown is mapped. */
	if (!p2pmr_cq_is_polled(cq)) {
		p2pmr_lock(&cq->lock);
		if (cq->owed.size)
			error = p2pmr_cq_map_owed(cq);
		p2pmr_unlock(&cq->lock);
	}

	pthread_mutex_lock(&cq->members_lock);
	list_for_each(&cq->senders, qp, sender)
	{
		refused = p2pmr_pay_doorbell(qp);
		if (refused)
			error = refused;
	}
	pthread_mutex_unlock(&cq->members_lock);
	return error;
}

/* What is there comes first; that more cannot come is said when it is taken. */
static int poll_cq(struct ibv_cq *ibcq, int wanted, struct ibv_wc *wc)
{
	int error = settle(to_cq(ibcq));
	int count = p2pmr_poll_cq(ibcq, wanted, wc);

	if (count || !error)
		return count;
	errno = error;
	return -error;
}

static int start_poll(struct ibv_cq_ex *ibcq, struct ibv_poll_cq_attr *attr)
{
	int error = settle(to_cq_ex(ibcq));
	int ret = p2pmr_start_poll(ibcq, attr);

	return ret == ENOENT && error ? error : ret;
}

/* Who asks to be woken is going to sleep. */
static int req_notify_cq(struct ibv_cq *ibcq, int solicited_only)
{
	int error = settle(to_cq(ibcq));
	int ret = ibv_cmd_req_notify_cq(ibcq, solicited_only);

	return ret ? ret : error;
}

static const struct verbs_context_ops owing_ops = {
	.poll_cq = poll_cq,
	.req_notify_cq = req_notify_cq,
};

void p2pmr_cq_owes(struct ibv_cq *ibcq)
{
	struct p2pmr_context *context = container_of(
		ibcq->context, struct p2pmr_context, verbs.context);
	struct p2pmr_cq *cq = to_cq(ibcq);

	verbs_set_ops(&context->verbs, &owing_ops);
	if (cq->verbs.cq_ex.start_poll)
		cq->verbs.cq_ex.start_poll = start_poll;
}
