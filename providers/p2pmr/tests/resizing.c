// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A CQ that shrinks keeps room for what has been posted and shows up only when
 * it fails: receives, and sends that are not signaled.
 */
#include <errno.h>

#include "plugin.h"
#include "setting.h"

#define COUNT 20

struct scene {
	struct setting setting;
	struct queue queue; /* on the near queue's CQ */
};

static void scene_open(struct scene *scene)
{
	setting_open(&scene->setting, HOST, PAGE);
	scene->queue =
		own_peer(&scene->setting, scene->setting.pair.near.cq, false);
}

static void scene_close(struct scene *scene)
{
	assert_int_equal(ibv_destroy_qp(scene->queue.qp), 0);
	setting_close(&scene->setting);
}

static void shrink(struct scene *scene)
{
	struct ibv_cq *cq = scene->queue.cq;

	assert_int_equal(ibv_resize_cq(cq, 0), EINVAL);
	assert_int_equal(ibv_resize_cq(cq, -1), EINVAL);
	assert_int_equal(ibv_resize_cq(cq, 1), 0);
	assert_in_range(cq->cqe, COUNT, 255);
}

static void expect_flushed(struct scene *scene)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };
	struct ibv_wc wc;

	assert_int_equal(ibv_modify_qp(scene->queue.qp, &attr, IBV_QP_STATE),
			 0);
	for (uint64_t i = 0; i < COUNT; i++) {
		wc = wait_completion(&scene->queue);
		assert_status(wc.status, IBV_WC_WR_FLUSH_ERR);
		assert_int_equal(wc.wr_id, i);
	}
}

static void room_for_receives(void **state)
{
	struct ibv_recv_wr wr = { 0 }, *bad;
	struct scene scene = { 0 };

	(void)state;
	scene_open(&scene);
	for (wr.wr_id = 0; wr.wr_id < COUNT; wr.wr_id++)
		assert_int_equal(ibv_post_recv(scene.queue.qp, &wr, &bad), 0);
	shrink(&scene);
	expect_flushed(&scene);
	scene_close(&scene);
}

/* The peer has no receive for them, so that they wait. */
static void room_for_unsignaled_sends(void **state)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND }, *bad;
	struct scene scene = { 0 };

	(void)state;
	scene_open(&scene);
	for (wr.wr_id = 0; wr.wr_id < COUNT; wr.wr_id++)
		assert_int_equal(ibv_post_send(scene.queue.qp, &wr, &bad), 0);
	shrink(&scene);
	expect_flushed(&scene);
	scene_close(&scene);
}

/* What is on an SRQ may complete in any of the CQs of its queue pairs. */
static void room_for_shared_receives(void **state)
{
	struct ibv_srq_init_attr init = { .attr = { COUNT, 1, 0 } };
	struct ibv_qp_init_attr qp = { .cap = { 1, 0, 1, 0, 0 },
				       .qp_type = IBV_QPT_RC };
	struct setting setting = { 0 };
	struct ibv_qp *on_srq;
	struct ibv_cq *cq;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	cq = ibv_create_cq(setting.pair.device.context, 63, NULL, NULL, 0);
	assert_non_null(cq);
	qp.srq = ibv_create_srq(setting.pair.device.pd, &init);
	assert_non_null(qp.srq);
	qp.send_cq = qp.recv_cq = cq;
	on_srq = ibv_create_qp(setting.pair.device.pd, &qp);
	assert_non_null(on_srq);
	assert_int_equal(ibv_resize_cq(cq, 1), 0);
	assert_in_range(cq->cqe, COUNT, 63);
	assert_int_equal(ibv_destroy_qp(on_srq), 0);
	assert_int_equal(ibv_resize_cq(cq, 1), 0);
	assert_int_equal(cq->cqe, 1);
	assert_int_equal(ibv_destroy_srq(qp.srq), 0);
	assert_int_equal(ibv_destroy_cq(cq), 0);
	setting_close(&setting);
}

static const struct test tests[] = {
	TEST("provider/cq-has-room-for-receives", room_for_receives),
	TEST("provider/cq-has-room-for-unsignaled-sends",
	     room_for_unsignaled_sends),
	TEST("provider/cq-has-room-for-shared-receives",
	     room_for_shared_receives),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
