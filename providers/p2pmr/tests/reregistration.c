// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ibv_rereg_mr(): access, PD, and place, on host memory and on a BAR; and that
 * an MR stays what it was if that cannot be.
 */
#include <errno.h>
#include <sys/mman.h>

#include "exchange.h"
#include "plugin.h"
#include "setting.h"

static enum ibv_wc_status write_to(struct setting *setting, const void *place)
{
	return run_transfer(&setting->pair.near,
			    &(struct transfer){
				    .opcode = IBV_WR_RDMA_WRITE,
				    .local = setting->from.bytes,
				    .lkey = setting->from.mr->lkey,
				    .length = PAGE,
				    .remote = (uintptr_t)place,
				    .rkey = setting->to.mr->rkey,
			    });
}

static void changes_access(void **state)
{
	enum memory_kind kind = *(const enum memory_kind *)*state;
	struct setting setting = { 0 };

	setting_open(&setting, kind, 2 * PAGE);
	assert_int_equal(ibv_rereg_mr(setting.to.mr, IBV_REREG_MR_CHANGE_ACCESS,
				      NULL, NULL, 0, IBV_ACCESS_LOCAL_WRITE),
			 0);
	assert_status(write_to(&setting, setting.to.bytes),
		      IBV_WC_REM_ACCESS_ERR);
	pair_reconnect(&setting.pair);
	assert_int_equal(ibv_rereg_mr(setting.to.mr, IBV_REREG_MR_CHANGE_ACCESS,
				      NULL, NULL, 0, ACCESS_ALL),
			 0);
	pattern_fill(setting.from.bytes, PAGE, 1);
	assert_status(write_to(&setting, setting.to.bytes), IBV_WC_SUCCESS);
	assert_bytes(setting.to.bytes, setting.from.bytes, PAGE, "the MR");
	setting_close(&setting);
}

static void changes_pd(void **state)
{
	enum memory_kind kind = *(const enum memory_kind *)*state;
	struct setting setting = { 0 };
	struct ibv_pd *other;

	setting_open(&setting, kind, 2 * PAGE);
	other = ibv_alloc_pd(setting.pair.device.context);
	assert_non_null(other);
	assert_int_equal(ibv_rereg_mr(setting.to.mr, IBV_REREG_MR_CHANGE_PD,
				      other, NULL, 0, 0),
			 0);
	assert_ptr_equal(setting.to.mr->pd, other);
	assert_status(write_to(&setting, setting.to.bytes),
		      IBV_WC_REM_ACCESS_ERR);
	pair_reconnect(&setting.pair);
	assert_int_equal(ibv_rereg_mr(setting.to.mr, IBV_REREG_MR_CHANGE_PD,
				      setting.pair.device.pd, NULL, 0, 0),
			 0);
	assert_status(write_to(&setting, setting.to.bytes), IBV_WC_SUCCESS);
	assert_int_equal(ibv_dealloc_pd(other), 0);
	setting_close(&setting);
}

static void changes_place(void **state)
{
	enum memory_kind kind = *(const enum memory_kind *)*state;
	struct setting setting = { 0 };
	uint8_t *second;

	setting_open(&setting, kind, 2 * PAGE);
	second = setting.to.bytes + PAGE;
	assert_int_equal(ibv_rereg_mr(setting.to.mr,
				      IBV_REREG_MR_CHANGE_TRANSLATION, NULL,
				      second, PAGE, 0),
			 0);
	assert_ptr_equal(setting.to.mr->addr, second);
	pattern_fill(setting.from.bytes, PAGE, 3);
	assert_status(write_to(&setting, second), IBV_WC_SUCCESS);
	assert_bytes(second, setting.from.bytes, PAGE, "the new place");
	assert_status(write_to(&setting, setting.to.bytes),
		      IBV_WC_REM_ACCESS_ERR);
	setting_close(&setting);
}

/* Access for reading to memory that cannot be written, then what cannot be. */
static void refused_leaves_it(void **state)
{
	struct setting setting = { 0 };
	uint32_t rkey;
	void *hole;

	(void)state;
	setting_open(&setting, HOST, 2 * PAGE);
	hole = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(hole, MAP_FAILED);
	assert_int_equal(munmap(hole, PAGE), 0);
	rkey = setting.to.mr->rkey;
	errno = 0;
	assert_int_equal(ibv_rereg_mr(setting.to.mr,
				      IBV_REREG_MR_CHANGE_TRANSLATION, NULL,
				      hole, PAGE, 0),
			 IBV_REREG_MR_ERR_CMD);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(setting.to.mr->rkey, rkey);
	assert_ptr_equal(setting.to.mr->addr, setting.to.bytes);
	assert_status(write_to(&setting, setting.to.bytes), IBV_WC_SUCCESS);
	setting_close(&setting);
}

static const enum memory_kind host = HOST, bar = BAR;

static const struct test tests[] = {
	TEST_OF("provider/rereg-changes-access-host", changes_access, &host),
	TEST_OF("provider/rereg-changes-access-bar", changes_access, &bar),
	TEST_OF("provider/rereg-changes-pd-host", changes_pd, &host),
	TEST_OF("provider/rereg-changes-pd-bar", changes_pd, &bar),
	TEST_OF("provider/rereg-changes-place-host", changes_place, &host),
	TEST_OF("provider/rereg-changes-place-bar", changes_place, &bar),
	TEST("provider/rereg-refused-leaves-it", refused_leaves_it),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
