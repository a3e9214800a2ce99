// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Extended CQs between ibv_start_poll() and ibv_end_poll(): what else may be
 * done with the CQ and its queue pairs meanwhile.
 */
#include <errno.h>
#include <unistd.h>

#include "plugin.h"
#include "setting.h"

struct scene {
	struct setting setting;
	struct ibv_cq_ex *cq;
	struct queue one, other;
};

static void scene_open(struct scene *scene, uint32_t flags)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = 31,
		.wc_flags = IBV_WC_EX_WITH_QP_NUM,
		.comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS,
		.flags = flags,
	};
	struct ibv_cq *cq;

	setting_open(&scene->setting, HOST, PAGE);
	scene->cq = ibv_create_cq_ex(scene->setting.pair.device.context, &attr);
	assert_non_null(scene->cq);
	cq = ibv_cq_ex_to_cq(scene->cq);
	scene->one = own_peer(&scene->setting, cq, true);
	scene->other = own_peer(&scene->setting, cq, true);
}

static void scene_close(struct scene *scene)
{
	assert_int_equal(ibv_destroy_qp(scene->one.qp), 0);
	assert_int_equal(ibv_destroy_qp(scene->other.qp), 0);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(scene->cq)), 0);
	setting_close(&scene->setting);
}

/* One completion after the other, however long each takes. */
static void write_and_wait(struct scene *scene, struct queue *queue,
			   uint64_t id)
{
	post_write(&scene->setting, queue, id);
	usleep(200000);
}

static int start(struct scene *scene)
{
	struct ibv_poll_cq_attr attr = { 0 };

	return ibv_start_poll(scene->cq, &attr);
}

static void reset(struct queue *queue)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };

	assert_int_equal(ibv_modify_qp(queue->qp, &attr, IBV_QP_STATE), 0);
}

static void expect_alone(struct scene *scene, uint64_t id)
{
	assert_int_equal(start(scene), 0);
	assert_int_equal(scene->cq->wr_id, id);
	assert_int_equal(ibv_next_poll(scene->cq), ENOENT);
	ibv_end_poll(scene->cq);
	assert_int_equal(start(scene), ENOENT);
}

/* With a lock that the thread has already, and without one. */
static void reset_in_between(void **state)
{
	const uint32_t *flags = *state;
	struct scene scene = { 0 };

	scene_open(&scene, *flags);
	write_and_wait(&scene, &scene.one, 1);
	write_and_wait(&scene, &scene.one, 2);
	write_and_wait(&scene, &scene.other, 3);
	write_and_wait(&scene, &scene.one, 4);
	write_and_wait(&scene, &scene.other, 5);

	assert_int_equal(start(&scene), 0);
	assert_int_equal(scene.cq->wr_id, 1);
	reset(&scene.one);
	/* What is being shown stays. */
	assert_int_equal(ibv_wc_read_qp_num(scene.cq), scene.one.qp->qp_num);
	assert_int_equal(ibv_next_poll(scene.cq), 0);
	assert_int_equal(scene.cq->wr_id, 3);
	ibv_end_poll(scene.cq);
	expect_alone(&scene, 5);

	queue_connect(&scene.one, scene.one.qp->qp_num);
	write_and_wait(&scene, &scene.one, 6);
	expect_alone(&scene, 6);
	scene_close(&scene);
}

/* All that is left is the reset one's, and more comes before the end. */
static void nothing_left_in_between(void **state)
{
	struct scene scene = { 0 };

	(void)state;
	scene_open(&scene, 0);
	write_and_wait(&scene, &scene.one, 1);
	write_and_wait(&scene, &scene.one, 2);
	assert_int_equal(start(&scene), 0);
	reset(&scene.one);
	assert_int_equal(ibv_next_poll(scene.cq), ENOENT);
	write_and_wait(&scene, &scene.other, 3);
	assert_int_equal(ibv_next_poll(scene.cq), 0);
	assert_int_equal(scene.cq->wr_id, 3);
	ibv_end_poll(scene.cq);
	assert_int_equal(start(&scene), ENOENT);
	scene_close(&scene);
}

static void resize_in_between(void **state)
{
	struct scene scene = { 0 };
	struct ibv_cq *cq;

	(void)state;
	scene_open(&scene, 0);
	cq = ibv_cq_ex_to_cq(scene.cq);
	write_and_wait(&scene, &scene.one, 1);
	assert_int_equal(start(&scene), 0);
	assert_int_equal(ibv_resize_cq(cq, 100), EBUSY);
	assert_int_equal(cq->cqe, 31);
	ibv_end_poll(scene.cq);
	assert_int_equal(ibv_resize_cq(cq, 100), 0);
	scene_close(&scene);
}

static const uint32_t locked, single = IBV_CREATE_CQ_ATTR_SINGLE_THREADED;

static const struct test tests[] = {
	TEST_OF("provider/poll-with-a-reset-in-between", reset_in_between,
		&locked),
	TEST_OF("provider/poll-without-lock-with-a-reset-in-between",
		reset_in_between, &single),
	TEST("provider/poll-with-nothing-left-in-between",
	     nothing_left_in_between),
	TEST("provider/poll-with-a-resize-in-between", resize_in_between),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
