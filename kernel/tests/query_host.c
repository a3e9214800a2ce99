// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr says of host memory of all kinds is what a registration of it then
 * answers, alone and beside device memory; kernels differ in that.
 */
#include <sys/mman.h>

#include "chardev.h"
#include "host_kinds.h"
#include "runner.h"

static const struct kind {
	const char *name;
	void *(*map)(void);
} kinds[] = {
	{ "anonymous", host_anonymous },
	{ "anonymous, shared", host_anonymous_shared },
	{ "read-only", host_read_only },
	{ "without rights", host_without_rights },
	{ "file, shared", host_file_shared },
	{ "file, private", host_file_private },
	{ "file, read-only", host_file_read_only },
	{ "memfd", host_memfd },
	{ "half read-only", host_half_read_only },
};

static void ask_and_try(const uint8_t *bytes)
{
	struct answer answer;

	query_once(&answer, bytes, HOST_SIZE);
	print_message("read %u, write %u\n", answer.query.read_error,
		      answer.query.write_error);
	assert_foretold(&answer, answer.query.read_error,
			answer.query.write_error);
}

static void registration_agrees(void **state)
{
	uint8_t *bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		print_message("%s\n", kinds[i].name);
		bytes = kinds[i].map();
		assert_true(bytes != MAP_FAILED);
		ask_and_try(bytes);
		/* Its last page becomes a BAR's. */
		assert_true(bar_mmap(BAR, bytes + HOST_SIZE - PAGE, PAGE,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
		ask_and_try(bytes);
		assert_int_equal(munmap(bytes, HOST_SIZE), 0);
	}
}

static const struct test tests[] = {
	TEST("device/query-host-memory-foretells", registration_agrees),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
