// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which provider a program gets by being linked to the library, with files of
 * all sorts in the place of p2pmr's provider. Only this process and what it
 * starts see them there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "bar.h"
#include "endpoint.h"
#include "part.h"
#include "runner.h"
#include "system.h"

/* What the program answers if it is started with one of these arguments. */
#define QUESTION       "--is-it-loaded"
#define FLAGS_QUESTION "--which-errno-have-flags"
enum {
	LOADED = 40,
	NOT_LOADED = 41,
	NO_DEVICE = 42
};

#define COPY   "/tmp/p2pmr-providers"
#define SETUID "/tmp/p2pmr-loading"
#define NOBODY 65534

static const char *folder(void)
{
	static char path[sizeof(P2PMR_PROVIDER_PATH)];

	strcpy(path, P2PMR_PROVIDER_PATH);
	*strrchr(path, '/') = '\0';
	return path;
}

/* The folder of providers as a copy, in which `make` makes ours. */
static void replace_provider(const char *make)
{
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
			 0);
	assert_true(shell("rm -rf " COPY " && cp -a %s " COPY, folder()));
	assert_int_equal(mount(COPY, folder(), NULL, MS_BIND, NULL), 0);
	assert_true(shell("rm -f %s && cd %s && %s", P2PMR_PROVIDER_PATH,
			  folder(), make));
}

/* Starts this program, or a copy of it, anew; `driver` goes into IBV_DRIVERS. */
static int ask(const char *program, const char *question, const char *variable,
	       const char *driver, uid_t uid)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		if (variable)
			setenv(variable, driver, 1);
		if (uid && setuid(uid))
			_exit(1);
		execl(program, program, question, NULL);
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int ask_self(void)
{
	return ask("/proc/self/exe", QUESTION, NULL, NULL, 0);
}

/* A provider that fits, though not p2pmr's. */
#define FITTING "cp librxe-rdmav*.so " P2PMR_PROVIDER_PATH

static void loads_what_fits(void **state)
{
	(void)state;
	replace_provider(FITTING);
	assert_int_equal(ask_self(), LOADED);
}

static void does_without(void **state)
{
	static const char *const bad[] = {
		"true",
		"touch " P2PMR_PROVIDER_PATH,
		"mkdir " P2PMR_PROVIDER_PATH,
		"echo nonsense > " P2PMR_PROVIDER_PATH,
		/* Of another private interface: the version of its symbols. */
		"sed s/IBVERBS_PRIVATE_/IBVERBS_PRIVATF_/ librxe-rdmav*.so > " P2PMR_PROVIDER_PATH,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			replace_provider(bad[i]);
			_exit(ask_self());
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != NOT_LOADED)
			fail_msg("after \"%s\": status %x", bad[i], status);
	}
	(void)state;
}

/* Loaded, but without what the library looks for in it. */
static void flags_refused_without_the_symbol(void **state)
{
	(void)state;
	replace_provider(FITTING);
	assert_int_equal(ask("/proc/self/exe", FLAGS_QUESTION, NULL, NULL, 0),
			 EOPNOTSUPP);
}

static void user_chooses(void **state)
{
	(void)state;
	replace_provider(FITTING);
	assert_int_equal(ask("/proc/self/exe", QUESTION, "IBV_DRIVERS", "rxe",
			     0),
			 NOT_LOADED);
	assert_int_equal(ask("/proc/self/exe", QUESTION, "RDMAV_DRIVERS", "rxe",
			     0),
			 NOT_LOADED);
	/* Now libibverbs does it. */
	assert_int_equal(ask("/proc/self/exe", QUESTION, "IBV_DRIVERS", "p2pmr",
			     0),
			 LOADED);
}

/* With another user's rights the environment has no say. */
static void other_users_choose_nothing(void **state)
{
	(void)state;
	replace_provider(FITTING);
	assert_true(shell("cp /proc/%d/exe " SETUID " && chmod 4755 " SETUID,
			  getpid()));
	assert_int_equal(ask(SETUID, QUESTION, "IBV_DRIVERS", "rxe", NOBODY),
			 LOADED);
	assert_true(shell("chmod 755 " SETUID));
	assert_int_equal(ask(SETUID, QUESTION, "IBV_DRIVERS", "rxe", NOBODY),
			 NOT_LOADED);
	assert_true(shell("rm " SETUID));
}

/* Has the provider been mapped, and is there a device all the same? */
static int answer(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	FILE *maps = fopen("/proc/self/maps", "r");
	bool device = list && list[0], loaded = false;
	char line[512];

	if (list)
		ibv_free_device_list(list);
	while (maps && fgets(line, sizeof(line), maps))
		loaded |= !!strstr(line, "/libp2pmr-rdmav");
	if (maps)
		fclose(maps);
	if (!device)
		return NO_DEVICE;
	return loaded ? LOADED : NOT_LOADED;
}

/* The errno of a request with flags, of which plain registration knows nothing. */
static int flags_errno(void)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr),
				       .flags = P2PMR_REG_EVENTFD };
	struct device device;
	struct p2pmr_mr *mr;
	struct memory bar;
	int error = 0;

	device_open(&device);
	memory_map(&bar, BAR, PAGE);
	if (!p2pmr_reg_mr(device.pd, bar.bytes, PAGE, ACCESS_ALL, &attr))
		error = errno;
	attr.flags = 0;
	mr = p2pmr_reg_mr(device.pd, bar.bytes, PAGE, ACCESS_ALL, &attr);
	if (!mr || p2pmr_dereg_mr(mr))
		error = 0;
	memory_release(&bar);
	device_close(&device);
	return error;
}

static const struct test tests[] = {
	TEST("lib/loads-a-provider-that-fits", loads_what_fits),
	TEST("lib/does-without-a-provider", does_without),
	TEST("lib/loads-a-provider-without-the-symbol",
	     flags_refused_without_the_symbol),
	TEST("lib/loads-what-the-user-chooses", user_chooses),
	TEST("lib/loads-nothing-by-other-users-choice",
	     other_users_choose_nothing),
};

int main(int argc, char **argv)
{
	/* Keeps a linker from dropping the library. */
	if (p2pmr_version() != P2PMR_VERSION)
		return 3;
	if (argc == 2 && !strcmp(argv[1], QUESTION))
		return answer();
	if (argc == 2 && !strcmp(argv[1], FLAGS_QUESTION))
		return flags_errno();
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
