// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Registration through the library where the provider is libibverbs' own. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "endpoint.h"
#include "host.h"
#include "part.h"
#include "plain.h"
#include "runner.h"

#define ATTR(...)                                                         \
	(&(struct p2pmr_reg_attr){ .size = sizeof(struct p2pmr_reg_attr), \
				   __VA_ARGS__ })
#define LENGTH (8 * PAGE)

#define assert_refused(call, error)             \
	do {                                    \
		errno = 0;                      \
		assert_null(call);              \
		assert_int_equal(errno, error); \
	} while (0)

static struct p2pmr_mr *must_reg(struct ibv_pd *pd, void *address,
				 size_t length,
				 const struct p2pmr_reg_attr *attr)
{
	struct p2pmr_mr *mr =
		p2pmr_reg_mr(pd, address, length, ACCESS_ALL, attr);

	if (!mr)
		fail_msg("p2pmr_reg_mr: %s", strerror(errno));
	return mr;
}

/* Writes to the MR by the address that the peer uses; seen behind the BAR. */
static void check_reach(struct pair *pair, struct ibv_mr *mr, uint64_t remote)
{
	struct memory source;
	uint8_t seen[3000];

	memory_map(&source, HOST, PAGE);
	memory_register(&source, pair->device.pd);
	pattern_fill(source.bytes, sizeof(seen), remote);
	assert_status(run_transfer(&pair->near,
				   &(struct transfer){
					   .opcode = IBV_WR_RDMA_WRITE,
					   .local = source.bytes,
					   .lkey = source.mr->lkey,
					   .length = sizeof(seen),
					   .remote = remote + 123,
					   .rkey = mr->rkey,
				   }),
		      IBV_WC_SUCCESS);
	host_read(0, 123, seen, sizeof(seen));
	assert_bytes(seen, source.bytes, sizeof(seen), "behind the BAR");
	memory_release(&source);
}

static void bar_is_reached(void **state)
{
	struct memory bar;
	struct p2pmr_mr *mr;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&bar, BAR, LENGTH);
	mr = must_reg(pair.device.pd, bar.bytes, LENGTH, NULL);
	assert_ptr_equal(p2pmr_mr_verbs(mr)->addr, bar.bytes);
	assert_int_equal(p2pmr_mr_verbs(mr)->length, LENGTH);
	check_reach(&pair, p2pmr_mr_verbs(mr), (uintptr_t)bar.bytes);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);

	mr = must_reg(pair.device.pd, bar.bytes, LENGTH,
		      ATTR(.iova = 0x123456789000, .has_iova = 1));
	check_reach(&pair, p2pmr_mr_verbs(mr), 0x123456789000);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	memory_release(&bar);
	pair_close(&pair);
}

/* What is not known is not made up. */
static void nothing_is_told(void **state)
{
	struct p2pmr_mr_info info = { .size = sizeof(info),
				      .kind = 99,
				      .segments = 99,
				      .page_size = 99 };
	struct device device;
	struct memory bar;
	struct p2pmr_mr *mr;

	(void)state;
	device_open(&device);
	memory_map(&bar, BAR, LENGTH);
	mr = must_reg(device.pd, bar.bytes, LENGTH, NULL);
	assert_int_equal(p2pmr_mr_query(mr, &info), 0);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.kind, 0);
	assert_int_equal(info.segments, 0);
	assert_int_equal(info.page_size, 0);
	info.size--;
	assert_int_equal(p2pmr_mr_query(mr, &info), -EINVAL);
	assert_int_equal(p2pmr_mr_fd(mr), -ENOENT);
	assert_int_equal(p2pmr_mr_revoked(mr), -ENOENT);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_int_equal(p2pmr_dereg_mr(NULL), 0);
	memory_release(&bar);
	device_close(&device);
}

