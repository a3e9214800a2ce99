// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The ibv_wr_* calls: data in its forms, several at once, errors, taking back. */
#include <errno.h>
#include <string.h>

#include "calls.h"
#include "exchange.h"
#include "plugin.h"

#ifdef P2PMR_HAVE_FLUSH
#define FLUSH IBV_QP_EX_WITH_FLUSH
#else
#define FLUSH 0
#endif

#define PIECE 16

struct setting {
	struct pair pair;
	struct memory from, to;
	struct ibv_qp_ex *qp; /* the near one */
	uint8_t expected[PAGE];
};

/* Like the helpers' QP, but with ibv_wr_* calls. */
static void make_extended(struct setting *setting)
{
	struct queue *near = &setting->pair.near;
	struct ibv_qp_init_attr_ex init = {
		.send_cq = near->cq,
		.recv_cq = near->cq,
		.cap = { .max_send_wr = 64,
			 .max_recv_wr = 64,
			 .max_send_sge = 4,
			 .max_recv_sge = 4,
			 .max_inline_data = 64 },
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = setting->pair.device.pd,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE |
				  IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | FLUSH,
	};

	assert_int_equal(ibv_destroy_qp(near->qp), 0);
	near->qp = ibv_create_qp_ex(setting->pair.device.context, &init);
	assert_non_null(near->qp);
	setting->qp = ibv_qp_to_qp_ex(near->qp);
	assert_non_null(setting->qp);
}

static void setting_open(struct setting *setting)
{
	device_open(&setting->pair.device);
	queue_open(&setting->pair.near, &setting->pair.device, IBV_QPT_RC);
	queue_open(&setting->pair.far, &setting->pair.device, IBV_QPT_RC);
	make_extended(setting);
	queue_connect(&setting->pair.near, setting->pair.far.qp->qp_num);
	queue_connect(&setting->pair.far, setting->pair.near.qp->qp_num);
	memory_map(&setting->from, HOST, PAGE);
	memory_map(&setting->to, HOST, PAGE);
	memory_register(&setting->from, setting->pair.device.pd);
	memory_register(&setting->to, setting->pair.device.pd);
	pattern_fill(setting->from.bytes, PAGE, 1);
	memset(setting->expected, 0, PAGE);
}

static void setting_close(struct setting *setting)
{
	assert_bytes(setting->to.bytes, setting->expected, PAGE,
		     "the far side");
	memory_release(&setting->from);
	memory_release(&setting->to);
	pair_close(&setting->pair);
}

/* Three pieces, not next to each other. */
static uint8_t *piece(struct setting *setting, unsigned int i)
{
	return setting->from.bytes + 512 + 3 * PIECE * i;
}

static void begin(struct setting *setting, size_t offset)
{
	setting->qp->wr_id = offset;
	setting->qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(setting->qp, setting->to.mr->rkey,
			  (uintptr_t)setting->to.bytes + offset);
}

static void expect(struct setting *setting, size_t offset, unsigned int pieces)
{
	struct ibv_wc wc = wait_completion(&setting->pair.near);

	assert_status(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wr_id, offset);
	for (unsigned int i = 0; i < pieces; i++)
		memcpy(setting->expected + offset + i * PIECE,
		       piece(setting, i), PIECE);
}

static void data_in_all_forms(void **state)
{
	struct setting setting = { 0 };
	struct ibv_data_buf buffers[3];
	struct ibv_sge sges[3];
	unsigned int before;

	(void)state;
	setting_open(&setting);
	for (int i = 0; i < 3; i++) {
		sges[i] = (struct ibv_sge){ (uintptr_t)piece(&setting, i),
					    PIECE, setting.from.mr->lkey };
		buffers[i] = (struct ibv_data_buf){ piece(&setting, i), PIECE };
	}
	before = writes;
	ibv_wr_start(setting.qp);
	begin(&setting, 0);
	ibv_wr_set_sge(setting.qp, setting.from.mr->lkey,
		       (uintptr_t)piece(&setting, 0), PIECE);
	begin(&setting, 100);
	ibv_wr_set_sge_list(setting.qp, 3, sges);
	begin(&setting, 200);
	ibv_wr_set_inline_data(setting.qp, piece(&setting, 0), PIECE);
	begin(&setting, 300);
	ibv_wr_set_inline_data_list(setting.qp, 3, buffers);
	begin(&setting, 400); /* of no data */
	assert_int_equal(ibv_wr_complete(setting.qp), 0);
	assert_int_equal(writes, before + 1);
	expect(&setting, 0, 1);
	expect(&setting, 100, 3);
	expect(&setting, 200, 1);
	expect(&setting, 300, 3);
	expect(&setting, 400, 0);
	setting_close(&setting);
}

