// SPDX-License-Identifier: GPL-2.0
/*
 * The helper QP: makes fast-registration MRs valid by executing IB_WR_REG_MR,
 * for all users of one RDMA device.
 *
 * REG_MR is a local operation that wants an RC QP in RTS. The QP is connected
 * to itself at the unspecified address, has no receive queue entries and gives
 * no remote access, so nothing can be done through it from outside.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <rdma/ib_cache.h>

#include "verbs.h"

#define QUEUE_DEPTH 64
/* One chain of requests at a time has room beside those that have slots. */
#define CHAIN_MAX P2PMR_STORE_SIZE
/* A REG_MR takes microseconds; a driver that needs this long is stuck. */
#define EXEC_TIMEOUT (10 * HZ)

struct reg_op {
	bool done;
	enum ib_wc_status status;
};

/*
 * May be called under the driver's lock of the CQ, so that nothing can be polled
 * here. Those who wait do it themselves, which spares the detour over a softirq
 * that ib_alloc_cq() would take, and with it two context switches.
 */
static void cq_event(struct ib_cq *cq, void *context)
{
	struct p2pmr_fastreg *fr = context;

	wake_up_all(&fr->wait);
}

/* Take what is in the CQ, for whomever it is. True if @op is done. */
static bool poll(struct p2pmr_fastreg *fr, struct reg_op *op)
{
	struct ib_wc wc;

	do {
		while (ib_poll_cq(fr->cq, 1, &wc) > 0) {
			struct reg_op *done = (void *)(uintptr_t)wc.wr_id;

			done->status = wc.status;
			/* It may be gone right after that. */
			smp_store_release(&done->done, true);
			if (done != op)
				wake_up_all(&fr->wait);
		}
		/* Pairs with the release above, in another waiter: status. */
		if (smp_load_acquire(&op->done))
			return true;
	} while (ib_req_notify_cq(fr->cq, IB_CQ_NEXT_COMP |
					  IB_CQ_REPORT_MISSED_EVENTS) > 0);
	return false;
}

static int modify(struct ib_qp *qp, struct ib_qp_attr *attr,
		  enum ib_qp_state state, int mask)
{
	attr->qp_state = state;
	return qp->device->ops.modify_qp(qp, attr, mask | IB_QP_STATE, NULL);
}

/*
 * Through the driver's operation and with a GID attribute of our own:
 * ib_modify_qp() would take an entry of the device's GID table and keep its
 * address from being removed, and there may be no entry at all.
 */
static int bring_up(struct ib_qp *qp)
{
	struct ib_gid_attr gid_attr = {
		.device = qp->device,
		.gid_type = IB_GID_TYPE_ROCE_UDP_ENCAP,
		.port_num = 1,
	};
	struct ib_qp_attr attr = {
		.port_num = 1,
		.path_mtu = IB_MTU_256,
		.dest_qp_num = qp->qp_num,
		.ah_attr = {
			.type = RDMA_AH_ATTR_TYPE_ROCE,
			.port_num = 1,
			.ah_flags = IB_AH_GRH,
			.grh.sgid_attr = &gid_attr,
			.grh.hop_limit = 1,
		},
	};
	int ret;

	/* The unspecified IPv4 address, mapped. */
	ipv6_addr_set_v4mapped(htonl(INADDR_ANY),
			       (struct in6_addr *)gid_attr.gid.raw);
	attr.ah_attr.grh.dgid = gid_attr.gid;

	ret = modify(qp, &attr, IB_QPS_INIT,
		     IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS);
	if (!ret)
		ret = modify(qp, &attr, IB_QPS_RTR,
			     IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN |
			     IB_QP_RQ_PSN | IB_QP_MAX_DEST_RD_ATOMIC |
			     IB_QP_MIN_RNR_TIMER);
	if (!ret)
		ret = modify(qp, &attr, IB_QPS_RTS,
			     IB_QP_TIMEOUT | IB_QP_RETRY_CNT | IB_QP_RNR_RETRY |
			     IB_QP_SQ_PSN | IB_QP_MAX_QP_RD_ATOMIC);
	return ret;
}

static void qp_destroy(struct p2pmr_fastreg *fr)
{
	if (fr->qp)
		ib_destroy_qp(fr->qp);
	if (fr->cq)
		ib_destroy_cq(fr->cq);
	fr->qp = NULL;
	fr->cq = NULL;
}

static int qp_create(struct p2pmr_fastreg *fr)
{
	struct ib_qp_init_attr init = {
		.qp_type = IB_QPT_RC,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.cap.max_send_wr = QUEUE_DEPTH + CHAIN_MAX,
		.cap.max_send_sge = 1,
	};
	struct ib_cq_init_attr cq_attr = { .cqe = QUEUE_DEPTH + CHAIN_MAX };
	int ret;

	fr->cq = ib_create_cq(fr->ibdev, cq_event, NULL, fr, &cq_attr);
	if (IS_ERR(fr->cq)) {
		ret = PTR_ERR(fr->cq);
		fr->cq = NULL;
		return ret;
	}
	init.send_cq = fr->cq;
	init.recv_cq = fr->cq;
	fr->qp = ib_create_qp(fr->pd, &init);
	if (IS_ERR(fr->qp)) {
		ret = PTR_ERR(fr->qp);
		fr->qp = NULL;
	} else {
		ret = bring_up(fr->qp);
	}
	if (ret)
		qp_destroy(fr);
	return ret;
}

