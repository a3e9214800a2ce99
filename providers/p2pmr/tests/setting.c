// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include "setting.h"

#include "runner.h"

void setting_open(struct setting *setting, enum memory_kind kind, size_t size)
{
	pair_open(&setting->pair);
	memory_map(&setting->from, HOST, PAGE);
	memory_register(&setting->from, setting->pair.device.pd);
	memory_map(&setting->to, kind, size);
	memory_register(&setting->to, setting->pair.device.pd);
}

struct queue own_peer(struct setting *setting, struct ibv_cq *cq,
		      bool all_signaled)
{
	struct queue queue = { .device = &setting->pair.device, .cq = cq };
	struct queue *near = &setting->pair.near;
	struct ibv_qp_init_attr init = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = { 32, 32, 1, 1, 0 },
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = all_signaled,
	};

	queue.qp = ibv_create_qp(setting->pair.device.pd, &init);
	assert_non_null(queue.qp);
	if (cq == near->cq)
		queue.channel = near->channel;
	queue_connect(&queue, queue.qp->qp_num);
	return queue;
}

void post_write(struct setting *setting, struct queue *queue, uint64_t id)
{
	struct ibv_sge sge = { (uintptr_t)setting->from.bytes, 8,
			       setting->from.mr->lkey };
	struct ibv_send_wr *bad, wr = {
		.wr_id = id,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma.remote_addr = (uintptr_t)setting->to.bytes,
		.wr.rdma.rkey = setting->to.mr->rkey,
	};

	assert_int_equal(ibv_post_send(queue->qp, &wr, &bad), 0);
}

void setting_close(struct setting *setting)
{
	memory_release(&setting->from);
	memory_release(&setting->to);
	pair_close(&setting->pair);
}
