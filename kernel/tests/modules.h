/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel modules from user space: loading, unloading, reference counts,
 * parameters.
 */
#ifndef P2PMR_TESTS_MODULES_H
#define P2PMR_TESTS_MODULES_H

#include <stdbool.h>

#define CORE_MODULE  "p2pmr"
#define VERBS_MODULE "p2pmr_verbs"

bool module_is_loaded(const char *module);

/* References held on a loaded module, as /sys/module shows them. */
int module_references(const char *module);

/*
 * Waits a little for the count: references may be dropped by a worker after
 * the call that caused it has returned. Fails the test if it never comes.
 */
void expect_references(const char *module, int expected);

/* modprobe of both modules; must succeed. */
void modules_load(void);
/* rmmod of both modules; must succeed. */
void modules_unload(void);
/* rmmod of one module; true if the kernel did it. */
bool module_try_remove(const char *module);

/*
 * Sets a parameter of a loaded module, and tells what it was if `before` has
 * room for it. An errno if the kernel refuses the value.
 */
#define PARAMETER_SIZE 256
int module_set(const char *module, const char *parameter, const char *value,
	       char before[PARAMETER_SIZE]);

/*
 * Loads a module that lies beside the tests, where modprobe does not look,
 * anew; the format gives its parameters. The second must succeed.
 */
bool test_module_try_load(const char *module, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void test_module_load(const char *module, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Runs a program with its output on ours; returns its exit status. */
int run_command(const char *const argv[]);

#endif
