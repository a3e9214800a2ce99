/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What all tests of a guest stand on: modules and their parameters, the PCI
 * functions, the RDMA device, settings of memory and CPUs. A test that fails
 * half way must not take it from those after it.
 */
#ifndef P2PMR_TESTS_GROUND_H
#define P2PMR_TESTS_GROUND_H

/* Before the test. */
void ground_remember(void);
/* After it, however it has ended: what has gone is brought back, and named. */
void ground_restore(void);

#endif