int p2pmr_fastreg_init(struct p2pmr_fastreg *fr, struct ib_device *ibdev)
{
	int ret;

	fr->ibdev = ibdev;
	init_rwsem(&fr->lock);
	init_waitqueue_head(&fr->wait);
	sema_init(&fr->slots, QUEUE_DEPTH);
	fr->pd = ib_alloc_pd(ibdev, 0);
	if (IS_ERR(fr->pd))
		return PTR_ERR(fr->pd);
	ret = qp_create(fr);
	if (ret)
		ib_dealloc_pd(fr->pd);
	return ret;
}

/* The caller makes sure that p2pmr_fastreg_exec() is not and will not be run. */
void p2pmr_fastreg_destroy(struct p2pmr_fastreg *fr)
{
	qp_destroy(fr);
	ib_dealloc_pd(fr->pd);
}

/*
 * A failed work request puts the QP into the error state, and one that never
 * completes still points to its MR: in both cases the QP has to go. Whoever
 * comes first replaces it; @generation tells the others that it is done. If that
 * fails there is none, which the next one who wants it finds and tries again.
 */
static int replace(struct p2pmr_fastreg *fr, unsigned int generation)
{
	int ret = 0;

	down_write(&fr->lock);
	if (fr->generation == generation) {
		qp_destroy(fr);
		ret = qp_create(fr);
		fr->generation++;
	}
	up_write(&fr->lock);
	if (ret)
		pr_err("%s: helper QP could not be replaced: %d\n",
		       dev_name(&fr->ibdev->dev), ret);
	return ret;
}

/* Only the last tells of its end, and with it of that of all; or one that fails. */
static void chain(struct ib_reg_wr *wrs, unsigned int n, struct reg_op *op)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		wrs[i].wr.opcode = IB_WR_REG_MR;
		wrs[i].wr.wr_id = (uintptr_t)op;
		wrs[i].wr.send_flags = i + 1 < n ? 0 : IB_SEND_SIGNALED;
		wrs[i].wr.next = i + 1 < n ? &wrs[i + 1].wr : NULL;
	}
}

/*
 * A driver that works in a softirq (6.1) has done its work when this returns:
 * what it raises while bottom halves are off runs here as soon as they are on.
 * Otherwise it would be for ksoftirqd, which is two context switches away.
 */
static int post(struct p2pmr_fastreg *fr, const struct ib_send_wr *wr)
{
	int ret;

	local_bh_disable();
	ret = ib_post_send(fr->qp, wr, NULL);
	local_bh_enable();
	return ret;
}

static int exec_once(struct p2pmr_fastreg *fr, struct ib_reg_wr *wrs,
		     unsigned int n)
{
	struct reg_op op = {};
	unsigned int generation;
	int ret, failed;

	chain(wrs, n, &op);
	down_read(&fr->lock);
	generation = fr->generation;
	ret = fr->qp ? post(fr, &wrs->wr) : -EAGAIN;
	if (!ret) {
		if (!wait_event_timeout(fr->wait, poll(fr, &op), EXEC_TIMEOUT))
			ret = -ETIMEDOUT;
		else if (op.status == IB_WC_WR_FLUSH_ERR)
			ret = -EAGAIN;
		else if (op.status != IB_WC_SUCCESS)
			ret = -EIO;
	}
	up_read(&fr->lock);

	/* @op and the MRs may go only when nothing refers to them any more. */
	failed = ret ? replace(fr, generation) : 0;
	return ret == -EAGAIN && failed ? failed : ret;
}

/**
 * p2pmr_fastreg_exec() - make fast-registration MRs valid
 * @fr: the helper
 * @wrs: each with its MR, in the helper's PD, the MR's key, and the IB_ACCESS_*
 *	flags that it is to have; the rest is filled in here
 * @n: of them; more than one from one caller at a time only, and at most
 *	P2PMR_STORE_SIZE
 *
 * Sleeps until the driver has executed the requests. On failure the driver no
 * longer refers to any of the MRs either; each may be valid or not.
 *
 * Return: 0, -EIO (the driver refused), -ETIMEDOUT (it did not answer), or why
 * there is no helper QP, such as -ENOMEM.
 */
int p2pmr_fastreg_exec(struct p2pmr_fastreg *fr, struct ib_reg_wr *wrs,
		       unsigned int n)
{
	int ret;

	if (n == 1)
		down(&fr->slots);
	ret = exec_once(fr, wrs, n);
	/*
	 * There was no QP, or somebody else's request broke it: not looked at. Of
	 * several some may have been.
	 */
	if (ret == -EAGAIN && n == 1)
		ret = exec_once(fr, wrs, n);
	if (n == 1)
		up(&fr->slots);
	return ret == -EAGAIN ? -EIO : ret;
}
