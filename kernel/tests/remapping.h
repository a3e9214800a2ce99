/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The tests' own driver that maps, page by page, what it is told to.
 */
#ifndef P2PMR_TESTS_REMAPPING_H
#define P2PMR_TESTS_REMAPPING_H

#include <stddef.h>
#include <stdint.h>

#include "bar.h"

/* Instead of a page's physical address, and beside it. */
#define REMAP_RAM	0
#define REMAP_NO_ENTRY	UINT64_MAX
#define REMAP_READ_ONLY 1

/* With a uio device over so much of the first function's BAR, or 0. */
void remap_load(size_t uio_size);
void remap_unload(void);
/* Maps these pages in this order. */
void *remap_map(const uint64_t *pages, size_t count);

uint64_t physical_address(enum memory_kind kind);

#endif
