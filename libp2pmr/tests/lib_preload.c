// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * `p2pmr exec --dmabuf`: a program that knows nothing of it gets its device
 * memory registered by a dma-buf, and all else as before.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bar.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define TEXT_SIZE 4096

/* The folder beside this program. */
static void helpers(char folder[PATH_SIZE])
{
	ssize_t n = readlink("/proc/self/exe", folder, PATH_SIZE - 20);

	assert_true(n > 0);
	folder[n] = '\0';
	strcpy(strrchr(folder, '/'), "/preload-helpers");
}

/* What the program says, errors included; its status is returned. */
static int run(char text[TEXT_SIZE], const char *environment,
	       const char *options, const char *format, ...)
{
	char folder[PATH_SIZE], arguments[300], command[1000];
	va_list ap;
	size_t n;
	FILE *pipe;
	int status;

	helpers(folder);
	va_start(ap, format);
	vsnprintf(arguments, sizeof(arguments), format, ap);
	va_end(ap);
	snprintf(command, sizeof(command),
		 "cd %s && p2pmr exec %s -- env %s ./plain-program %s 2>&1",
		 folder, options, environment, arguments);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	n = fread(text, 1, TEXT_SIZE - 1, pipe);
	text[n] = '\0';
	status = pclose(pipe);
	print_message("$ %s\n%s", command, text);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define FAKE "LD_LIBRARY_PATH=."

static void assert_ends(const char *text, const char *end)
{
	size_t length = strlen(text), expected = strlen(end);

	if (length < expected || strcmp(text + length - expected, end) != 0)
		fail_msg("not at the end: %s", end);
}

/* Each of the header's ways ends in one of three functions. */
static void each_call(void **state)
{
	static const struct {
		const char *way, *call, *iova;
	} ways[] = {
		{ "constant", "ibv_reg_mr\n", NULL },
		{ "variable", "", NULL },
		{ "optional", "ibv_reg_mr_iova2\n", NULL },
		{ "iova", "ibv_reg_mr_iova\n", "0x5000" },
		{ "iova2", "ibv_reg_mr_iova2\n", "0x5000" },
	};
	char text[TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		assert_int_equal(run(text, FAKE, "--dmabuf", "%s %s 4196 5000",
				     bar_path(BAR), ways[i].way),
				 0);
		assert_true(!strncmp(text, ways[i].call, strlen(ways[i].call)));
		assert_non_null(strstr(text, "ibv_reg_dmabuf_mr offset=100 "
					     "length=5000 iova="));
		assert_non_null(strstr(text, " size=8192\n"));
		if (ways[i].iova)
			assert_non_null(strstr(text, "iova=0x5000 "));
		assert_ends(text, "address=same length=5000\nibv_dereg_mr\n");
	}
}

/* What the driver can do by itself it does. */
static void host_memory(void **state)
{
	char text[TEXT_SIZE];

	(void)state;
	assert_int_equal(run(text, FAKE, "--dmabuf", "- constant 0 4096"), 0);
	assert_string_equal(text, "ibv_reg_mr\naddress=same length=4096\n"
				  "ibv_dereg_mr\n");
	assert_int_equal(run(text, FAKE " P2PMR_DMABUF=always", "--dmabuf",
			     "- constant 0 4096"),
			 0);
	assert_null(strstr(text, "dmabuf"));
	/* Its failure stays what it was. */
	assert_int_equal(run(text, FAKE " FAKE_FAILS=1", "--dmabuf",
			     "- constant 0 4096"),
			 1);
	assert_string_equal(text, "ibv_reg_mr\nerrno=12\n");
	assert_int_equal(run(text, FAKE " FAKE_FAILS=1", "--dmabuf",
			     "%s constant 0 4096", bar_path(BAR)),
			 1);
	assert_string_equal(text, "ibv_reg_mr\nerrno=12\n");
}

/* One line says why not, and errno is the reason. */
static void refused(void **state)
{
	char text[TEXT_SIZE], environment[100];
	static const struct {
		int error;
		const char *says;
	} cases[] = {
		{ EOPNOTSUPP, "fake0: device memory not registered: the driver "
			      "takes no dma-bufs" },
		{ EXDEV, "fake0: device memory not registered: the RDMA device "
			 "does not reach that memory" },
		{ ENOMEM, "fake0: device memory not registered: Cannot "
			  "allocate memory" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char end[40];

		snprintf(environment, sizeof(environment),
			 FAKE " FAKE_DMABUF=%d", cases[i].error);
		assert_int_equal(run(text, environment, "--dmabuf",
				     "%s constant 0 4096", bar_path(BAR)),
				 1);
		assert_non_null(strstr(text, cases[i].says));
		snprintf(end, sizeof(end), "errno=%d\n", cases[i].error);
		assert_ends(text, end);
	}
}

static void without_kernel_part(void **state)
{
	char text[TEXT_SIZE];

	(void)state;
	modules_unload();
	assert_int_equal(run(text, FAKE, "--dmabuf", "%s constant 0 4096",
			     bar_path(BAR)),
			 1);
	modules_load();
	assert_string_equal(text, "ibv_reg_mr\nerrno=14\n");
}

/* In the order in which a program would be told. */
static void preloaded_beside_others(void **state)
{
	char text[TEXT_SIZE], expected[300];

	(void)state;
	assert_true(shell("LD_PRELOAD=libm.so.6 p2pmr exec --dmabuf -- sh -c "
			  "'echo $LD_PRELOAD' >/tmp/preloaded"));
	snprintf(expected, sizeof(expected), "%s:libm.so.6\n",
		 P2PMR_PRELOAD_PATH);
	char *said = read_file("/tmp/preloaded");

	assert_string_equal(said, expected);
	free(said);
	/* And the provider stays as it was. */
	assert_int_equal(run(text, "IBV_DRIVERS=other " FAKE, "--dmabuf",
			     "%s constant 0 4096", bar_path(BAR)),
			 0);
	assert_true(shell("test $(IBV_DRIVERS=x p2pmr exec -d -- sh -c "
			  "'echo $IBV_DRIVERS') = x"));
}

static void not_installed(void **state)
{
	char away[300];

	(void)state;
	snprintf(away, sizeof(away), "%s.away", P2PMR_PRELOAD_PATH);
	assert_int_equal(rename(P2PMR_PRELOAD_PATH, away), 0);
	bool told =
		shell("p2pmr exec --dmabuf true 2>/tmp/why; test $? = 125 && "
		      "grep -q 'is the library installed' /tmp/why");
	assert_int_equal(rename(away, P2PMR_PRELOAD_PATH), 0);
	assert_true(told);
}

/* The real libibverbs, and a driver that takes no dma-bufs. */
static void real_driver_without(void **state)
{
	char text[TEXT_SIZE], device[60];

	(void)state;
	snprintf(device, sizeof(device), "%s", need_env("P2PMR_DEV"));
	/* Served by p2pmr_verbs it needs none. */
	assert_int_equal(run(text, "-u x", "--dmabuf", "%s variable 0 4096 %s",
			     bar_path(BAR), device),
			 0);
	assert_string_equal(text, "address=same length=4096\n");
	/* Forced to, the stock provider has none to give it to. */
	assert_int_equal(run(text, "P2PMR_DMABUF=always", "--dmabuf",
			     "%s variable 0 4096 %s", bar_path(BAR), device),
			 1);
	assert_ends(text, "errno=95\n");
	assert_true(module_try_remove(VERBS_MODULE));
	int status = run(text, "-u x", "--dmabuf", "%s variable 0 4096 %s",
			 bar_path(BAR), device);

	modules_load();
	assert_int_equal(status, 1);
	assert_non_null(strstr(text, "rxe0: device memory not registered: the "
				     "driver takes no dma-bufs"));
	assert_ends(text, "errno=95\n");
}

static const struct test tests[] = {
	TEST("dmabuf/preload-each-call", each_call),
	TEST("dmabuf/preload-host-memory", host_memory),
	TEST("dmabuf/preload-refused", refused),
	TEST("dmabuf/preload-without-kernel-part", without_kernel_part),
	TEST("dmabuf/preload-beside-others", preloaded_beside_others),
	TEST("dmabuf/preload-not-installed", not_installed),
	TEST("dmabuf/preload-driver-without-dmabuf", real_driver_without),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
