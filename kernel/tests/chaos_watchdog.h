/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A process that ends this one if it says nothing for too long, having shown
 * first where everything of this session waits in the kernel.
 */
#ifndef P2PMR_TESTS_CHAOS_WATCHDOG_H
#define P2PMR_TESTS_CHAOS_WATCHDOG_H

/* For this process and the seconds that it may be silent. */
void watchdog_start(unsigned int seconds);
void watchdog_feed(void);
void watchdog_stop(void);

#endif
