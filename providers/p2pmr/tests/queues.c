// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Completion and receive queues: their rings go round, grow and shrink with
 * what is in them, and come out in order; chains cost one system call.
 */
#include <errno.h>
#include <unistd.h>

#include "calls.h"
#include "exchange.h"
#include "plugin.h"
#include "setting.h"

#define DEPTH 64 /* of the helpers' send queue */

/* Posts `count` writes of eight bytes as one chain, with IDs from `first` on. */
static void post_chain(struct setting *setting, unsigned int count,
		       uint64_t first)
{
	struct ibv_send_wr wr[DEPTH], *bad;
	struct ibv_sge sge = {
		.addr = (uintptr_t)setting->from.bytes,
		.length = 8,
		.lkey = setting->from.mr->lkey,
	};

	for (unsigned int i = 0; i < count; i++)
		wr[i] = (struct ibv_send_wr){
			.wr_id = first + i,
			.next = i + 1 < count ? &wr[i + 1] : NULL,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE,
			.wr.rdma.remote_addr =
				(uintptr_t)setting->to.bytes + 8 * i,
			.wr.rdma.rkey = setting->to.mr->rkey,
		};
	assert_int_equal(ibv_post_send(setting->pair.near.qp, wr, &bad), 0);
}

static void expect_in_order(struct setting *setting, unsigned int count,
			    uint64_t first)
{
	for (unsigned int i = 0; i < count; i++) {
		struct ibv_wc wc = wait_completion(&setting->pair.near);

		assert_status(wc.status, IBV_WC_SUCCESS);
		assert_int_equal(wc.wr_id, first + i);
	}
}

static void chain_rings_once(void **state)
{
	struct setting setting = { 0 };
	unsigned int before;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	before = writes;
	post_chain(&setting, 32, 0);
	assert_int_equal(writes, before + 1);
	expect_in_order(&setting, 32, 0);
	setting_close(&setting);
}

/* Several at once, wherever in the ring they are. */
static void expect_in_batches(struct setting *setting, unsigned int count,
			      uint64_t first)
{
	struct ibv_wc wc[DEPTH];
	int found;

	while (count) {
		usleep(20000);
		found = ibv_poll_cq(setting->pair.near.cq, count, wc);
		assert_in_range(found, 0, count);
		for (int i = 0; i < found; i++) {
			assert_status(wc[i].status, IBV_WC_SUCCESS);
			assert_int_equal(wc[i].wr_id, first++);
		}
		count -= found;
	}
}

static void rings_go_round(void **state)
{
	struct setting setting = { 0 };

	(void)state;
	setting_open(&setting, HOST, PAGE);
	for (uint64_t round = 0; round < 50; round++) {
		post_chain(&setting, 23, 100 * round);
		expect_in_batches(&setting, 23, 100 * round);
	}
	setting_close(&setting);
}

/* All that has completed, once it is sure that all has. */
static void batch_comes_at_once(void **state)
{
	struct setting setting = { 0 };
	struct ibv_wc wc[DEPTH];
	int count = 0;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	post_chain(&setting, 40, 0);
	for (int tries = 0; tries < 200 && count < 40; tries++) {
		usleep(10000);
		count += ibv_poll_cq(setting.pair.near.cq, DEPTH - count,
				     wc + count);
	}
	assert_int_equal(count, 40);
	for (int i = 0; i < count; i++)
		assert_int_equal(wc[i].wr_id, i);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, DEPTH, wc), 0);
	post_chain(&setting, 5, 40);
	usleep(500000);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 2, wc), 2);
	assert_int_equal(wc[1].wr_id, 41);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 0, wc), 0);
	expect_in_order(&setting, 3, 42);
	setting_close(&setting);
}

static void cq_keeps_completions_when_resized(void **state)
{
	struct setting setting = { 0 };
	struct ibv_cq *cq;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	cq = setting.pair.near.cq;
	post_chain(&setting, 20, 0);
	expect_in_order(&setting, 3, 0);
	usleep(500000);
	assert_int_equal(ibv_resize_cq(cq, 1000), 0);
	assert_in_range(cq->cqe, 1000, 1023);
	expect_in_order(&setting, 2, 3);
	/* Fewer than the fifteen that wait. */
	assert_int_equal(ibv_resize_cq(cq, 7), EINVAL);
	assert_int_equal(ibv_resize_cq(cq, 15), 0);
	expect_in_order(&setting, 15, 5);
	assert_int_equal(ibv_resize_cq(cq, 1 << 28), EINVAL);
	assert_int_equal(ibv_resize_cq(cq, 100), 0);
	post_chain(&setting, 32, 20);
	expect_in_order(&setting, 32, 20);
	setting_close(&setting);
}

