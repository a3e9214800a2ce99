// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Each operation of the provider with each call that it makes itself, and each
 * command to the kernel, failing once: the n-th, for all n until it gets
 * through. It fails with that errno, leaves nothing behind, and the next one
 * succeeds. So does the ending of what has been made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "plugin.h"
#include "setting.h"

#define CQES 16

static struct setting setting;
static struct device *const device = &setting.pair.device;
/* What further objects of a scenario stand on. */
static struct ibv_td *td;
static struct ibv_cq *cq;
static struct ibv_srq *srq;
static struct ibv_qp *qp;
static struct ibv_dm *dm;
static struct ibv_mr *mr;

/* ------------------------------------------------------------- ending -- */

#define END(name)                           \
	static int end_##name(void *object) \
	{                                   \
		return ibv_##name(object);  \
	}
END(dealloc_pd)
END(dealloc_td)
END(destroy_cq)
END(destroy_srq)
END(destroy_qp)
END(destroy_ah)
END(dealloc_mw)
END(dereg_mr)
END(free_dm)

/* ------------------------------------------------------------- making -- */

/* As those calls that return a pointer: NULL with errno. */
static void *result(void *object, int error)
{
	if (!error)
		return object;
	errno = error;
	return NULL;
}

static void *open_device(void)
{
	return ibv_open_device(device->context->device);
}

static int end_open(void *context)
{
	return ibv_close_device(context) ? errno : 0;
}

static void *alloc_pd(void)
{
	return ibv_alloc_pd(device->context);
}

static void *alloc_td(void)
{
	struct ibv_td_init_attr attr = { 0 };

	return ibv_alloc_td(device->context, &attr);
}

static void *alloc_parent_domain(void)
{
	struct ibv_parent_domain_init_attr attr = { .pd = device->pd,
						    .td = td };

	return ibv_alloc_parent_domain(device->context, &attr);
}

static void *create_cq(void)
{
	return ibv_create_cq(device->context, CQES, NULL,
			     setting.pair.near.channel, 0);
}

static void *create_cq_ex(void)
{
	struct ibv_cq_init_attr_ex attr = { .cqe = CQES,
					    .wc_flags =
						    IBV_WC_EX_WITH_BYTE_LEN };
	struct ibv_cq_ex *made = ibv_create_cq_ex(device->context, &attr);

	return made ? ibv_cq_ex_to_cq(made) : NULL;
}

static void *grow_cq(void)
{
	return result(cq, ibv_resize_cq(cq, 4 * CQES));
}

static int shrink_cq(void *object)
{
	return ibv_resize_cq(object, CQES);
}

static void *create_srq(void)
{
	struct ibv_srq_init_attr attr = { .attr = { 16, 2, 0 } };

	return ibv_create_srq(device->pd, &attr);
}

static void *create_srq_ex(void)
{
	struct ibv_srq_init_attr_ex attr = {
		.attr = { .max_wr = 16, .max_sge = 2 },
		.comp_mask = IBV_SRQ_INIT_ATTR_PD,
		.pd = device->pd,
	};

	return ibv_create_srq_ex(device->context, &attr);
}

static int resize_srq(struct ibv_srq *object, uint32_t size)
{
	struct ibv_srq_attr attr = { .max_wr = size };

	return ibv_modify_srq(object, &attr, IBV_SRQ_MAX_WR);
}

static void *grow_srq(void)
{
	return result(srq, resize_srq(srq, 64));
}

static int shrink_srq(void *object)
{
	return resize_srq(object, 16);
}

static void *create_qp(void)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = { 16, 16, 2, 2, 32 },
		.qp_type = IBV_QPT_RC,
	};

	return ibv_create_qp(device->pd, &attr);
}

static void *create_qp_ex(void)
{
	struct ibv_qp_init_attr_ex attr = {
		.send_cq = cq,
		.recv_cq = cq,
		.srq = srq,
		.cap = { 16, 16, 2, 2, 32 },
		.qp_type = IBV_QPT_RC,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = device->pd,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE,
	};

	return ibv_create_qp_ex(device->context, &attr);
}

static int move_qp(struct ibv_qp *object, enum ibv_qp_state state)
{
	struct ibv_qp_attr attr = { .qp_state = state, .port_num = 1 };
	int mask = IBV_QP_STATE;

	if (state == IBV_QPS_INIT)
		mask |= IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
	return ibv_modify_qp(object, &attr, mask);
}

static void *reset_qp(void)
{
	return result(qp, move_qp(qp, IBV_QPS_RESET));
}

static int initialise_qp(void *object)
{
	return move_qp(object, IBV_QPS_INIT);
}

static void *create_ah(void)
{
	struct ibv_ah_attr attr = {
		.is_global = 1,
		.port_num = 1,
		.grh = { device->gid, 0, device->gid_index, 8, 0 },
	};

	return ibv_create_ah(device->pd, &attr);
}

static void *alloc_mw(void)
{
	return ibv_alloc_mw(device->pd, IBV_MW_TYPE_2);
}

static void *reg_mr(void)
{
	return ibv_reg_mr(device->pd, setting.to.bytes, PAGE, ACCESS_ALL);
}

static void *reg_extended(void)
{
	struct p2pmr_reg_mr_req req = { .size = sizeof(req) };
	struct p2pmr_reg_mr_resp resp;

	return loaded_plugin()->reg_mr(device->pd, setting.to.bytes, PAGE,
				       (uintptr_t)setting.to.bytes, ACCESS_ALL,
				       &req, &resp);
}

