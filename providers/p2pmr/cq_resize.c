// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Changing the size of a CQ. soft-RoCE works behind the caller's back, and its
 * kernel part counts only what is in the CQ already; so the provider sees to it
 * that there is room for all that has been posted before.
 */
#include <unistd.h>

#include "abi.h"
#include "p2pmr.h"

#define WC_SIZE sizeof(struct ib_uverbs_wc)

/* Completions that a CQ has or may get of what has been posted. */
struct expected {
	uint64_t surely; /* at least, if nothing fails */
	uint64_t at_most;
	uint64_t on_the_way; /* of the former; they may have been missed */
};

/*
 * A request leaves its ring a moment before its completion is in the CQ, one
 * of each queue at a time. A send may complete although it is not signaled: if
 * it fails.
 */
static void expect_sends(const struct p2pmr_qp *qp, struct expected *expected)
{
	const struct p2pmr_ring *ring = &qp->ring;
	uint32_t at = p2pmr_ring_emptied(ring);
	uint32_t end = p2pmr_ring_filled(ring);

	expected->at_most++;
	expected->on_the_way++;
	for (; at != end; at = p2pmr_ring_next(ring, at)) {
		const struct rxe_send_wqe *wqe = p2pmr_ring_element(ring, at);

		expected->at_most++;
		if (qp->all_signaled ||
		    (wqe->wr.send_flags & IBV_SEND_SIGNALED))
			expected->surely++;
	}
}

/* Of a shared queue all that it can hold, as it may change size meanwhile. */
static void expect_receives(const struct p2pmr_qp *qp,
			    struct expected *expected)
{
	const struct p2pmr_ring *ring = &qp->receives.ring;

	if (qp->verbs.qp.srq)
		expected->at_most +=
			1ull + to_srq(qp->verbs.qp.srq)->queue.max_wr;
	else
		expected->at_most +=
			1 +
			((p2pmr_ring_filled(ring) - p2pmr_ring_emptied(ring)) &
			 ring->mask);
}

/*
 * Once more if a completion has come in between, which would be missed or be
 * there twice. With the CQ's lock, so that they do not go on coming.
 */
static struct expected expect(struct p2pmr_cq *cq)
{
	uint32_t before, filled = p2pmr_ring_filled(&cq->ring);
	struct expected expected;
	struct p2pmr_qp *qp;
	uint32_t there;

	pthread_mutex_lock(&cq->members_lock);
	do {
		before = filled;
		expected = (struct expected){};
		list_for_each(&cq->senders, qp, sender)
			expect_sends(qp, &expected);
		list_for_each(&cq->receivers, qp, receiver)
			expect_receives(qp, &expected);
		filled = p2pmr_ring_filled(&cq->ring);
	} while (filled != before);
	pthread_mutex_unlock(&cq->members_lock);
	there = (filled - cq->ring.index) & cq->ring.mask;
	expected.surely += there;
	expected.at_most += there;
	return expected;
}

/* A smaller size: as it is wanted, or as small as it may be; 0 if too small. */
static int smaller_size(struct p2pmr_cq *cq, int cqe)
{
	struct expected expected = expect(cq);

	/* Where it matters, what is on the way arrives meanwhile. */
	if ((uint64_t)cqe >= expected.surely &&
	    (uint64_t)cqe < expected.surely + expected.on_the_way) {
		usleep(1000);
		expected = expect(cq);
	}
	if ((uint64_t)cqe < expected.surely)
		return 0;
	if ((uint64_t)cqe >= expected.at_most)
		return cqe;
	return expected.at_most < (uint64_t)cq->verbs.cq.cqe
		       ? (int)expected.at_most
		       : cq->verbs.cq.cqe;
}

int p2pmr_cq_map_owed(struct p2pmr_cq *cq)
{
	int error = p2pmr_ring_replace(&cq->ring, cq->verbs.cq.context->cmd_fd,
				       &cq->owed, WC_SIZE, P2PMR_TAKES);

	if (!error)
		cq->owed.size = 0;
	return error;
}

/*
 * The kernel moves the completions to a new ring, so nobody may poll the old
 * one meanwhile. From then on there is no way back: if the new one cannot be
 * mapped now, that is done later.
 */
static int resize(struct p2pmr_cq *cq, int cqe)
{
	struct p2pmr_resize_cq_resp resp = {};
	struct ibv_cq *ibcq = &cq->verbs.cq;
	struct ibv_resize_cq cmd;
	int error;

	/* What is owed is the kernel's ring, which must be seen to count. */
	if (cq->owed.size) {
		error = p2pmr_cq_map_owed(cq);
		if (error)
			return error;
	}
	if (cqe < ibcq->cqe)
		cqe = smaller_size(cq, cqe);
	if (cqe <= 0)
		return EINVAL;
	error = ibv_cmd_resize_cq(ibcq, cqe, &cmd, sizeof(cmd), &resp.ibv_resp,
				  sizeof(resp));
	if (error)
		return error;
	cq->owed = resp.mi;
	if (p2pmr_cq_map_owed(cq))
		p2pmr_cq_owes(ibcq);
	return 0;
}

int p2pmr_resize_cq(struct ibv_cq *ibcq, int cqe)
{
	struct p2pmr_cq *cq = to_cq(ibcq);
	int error;

	if (cqe <= 0)
		return EINVAL;
	/* What the poll is showing lies in the ring that would go. */
	if (p2pmr_cq_is_polled(cq))
		return EBUSY;
	p2pmr_lock(&cq->lock);
	error = resize(cq, cqe);
	p2pmr_unlock(&cq->lock);
	return error;
}
