/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kinds of host memory that a program may hand to ibv_reg_mr(), good ones
 * and bad ones: each call makes one, or returns MAP_FAILED.
 */
#ifndef P2PMR_TESTS_HOST_KINDS_H
#define P2PMR_TESTS_HOST_KINDS_H

#include "bar.h"

#define HOST_SIZE (16 * PAGE)
#define HUGE_PAGE (2ul << 20)

void *host_anonymous(void);
void *host_anonymous_shared(void);
void *host_read_only(void);
void *host_without_rights(void);
void *host_huge(void);
void *host_file_shared(void);
void *host_file_private(void);
void *host_file_read_only(void);
void *host_memfd(void);
void *host_file_too_short(void);
/* Page 4 is missing. */
void *host_with_hole(void);
void *host_half_read_only(void);
void *host_unmapped(void);
void *host_null(void);
void *host_kernel_address(void);

/* Reserves huge pages for host_huge(); "0\n" gives them back. */
void set_huge_pages(const char *count);

#endif
