// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Mappings of device memory that are no plain shared mapping of a memory
 * BAR: each is refused with an errno of its own, or allowed on request.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exchange.h"
#include "modules.h"
#include "runner.h"

#define WINDOW	       (8 * PAGE)
#define READ_WRITE     (PROT_READ | PROT_WRITE)
#define BIOS_ROM       0xf0000 /* /dev/mem lets root map it, and it is no BAR */
#define REGISTERS_SIZE 256     /* of the function's BAR 0 */

static int attempt(struct ibv_pd *pd, void *address, size_t length, int access)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, address, length, access);

	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

/* The errno for one more mapping; undoes everything. */
static int attempt_mapping(void *address, size_t length, int access)
{
	int error, references = module_references(VERBS_MODULE);
	struct device device;

	if (address == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	device_open(&device);
	error = attempt(device.pd, address, length, access);
	expect_references(VERBS_MODULE, references);
	device_close(&device);
	assert_int_equal(munmap(address, length), 0);
	return error;
}

/* Copy on write would part the CPU's bytes from the device's. */
static void private_mapping(void **state)
{
	const int protections[] = { PROT_READ, READ_WRITE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(protections); i++) {
		assert_int_equal(attempt_mapping(bar_mmap(BAR, NULL, WINDOW,
							  protections[i],
							  MAP_PRIVATE, 0),
						 WINDOW,
						 IBV_ACCESS_REMOTE_READ),
				 EINVAL);
		assert_int_equal(attempt_mapping(bar_mmap(BAR, NULL, WINDOW,
							  protections[i],
							  MAP_PRIVATE, 0),
						 WINDOW, ACCESS_ALL),
				 EINVAL);
	}
}

static void private_mapping_written(void **state)
{
	uint8_t *bytes =
		bar_mmap(BAR, NULL, WINDOW, READ_WRITE, MAP_PRIVATE, 0);

	(void)state;
	assert_true(bytes != MAP_FAILED);
	bytes[PAGE] = 1; /* one page is the process's own now */
	assert_int_equal(attempt_mapping(bytes, WINDOW, ACCESS_ALL), EINVAL);
}

static void no_bar(void **state)
{
	int fd = open("/dev/mem", O_RDONLY);
	void *bytes;

	(void)state;
	if (fd < 0)
		skip_test("/dev/mem: %s", strerror(errno));
	bytes = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, BIOS_ROM);
	close(fd);
	assert_int_equal(attempt_mapping(bytes, PAGE, IBV_ACCESS_REMOTE_READ),
			 ENXIO);
}

static void registers(void **state)
{
	(void)state;
	assert_int_equal(attempt_mapping(registers_map(), REGISTERS_SIZE,
					 ACCESS_ALL),
			 EPERM);
	assert_int_equal(attempt_mapping(registers_map(), 4,
					 IBV_ACCESS_REMOTE_READ),
			 EPERM);
}

static void registers_on_request(void **state)
{
	int all, beyond;

	(void)state;
	assert_int_equal(module_set(CORE_MODULE, "allow_registers", "Y", NULL),
			 0);
	all = attempt_mapping(registers_map(), REGISTERS_SIZE, ACCESS_ALL);
	beyond = attempt_mapping(registers_map(), PAGE, ACCESS_ALL);
	assert_int_equal(module_set(CORE_MODULE, "allow_registers", "N", NULL),
			 0);
	assert_int_equal(all, 0);
	/* The page is mapped, but the BAR ends before it does. */
	assert_int_equal(beyond, ENXIO);
	assert_int_equal(attempt_mapping(registers_map(), REGISTERS_SIZE,
					 ACCESS_ALL),
			 EPERM);
}

/* Readable only: the peer may read it and not write it. */
static void read_only_serves_reads(void **state)
{
	static uint8_t expected[WINDOW];
	struct memory host, bar, writable;
	enum ibv_wc_status status;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&writable, BAR, WINDOW);
	pattern_fill(expected, WINDOW, 1);
	memcpy(writable.bytes, expected, WINDOW);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, pair.device.pd);
	bar = (struct memory){ .kind = BAR, .size = WINDOW };
	bar.bytes = bar_mmap(BAR, NULL, WINDOW, PROT_READ, MAP_SHARED, 0);
	assert_true(bar.bytes != MAP_FAILED);
	bar.mr = must_register(pair.device.pd, bar.bytes, WINDOW,
			       IBV_ACCESS_REMOTE_READ);

	exchange(&pair, READ, (struct place){ &host, 0 },
		 (struct place){ &bar, 0 }, WINDOW);
	assert_bytes(host.bytes, expected, WINDOW, "read by the peer");
	memset(host.bytes, 0, WINDOW);
	status =
		run_transfer(&pair.near, &(struct transfer){
						 .opcode = IBV_WR_RDMA_WRITE,
						 .local = host.bytes,
						 .lkey = host.mr->lkey,
						 .length = 8,
						 .remote = (uintptr_t)bar.bytes,
						 .rkey = bar.mr->rkey,
					 });
	assert_status(status, IBV_WC_REM_ACCESS_ERR);
	assert_bytes(writable.bytes, expected, WINDOW, "BAR");
	memory_release(&bar);
	memory_release(&writable);
	memory_release(&host);
	pair_close(&pair);
}

static const struct test tests[] = {
	TEST("verbs/refused-private-mapping", private_mapping),
	TEST("verbs/refused-private-mapping-written", private_mapping_written),
	TEST("verbs/refused-mapping-of-no-bar", no_bar),
	TEST("verbs/refused-register-bar", registers),
	TEST("verbs/register-bar-on-request", registers_on_request),
	TEST("verbs/read-only-mapping-serves-reads", read_only_serves_reads),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
