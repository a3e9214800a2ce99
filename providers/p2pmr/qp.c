// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Queue pairs: making, changing, destroying. */
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "p2pmr.h"

#define SUPPORTED_MASK                                         \
	(IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS | \
	 IBV_QP_INIT_ATTR_SEND_OPS_FLAGS)

#define OPCODE(name) (1u << IBV_WR_##name)
#define SENDS	     (OPCODE(SEND) | OPCODE(SEND_WITH_IMM))
#define WRITES	     (OPCODE(RDMA_WRITE) | OPCODE(RDMA_WRITE_WITH_IMM))
#define WINDOWS	     (OPCODE(BIND_MW) | OPCODE(LOCAL_INV) | OPCODE(SEND_WITH_INV))
#define ATOMICS	     (OPCODE(ATOMIC_CMP_AND_SWP) | OPCODE(ATOMIC_FETCH_AND_ADD))

/* What ibv_post_send() takes. */
static uint32_t opcodes_of(enum ibv_qp_type type)
{
	switch (type) {
	case IBV_QPT_RC:
		return SENDS | WRITES | WINDOWS | ATOMICS | OPCODE(RDMA_READ);
	case IBV_QPT_UC:
		return SENDS | WRITES | OPCODE(BIND_MW) | OPCODE(SEND_WITH_INV);
	default:
		return SENDS;
	}
}

/* Of the operations that soft-RoCE got later, those that this kernel lacks. */
static int find_missing_ops(struct ibv_context *context, uint64_t wanted,
			    uint64_t *missing)
{
	struct ib_uverbs_ex_query_device_resp resp;
	size_t resp_size = sizeof(resp);
	struct ibv_device_attr_ex attr;
	uint64_t later = 0;
	int error;

#ifdef P2PMR_HAVE_ATOMIC_WRITE
	later |= IBV_QP_EX_WITH_ATOMIC_WRITE;
#endif
#ifdef P2PMR_HAVE_FLUSH
	later |= IBV_QP_EX_WITH_FLUSH;
#endif
	*missing = wanted & later;
	if (!*missing)
		return 0;
	error = ibv_cmd_query_device_any(context, NULL, &attr, sizeof(attr),
					 &resp, &resp_size);
	if (error)
		return error;
#ifdef P2PMR_HAVE_ATOMIC_WRITE
	if (attr.device_cap_flags_ex & IB_UVERBS_DEVICE_ATOMIC_WRITE)
		*missing &= ~(uint64_t)IBV_QP_EX_WITH_ATOMIC_WRITE;
#endif
#ifdef P2PMR_HAVE_FLUSH
	if (attr.device_cap_flags_ex & IB_UVERBS_DEVICE_FLUSH_GLOBAL)
		*missing &= ~(uint64_t)IBV_QP_EX_WITH_FLUSH;
#endif
	return 0;
}

static int check_ops(struct ibv_context *context,
		     const struct ibv_qp_init_attr_ex *attr)
{
	uint64_t missing;
	int error;

	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS))
		return 0;
	if (attr->send_ops_flags & ~p2pmr_supported_send_ops(attr->qp_type))
		return EOPNOTSUPP;
	error = find_missing_ops(context, attr->send_ops_flags, &missing);
	if (error)
		return error;
	return missing ? EOPNOTSUPP : 0;
}

static int check_attr(struct ibv_context *context,
		      const struct ibv_qp_init_attr_ex *attr)
{
	if ((attr->comp_mask & ~(uint32_t)SUPPORTED_MASK) ||
	    ((attr->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS) &&
	     attr->create_flags))
		return EOPNOTSUPP;
	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD))
		return EINVAL;
	return check_ops(context, attr);
}

static int map_receives(struct p2pmr_qp *qp,
			const struct ibv_qp_init_attr_ex *attr,
			const struct mminfo *info, int cmd_fd)
{
	struct p2pmr_receive_queue *queue = &qp->receives;
	size_t least = sizeof(struct rxe_recv_wqe) +
		       attr->cap.max_recv_sge * sizeof(struct rxe_sge);
	int error;

	if (attr->srq)
		return 0;
	error = p2pmr_ring_map(&queue->ring, cmd_fd, info, least, P2PMR_FILLS);
	if (error)
		return error;
	queue->max_sge = attr->cap.max_recv_sge;
	p2pmr_lock_init(&queue->lock, p2pmr_pd_is_shared(attr->pd));
	return 0;
}

static int map_sends(struct p2pmr_qp *qp,
		     const struct ibv_qp_init_attr_ex *attr,
		     const struct mminfo *info, int cmd_fd)
{
	size_t sges = attr->cap.max_send_sge * sizeof(struct rxe_sge);
	size_t least = attr->cap.max_inline_data;
	int error;

	if (least < sges)
		least = sges;
	error = p2pmr_ring_map(&qp->ring, cmd_fd, info,
			       sizeof(struct rxe_send_wqe) + least,
			       P2PMR_FILLS);
	if (error)
		return error;
	qp->max_sge = attr->cap.max_send_sge;
	qp->max_inline = attr->cap.max_inline_data;
	p2pmr_lock_init(&qp->lock, p2pmr_pd_is_shared(attr->pd));
	return 0;
}

