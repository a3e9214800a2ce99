// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Addresses that are told to nobody, see addresses.h. */
#include "addresses.h"

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"
#include "runner.h"

/*
 * A number that is no size, no errno, no user's address. With page tables of five
 * levels, which the lab's CPU has, only the first eight bits are all set.
 */
static bool tells_kernel_address(uint64_t value)
{
	/* -1 of 32 bits beside something small; the kernel's image is above. */
	if (value >> 31 == 0x1fffffffe)
		return false;
	return value >> 56 == 0xff && value < (uint64_t)-4096;
}

static bool tells_any_address(uint64_t value)
{
	static uint64_t first, last;

	if (!last)
		physical_range(BAR, &first, &last);
	return tells_kernel_address(value) ||
	       (value >= first && value <= last) ||
	       (value >= first >> 12 && value <= last >> 12);
}

void assert_no_address_in(const char *what, const void *bytes, size_t size)
{
	uint64_t value;

	for (size_t at = 0; at + sizeof(value) <= size; at += 4) {
		memcpy(&value, (const uint8_t *)bytes + at, sizeof(value));
		if (tells_any_address(value))
			fail_msg("%s, byte %zu: address %#lx", what, at, value);
	}
}

void assert_no_address_said(const char *what, const char *text)
{
	regmatch_t match;
	regex_t number;

	assert_int_equal(regcomp(&number, "[0-9a-fA-F]{5,}", REG_EXTENDED), 0);
	for (; !regexec(&number, text, 1, &match, 0); text += match.rm_eo) {
		const char *digits = text + match.rm_so;

		if (tells_any_address(strtoull(digits, NULL, 16)) ||
		    tells_any_address(strtoull(digits, NULL, 10)))
			fail_msg("%s: an address in: %.100s", what, digits);
	}
	regfree(&number);
}
