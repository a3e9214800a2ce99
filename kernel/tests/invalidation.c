// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * soft-RoCE lets any RC queue pair that knows the key of a fast-registration
 * region invalidate it, in whatever PD. That ends the region, and nothing
 * more: mapping and memory stay, and its owner can go on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

/* Another device context and PD, and a queue pair that can invalidate. */
struct stranger {
	struct device device;
	struct queue queue;
	struct ibv_qp_ex *ex;
};

static void stranger_open(struct stranger *stranger)
{
	struct ibv_qp_init_attr_ex init = {
		.cap = { .max_send_wr = 8,
			 .max_recv_wr = 8,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags =
			IBV_QP_EX_WITH_LOCAL_INV | IBV_QP_EX_WITH_SEND_WITH_INV,
	};

	device_open(&stranger->device);
	queue_open(&stranger->queue, &stranger->device, IBV_QPT_RC);
	assert_int_equal(ibv_destroy_qp(stranger->queue.qp), 0);
	init.pd = stranger->device.pd;
	init.send_cq = stranger->queue.cq;
	init.recv_cq = stranger->queue.cq;
	stranger->queue.qp = ibv_create_qp_ex(stranger->device.context, &init);
	assert_non_null(stranger->queue.qp);
	stranger->ex = ibv_qp_to_qp_ex(stranger->queue.qp);
}

static void stranger_close(struct stranger *stranger)
{
	queue_close(&stranger->queue);
	device_close(&stranger->device);
}

/* What the owner still has, and what he can do, after his region's end. */
static void assert_only_ended(struct scene *scene)
{
	static uint8_t expected[WINDOW], seen[WINDOW];

	assert_revoked(scene);
	assert_int_equal(ranges_of(getpid(), "live"), 1);
	pattern_fill(expected, WINDOW, 41);
	memcpy(scene->bar.bytes, expected, WINDOW);
	host_read(bar_index(scene->kind), 0, seen, WINDOW);
	assert_bytes(seen, expected, WINDOW, "written through the mapping");
}

/* The owner goes on as after any other end. */
static void clean_up(struct scene *scene, int references)
{
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
	memory_register(&scene->bar, scene->pair.device.pd);
	assert_reachable(scene);
	memory_release(&scene->bar);
	assert_registers_anew(scene);
	scene_close(scene);
	expect_references(VERBS_MODULE, references);
}

static void invalidated_by_stranger(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct stranger stranger;
	struct scene scene;
	struct ibv_wc wc;

	(void)state;
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	stranger_open(&stranger);
	queue_connect(&stranger.queue, stranger.queue.qp->qp_num);
	ibv_wr_start(stranger.ex);
	stranger.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_local_inv(stranger.ex, scene.bar.mr->rkey);
	assert_int_equal(ibv_wr_complete(stranger.ex), 0);
	wc = wait_completion(&stranger.queue);
	assert_status(wc.status, IBV_WC_SUCCESS);
	stranger_close(&stranger);

	assert_only_ended(&scene);
	clean_up(&scene, references);
}

static void invalidated_by_peer(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct stranger stranger;
	struct scene scene;
	struct queue own;
	struct ibv_wc wc;

	(void)state;
	scene_open(&scene, BAR);
	assert_reachable(&scene);
	stranger_open(&stranger);
	queue_open(&own, &scene.pair.device, IBV_QPT_RC);
	queue_connect(&own, stranger.queue.qp->qp_num);
	queue_connect(&stranger.queue, own.qp->qp_num);
	post_receive(&own, scene.host.bytes, 64, scene.host.mr->lkey);
	ibv_wr_start(stranger.ex);
	stranger.ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_send_inv(stranger.ex, scene.bar.mr->rkey);
	ibv_wr_set_sge_list(stranger.ex, 0, NULL);
	assert_int_equal(ibv_wr_complete(stranger.ex), 0);
	assert_status(wait_completion(&stranger.queue).status, IBV_WC_SUCCESS);
	wc = wait_completion(&own);
	assert_status(wc.status, IBV_WC_SUCCESS);
	/* Not by wc_flags: soft-RoCE sets the bit of another enumeration. */
	assert_int_equal(wc.invalidated_rkey, scene.bar.mr->rkey);
	stranger_close(&stranger);
	queue_close(&own);

	assert_only_ended(&scene);
	clean_up(&scene, references);
}

static const struct test tests[] = {
	TEST("range/invalidated-from-another-pd", invalidated_by_stranger),
	TEST("range/invalidated-by-foreign-peer", invalidated_by_peer),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