/* A caller with a later header gets zeros for what this library lacks. */
static void larger_info(void **state)
{
	struct {
		struct p2pmr_mr_info info;
		uint64_t later;
	} larger = { { .size = sizeof(larger) }, 77 };
	struct device device;
	struct memory host;
	struct p2pmr_mr *mr;

	(void)state;
	device_open(&device);
	memory_map(&host, HOST, LENGTH);
	mr = must_reg(device.pd, host.bytes, LENGTH, NULL);
	assert_int_equal(p2pmr_mr_query(mr, &larger.info), 0);
	assert_int_equal(larger.info.size, sizeof(larger));
	assert_int_equal(larger.later, 0);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	memory_release(&host);
	device_close(&device);
}

static void refused_flags(void **state)
{
	static const uint32_t flags[] = { P2PMR_REG_REQUIRE_DEVICE,
					  P2PMR_REG_REGISTER_BAR,
					  P2PMR_REG_EVENTFD };
	struct device device;
	struct memory bar;

	(void)state;
	device_open(&device);
	memory_map(&bar, BAR, LENGTH);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		assert_refused(p2pmr_reg_mr(device.pd, bar.bytes, LENGTH,
					    ACCESS_ALL,
					    ATTR(.flags = flags[i])),
			       EOPNOTSUPP);
	memory_release(&bar);
	device_close(&device);
}

static void refused_attributes(void **state)
{
	struct {
		struct p2pmr_reg_attr attr;
		uint64_t later;
	} larger = { { .size = sizeof(larger) }, 0 };
	struct device device;
	struct memory host;
	const struct {
		const struct p2pmr_reg_attr *attr;
		int error;
	} bad[] = {
		{ ATTR(.flags = 8), EINVAL },
		{ ATTR(.has_iova = 2), EINVAL },
		{ ATTR(.reserved = 1), EINVAL },
		{ &(struct p2pmr_reg_attr){ 0 }, EINVAL },
		{ &(struct p2pmr_reg_attr){
			  .size = sizeof(struct p2pmr_reg_attr) - 1 },
		  EINVAL },
	};

	(void)state;
	device_open(&device);
	memory_map(&host, HOST, LENGTH);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_refused(p2pmr_reg_mr(device.pd, host.bytes, LENGTH,
					    ACCESS_ALL, bad[i].attr),
			       bad[i].error);
	assert_int_equal(p2pmr_dereg_mr(must_reg(device.pd, host.bytes, LENGTH,
						 &larger.attr)),
			 0);
	larger.later = 1;
	assert_refused(p2pmr_reg_mr(device.pd, host.bytes, LENGTH, ACCESS_ALL,
				    &larger.attr),
		       E2BIG);
	memory_release(&host);
	device_close(&device);
}

/* What the kernel says arrives as it is. */
static void refused_by_the_kernel(void **state)
{
	struct device device;
	struct memory bar;

	(void)state;
	device_open(&device);
	memory_map(&bar, BAR, LENGTH);
	assert_refused(p2pmr_reg_mr(device.pd, bar.bytes, LENGTH,
				    ACCESS_ALL | IBV_ACCESS_ZERO_BASED, NULL),
		       EOPNOTSUPP);
	assert_int_equal(mprotect(bar.bytes, LENGTH, PROT_READ), 0);
	assert_refused(p2pmr_reg_mr(device.pd, bar.bytes, LENGTH, ACCESS_ALL,
				    NULL),
		       EACCES);
	memory_release(&bar);
	device_close(&device);
}

static const struct test tests[] = {
	TEST(LIB_TEST("stock-bar-is-reached"), bar_is_reached),
	TEST(LIB_TEST("stock-nothing-is-told"), nothing_is_told),
	TEST(LIB_TEST("stock-larger-info"), larger_info),
	TEST(LIB_TEST("stock-refused-flags"), refused_flags),
	TEST(LIB_TEST("stock-refused-attributes"), refused_attributes),
	TEST(LIB_TEST("stock-refused-by-the-kernel"), refused_by_the_kernel),
};

/* The library has looked at the environment before main() begins. */
int main(int argc, char **argv)
{
	if (!getenv("IBV_DRIVERS")) {
		setenv("IBV_DRIVERS", "rxe", 1);
		execv("/proc/self/exe", argv);
		return 1;
	}
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
