// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The ABI's header, which comes first here and needs no other: its layout as
 * C and C++ see it (checked when this is compiled), and the version that the
 * module says it has.
 */
#include <rdma/p2pmr-abi.h>

#include "abi.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "chardev.h"
#include "runner.h"
#include "system.h"

int hello_c(int fd, struct p2pmr_ioc_hello *hello)
{
	*hello = (struct p2pmr_ioc_hello){ .size = sizeof(*hello),
					   .version = P2PMR_ABI_VERSION };
	return ioctl(fd, P2PMR_IOC_HELLO, hello);
}

static void both_languages(void **state)
{
	struct p2pmr_ioc_hello c, cxx;
	int fd = chardev_open();

	(void)state;
	assert_int_equal(hello_c(fd, &c), 0);
	assert_int_equal(hello_cxx(fd, &cxx), 0);
	assert_memory_equal(&c, &cxx, sizeof(c));
	close(fd);
}

static void version_of_module(void **state)
{
	struct p2pmr_ioc_hello hello;
	int fd = chardev_open();

	(void)state;
	assert_int_equal(hello_c(fd, &hello), 0);
	assert_string_equal(hello.module_version, P2PMR_MODULE_VERSION);
	close(fd);
}

/* All modules are of one version, and say so whether they are loaded or not. */
static void versions_of_modules(void **state)
{
	(void)state;
	assert_true(
		shell("for m in p2pmr p2pmr_verbs p2pmr_bar; do "
		      "test \"$(modinfo -F version $m)\" = %s || exit; done",
		      P2PMR_MODULE_VERSION));
	assert_true(shell("cd /sys/module && test \"$(cat p2pmr/version "
			  "p2pmr_verbs/version | uniq)\" = %s",
			  P2PMR_MODULE_VERSION));
}

static const struct test tests[] = {
	TEST("device/abi-in-c-and-cxx", both_languages),
	TEST("device/abi-tells-module-version", version_of_module),
	TEST("device/versions-of-modules", versions_of_modules),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
