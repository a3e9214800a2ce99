// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The kernel modules from user space, see modules.h. */
#include "modules.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

bool module_is_loaded(const char *module)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return stat(path, &st) == 0;
}

int module_references(const char *module)
{
	char path[128];
	int count = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%d", &count) != 1)
		fail_msg("%s: unreadable", path);
	fclose(file);
	return count;
}

void expect_references(const char *module, int expected)
{
	int count = module_references(module);

	for (int tries = 0; count != expected && tries < 100; tries++) {
		usleep(50 * 1000);
		count = module_references(module);
	}
	if (count != expected)
		fail_msg("module %s has %d references, not %d", module, count,
			 expected);
}

int run_command(const char *const argv[])
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void modules_load(void)
{
	const char *const argv[] = { "modprobe", VERBS_MODULE, NULL };

	assert_int_equal(run_command(argv), 0);
	assert_true(module_is_loaded(VERBS_MODULE));
	assert_true(module_is_loaded(CORE_MODULE));
}

void modules_unload(void)
{
	const char *const verbs[] = { "rmmod", VERBS_MODULE, NULL };
	const char *const core[] = { "rmmod", CORE_MODULE, NULL };

	assert_int_equal(run_command(verbs), 0);
	assert_int_equal(run_command(core), 0);
	assert_false(module_is_loaded(VERBS_MODULE));
	assert_false(module_is_loaded(CORE_MODULE));
}

bool module_try_remove(const char *module)
{
	const char *const argv[] = { "rmmod", module, NULL };

	return run_command(argv) == 0;
}

bool module_set_bool(const char *module, const char *parameter, bool value)
{
	char path[160], before;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module,
		 parameter);
	file = fopen(path, "r+");
	if (!file)
		fail_msg("%s: cannot be opened", path);
	assert_int_equal(fread(&before, 1, 1, file), 1);
	rewind(file);
	assert_true(fputs(value ? "Y\n" : "N\n", file) >= 0);
	if (fclose(file))
		fail_msg("%s: cannot be set", path);
	return before == 'Y';
}
