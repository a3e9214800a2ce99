/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* mmap() of a BAR at an address that suits large pages. */
#ifndef LIBP2PMR_PLACE_H
#define LIBP2PMR_PLACE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Offset and length in whole pages. The address is congruent to the offset
 * modulo the largest page that fits into the length, if there is room for that.
 * MAP_FAILED with errno.
 */
void *place_mmap(int fd, uint64_t offset, size_t length, int prot);

#endif
