// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Allocations that fail on demand, see faulting.h. */
#include "faulting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inventory.h"
#include "runner.h"
#include "system.h"

#define NTH	"/proc/thread-self/fail-nth"
#define DEBUGFS "/sys/kernel/debug/"
/* More than anything makes; who gets here goes round in circles. */
#define MOST_POINTS 5000
#define BUDGET	    1000000
#define PAGE_END(a) (((a) | 0xfff) + 1)

static const char *const kinds[] = { "failslab", "fail_page_alloc" };
#define USERCOPY "fail_usercopy"

/* Where what fails must come from. */
static struct bounds {
	const char *name;
	unsigned long start, end;
} chosen;
static const struct bounds everywhere = { .end = ~0ul };
static const struct bounds nowhere = { .start = 1, .end = 2 };

static void set(const char *kind, const char *name, const char *value)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kind, name);
	write_file(path, value);
}

static void set_both(const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		set(kinds[i], name, value);
}

/* What is made below these must, or must not, be made to fail: "require", "reject". */
static void set_bounds(const char *kind, const char *rule,
		       const struct bounds *bounds)
{
	char name[32], value[32];

	snprintf(name, sizeof(name), "%s-start", rule);
	snprintf(value, sizeof(value), "%#lx", bounds->start);
	set(kind, name, value);
	snprintf(name, sizeof(name), "%s-end", rule);
	snprintf(value, sizeof(value), "%#lx", bounds->end);
	set(kind, name, value);
}

static bool has_usercopy(void)
{
	return access(DEBUGFS USERCOPY, F_OK) == 0;
}

/* Allocations fail from now on, or copies from and to user space do. */
static void choose(bool copies)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		set_bounds(kinds[i], "require", copies ? &nowhere : &chosen);
	if (has_usercopy())
		set_bounds(USERCOPY, "require", copies ? &chosen : &nowhere);
}

/*
 * The kernel reports a vmalloc() that finds no memory, and kmemleak that it has none
 * for itself. Whoever reads the log is told that here this is wanted.
 */
static void tell_log(const char *text)
{
	char line[128];

	snprintf(line, sizeof(line), "p2pmr-lab: %s\n", text);
	write_file("/dev/kmsg", line);
}

static bool telling;

static void stop_telling(void)
{
	if (telling)
		tell_log("allocations succeed");
	telling = false;
}

/* However the test ends. */
static void calm(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char path[PATH_SIZE];

		snprintf(path, sizeof(path), DEBUGFS "%s/probability",
			 kinds[i]);
		try_write_file(path, "0");
	}
	stop_telling();
}

/* Calls back for each function of the kernel and its modules. */
static void each_function(void (*see)(unsigned long address, const char *name,
				      const char *module, void *argument),
			  void *argument)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	char line[512], name[256], module[128], type;
	unsigned long address;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		module[0] = '\0';
		if (sscanf(line, "%lx %c %255s [%127[^]]]", &address, &type,
			   name, module) >= 3 &&
		    strchr("tTwW", type))
			see(address, name, module, argument);
	}
	fclose(file);
}

static void see_start(unsigned long address, const char *name,
		      const char *module, void *argument)
{
	struct bounds *bounds = argument;

	if (!*module && !strcmp(name, bounds->name))
		bounds->start = address;
}

/* The next function begins where this one ends. */
static void see_end(unsigned long address, const char *name, const char *module,
		    void *argument)
{
	struct bounds *bounds = argument;

	(void)name;
	(void)module;
	if (address > bounds->start && (!bounds->end || address < bounds->end))
		bounds->end = address;
}

static bool find_function(struct bounds *bounds)
{
	each_function(see_start, bounds);
	if (bounds->start)
		each_function(see_end, bounds);
	return bounds->start;
}

/* The accounting of allocations warns if it finds no memory for itself. */
static void spare_accounting(void)
{
	struct bounds bounds = { .name = "alloc_slab_obj_exts" };

	if (!find_function(&bounds))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		set_bounds(kinds[i], "reject", &bounds);
}

void faults_prepare(void)
{
	if (access(NTH, F_OK))
		skip_test("this kernel has no fault injection");
	atexit(calm);
	set_both("probability", "0");
	set_both("interval", "1");
	set_both("space", "0");
	/* Of threads that ask for it themselves; the others by faults_start(). */
	set_both("task-filter", "N");
	/* A trace of each would look like a report. */
	set_both("verbose", "0");
	set_both("ignore-gfp-wait", "N");
	set("failslab", "cache-filter", "N");
	set("fail_page_alloc", "ignore-gfp-highmem", "N");
	set("fail_page_alloc", "min-order", "0");
	if (has_usercopy()) {
		set(USERCOPY, "probability", "0");
		set(USERCOPY, "verbose", "0");
	}
	spare_accounting();
	chosen = everywhere;
	choose(false);
}

