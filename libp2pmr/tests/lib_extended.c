// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The extended request all the way: library, provider, kernel and a peer. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "bound.h"
#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define WAIT_MS 20000

static struct p2pmr_mr *try_reg(struct ibv_pd *pd, void *address, size_t length,
				uint32_t flags)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr), .flags = flags };

	errno = 0;
	return p2pmr_reg_mr(pd, address, length, ACCESS_ALL, &attr);
}

static struct p2pmr_mr *must_reg(struct ibv_pd *pd, void *address,
				 size_t length, uint32_t flags)
{
	struct p2pmr_mr *mr = try_reg(pd, address, length, flags);

	if (!mr)
		fail_msg("p2pmr_reg_mr: %s", strerror(errno));
	return mr;
}

static struct p2pmr_mr_info info_of(const struct p2pmr_mr *mr)
{
	struct p2pmr_mr_info info = { .size = sizeof(info) };

	assert_int_equal(p2pmr_mr_query(mr, &info), 0);
	return info;
}

static void tells_what_it_is(void **state)
{
	struct memory bar, host;
	struct p2pmr_mr_info info;
	struct device device;
	struct p2pmr_mr *mr;

	(void)state;
	device_open(&device);
	memory_map(&bar, BAR, WINDOW);
	memory_map(&host, HOST, WINDOW);

	mr = must_reg(device.pd, bar.bytes, WINDOW, P2PMR_REG_REQUIRE_DEVICE);
	info = info_of(mr);
	assert_int_equal(info.kind, P2PMR_MR_DEVICE);
	assert_int_equal(info.segments, 1);
	assert_true(info.page_size >= PAGE);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);

	mr = must_reg(device.pd, host.bytes, WINDOW, 0);
	info = info_of(mr);
	assert_int_equal(info.kind, P2PMR_MR_HOST);
	assert_int_equal(info.segments, 0);
	assert_int_equal(info.page_size, 0);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_null(try_reg(device.pd, host.bytes, WINDOW,
			    P2PMR_REG_REQUIRE_DEVICE));
	assert_int_equal(errno, EMEDIUMTYPE);

	memory_release(&bar);
	memory_release(&host);
	device_close(&device);
}

/* A scene whose region is the library's. */
static struct p2pmr_mr *scene_open_extended(struct scene *scene, void *bytes)
{
	struct p2pmr_mr *mr;

	scene_open_over(scene, BAR, bytes);
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
	mr = must_reg(scene->pair.device.pd, bytes, WINDOW,
		      P2PMR_REG_REQUIRE_DEVICE | P2PMR_REG_EVENTFD);
	scene->bar.mr = p2pmr_mr_verbs(mr);
	return mr;
}

static void assert_told(const struct p2pmr_mr *mr)
{
	struct pollfd p = { .fd = p2pmr_mr_fd(mr), .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(p2pmr_mr_revoked(mr), 1);
}

static void munmap_is_told(void **state)
{
	struct p2pmr_mapping *mapping;
	struct scene scene;
	struct p2pmr_mr *mr;

	(void)state;
	mapping = p2pmr_map_bar(function_address(FIRST), 2, NULL);
	assert_non_null(mapping);
	mr = scene_open_extended(&scene, p2pmr_mapping_address(mapping));
	assert_reachable(&scene);
	assert_int_equal(p2pmr_mr_revoked(mr), 0);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	assert_told(mr);
	assert_revoked(&scene);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	scene_close(&scene);
}

static void driver_that_lets_go_is_told(void **state)
{
	struct p2pmr_mapping *mapping;
	struct scene scene;
	struct p2pmr_mr *mr;

	(void)state;
	function_bind(FIRST);
	mapping = p2pmr_map_bar(function_address(FIRST), 2, NULL);
	assert_non_null(mapping);
	mr = scene_open_extended(&scene, p2pmr_mapping_address(mapping));
	assert_reachable(&scene);
	function_unbind(FIRST);
	assert_told(mr);
	assert_int_equal(peer_access(&scene, IBV_WR_RDMA_WRITE, 0, 64),
			 IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	scene_close(&scene);
}

static int register_bar_error(struct ibv_pd *pd, void *bytes, uint32_t flags)
{
	struct p2pmr_mr *mr = try_reg(pd, bytes, 64, flags);

	if (!mr)
		return errno;
	assert_int_equal(info_of(mr).kind, P2PMR_MR_DEVICE);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	return 0;
}

/* Without the caller's word, with it, and with the administrator's. */
static void register_bars(void **state)
{
	struct p2pmr_mapping *mapping;
	struct device device;
	char before[PARAMETER_SIZE];
	void *bytes;

	(void)state;
	device_open(&device);
	mapping = p2pmr_map_bar(function_address(FIRST), 0, NULL);
	assert_non_null(mapping);
	bytes = p2pmr_mapping_address(mapping);
	assert_int_equal(register_bar_error(device.pd, bytes, 0), EPERM);
	assert_int_equal(register_bar_error(device.pd, bytes,
					    P2PMR_REG_REGISTER_BAR),
			 EPERM);
	assert_int_equal(module_set(CORE_MODULE, "allow_registers", "request",
				    before),
			 0);
	assert_int_equal(register_bar_error(device.pd, bytes, 0), EPERM);
	assert_int_equal(register_bar_error(device.pd, bytes,
					    P2PMR_REG_REGISTER_BAR),
			 0);
	assert_int_equal(
		module_set(CORE_MODULE, "allow_registers", before, NULL), 0);
	assert_int_equal(p2pmr_unmap(mapping), 0);
	device_close(&device);
}

static const struct test tests[] = {
	TEST("lib/extended-tells-what-it-is", tells_what_it_is),
	TEST("lib/extended-munmap-is-told", munmap_is_told),
	TEST("lib/extended-driver-that-lets-go-is-told",
	     driver_that_lets_go_is_told),
	TEST("lib/extended-register-bars", register_bars),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
