// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The kernel modules from user space, see modules.h. */
#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"
#include "system.h"

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

	for (int tries = 0; count != expected && tries < 400; tries++) {
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

int module_set(const char *module, const char *parameter, const char *value,
	       char before[PARAMETER_SIZE])
{
	char path[160], line[PARAMETER_SIZE];
	int fd, error = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module,
		 parameter);
	fd = open(path, O_RDWR);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	if (before) {
		n = read(fd, before, PARAMETER_SIZE - 1);
		assert_true(n >= 0);
		before[n] = '\0';
		before[strcspn(before, "\n")] = '\0';
	}
	/* With its line end: a write of nothing would not reach the kernel. */
	snprintf(line, sizeof(line), "%s\n", value);
	if (pwrite(fd, line, strlen(line), 0) < 0)
		error = errno;
	close(fd);
	return error;
}

static bool insert(const char *module, const char *format, va_list ap)
{
	char program[PATH_SIZE], parameters[PARAMETER_SIZE], *slash;
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	assert_true(n > 0);
	program[n] = '\0';
	slash = strrchr(program, '/');
	*slash = '\0';
	vsnprintf(parameters, sizeof(parameters), format, ap);
	if (module_is_loaded(module))
		assert_true(module_try_remove(module));
	/* Some programs have a folder of their own beside it. */
	return shell("insmod $(ls %s/modules/%s.ko %s/../modules/%s.ko "
		     "2>/dev/null) %s",
		     program, module, program, module, parameters);
}

bool test_module_try_load(const char *module, const char *format, ...)
{
	bool loaded;
	va_list ap;

	va_start(ap, format);
	loaded = insert(module, format, ap);
	va_end(ap);
	return loaded;
}

void test_module_load(const char *module, const char *format, ...)
{
	bool loaded;
	va_list ap;

	va_start(ap, format);
	loaded = insert(module, format, ap);
	va_end(ap);
	assert_true(loaded);
}