void faults_below(const char *function)
{
	struct bounds bounds = { .name = function };

	if (!find_function(&bounds))
		fail_msg("the kernel has no function %s", function);
	chosen = bounds;
	choose(false);
}

static void see_module(unsigned long address, const char *name,
		       const char *module, void *argument)
{
	struct bounds *bounds = argument;

	(void)name;
	if (strcmp(module, bounds->name))
		return;
	if (!bounds->start || address < bounds->start)
		bounds->start = address;
	if (address >= bounds->end)
		bounds->end = PAGE_END(address);
}

void faults_below_module(const char *module)
{
	struct bounds bounds = { .name = module };

	each_function(see_module, &bounds);
	if (!bounds.start)
		fail_msg("no functions of module %s", module);
	chosen = bounds;
	choose(false);
}

static bool may_fail_with(const struct faulted *faulted, int usual, int error)
{
	if (error == usual)
		return !faulted->never_fails;
	for (int i = 0; i < MAX_ERRORS; i++)
		if (error == faulted->errors[i])
			return true;
	return false;
}

/* Copies its number from user space, which can be the very copy that fails. */
static void write_number(int fd, unsigned int number)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", number);

	if (pwrite(fd, text, length, 0) != length &&
	    (errno != EFAULT || pwrite(fd, text, length, 0) != length))
		fail_msg(NTH ": %s", strerror(errno));
}

/* 0: what was to fail was reached, and has failed. */
static unsigned int read_number(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) > 0)
		return strtoul(text, NULL, 10);
	assert_int_equal(errno, EFAULT);
	return 1;
}

/* The call with its n-th allocation or copy failing; whether it made so many. */
static bool call_failing(const struct faulted *faulted, void *argument, int fd,
			 unsigned int n, int *error)
{
	bool reached;

	if (faulted->prepare)
		faulted->prepare(argument);
	write_number(fd, n);
	*error = faulted->call(argument);
	reached = read_number(fd) == 0;
	write_number(fd, 0);
	return reached;
}

/* All of one kind, whose usual errno is the last argument; how many there were. */
static unsigned int fail_kind(const struct faulted *faulted, void *argument,
			      int fd, const struct inventory *before, int usual)
{
	unsigned int n, failed = 0;
	bool reached = true;
	int error;

	for (n = 1; reached; n++) {
		if (n == MOST_POINTS)
			fail_msg("%s: there is no end of it", faulted->name);
		reached = call_failing(faulted, argument, fd, n, &error);
		if (error && !(reached && may_fail_with(faulted, usual, error)))
			fail_msg("%s: %s, at %u%s", faulted->name,
				 strerror(error), n,
				 reached ? "" : ", which was not reached");
		failed += error != 0;
		faulted->check(argument, error);
		inventory_expect(before, faulted->name);
	}
	n -= 2; /* the last one was not reached */
	print_message("points: %s: %u %s, of which %u made it fail\n",
		      faulted->name, n,
		      usual == ENOMEM ? "allocations" : "copies", failed);
	return n;
}

void fail_each(const struct faulted *faulted, void *argument)
{
	unsigned int allocations, copies = 0;
	struct inventory before;
	int error, fd;

	fd = open(NTH, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	/* Once without, so that what is made at the first use is there. */
	call_failing(faulted, argument, fd, 0, &error);
	if (error)
		fail_msg("%s: %s, without any fault", faulted->name,
			 strerror(error));
	faulted->check(argument, 0);

	inventory_take(&before);
	tell_log("allocations fail");
	telling = true;
	allocations = fail_kind(faulted, argument, fd, &before, ENOMEM);
	if (has_usercopy() && !faulted->commits_first) {
		choose(true);
		copies = fail_kind(faulted, argument, fd, &before, EFAULT);
		choose(false);
	}
	if (!(faulted->allocates_nothing ? copies : allocations))
		fail_msg("%s: nothing was hit", faulted->name);
	stop_telling();
	inventory_expect_all(&before, faulted->name);
	close(fd);
}

void faults_start(void)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", BUDGET);
	set_both("times", value);
	tell_log("allocations fail");
	telling = true;
	set_both("probability", "100");
}

unsigned int faults_stop(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char path[PATH_SIZE], *text;

		set(kinds[i], "probability", "0");
		snprintf(path, sizeof(path), DEBUGFS "%s/times", kinds[i]);
		text = read_file(path);
		count += BUDGET - strtoul(text, NULL, 10);
		free(text);
	}
	stop_telling();
	return count;
}