static void nothing_of_what_is_taken_back(void **state)
{
	struct setting setting = { 0 };
	unsigned int before;

	(void)state;
	setting_open(&setting);
	before = writes;
	ibv_wr_start(setting.qp);
	begin(&setting, 0);
	ibv_wr_set_inline_data(setting.qp, piece(&setting, 0), PIECE);
	ibv_wr_abort(setting.qp);
	ibv_wr_start(setting.qp);
	assert_int_equal(ibv_wr_complete(setting.qp), 0);
	assert_int_equal(writes, before);

	ibv_wr_start(setting.qp);
	begin(&setting, 100);
	ibv_wr_set_inline_data(setting.qp, piece(&setting, 0), PIECE);
	assert_int_equal(ibv_wr_complete(setting.qp), 0);
	expect(&setting, 100, 1);
	setting_close(&setting);
}

/* Whatever is wrong with one, none of them is sent. */
static void nothing_after_an_error(void **state)
{
	struct setting setting = { 0 };
	struct ibv_sge sges[64] = { 0 };
	unsigned int before;

	(void)state;
	setting_open(&setting);
	before = writes;
	ibv_wr_start(setting.qp);
	begin(&setting, 0);
	ibv_wr_set_inline_data(setting.qp, setting.from.bytes, PAGE);
	begin(&setting, 100);
	ibv_wr_set_inline_data(setting.qp, piece(&setting, 0), PIECE);
	assert_int_equal(ibv_wr_complete(setting.qp), EINVAL);

	ibv_wr_start(setting.qp);
	begin(&setting, 0);
	ibv_wr_set_sge_list(setting.qp, ARRAY_SIZE(sges), sges);
	assert_int_equal(ibv_wr_complete(setting.qp), EINVAL);

	ibv_wr_start(setting.qp);
	ibv_wr_atomic_fetch_add(setting.qp, setting.to.mr->rkey,
				(uintptr_t)setting.to.bytes + 4, 1);
	ibv_wr_set_sge(setting.qp, setting.from.mr->lkey,
		       (uintptr_t)setting.from.bytes, 8);
	assert_int_equal(ibv_wr_complete(setting.qp), EINVAL);

	ibv_wr_start(setting.qp);
	for (int i = 0; i < 1000; i++)
		begin(&setting, 0);
	assert_int_equal(ibv_wr_complete(setting.qp), ENOMEM);
	assert_int_equal(writes, before);

	/* Nor with the next one that is. */
	ibv_wr_start(setting.qp);
	begin(&setting, 200);
	ibv_wr_set_inline_data(setting.qp, piece(&setting, 0), PIECE);
	assert_int_equal(ibv_wr_complete(setting.qp), 0);
	expect(&setting, 200, 1);
	setting_close(&setting);
}

#ifdef P2PMR_HAVE_FLUSH
/* Lengths that the kernel's element cannot hold are not cut. */
static void flush_of_too_much(void **state)
{
	struct setting setting = { 0 };
	unsigned int before;

	(void)state;
	setting_open(&setting);
	before = writes;
	ibv_wr_start(setting.qp);
	ibv_wr_flush(setting.qp, setting.to.mr->rkey,
		     (uintptr_t)setting.to.bytes, 1ull << 32 | 8,
		     IBV_FLUSH_GLOBAL, IBV_FLUSH_RANGE);
	assert_int_equal(ibv_wr_complete(setting.qp), EINVAL);
	assert_int_equal(writes, before);
	setting_close(&setting);
}
#endif

static void nothing_in_wrong_state(void **state)
{
	struct setting setting = { 0 };
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };

	(void)state;
	setting_open(&setting);
	assert_int_equal(
		ibv_modify_qp(setting.pair.near.qp, &attr, IBV_QP_STATE), 0);
	ibv_wr_start(setting.qp);
	begin(&setting, 0);
	assert_int_equal(ibv_wr_complete(setting.qp), EINVAL);
	assert_int_equal(
		ibv_modify_qp(setting.pair.far.qp, &attr, IBV_QP_STATE), 0);
	queue_connect(&setting.pair.near, setting.pair.far.qp->qp_num);
	queue_connect(&setting.pair.far, setting.pair.near.qp->qp_num);
	ibv_wr_start(setting.qp);
	begin(&setting, 100);
	ibv_wr_set_inline_data(setting.qp, piece(&setting, 0), PIECE);
	assert_int_equal(ibv_wr_complete(setting.qp), 0);
	expect(&setting, 100, 1);
	setting_close(&setting);
}

static const struct test tests[] = {
	TEST("provider/wr-data-in-all-forms", data_in_all_forms),
	TEST("provider/wr-nothing-of-what-is-taken-back",
	     nothing_of_what_is_taken_back),
	TEST("provider/wr-nothing-after-an-error", nothing_after_an_error),
#ifdef P2PMR_HAVE_FLUSH
	TEST("provider/wr-flush-of-too-much", flush_of_too_much),
#endif
	TEST("provider/wr-nothing-in-wrong-state", nothing_in_wrong_state),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
