// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The functions under p2pmr_bar, see bound.h. */
#include "bound.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"
#include "modules.h"
#include "system.h"

#define PATH_SIZE 256

static char addresses[FUNCTIONS][32];

/* Static buffers in turn: an expression can hold several results. */
static char *next_buffer(void)
{
	static char buffers[8][PATH_SIZE];
	static unsigned int next;

	return buffers[next++ % ARRAY_SIZE(buffers)];
}

/* From /sys/bus/pci/devices/ADDRESS/resource2, before anybody replaces it. */
static void learn_addresses(void)
{
	static const char *const variables[] = { "P2PMR_BAR", "P2PMR_BAR2" };

	for (int i = 0; i < FUNCTIONS; i++) {
		char path[PATH_SIZE];
		const char *value = getenv(variables[i]);

		snprintf(path, sizeof(path), "%s", value ? value : "");
		snprintf(addresses[i], sizeof(addresses[i]), "%.31s",
			 basename(dirname(path)));
	}
}

const char *function_address(int function)
{
	return addresses[function];
}

const char *function_file(int function, const char *name)
{
	char *path = next_buffer();

	snprintf(path, PATH_SIZE, "/sys/bus/pci/devices/%s/%s",
		 addresses[function], name);
	return path;
}

int write_sysfs(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

bool function_is_there(int function)
{
	return access(function_file(function, "vendor"), F_OK) == 0;
}

bool function_is_bound(int function)
{
	char target[PATH_SIZE] = "";

	return readlink(function_file(function, "driver"), target,
			sizeof(target) - 1) > 0 &&
	       !strcmp(basename(target), BAR_MODULE);
}

void function_bind(int function)
{
	const char *const load[] = { "modprobe", BAR_MODULE, NULL };

	assert_int_equal(run_command(load), 0);
	assert_int_equal(write_sysfs(function_file(function, "driver_override"),
				     BAR_MODULE),
			 0);
	assert_int_equal(write_sysfs("/sys/bus/pci/drivers_probe",
				     addresses[function]),
			 0);
	assert_true(function_is_bound(function));
}

void function_unbind(int function)
{
	assert_int_equal(write_sysfs(function_file(function, "driver/unbind"),
				     addresses[function]),
			 0);
	assert_int_equal(write_sysfs(function_file(function, "driver_override"),
				     "\n"),
			 0);
	assert_false(function_is_bound(function));
}

void function_await(int function)
{
	/* The kernel shows a new function before it has given it addresses. */
	for (int tries = 0;
	     !function_is_there(function) ||
	     write_sysfs(function_file(function, "enable"), "1") == EINVAL;
	     tries++) {
		if (tries == 200)
			host_slot_fails("%s does not come back",
					addresses[function]);
		usleep(100 * 1000);
	}
}

struct bar_resource function_resource(int function, int bar)
{
	FILE *file = fopen(function_file(function, "resource"), "r");
	struct bar_resource res;

	assert_non_null(file);
	for (int i = 0; i <= bar; i++)
		assert_int_equal(fscanf(file, "%llx %llx %llx", &res.start,
					&res.end, &res.flags),
				 3);
	fclose(file);
	return res;
}

const char *bar_file(int function, int bar, bool wc)
{
	char *path = next_buffer();

	snprintf(path, PATH_SIZE, "/dev/p2pmr_bar/%s-bar%d%s",
		 addresses[function], bar, wc ? "-wc" : "");
	return path;
}

int must_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

void bars_by_driver(void)
{
	function_bind(FIRST);
	assert_int_equal(setenv("P2PMR_BAR", bar_file(FIRST, 2, false), 1), 0);
	assert_int_equal(setenv("P2PMR_BAR_WC", bar_file(FIRST, 2, true), 1),
			 0);
}

static sigjmp_buf after_fault;

static void on_fault(int signal)
{
	siglongjmp(after_fault, signal);
}

static bool access_faults(volatile uint8_t *byte, int value)
{
	struct sigaction action = { .sa_handler = on_fault }, before;
	volatile bool faulted = true;

	sigaction(SIGBUS, &action, &before);
	if (!sigsetjmp(after_fault, 1)) {
		if (value < 0)
			(void)*byte;
		else
			*byte = value;
		faulted = false;
	}
	sigaction(SIGBUS, &before, NULL);
	return faulted;
}

bool reading_faults(const volatile uint8_t *byte)
{
	return access_faults((volatile uint8_t *)byte, -1);
}

bool writing_faults(volatile uint8_t *byte, uint8_t value)
{
	return access_faults(byte, value);
}

void first_unbind(void)
{
	function_unbind(FIRST);
}

void first_bind(void)
{
	function_bind(FIRST);
}

void first_remove(void)
{
	write_file(function_file(FIRST, "remove"), "1");
}

void first_rescan(void)
{
	write_file("/sys/bus/pci/rescan", "1");
	function_await(FIRST);
}

void first_unplug(void)
{
	host_unplug(FIRST);
}

void first_plug(void)
{
	host_plug(FIRST);
	function_await(FIRST);
}

/* Outside of any test, so nothing here may be asserted. */
static void give_back(void)
{
	const char *const unload[] = { "rmmod", BAR_MODULE, NULL };

	write_sysfs("/sys/bus/pci/rescan", "1");
	for (int i = 0; i < FUNCTIONS; i++) {
		if (function_is_bound(i))
			write_sysfs(function_file(i, "driver/unbind"),
				    addresses[i]);
		write_sysfs(function_file(i, "driver_override"), "\n");
	}
	if (module_is_loaded(BAR_MODULE))
		run_command(unload);
}

int run_bound_program(int argc, char **argv, const struct test *tests,
		      size_t count)
{
	bool listing = argc != 2 || !strcmp(argv[1], "--list");
	pid_t self = getpid();
	int status;

	learn_addresses();
	if (!listing)
		give_back();
	status = run_program(argc, argv, tests, count);
	if (!listing && getpid() == self)
		give_back();
	return status;
}
