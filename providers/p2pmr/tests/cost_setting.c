// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include "cost_setting.h"

#include "runner.h"

/* A queue pair in its extended form, which has all calls. */
static void make_extended(struct queue *queue, enum ibv_qp_type type,
			  uint64_t ops)
{
	struct ibv_qp_init_attr_ex attr = {
		.send_cq = queue->cq,
		.recv_cq = queue->cq,
		.cap = { 64, 64, 4, 4, 64 },
		.qp_type = type,
		.sq_sig_all = 1,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = queue->device->pd,
		.send_ops_flags = ops,
	};

	assert_int_equal(ibv_destroy_qp(queue->qp), 0);
	queue->qp = ibv_create_qp_ex(queue->device->context, &attr);
	assert_non_null(queue->qp);
}

/* The near queue pair's CQ too. */
static void make_near_extended(struct cost_setting *setting)
{
	struct queue *near = &setting->pair.near;
	struct ibv_cq_init_attr_ex attr = {
		.cqe = 128,
		.channel = near->channel,
		.comp_mask = setting->td ? IBV_CQ_INIT_ATTR_MASK_PD : 0,
		.parent_domain = setting->td ? near->device->pd : NULL,
	};
	struct ibv_cq *before = near->cq;

	setting->cq = ibv_create_cq_ex(setting->pair.device.context, &attr);
	assert_non_null(setting->cq);
	near->cq = ibv_cq_ex_to_cq(setting->cq);
	make_extended(near, IBV_QPT_RC,
		      IBV_QP_EX_WITH_RDMA_WRITE |
			      IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD);
	assert_int_equal(ibv_destroy_cq(before), 0);
}

static void enter_domain(struct cost_setting *setting)
{
	struct device *device = &setting->pair.device;
	struct ibv_td_init_attr td = { 0 };
	struct ibv_parent_domain_init_attr parent = { .pd = device->pd };

	setting->td = ibv_alloc_td(device->context, &td);
	assert_non_null(setting->td);
	parent.td = setting->td;
	setting->pd = device->pd;
	device->pd = ibv_alloc_parent_domain(device->context, &parent);
	assert_non_null(device->pd);
}

static void leave_domain(struct cost_setting *setting)
{
	struct device *device = &setting->pair.device;

	assert_int_equal(ibv_dealloc_pd(device->pd), 0);
	assert_int_equal(ibv_dealloc_td(setting->td), 0);
	device->pd = setting->pd;
}

void cost_setting_open(struct cost_setting *setting, bool in_domain)
{
	struct ibv_srq_init_attr srq = { .attr = { .max_wr = 64,
						   .max_sge = 4 } };
	struct pair *pair = &setting->pair;

	device_open(&pair->device);
	if (in_domain)
		enter_domain(setting);
	queue_open(&pair->near, &pair->device, IBV_QPT_RC);
	queue_open(&pair->far, &pair->device, IBV_QPT_RC);
	queue_open(&setting->ud, &pair->device, IBV_QPT_UD);
	make_near_extended(setting);
	make_extended(&setting->ud, IBV_QPT_UD, IBV_QP_EX_WITH_SEND);
	queue_connect(&pair->near, pair->far.qp->qp_num);
	queue_connect(&pair->far, pair->near.qp->qp_num);
	queue_start_ud(&setting->ud);
	setting->srq = ibv_create_srq(pair->device.pd, &srq);
	assert_non_null(setting->srq);
	memory_map(&setting->from, HOST, PAGE);
	memory_map(&setting->to, HOST, PAGE);
	memory_register(&setting->from, pair->device.pd);
	memory_register(&setting->to, pair->device.pd);
	setting->sge = (struct ibv_sge){ (uintptr_t)setting->from.bytes, 32,
					 setting->from.mr->lkey };
	for (int i = 0; i < CHAIN; i++)
		setting->receives[i] = (struct ibv_recv_wr){
			.next = i + 1 < CHAIN ? &setting->receives[i + 1]
					      : NULL,
			.sg_list = &setting->sge,
			.num_sge = 1,
		};
}

void cost_setting_close(struct cost_setting *setting)
{
	memory_release(&setting->from);
	memory_release(&setting->to);
	assert_int_equal(ibv_destroy_srq(setting->srq), 0);
	queue_close(&setting->ud);
	queue_close(&setting->pair.near);
	queue_close(&setting->pair.far);
	if (setting->td)
		leave_domain(setting);
	device_close(&setting->pair.device);
}

void cost_setting_prepare(struct cost_setting *setting,
			  enum ibv_wr_opcode opcode, unsigned int flags)
{
	bool atomic = opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;

	setting->sge.length = atomic ? 8 : 32;
	for (int i = 0; i < CHAIN; i++) {
		struct ibv_send_wr *wr = &setting->sends[i];

		*wr = (struct ibv_send_wr){
			.next = i + 1 < CHAIN ? wr + 1 : NULL,
			.sg_list = &setting->sge,
			.num_sge = 1,
			.opcode = opcode,
			.send_flags = flags,
		};
		if (atomic) {
			wr->wr.atomic.remote_addr =
				(uintptr_t)setting->to.bytes;
			wr->wr.atomic.rkey = setting->to.mr->rkey;
		} else if (opcode == IBV_WR_RDMA_WRITE) {
			wr->wr.rdma.remote_addr = (uintptr_t)setting->to.bytes;
			wr->wr.rdma.rkey = setting->to.mr->rkey;
		} else {
			wr->wr.ud.ah = setting->ud.ah;
			wr->wr.ud.remote_qpn = setting->ud.qp->qp_num;
			wr->wr.ud.remote_qkey = UD_QKEY;
		}
	}
}
