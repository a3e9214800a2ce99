// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What all tests of a guest stand on, see ground.h. Nothing here fails a test:
 * it may run where half of it is missing.
 */
#include "ground.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define FUNCTIONS 2
#define SETTINGS  32

/* A file of one line that a test may write to. */
static struct setting {
	char path[PATH_SIZE];
	char value[PARAMETER_SIZE];
} settings[SETTINGS];
static size_t count;

static char functions[FUNCTIONS][PATH_SIZE];
static char rdma_device[32], netdev[32];
static bool had_modules;
static pid_t owner;

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "r");
	bool ok;

	if (!file)
		return false;
	ok = fgets(line, size, file);
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static void remember_settings(const char *pattern)
{
	glob_t found;

	if (glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc && count < SETTINGS; i++) {
		struct setting *s = &settings[count];

		snprintf(s->path, sizeof(s->path), "%s", found.gl_pathv[i]);
		count += read_line(s->path, s->value, sizeof(s->value));
	}
	globfree(&found);
}

static void restore_settings(void)
{
	char now[PARAMETER_SIZE], line[PARAMETER_SIZE + 1];

	for (size_t i = 0; i < count; i++) {
		struct setting *s = &settings[i];

		if (!read_line(s->path, now, sizeof(now)) ||
		    !strcmp(now, s->value))
			continue;
		print_message("restored: %s\n", s->path);
		snprintf(line, sizeof(line), "%s\n", s->value);
		try_write_file(s->path, line);
	}
}

static bool exists(const char *function, const char *name)
{
	char path[PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/%s", function, name);
	return access(path, F_OK) == 0;
}

static void remember_function(char function[PATH_SIZE], const char *variable)
{
	const char *bar = getenv(variable);
	const char *end = bar ? strrchr(bar, '/') : NULL;

	if (!end)
		return;
	snprintf(function, PATH_SIZE, "%.*s", (int)(end - bar), bar);
	/* One that has a driver, or is away, is not for us to judge. */
	if (!exists(function, "resource2") || exists(function, "driver"))
		function[0] = '\0';
}

static void restore_function(const char *function)
{
	if (!*function)
		return;
	if (!exists(function, "resource2")) {
		print_message("restored: %s\n", function);
		try_write_file("/sys/bus/pci/rescan", "1\n");
		shell("echo 1 >%s/enable", function);
	}
	if (exists(function, "driver")) {
		print_message("restored: %s without a driver\n", function);
		shell("basename %s >%s/driver/unbind", function, function);
		shell("echo >%s/driver_override", function);
	}
}

/* Those of tests alone, which would hold ours. */
static void remove_test_modules(void)
{
	static const char *const names[] = {
		"p2pmr_test_importer", "p2pmr_test_exporter",
		"p2pmr_test_refuse", "p2pmr_test_remap", "p2pmr_test_edu"
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!module_is_loaded(names[i]))
			continue;
		print_message("restored: no %s\n", names[i]);
		shell("rmmod %s", names[i]);
	}
}

static void remember_rdma_device(void)
{
	const char *name = getenv("P2PMR_DEV");
	char path[PATH_SIZE];

	if (!name)
		return;
	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/parent", name);
	if (read_line(path, netdev, sizeof(netdev)))
		snprintf(rdma_device, sizeof(rdma_device), "%s", name);
}

void ground_remember(void)
{
	owner = getpid();
	had_modules = module_is_loaded(VERBS_MODULE);
	remember_function(functions[0], "P2PMR_BAR");
	remember_function(functions[1], "P2PMR_BAR2");
	remember_rdma_device();
	remember_settings("/sys/module/p2pmr*/parameters/*");
	remember_settings("/proc/sys/vm/nr_hugepages");
	remember_settings("/proc/sys/vm/min_free_kbytes");
	remember_settings("/sys/devices/system/cpu/cpu1/online");
}

void ground_restore(void)
{
	/* A child that fails comes here too, in the middle of its parent's test. */
	if (getpid() != owner)
		return;
	/* What they have open or mapped would be waited for. */
	children_end();
	for (size_t i = 0; i < FUNCTIONS; i++)
		restore_function(functions[i]);
	remove_test_modules();
	if (had_modules && !module_is_loaded(VERBS_MODULE)) {
		print_message("restored: %s\n", VERBS_MODULE);
		shell("modprobe %s", VERBS_MODULE);
	}
	restore_settings();
	if (*rdma_device && !rdma_device_exists(rdma_device)) {
		print_message("restored: %s\n", rdma_device);
		shell("rdma link add %s type rxe netdev %s", rdma_device,
		      netdev);
	}
}
