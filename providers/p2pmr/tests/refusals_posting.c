// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What posting refuses: with which errno, naming which request, and no more. */
#include <errno.h>

#include "exchange.h"
#include "plugin.h"
#include "setting.h"

#define ANY_LENGTH 64

static struct ibv_sge any_sge(struct setting *setting)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)setting->from.bytes,
		.length = ANY_LENGTH,
		.lkey = setting->from.mr->lkey,
	};

	return sge;
}

static struct ibv_send_wr any_write(struct setting *setting,
				    struct ibv_sge *sge)
{
	struct ibv_send_wr wr = {
		.sg_list = sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE,
		.wr.rdma.remote_addr = (uintptr_t)setting->to.bytes,
		.wr.rdma.rkey = setting->to.mr->rkey,
	};

	return wr;
}

#define assert_refused(queue_, wr_, error_)                               \
	do {                                                              \
		struct ibv_send_wr *bad_ = NULL;                          \
		assert_int_equal(ibv_post_send((queue_)->qp, wr_, &bad_), \
				 error_);                                 \
		assert_ptr_equal(bad_, wr_);                              \
	} while (0)

static void send_that_is_wrong(void **state)
{
	struct setting setting = { 0 };
	struct queue *near = &setting.pair.near;
	struct ibv_send_wr wr;
	struct ibv_sge sges[64];
	struct ibv_sge sge;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	sge = any_sge(&setting);

	wr = any_write(&setting, &sge);
	wr.opcode = IBV_WR_TSO;
	assert_refused(near, &wr, EOPNOTSUPP);
	wr.opcode = 1000;
	assert_refused(near, &wr, EOPNOTSUPP);

	wr = any_write(&setting, sges);
	for (size_t i = 0; i < ARRAY_SIZE(sges); i++)
		sges[i] = sge;
	wr.num_sge = ARRAY_SIZE(sges);
	assert_refused(near, &wr, EINVAL);
	wr.num_sge = -1;
	assert_refused(near, &wr, EINVAL);

	wr = any_write(&setting, &sge);
	wr.send_flags = IBV_SEND_INLINE;
	sge.length = PAGE;
	assert_refused(near, &wr, EINVAL);
	sge.length = 8;
	wr.opcode = IBV_WR_RDMA_READ;
	assert_refused(near, &wr, EINVAL);

	wr = any_write(&setting, &sge);
	wr.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
	wr.wr.atomic.remote_addr = (uintptr_t)setting.to.bytes + 4;
	wr.wr.atomic.rkey = setting.to.mr->rkey;
	assert_refused(near, &wr, EINVAL);

	/* None of them is in the queue. */
	exchange_checked(&setting.pair, WRITE,
			 (struct place){ &setting.from, 0 },
			 (struct place){ &setting.to, 0 }, 64, PAGE, 1);
	setting_close(&setting);
}

static void send_in_wrong_state(void **state)
{
	struct setting setting = { 0 };
	struct ibv_send_wr wr, good, *bad;
	struct ibv_sge sge;
	struct queue idle;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	sge = any_sge(&setting);
	wr = any_write(&setting, &sge);
	wr.send_flags = IBV_SEND_SIGNALED;
	good = wr;
	good.wr_id = 1;
	queue_open(&idle, &setting.pair.device, IBV_QPT_RC);
	assert_refused(&idle, &wr, EINVAL);

	/* Nor is it sent when the QP gets there. */
	queue_connect(&idle, idle.qp->qp_num);
	assert_int_equal(ibv_post_send(idle.qp, &good, &bad), 0);
	assert_int_equal(wait_completion(&idle).wr_id, good.wr_id);
	queue_close(&idle);
	setting_close(&setting);
}

/* Without a receive on the other side nothing of it completes. */
static void queue_that_is_full(void **state)
{
	struct setting setting = { 0 };
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	unsigned int count = 0;
	int error;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	sge = any_sge(&setting);
	wr = any_write(&setting, &sge);
	wr.opcode = IBV_WR_SEND;
	assert_int_equal(ibv_query_qp(setting.pair.near.qp, &attr, IBV_QP_CAP,
				      &init),
			 0);
	while (!(error = ibv_post_send(setting.pair.near.qp, &wr, &bad)))
		count++;
	assert_int_equal(error, ENOMEM);
	assert_ptr_equal(bad, &wr);
	assert_in_range(count, attr.cap.max_send_wr,
			2 * attr.cap.max_send_wr + 2);
	setting_close(&setting);
}

/* What comes before the bad one is sent, what comes after it is not. */
static void chain_with_a_bad_one(void **state)
{
	struct setting setting = { 0 };
	struct ibv_send_wr wr[3], *bad = NULL;
	struct ibv_sge sge[3];
	struct ibv_wc wc;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	for (int i = 0; i < 3; i++) {
		sge[i] = any_sge(&setting);
		wr[i] = any_write(&setting, &sge[i]);
		wr[i].wr_id = i;
		wr[i].wr.rdma.remote_addr += i * ANY_LENGTH;
		wr[i].next = i < 2 ? &wr[i + 1] : NULL;
	}
	wr[1].opcode = IBV_WR_TSO;
	pattern_fill(setting.from.bytes, PAGE, 1);
	assert_int_equal(ibv_post_send(setting.pair.near.qp, wr, &bad),
			 EOPNOTSUPP);
	assert_ptr_equal(bad, &wr[1]);
	wc = wait_completion(&setting.pair.near);
	assert_status(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wr_id, 0);
	assert_bytes(setting.to.bytes, setting.from.bytes, ANY_LENGTH, "first");
	exchange(&setting.pair, WRITE, (struct place){ &setting.from, 0 },
		 (struct place){ &setting.to, 0 }, ANY_LENGTH);
	assert_int_equal(setting.to.bytes[2 * ANY_LENGTH], 0);
	setting_close(&setting);
}

static void receive_that_is_wrong(void **state)
{
	struct ibv_recv_wr wr = { 0 }, *bad = NULL;
	struct setting setting = { 0 };
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC };
	struct ibv_sge sges[64] = { 0 };
	struct ibv_qp *reset;
	int error;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	wr.sg_list = sges;
	wr.num_sge = ARRAY_SIZE(sges);
	assert_int_equal(ibv_post_recv(setting.pair.far.qp, &wr, &bad), EINVAL);
	assert_ptr_equal(bad, &wr);

	wr.num_sge = 0;
	while (!(error = ibv_post_recv(setting.pair.far.qp, &wr, &bad)))
		;
	assert_int_equal(error, ENOMEM);

	init.send_cq = setting.pair.near.cq;
	init.recv_cq = setting.pair.near.cq;
	init.cap.max_send_wr = 1;
	init.cap.max_recv_wr = 1;
	reset = ibv_create_qp(setting.pair.device.pd, &init);
	assert_non_null(reset);
	bad = NULL;
	assert_int_equal(ibv_post_recv(reset, &wr, &bad), EINVAL);
	assert_ptr_equal(bad, &wr);
	assert_int_equal(ibv_destroy_qp(reset), 0);
	setting_close(&setting);
}

static const struct test tests[] = {
	TEST("provider/refuses-send-that-is-wrong", send_that_is_wrong),
	TEST("provider/refuses-send-in-wrong-state", send_in_wrong_state),
	TEST("provider/refuses-send-to-full-queue", queue_that_is_full),
	TEST("provider/refuses-from-the-bad-one-on", chain_with_a_bad_one),
	TEST("provider/refuses-receive-that-is-wrong", receive_that_is_wrong),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
