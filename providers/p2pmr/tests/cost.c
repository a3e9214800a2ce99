// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Instructions in user space of posting and polling, here and with the stock
 * provider: nowhere more, and clearly fewer for chains and batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "endpoint.h"
#include "plugin.h"
#include "bar.h"
#include "steps.h"

#define CHAIN 16

enum measured {
	OVERHEAD,
	POST_ONE,
	POST_CHAIN,
	POST_INLINE,
	POST_SENDS,
	WR_ONE,
	WR_CHAIN,
	RECEIVE_ONE,
	RECEIVE_CHAIN,
	POLL_NONE,
	POLL_ONE,
	POLL_BATCH,
	START_POLL_BATCH,
	MEASURED
};

static const struct {
	const char *what;
	unsigned int percent; /* of the stock provider's, at most */
} limits[MEASURED] = {
	[POST_ONE] = { "ibv_post_send, a write", 100 },
	[POST_CHAIN] = { "ibv_post_send, 16 writes", 80 },
	[POST_INLINE] = { "ibv_post_send, 32 bytes inline", 100 },
	[POST_SENDS] = { "ibv_post_send, 16 sends", 80 },
	[WR_ONE] = { "ibv_wr_*, a write", 100 },
	[WR_CHAIN] = { "ibv_wr_*, 16 writes", 80 },
	[RECEIVE_ONE] = { "ibv_post_recv, one", 100 },
	[RECEIVE_CHAIN] = { "ibv_post_recv, 16", 80 },
	[POLL_NONE] = { "ibv_poll_cq, nothing there", 100 },
	[POLL_ONE] = { "ibv_poll_cq, one", 100 },
	[POLL_BATCH] = { "ibv_poll_cq, 16", 80 },
	[START_POLL_BATCH] = { "ibv_start_poll and on, 16", 100 },
};

struct setting {
	struct pair pair;
	struct memory from, to;
	struct ibv_qp_ex *qp;
	struct ibv_cq_ex *cq;
	struct ibv_sge sge;
	struct ibv_send_wr sends[CHAIN];
	struct ibv_recv_wr receives[CHAIN];
	struct ibv_wc wc[CHAIN];
};

/* Near queue pair and CQ in their extended forms, which have all calls. */
static void make_extended(struct setting *setting)
{
	struct queue *near = &setting->pair.near;
	struct ibv_cq_init_attr_ex cq = { .cqe = 128,
					  .channel = near->channel };
	struct ibv_qp_init_attr_ex qp = {
		.cap = { 64, 64, 4, 4, 64 },
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = setting->pair.device.pd,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE,
	};

	assert_int_equal(ibv_destroy_qp(near->qp), 0);
	assert_int_equal(ibv_destroy_cq(near->cq), 0);
	setting->cq = ibv_create_cq_ex(setting->pair.device.context, &cq);
	assert_non_null(setting->cq);
	near->cq = ibv_cq_ex_to_cq(setting->cq);
	qp.send_cq = qp.recv_cq = near->cq;
	near->qp = ibv_create_qp_ex(setting->pair.device.context, &qp);
	assert_non_null(near->qp);
	setting->qp = ibv_qp_to_qp_ex(near->qp);
}

static void setting_open(struct setting *setting)
{
	struct pair *pair = &setting->pair;

	device_open(&pair->device);
	queue_open(&pair->near, &pair->device, IBV_QPT_RC);
	queue_open(&pair->far, &pair->device, IBV_QPT_RC);
	make_extended(setting);
	queue_connect(&pair->near, pair->far.qp->qp_num);
	queue_connect(&pair->far, pair->near.qp->qp_num);
	memory_map(&setting->from, HOST, PAGE);
	memory_map(&setting->to, HOST, PAGE);
	memory_register(&setting->from, pair->device.pd);
	memory_register(&setting->to, pair->device.pd);
	setting->sge = (struct ibv_sge){ (uintptr_t)setting->from.bytes, 32,
					 setting->from.mr->lkey };
	for (int i = 0; i < CHAIN; i++) {
		bool last = i + 1 == CHAIN;

		setting->sends[i] = (struct ibv_send_wr){
			.next = last ? NULL : &setting->sends[i + 1],
			.sg_list = &setting->sge,
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE,
			.wr.rdma.remote_addr = (uintptr_t)setting->to.bytes,
			.wr.rdma.rkey = setting->to.mr->rkey,
		};
		setting->receives[i] = (struct ibv_recv_wr){
			.next = last ? NULL : &setting->receives[i + 1],
			.sg_list = &setting->sge,
			.num_sge = 1,
		};
	}
}

static void drain(struct setting *setting, unsigned int count)
{
	while (count--)
		assert_status(wait_completion(&setting->pair.near).status,
			      IBV_WC_SUCCESS);
}

