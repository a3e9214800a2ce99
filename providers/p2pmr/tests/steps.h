/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Counting instructions, not time: a child process is stepped one at a time
 * from each start of a measurement to its end.
 */
#ifndef P2PMR_TESTS_STEPS_H
#define P2PMR_TESTS_STEPS_H

#define STEPS_MAX 32

/* Runs a function in a child; counts[id] is what it measured. */
void count_steps(void (*run)(void), unsigned int counts[STEPS_MAX]);

/*
 * For that function, around what is measured. Nothing is until steps_enable():
 * what happens when something is called for the first time is of no interest.
 */
void steps_enable(void);
void steps_begin(unsigned int id);
void steps_end(void);

#endif