static void unmap_receives(struct p2pmr_qp *qp)
{
	if (!qp->receives.ring.size)
		return;
	p2pmr_ring_unmap(&qp->receives.ring);
	p2pmr_lock_destroy(&qp->receives.lock);
}

/* attr->cap becomes what the QP has got. */
static struct p2pmr_qp *create(struct ibv_context *context,
			       struct ibv_qp_init_attr_ex *attr)
{
	struct p2pmr_create_qp_resp resp = {};
	struct ibv_create_qp_ex cmd = {};
	struct p2pmr_qp *qp;
	int error;

	error = check_attr(context, attr);
	if (error)
		goto err;
	qp = calloc(1, sizeof(*qp));
	if (!qp)
		return NULL;
	error = ibv_cmd_create_qp_ex2(context, &qp->verbs, attr, &cmd,
				      sizeof(cmd), &resp.ibv_resp,
				      sizeof(resp));
	if (error)
		goto err_free;
	error = map_receives(qp, attr, &resp.rq_mi, context->cmd_fd);
	if (error)
		goto err_destroy;
	error = map_sends(qp, attr, &resp.sq_mi, context->cmd_fd);
	if (error)
		goto err_unmap;
	qp->opcodes = opcodes_of(attr->qp_type);
	qp->all_signaled = attr->sq_sig_all;
	p2pmr_cq_add_member(qp);
	p2pmr_pd_hold(attr->pd);
	p2pmr_init_doorbell(qp);
	return qp;

err_unmap:
	unmap_receives(qp);
err_destroy:
	ibv_cmd_destroy_qp(&qp->verbs.qp);
err_free:
	free(qp);
err:
	errno = error;
	return NULL;
}

struct ibv_qp *p2pmr_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct ibv_qp_init_attr_ex extended = {
		.qp_context = attr->qp_context,
		.send_cq = attr->send_cq,
		.recv_cq = attr->recv_cq,
		.srq = attr->srq,
		.cap = attr->cap,
		.qp_type = attr->qp_type,
		.sq_sig_all = attr->sq_sig_all,
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = pd,
	};
	struct p2pmr_qp *qp = create(pd->context, &extended);

	if (!qp)
		return NULL;
	attr->cap = extended.cap;
	return &qp->verbs.qp;
}

struct ibv_qp *p2pmr_create_qp_ex(struct ibv_context *context,
				  struct ibv_qp_init_attr_ex *attr)
{
	struct p2pmr_qp *qp = create(context, attr);

	if (!qp)
		return NULL;
	if (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
		p2pmr_set_send_ops(qp, attr->send_ops_flags);
		qp->verbs.comp_mask |= VERBS_QP_EX;
	}
	return &qp->verbs.qp;
}

int p2pmr_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		   struct ibv_qp_init_attr *init)
{
	struct ibv_query_qp cmd;

	return ibv_cmd_query_qp(qp, attr, mask, init, &cmd, sizeof(cmd));
}

/*
 * A QP that fails completes its request first and gets into the error state
 * afterwards, perhaps after the application has seen the one and reset the
 * other. The kernel's reset waits for that: once more, and it is reset.
 */
static int make_sure_of_reset(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET }, now;
	struct ibv_modify_qp cmd = {};
	struct ibv_qp_init_attr init;
	int error;

	error = p2pmr_query_qp(qp, &now, IBV_QP_STATE, &init);
	if (error || now.qp_state == IBV_QPS_RESET)
		return error;
	return ibv_cmd_modify_qp(qp, &attr, IBV_QP_STATE, &cmd, sizeof(cmd));
}

int p2pmr_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	struct ibv_modify_qp cmd = {};
	int error = ibv_cmd_modify_qp(qp, attr, mask, &cmd, sizeof(cmd));

	if (error || !(mask & IBV_QP_STATE) || attr->qp_state != IBV_QPS_RESET)
		return error;
	/* Whatever comes now, it is not what libibverbs has it for any more. */
	qp->state = IBV_QPS_RESET;
	to_qp(qp)->owes_doorbell = false;
	error = make_sure_of_reset(qp);
	/* It begins anew: nothing from before may be taken for its own. */
	p2pmr_cq_purge(qp->recv_cq, qp->qp_num);
	if (qp->send_cq != qp->recv_cq)
		p2pmr_cq_purge(qp->send_cq, qp->qp_num);
	return error;
}

int p2pmr_destroy_qp(struct ibv_qp *ibqp)
{
	struct p2pmr_qp *qp = to_qp(ibqp);
	int error;

	/* Once the kernel has none, the CQs may go too. */
	p2pmr_cq_remove_member(qp);
	error = ibv_cmd_destroy_qp(ibqp);
	if (error) {
		p2pmr_cq_add_member(qp);
		return error;
	}
	p2pmr_pd_release(ibqp->pd);
	unmap_receives(qp);
	p2pmr_ring_unmap(&qp->ring);
	p2pmr_lock_destroy(&qp->lock);
	free(qp);
	return 0;
}
