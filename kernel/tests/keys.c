// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What else can be done with a region's key: invalidate it from afar, bind a
 * memory window to the region. Nothing of it may go further than it does
 * with host memory, or leave anything behind.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "modules.h"
#include "revoked.h"
#include "runner.h"

/*
 * Stock soft-RoCE lets any peer that knows the key invalidate the region.
 * That may end it, or fail, as the kernel has it: either is told, neither is
 * judged. What counts is that it does not stand in the way of what follows.
 */
static void clean_up_after_invalidation(void **state)
{
	enum ibv_wr_opcode opcode = *(const enum ibv_wr_opcode *)*state;
	int references = module_references(VERBS_MODULE);
	struct ibv_send_wr *bad, wr = { .opcode = opcode };
	struct scene scene;
	struct ibv_wc wc;

	scene_open(&scene, BAR);
	assert_reachable(&scene);
	wr.invalidate_rkey = scene.bar.mr->rkey;
	if (opcode == IBV_WR_SEND_WITH_INV)
		post_receive(&scene.pair.far, scene.host.bytes, 64,
			     scene.host.mr->lkey);
	assert_int_equal(ibv_post_send(scene.pair.near.qp, &wr, &bad), 0);
	wc = wait_completion(&scene.pair.near);
	print_message("invalidation: %s\n", ibv_wc_status_str(wc.status));
	pair_reconnect(&scene.pair);
	print_message(
		"access after it: %s\n",
		ibv_wc_status_str(peer_access(&scene, IBV_WR_RDMA_READ, 0, 8)));

	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	expect_references(VERBS_MODULE, references);
	assert_registers_anew(&scene);
	scene_close(&scene);
}

/* The status of binding a window to `mr`, or the errno of posting it. */
static int bind_window(struct scene *scene, struct ibv_mr *mr)
{
	struct ibv_mw *window =
		ibv_alloc_mw(scene->pair.device.pd, IBV_MW_TYPE_1);
	struct ibv_mw_bind bind = {
		.bind_info = {
			.mr = mr,
			.addr = (uintptr_t)mr->addr,
			.length = mr->length,
			.mw_access_flags = IBV_ACCESS_REMOTE_READ,
		},
	};
	int result;

	if (!window)
		return -errno;
	result = -ibv_bind_mw(scene->pair.near.qp, window, &bind);
	if (!result)
		result = wait_completion(&scene->pair.near).status;
	pair_reconnect(&scene->pair);
	assert_int_equal(ibv_dealloc_mw(window), 0);
	return result;
}

/* No region over a BAR has the right to be bound, so none can be. */
static void window_refused(void **state)
{
	struct scene scene;
	int on_host;

	(void)state;
	scene_open(&scene, BAR);
	on_host = bind_window(&scene, scene.host.mr);
	print_message("on host memory without the right: %d\n", on_host);
	assert_int_not_equal(on_host, IBV_WC_SUCCESS);
	assert_int_equal(bind_window(&scene, scene.bar.mr), on_host);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

#define OPCODE(opcode) (&(const enum ibv_wr_opcode){ opcode })

static const struct test tests[] = {
	TEST_OF("range/clean-up-after-invalidation-by-peer",
		clean_up_after_invalidation, OPCODE(IBV_WR_SEND_WITH_INV)),
	TEST_OF("range/clean-up-after-local-invalidation",
		clean_up_after_invalidation, OPCODE(IBV_WR_LOCAL_INV)),
	TEST("verbs/refused-memory-window", window_refused),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