/* What cannot be done leaves the MR as it was, or else it cannot be told. */
static int rereg(int flags, void *place, int access)
{
	struct ibv_mr before = *mr;

	if (!ibv_rereg_mr(mr, flags, NULL, place, PAGE, access))
		return 0;
	assert_memory_equal(mr, &before, sizeof(before));
	return errno;
}

/* By the kernel, where it can. */
static void *rereg_access(void)
{
	return result(mr, rereg(IBV_REREG_MR_CHANGE_ACCESS, NULL,
				IBV_ACCESS_LOCAL_WRITE));
}

static int rereg_access_back(void *object)
{
	(void)object;
	return rereg(IBV_REREG_MR_CHANGE_ACCESS, NULL, ACCESS_ALL);
}

/* By another registration. */
static void *rereg_place(void)
{
	return result(mr, rereg(IBV_REREG_MR_CHANGE_TRANSLATION,
				setting.to.bytes + PAGE, 0));
}

static int rereg_place_back(void *object)
{
	(void)object;
	return rereg(IBV_REREG_MR_CHANGE_TRANSLATION, setting.to.bytes, 0);
}

static void *alloc_dm(void)
{
	struct ibv_alloc_dm_attr attr = { .length = PAGE };

	return ibv_alloc_dm(device->context, &attr);
}

static void *reg_dm_mr(void)
{
	return ibv_reg_dm_mr(device->pd, dm, 0, PAGE,
			     ACCESS_ALL | IBV_ACCESS_ZERO_BASED);
}

/* ---------------------------------------------------------- scenarios -- */

static const struct scenario contexts_scenarios[] = {
	{ "open", open_device, end_open, 2 },
	{ "PD", alloc_pd, end_dealloc_pd, 2 },
	{ "TD", alloc_td, end_dealloc_td, 1 },
	{ "parent domain", alloc_parent_domain, end_dealloc_pd, 1 },
};

static const struct scenario cqs_scenarios[] = {
	{ "CQ", create_cq, end_destroy_cq, 3 },
	{ "extended CQ", create_cq_ex, end_destroy_cq, 3 },
	{ "CQ's size", grow_cq, shrink_cq, 2 },
};

static const struct scenario srqs_scenarios[] = {
	{ "SRQ", create_srq, end_destroy_srq, 3 },
	{ "extended SRQ", create_srq_ex, end_destroy_srq, 3 },
	{ "SRQ's size", grow_srq, shrink_srq, 2 },
};

static const struct scenario qps_scenarios[] = {
	{ "QP", create_qp, end_destroy_qp, 4 },
	{ "extended QP with SRQ", create_qp_ex, end_destroy_qp, 3 },
	{ "reset", reset_qp, initialise_qp, 2 },
	{ "AH", create_ah, end_destroy_ah, 2 },
};

static const struct scenario mrs_scenarios[] = {
	{ "MR", reg_mr, end_dereg_mr, 2 },
	{ "extended MR", reg_extended, end_dereg_mr, 2 },
	{ "MW", alloc_mw, end_dealloc_mw, 2 },
	{ "MR's access", rereg_access, rereg_access_back, 1 },
	{ "MR's place", rereg_place, rereg_place_back, 4 },
};

static const struct scenario dms_scenarios[] = {
	{ "DM", alloc_dm, end_free_dm, 5 },
	{ "DM's MR", reg_dm_mr, end_dereg_mr, 2 },
};

struct group {
	const struct scenario *scenarios;
	size_t count;
};

#define GROUP(name)                                          \
	static const struct group name = { name##_scenarios, \
					   ARRAY_SIZE(name##_scenarios) }
GROUP(contexts);
GROUP(cqs);
GROUP(srqs);
GROUP(qps);
GROUP(mrs);
GROUP(dms);

/* The pool is a file, so that neither a BAR nor valgrind is in the way. */
static void make_pool(char path[])
{
	int fd = mkstemp(path);

	assert_return_code(fd, errno);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(close(fd), 0);
	setenv("P2PMR_DM_BAR", path, 1);
}

/* Completions that resizing must not lose. */
static void complete_something(void)
{
	for (int i = 0; i < 2; i++) {
		post_write(&setting, &setting.pair.near, i);
		assert_status(wait_completion(&setting.pair.near).status,
			      IBV_WC_SUCCESS);
	}
}

static void every_call_fails_once(void **state)
{
	const struct group *group = *state;
	char pool[] = "/tmp/p2pmr-pool-XXXXXX";

	setting_open(&setting, HOST, 2 * PAGE);
	make_pool(pool);
	complete_something();
	td = alloc_td();
	cq = create_cq();
	srq = create_srq();
	qp = create_qp();
	dm = alloc_dm();
	mr = reg_mr();
	assert_true(td && cq && srq && qp && dm && mr);
	assert_int_equal(initialise_qp(qp), 0);

	fail_each_call(group->scenarios, group->count);

	/* All of it as good as before. */
	complete_something();
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
	assert_int_equal(ibv_destroy_qp(qp), 0);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	assert_int_equal(ibv_destroy_cq(cq), 0);
	assert_int_equal(ibv_dealloc_td(td), 0);
	assert_int_equal(unlink(pool), 0);
	setting_close(&setting);
}

static const struct test tests[] = {
	TEST_OF("provider/failing-contexts", every_call_fails_once, &contexts),
	TEST_OF("provider/failing-cqs", every_call_fails_once, &cqs),
	TEST_OF("provider/failing-srqs", every_call_fails_once, &srqs),
	TEST_OF("provider/failing-qps", every_call_fails_once, &qps),
	TEST_OF("provider/failing-mrs", every_call_fails_once, &mrs),
	TEST_OF("provider/failing-device-memory", every_call_fails_once, &dms),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
