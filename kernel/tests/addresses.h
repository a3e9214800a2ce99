/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What nobody may be told: addresses of the kernel's, places of a BAR on the bus,
 * and numbers of pages there.
 */
#ifndef P2PMR_TESTS_ADDRESSES_H
#define P2PMR_TESTS_ADDRESSES_H

#include <stddef.h>

/* An answer of the kernel's, of which it may be in any eight bytes. */
void assert_no_address_in(const char *what, const void *bytes, size_t size);
/* A text, in hexadecimal or decimal digits. */
void assert_no_address_said(const char *what, const char *text);

#endif
