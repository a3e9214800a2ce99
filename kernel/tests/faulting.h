/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Allocations that fail on demand, by the kernel's fault injection: the first one
 * that a call of this thread makes, then the second one, and so on until the call
 * makes fewer. Then the same for copies from and to user space. Where the kernel has
 * no such thing the test is skipped.
 */
#ifndef P2PMR_TESTS_FAULTING_H
#define P2PMR_TESTS_FAULTING_H

#include <stdbool.h>

/* Skips the test, or readies the kernel; all allocations of the thread count. */
void faults_prepare(void);
/* From now on only those count that are made below this function of the kernel. */
void faults_below(const char *function);
/* Or below the functions of this module, which is loaded. */
void faults_below_module(const char *module);

/* No errno but ENOMEM for allocations, EFAULT for copies, and these. */
#define MAX_ERRORS 4

/**
 * struct faulted - what is tried
 * @name: for the line that says how many allocations have failed
 * @prepare: before each call; or NULL
 * @call: what allocations fail in: 0 or an errno. Nothing in it may be asserted
 * @check: what has come of the call with that errno, and that after a failure it works
 *	when it is made again; puts everything back as it was before @prepare
 * @errors: that the call may fail with, beside the usual one
 * @never_fails: the call copes with all of it
 * @allocates_nothing: it has only copies that can fail
 * @commits_first: what the call does it does before it copies the answer, so that a failure
 *	to do so comes too late; copies are left alone
 */
struct faulted {
	const char *name;
	void (*prepare)(void *argument);
	int (*call)(void *argument);
	void (*check)(void *argument, int error);
	int errors[MAX_ERRORS];
	bool never_fails;
	bool allocates_nothing;
	bool commits_first;
};

/*
 * Fails each allocation of the call once, each copy once. After each @check all must be as it was
 * before: ranges, references on modules, pinned memory, files, devices.
 */
void fail_each(const struct faulted *faulted, void *argument);

/*
 * From the first call to the second all allocations fail, whoever makes them, that
 * are made below what has been chosen. Returns how many have.
 */
void faults_start(void);
unsigned int faults_stop(void);

#endif
