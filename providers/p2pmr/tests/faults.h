/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Calls of the provider that fail when they are told to, and what it has left
 * behind then. The provider is in the program itself, whose linker leads its
 * calls here; commands to the kernel come from libibverbs.
 */
#ifndef P2PMR_PROVIDER_TESTS_FAULTS_H
#define P2PMR_PROVIDER_TESTS_FAULTS_H

#include <stddef.h>

struct scenario {
	const char *what;
	void *(*begin)(void);	  /* NULL with errno if it fails */
	int (*end)(void *object); /* 0 or an errno: then it can be repeated */
	int least;		  /* calls that begin makes */
};

/*
 * Begins and ends each of them with the n-th call failing, for all n until it
 * gets through. Says how many calls there were.
 */
void fail_each_call(const struct scenario *scenarios, size_t count);

#endif
