/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What an administrator can look at while a test runs: trace events and
 * counters of p2pmr, and its lines in the kernel's log.
 */
#ifndef P2PMR_TESTS_WATCH_H
#define P2PMR_TESTS_WATCH_H

#include <stddef.h>
#include <sys/types.h>

/* A trace buffer of the test's own, with the events of p2pmr alone. */
void trace_start(void);
/* Its text, to be freed. */
char *trace_end(void);

unsigned int count_in(const char *text, const char *part);
void assert_once(const char *text, const char *part);

/* The reason of the n-th refusal in a trace's text; "" if there are fewer. */
#define REASON_SIZE 256
void refusal_reason(const char *text, size_t n, char reason[REASON_SIZE]);

/* How the event of a range begins, and what follows its length. */
void range_event(char line[256], const char *event, pid_t pid,
		 const void *start, size_t length, const char *rest);

#define DEBUGFS "/sys/kernel/debug/p2pmr/"
/* The value in debugfs, which must be there. */
unsigned long debugfs_counter(const char *name);

/* The kernel's log from the moment of the call on. */
int log_open(void);
/*
 * How many lines since then, or since the last count, have the text; the last
 * of them is left in `line` unless that is NULL.
 */
#define LOG_LINE 1024
unsigned int log_count(int fd, const char *text, char line[LOG_LINE]);

#endif
