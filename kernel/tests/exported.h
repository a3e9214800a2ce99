/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Device memory of this process as a dma-buf, and the device with the DMA
 * engine attached to one.
 */
#ifndef P2PMR_TESTS_EXPORTED_H
#define P2PMR_TESTS_EXPORTED_H

#include <stddef.h>
#include <stdint.h>

#include "bar.h"

/* The errno, and the descriptor, which is -1 then; 0 if there is one. */
int try_export(const void *bytes, size_t length, uint32_t flags, int *dmabuf);
/* For reading and writing. */
int must_export(const void *bytes, size_t length);

/* A parameter of the module at another value until the second call. */
void pinned_are_allowed(void);
void pinned_are_as_before(void);

#define EXPORTED (8 * PAGE)

/* The first pages of a BAR as a dma-buf, whose mapping is gone already. */
int export_bar(enum memory_kind kind);

/*
 * The device writes there, which is looked at from outside, and reads what was
 * put there from outside.
 */
void assert_moves(int fd, enum memory_kind kind, size_t offset, size_t length);

#endif
