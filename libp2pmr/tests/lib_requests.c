// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The extended request as the library makes it, towards a provider of the
 * test's own in the place of p2pmr's: what it hears, and what is made of each
 * answer that it may give.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>
#include <p2pmr_provider.h>

#include "endpoint.h"
#include "part.h"
#include "provider.h"
#include "runner.h"
#include "system.h"

#define ALL_FLAGS \
	(P2PMR_REG_REQUIRE_DEVICE | P2PMR_REG_REGISTER_BAR | P2PMR_REG_EVENTFD)
#define LENGTH (4 * PAGE)

/* What the provider will do, and what it has heard. */
static struct {
	struct p2pmr_reg_mr_resp resp;
	bool refuses;
	int error;
	int calls;
	struct p2pmr_reg_mr_req req;
	uint64_t iova;
} provider;

static bool owns(const struct ibv_context *context)
{
	return context;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			     uint64_t iova, unsigned int access,
			     const struct p2pmr_reg_mr_req *req,
			     struct p2pmr_reg_mr_resp *resp)
{
	provider.calls++;
	provider.req = *req;
	provider.iova = iova;
	*resp = provider.resp;
	errno = provider.error;
	return provider.refuses
		       ? NULL
		       : ibv_reg_mr_iova2(pd, addr, length, iova, access);
}

static const struct p2pmr_provider own_provider = { .owns = owns,
						    .reg_mr = reg_mr };

/* The linker puts it before the library's. */
const struct p2pmr_provider *__wrap_provider_of(const struct ibv_context *c);
const struct p2pmr_provider *__wrap_provider_of(const struct ibv_context *c)
{
	return own_provider.owns(c) ? &own_provider : NULL;
}

struct ground {
	struct device device;
	struct memory bar;
};

static void ground_open(struct ground *ground)
{
	memset(&provider, 0, sizeof(provider));
	provider.resp = (struct p2pmr_reg_mr_resp){
		.size = sizeof(provider.resp),
		.kind = P2PMR_MR_MIXED,
		.segments = 3,
		.page_size = 65536,
	};
	device_open(&ground->device);
	memory_map(&ground->bar, BAR, LENGTH);
}

static void ground_close(struct ground *ground)
{
	memory_release(&ground->bar);
	device_close(&ground->device);
}

static struct p2pmr_mr *try_reg(struct ground *ground, uint32_t flags)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr), .flags = flags };

	errno = 0;
	return p2pmr_reg_mr(ground->device.pd, ground->bar.bytes, LENGTH,
			    ACCESS_ALL, &attr);
}

static void request_is_complete(void **state)
{
	struct ground ground;
	struct p2pmr_mr *mr;

	(void)state;
	ground_open(&ground);
	mr = try_reg(&ground, ALL_FLAGS);
	assert_non_null(mr);
	assert_int_equal(provider.calls, 1);
	assert_int_equal(provider.req.size, sizeof(provider.req));
	assert_int_equal(provider.req.flags, ALL_FLAGS);
	assert_int_equal(provider.req.reserved, 0);
	assert_int_equal(provider.req.eventfd, p2pmr_mr_fd(mr));
	assert_int_equal(provider.iova, (uintptr_t)ground.bar.bytes);
	/* Not for the children of the process. */
	assert_int_equal(fcntl(p2pmr_mr_fd(mr), F_GETFD), FD_CLOEXEC);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_int_equal(fcntl(provider.req.eventfd, F_GETFD), -1);
	ground_close(&ground);
}

static void no_flags_no_descriptor(void **state)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr),
				       .iova = 0x77000,
				       .has_iova = 1 };
	struct ground ground;
	struct p2pmr_mr *mr;

	(void)state;
	ground_open(&ground);
	mr = p2pmr_reg_mr(ground.device.pd, ground.bar.bytes, LENGTH,
			  ACCESS_ALL, &attr);
	assert_non_null(mr);
	assert_int_equal(provider.req.flags, 0);
	assert_int_equal(provider.req.eventfd, 0);
	assert_int_equal(provider.iova, 0x77000);
	assert_int_equal(p2pmr_mr_fd(mr), -ENOENT);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	ground_close(&ground);
}

