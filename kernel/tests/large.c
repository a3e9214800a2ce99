// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Regions as large as BARs of accelerators are. Needs a guest with such a
 * BAR: the tests big/... of vm/tests start one and run this in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "host.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define GIB  (1ul << 30)
#define SPAN 5001

/*
 * The longest MR that this kernel's soft-RoCE can have. Debian's kernels from
 * 6.12 on have its table in one piece, which the allocator limits.
 */
static size_t rxe_limit(void)
{
	struct utsname name;
	unsigned int major, minor;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 4) ? GIB : 1024 * GIB;
}

static void move_at(struct pair *pair, const struct memory *host,
		    const struct memory *bar, size_t offset)
{
	static uint8_t data[SPAN], seen[SPAN];
	struct transfer transfer = {
		.opcode = IBV_WR_RDMA_WRITE,
		.local = host->bytes,
		.lkey = host->mr->lkey,
		.length = SPAN,
		.remote = (uintptr_t)bar->bytes + offset,
		.rkey = bar->mr->rkey,
	};

	pattern_fill(data, SPAN, offset);
	memcpy(host->bytes, data, SPAN);
	assert_status(run_transfer(&pair->near, &transfer), IBV_WC_SUCCESS);
	host_read(0, offset, seen, SPAN);
	assert_bytes(seen, data, SPAN, "file behind the BAR");

	pattern_fill(data, SPAN, offset + 1);
	host_write(0, offset, data, SPAN);
	transfer.opcode = IBV_WR_RDMA_READ;
	assert_status(run_transfer(&pair->near, &transfer), IBV_WC_SUCCESS);
	assert_bytes(host->bytes, data, SPAN, "read by the peer");
}

static void assert_refused(struct pair *pair, const struct memory *bar)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[1024];
	bool told = false;
	ssize_t size;

	assert_true(log >= 0 && lseek(log, 0, SEEK_END) >= 0);
	assert_null(
		ibv_reg_mr(pair->device.pd, bar->bytes, bar->size, ACCESS_ALL));
	assert_int_equal(errno, EFBIG);
	while ((size = read(log, record, sizeof(record) - 1)) > 0) {
		record[size] = '\0';
		told |= strstr(record, "refused for large[") &&
			strstr(record, "rdma_rxe ends at");
	}
	close(log);
	assert_true(told);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

static void of_size(size_t size)
{
	struct memory host, bar;
	struct pair pair;

	pair_open(&pair);
	memory_map(&host, HOST, 2 * SPAN);
	memory_register(&host, pair.device.pd);
	memory_map(&bar, BAR, size);
	if (bar.size > rxe_limit()) {
		assert_refused(&pair, &bar);
	} else {
		memory_register(&bar, pair.device.pd);
		move_at(&pair, &host, &bar, 0);
		move_at(&pair, &host, &bar, bar.size / 2 - 2000);
		move_at(&pair, &host, &bar, bar.size - SPAN);
	}
	memory_release(&bar);
	memory_release(&host);
	pair_close(&pair);
}

static void whole_bar(void **state)
{
	(void)state;
	assert_true(bar_size(BAR) >= 64 * GIB);
	of_size(0);
}

static void one_gib(void **state)
{
	(void)state;
	of_size(GIB);
}

static void one_gib_and_a_page(void **state)
{
	(void)state;
	of_size(GIB + PAGE);
}

static const struct test tests[] = {
	TEST("whole-bar", whole_bar),
	TEST("one-gib", one_gib),
	TEST("one-gib-and-a-page", one_gib_and_a_page),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
