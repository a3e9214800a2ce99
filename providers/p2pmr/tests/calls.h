/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How often the provider calls out: the program's own pthread_spin_lock() and
 * write() come before the C library's.
 */
#ifndef P2PMR_TESTS_CALLS_H
#define P2PMR_TESTS_CALLS_H

extern unsigned int spin_locks;
/* Writes to a file of uverbs, not being one of standard input, output, error. */
extern unsigned int writes;

#endif