/* However far the kernel has got with them. */
static void cq_stays_large_enough(void **state)
{
	struct setting setting = { 0 };

	(void)state;
	setting_open(&setting, HOST, PAGE);
	for (uint64_t round = 0; round < 10; round++) {
		post_chain(&setting, 20, 100 * round);
		assert_int_equal(ibv_resize_cq(setting.pair.near.cq, 19),
				 EINVAL);
		expect_in_order(&setting, 20, 100 * round);
	}
	setting_close(&setting);
}

/* Its own, and neither those of others nor what comes after it. */
static void reset_takes_its_completions(void **state)
{
	struct ibv_qp_attr reset = { .qp_state = IBV_QPS_RESET };
	struct setting setting = { 0 };
	struct queue other;
	struct ibv_wc wc;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	other = own_peer(&setting, setting.pair.near.cq, true);
	post_chain(&setting, 3, 0);
	usleep(300000);
	post_write(&setting, &other, 0);
	usleep(300000);
	post_chain(&setting, 3, 0);
	usleep(300000);
	post_write(&setting, &other, 0);
	usleep(300000);
	expect_in_order(&setting, 2, 0);
	assert_int_equal(
		ibv_modify_qp(setting.pair.far.qp, &reset, IBV_QP_STATE), 0);
	assert_int_equal(
		ibv_modify_qp(setting.pair.near.qp, &reset, IBV_QP_STATE), 0);
	for (int i = 0; i < 2; i++) {
		wc = wait_completion(&setting.pair.near);
		assert_int_equal(wc.qp_num, other.qp->qp_num);
	}
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 1, &wc), 0);
	queue_connect(&setting.pair.near, setting.pair.far.qp->qp_num);
	queue_connect(&setting.pair.far, setting.pair.near.qp->qp_num);
	post_chain(&setting, 6, 10);
	expect_in_order(&setting, 6, 10);
	assert_int_equal(ibv_destroy_qp(other.qp), 0);
	setting_close(&setting);
}

/* Looked at and found empty, or asked for what it does not know. */
static void extended_cq_releases_its_lock(void **state)
{
	struct ibv_cq_init_attr_ex attr = { .cqe = 15 };
	struct ibv_poll_cq_attr none = { 0 }, unknown = { .comp_mask = 1 };
	struct setting setting = { 0 };
	struct ibv_cq_ex *cq;

	(void)state;
	device_open(&setting.pair.device);
	cq = ibv_create_cq_ex(setting.pair.device.context, &attr);
	assert_non_null(cq);
	assert_int_equal(ibv_start_poll(cq, &none), ENOENT);
	assert_int_equal(ibv_start_poll(cq, &unknown), EINVAL);
	/* The lock is free again, or this would hang. */
	assert_int_equal(ibv_start_poll(cq, &none), ENOENT);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(cq)), 0);
	device_close(&setting.pair.device);
}

static struct ibv_srq *srq_with(struct setting *setting, unsigned int count)
{
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 8,
						    .max_sge = 1 } };
	struct ibv_recv_wr wr = { 0 }, *bad;
	struct ibv_srq *srq;

	srq = ibv_create_srq(setting->pair.device.pd, &init);
	assert_non_null(srq);
	for (unsigned int i = 0; i < count; i++) {
		wr.wr_id = i;
		assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), 0);
	}
	return srq;
}

static void srq_keeps_receives_when_resized(void **state)
{
	struct ibv_srq_attr attr = { .max_wr = 40 };
	struct ibv_recv_wr wr = { 0 }, *bad = NULL;
	struct setting setting = { 0 };
	struct ibv_srq *srq;
	int error;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	srq = srq_with(&setting, 5);
	assert_int_equal(ibv_modify_srq(srq, &attr, IBV_SRQ_MAX_WR), 0);
	for (unsigned int i = 5; i < 40; i++) {
		wr.wr_id = i;
		assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), 0);
	}
	while (!(error = ibv_post_srq_recv(srq, &wr, &bad)))
		;
	assert_int_equal(error, ENOMEM);
	assert_ptr_equal(bad, &wr);
	attr.max_wr = 3;
	assert_int_equal(ibv_modify_srq(srq, &attr, IBV_SRQ_MAX_WR), EINVAL);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	setting_close(&setting);
}

static const struct test tests[] = {
	TEST("provider/chain-rings-once", chain_rings_once),
	TEST("provider/rings-go-round", rings_go_round),
	TEST("provider/batch-comes-at-once", batch_comes_at_once),
	TEST("provider/cq-keeps-completions-when-resized",
	     cq_keeps_completions_when_resized),
	TEST("provider/cq-stays-large-enough", cq_stays_large_enough),
	TEST("provider/reset-takes-its-completions",
	     reset_takes_its_completions),
	TEST("provider/extended-cq-releases-its-lock",
	     extended_cq_releases_its_lock),
	TEST("provider/srq-keeps-receives-when-resized",
	     srq_keeps_receives_when_resized),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
