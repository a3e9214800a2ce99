// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Registration with an extended request, as libp2pmr asks for it. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "exchange.h"
#include "plugin.h"

static struct ibv_mr *reg(struct device *device, struct memory *memory,
			  uint32_t flags, struct p2pmr_reg_mr_resp *resp)
{
	struct p2pmr_reg_mr_req req = { .size = sizeof(req), .flags = flags };
	const struct p2pmr_provider *provider = loaded_plugin();

	assert_non_null(provider);
	return provider->reg_mr(device->pd, memory->bytes, memory->size,
				(uintptr_t)memory->bytes, ACCESS_ALL, &req,
				resp);
}

/* What it registers is an MR like any other. */
static void gives_an_mr(void **state)
{
	enum memory_kind kind = *(const enum memory_kind *)*state;
	struct memory from = { .kind = HOST }, to = { .kind = kind };
	struct p2pmr_reg_mr_resp resp;
	struct pair pair;

	pair_open(&pair);
	memory_map(&from, HOST, PAGE);
	memory_register(&from, pair.device.pd);
	memory_map(&to, kind, PAGE);
	memset(&resp, 0xff, sizeof(resp));
	to.mr = reg(&pair.device, &to, 0, &resp);
	assert_non_null(to.mr);
	assert_ptr_equal(to.mr->addr, to.bytes);
	assert_int_equal(to.mr->length, to.size);
	assert_ptr_equal(to.mr->pd, pair.device.pd);
	assert_ptr_equal(to.mr->context, pair.device.context);
	assert_int_equal(resp.size, sizeof(resp));
	assert_int_equal(resp.kind,
			 kind == HOST ? P2PMR_MR_HOST : P2PMR_MR_DEVICE);
	exchange_checked(&pair, WRITE, (struct place){ &from, 0 },
			 (struct place){ &to, 0 }, PAGE, PAGE, 1);
	memory_release(&to);
	memory_release(&from);
	pair_close(&pair);
}

static void says_why_not(void **state)
{
	struct memory hole = { .bytes = (uint8_t *)0x1000, .size = PAGE };
	struct p2pmr_reg_mr_resp resp;
	struct device device;

	(void)state;
	device_open(&device);
	memset(&resp, 0xff, sizeof(resp));
	assert_null(reg(&device, &hole, 0, &resp));
	assert_int_equal(errno, EFAULT);
	assert_int_equal(resp.size, 0);
	device_close(&device);
}

static void asks_for_device_memory(void **state)
{
	struct memory memory = { .kind = HOST };
	struct p2pmr_reg_mr_resp resp;
	struct device device;

	(void)state;
	device_open(&device);
	memory_map(&memory, HOST, PAGE);
	assert_null(reg(&device, &memory, P2PMR_REG_REQUIRE_DEVICE, &resp));
	assert_int_equal(errno, EMEDIUMTYPE);
	memory_release(&memory);
	device_close(&device);
}

static void tells_of_revocation(void **state)
{
	struct p2pmr_reg_mr_req req = { .size = sizeof(req),
					.flags = P2PMR_REG_EVENTFD };
	struct memory memory = { .kind = BAR };
	struct p2pmr_reg_mr_resp resp;
	struct device device;
	struct ibv_mr *mr;
	uint64_t events;

	(void)state;
	device_open(&device);
	memory_map(&memory, BAR, PAGE);
	req.eventfd = eventfd(0, EFD_NONBLOCK);
	assert_return_code(req.eventfd, errno);
	mr = loaded_plugin()->reg_mr(device.pd, memory.bytes, memory.size,
				     (uintptr_t)memory.bytes, ACCESS_ALL, &req,
				     &resp);
	assert_non_null(mr);
	assert_int_equal(eventfd_read(req.eventfd, &events), -1);
	assert_int_equal(errno, EAGAIN);
	memory_release(&memory);
	assert_int_equal(eventfd_read(req.eventfd, &events), 0);
	assert_int_equal(events, 1);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(close(req.eventfd), 0);
	device_close(&device);
}

static const enum memory_kind host = HOST, bar = BAR;

static const struct test tests[] = {
	TEST_OF("provider/extended-gives-an-mr-host", gives_an_mr, &host),
	TEST_OF("provider/extended-gives-an-mr-bar", gives_an_mr, &bar),
	TEST("provider/extended-says-why-not", says_why_not),
	TEST("provider/extended-asks-for-device-memory",
	     asks_for_device_memory),
	TEST("provider/extended-tells-of-revocation", tells_of_revocation),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