static void measure_post(struct setting *setting, enum measured what,
			 unsigned int count)
{
	struct ibv_send_wr *bad, *first = &setting->sends[CHAIN - count];
	int error;

	steps_begin(what);
	error = ibv_post_send(setting->pair.near.qp, first, &bad);
	steps_end();
	assert_int_equal(error, 0);
	drain(setting, count);
}

static void measure_receive(struct setting *setting, enum measured what,
			    unsigned int count)
{
	struct ibv_recv_wr *bad, *first = &setting->receives[CHAIN - count];
	int error;

	steps_begin(what);
	error = ibv_post_recv(setting->pair.far.qp, first, &bad);
	steps_end();
	assert_int_equal(error, 0);
}

static void measure_wr(struct setting *setting, enum measured what,
		       unsigned int count)
{
	struct ibv_qp_ex *qp = setting->qp;
	int error;

	steps_begin(what);
	ibv_wr_start(qp);
	for (unsigned int i = 0; i < count; i++) {
		qp->wr_id = i;
		qp->wr_flags = 0;
		ibv_wr_rdma_write(qp, setting->to.mr->rkey,
				  (uintptr_t)setting->to.bytes);
		ibv_wr_set_sge(qp, setting->sge.lkey, setting->sge.addr, 32);
	}
	error = ibv_wr_complete(qp);
	steps_end();
	assert_int_equal(error, 0);
	drain(setting, count);
}

/* Enough time for all that was posted to have completed. */
static void post_and_wait(struct setting *setting, unsigned int count)
{
	struct ibv_send_wr *bad;

	assert_int_equal(ibv_post_send(setting->pair.near.qp,
				       &setting->sends[CHAIN - count], &bad),
			 0);
	usleep(500000);
}

static void measure_poll(struct setting *setting, enum measured what, int count)
{
	int found;

	if (count)
		post_and_wait(setting, count);
	steps_begin(what);
	found = ibv_poll_cq(setting->pair.near.cq, CHAIN, setting->wc);
	steps_end();
	assert_int_equal(found, count);
}

static void measure_start_poll(struct setting *setting)
{
	struct ibv_poll_cq_attr attr = { 0 };
	unsigned int found = 0;

	post_and_wait(setting, CHAIN);
	steps_begin(START_POLL_BATCH);
	if (!ibv_start_poll(setting->cq, &attr)) {
		for (found = 1; found < CHAIN; found++)
			if (ibv_next_poll(setting->cq))
				break;
		ibv_end_poll(setting->cq);
	}
	steps_end();
	assert_int_equal(found, CHAIN);
}

static void measure_all(struct setting *setting)
{
	measure_poll(setting, POLL_NONE, 0);
	measure_post(setting, POST_ONE, 1);
	measure_post(setting, POST_CHAIN, CHAIN);
	measure_wr(setting, WR_ONE, 1);
	measure_wr(setting, WR_CHAIN, CHAIN);
	measure_poll(setting, POLL_ONE, 1);
	measure_poll(setting, POLL_BATCH, CHAIN);
	measure_start_poll(setting);
	setting->sends[CHAIN - 1].send_flags = IBV_SEND_INLINE;
	measure_post(setting, POST_INLINE, 1);
	setting->sends[CHAIN - 1].send_flags = 0;
	measure_receive(setting, RECEIVE_ONE, 1);
	measure_receive(setting, RECEIVE_CHAIN, CHAIN);
	for (int i = 0; i < CHAIN; i++)
		setting->sends[i].opcode = IBV_WR_SEND;
	measure_post(setting, POST_SENDS, CHAIN);
}

static void measure_twice(void)
{
	for (int i = 0; i < 2; i++) {
		struct setting setting = { 0 };

		if (i)
			steps_enable();
		setting_open(&setting);
		measure_all(&setting);
		memory_release(&setting.from);
		memory_release(&setting.to);
		pair_close(&setting.pair);
	}
}

static void costs_less_than_stock(void **state)
{
	unsigned int stock[STEPS_MAX] = { 0 }, own[STEPS_MAX] = { 0 };
	bool within = true;

	(void)state;
	unsetenv("IBV_DRIVERS");
	count_steps(measure_twice, stock);
	setenv("IBV_DRIVERS", "p2pmr", 1);
	count_steps(measure_twice, own);
	printf("%-32s %8s %8s\n", "instructions", "stock", "p2pmr");
	for (int i = OVERHEAD + 1; i < MEASURED; i++) {
		bool good =
			own[i] && own[i] * 100 <= stock[i] * limits[i].percent;

		printf("%-32s %8u %8u%s\n", limits[i].what, stock[i], own[i],
		       good ? "" : "  too many");
		within = within && good;
	}
	assert_true(within);
}

static const struct test tests[] = {
	TEST("provider/costs-less-than-stock", costs_less_than_stock),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