static void answer_is_told(void **state)
{
	struct p2pmr_mr_info info = { .size = sizeof(info) };
	struct ground ground;
	struct p2pmr_mr *mr;

	(void)state;
	ground_open(&ground);
	mr = try_reg(&ground, 0);
	assert_int_equal(p2pmr_mr_query(mr, &info), 0);
	assert_int_equal(info.kind, P2PMR_MR_MIXED);
	assert_int_equal(info.segments, 3);
	assert_int_equal(info.page_size, 65536);
	info.size = 15;
	assert_int_equal(p2pmr_mr_query(mr, &info), -EINVAL);
	info.size = UINT32_MAX;
	assert_int_equal(p2pmr_mr_query(mr, &info), -E2BIG);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	ground_close(&ground);
}

static void descriptor_tells_of_revocation(void **state)
{
	struct ground ground;
	struct p2pmr_mr *mr;
	struct pollfd p;
	int copy;

	(void)state;
	ground_open(&ground);
	mr = try_reg(&ground, P2PMR_REG_EVENTFD);
	assert_int_equal(p2pmr_mr_revoked(mr), 0);
	/* As the kernel does it. */
	assert_int_equal(eventfd_write(provider.req.eventfd, 1), 0);
	p = (struct pollfd){ .fd = p2pmr_mr_fd(mr), .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(p2pmr_mr_revoked(mr), 1);
	/* Closed by mistake, it tells nothing. */
	copy = dup(p2pmr_mr_fd(mr));
	assert_int_equal(close(p2pmr_mr_fd(mr)), 0);
	assert_int_equal(p2pmr_mr_revoked(mr), -EBADF);
	assert_int_equal(dup2(copy, p2pmr_mr_fd(mr)), p2pmr_mr_fd(mr));
	assert_int_equal(close(copy), 0);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	ground_close(&ground);
}

/* A registration that lacks what was asked for is none, and none stays. */
static void kernel_that_does_not_look(void **state)
{
	struct ground ground;
	struct p2pmr_mr *mr;

	(void)state;
	ground_open(&ground);
	memset(&provider.resp, 0, sizeof(provider.resp));
	for (uint32_t flag = 1; flag <= ALL_FLAGS; flag <<= 1) {
		assert_null(try_reg(&ground, flag));
		assert_int_equal(errno, EPROTONOSUPPORT);
	}
	assert_int_equal(provider.calls, 3);
	assert_int_equal(ranges_of(getpid(), "live"), 0);
	/* What asked for nothing has it. */
	mr = try_reg(&ground, 0);
	assert_non_null(mr);
	assert_int_equal(ranges_of(getpid(), "live"), 1);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	ground_close(&ground);
}

static void provider_that_refuses(void **state)
{
	struct ground ground;

	(void)state;
	ground_open(&ground);
	provider.refuses = true;
	provider.error = EMEDIUMTYPE;
	assert_null(try_reg(&ground, P2PMR_REG_EVENTFD));
	assert_int_equal(errno, EMEDIUMTYPE);
	assert_int_equal(fcntl(provider.req.eventfd, F_GETFD), -1);
	/* Some do not say why; success it is not. */
	provider.error = 0;
	assert_null(try_reg(&ground, 0));
	assert_int_equal(errno, EIO);
	ground_close(&ground);
}

static const struct test tests[] = {
	TEST(LIB_TEST("request-is-complete"), request_is_complete),
	TEST(LIB_TEST("request-no-flags-no-descriptor"),
	     no_flags_no_descriptor),
	TEST(LIB_TEST("request-answer-is-told"), answer_is_told),
	TEST(LIB_TEST("request-descriptor-tells-of-revocation"),
	     descriptor_tells_of_revocation),
	TEST(LIB_TEST("request-kernel-that-does-not-look"),
	     kernel_that_does_not_look),
	TEST(LIB_TEST("request-provider-that-refuses"), provider_that_refuses),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
