/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The tests' own exporter, over the first function's BAR: a module that maps it and
 * does as it is told.
 */
#ifndef P2PMR_TESTS_EXPORTING_H
#define P2PMR_TESTS_EXPORTING_H

#include <stdbool.h>
#include <stddef.h>

#define EXPORTER_MODULE "p2pmr_test_exporter"

/* Loads it anew, with further parameters; false if the kernel refuses. */
bool exporter_try_load(const char *parameters);
void exporter_load(const char *parameters);
void exporter_unload(void);

/* A mapping of its own of WINDOW bytes of the memory. */
void *exporter_map(size_t offset);

/* A command; its errno, or it must succeed. */
int exporter_try(const char *format, ...) __attribute__((format(printf, 1, 2)));
void exporter_do(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Is this part of what it tells of itself? */
bool exporter_says(const char *part);
void assert_exporter_says(const char *part);

#endif
