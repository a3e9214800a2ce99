/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The PCI functions under the driver p2pmr_bar: binding and unbinding, its
 * files, and giving the functions back to the other tests as they were.
 */
#ifndef P2PMR_TESTS_BOUND_H
#define P2PMR_TESTS_BOUND_H

#include <stdbool.h>
#include <sys/types.h>

#include "bar.h"
#include "runner.h"

#define BAR_MODULE "p2pmr_bar"

/* The functions, as host requests count them. */
enum {
	FIRST,
	SECOND,
	FUNCTIONS
};

/*
 * run_program() with the functions unbound and the module unloaded before and
 * after, whatever the test does.
 */
int run_bound_program(int argc, char **argv, const struct test *tests,
		      size_t count);

/* Loads the module if need be, binds by driver_override. */
void function_bind(int function);
/* Unbinds, and forgets the override. */
void function_unbind(int function);
bool function_is_bound(int function);
bool function_is_there(int function);
/* After the function was away: waits for it, enables it. */
void function_await(int function);

/* How the first function is lost and comes back, for tables of tests. */
void first_unbind(void);
void first_bind(void);
void first_remove(void);
void first_rescan(void);
void first_unplug(void);
void first_plug(void);

/* PCI address, and a file below its folder in sysfs. */
const char *function_address(int function);
const char *function_file(int function, const char *name);
/* Writes a line into a file of sysfs; 0 or an errno. */
int write_sysfs(const char *path, const char *text);

/* What the kernel says of a BAR; flags are those of linux/ioport.h. */
struct bar_resource {
	unsigned long long start, end, flags;
};
#define RESOURCE_MEMORY	      0x200
#define RESOURCE_PREFETCHABLE 0x2000
struct bar_resource function_resource(int function, int bar);

/* The file of p2pmr_bar; from a few static buffers. */
const char *bar_file(int function, int bar, bool wc);
int must_open(const char *path, int flags);

/*
 * Binds the first function and makes BAR and BAR_WC of bar.h mean its files,
 * so that all helpers work on them.
 */
void bars_by_driver(void);

/* Does an access to the byte end in SIGBUS? */
bool reading_faults(const volatile uint8_t *byte);
bool writing_faults(volatile uint8_t *byte, uint8_t value);

#endif
