/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Host memory whose first touch, by whomever, sleeps until the test lets go: what
 * a user can do to the kernel with userfaultfd or a file system of his own.
 */
#ifndef P2PMR_TESTS_STUCK_H
#define P2PMR_TESTS_STUCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stuck {
	int fd;
	uint8_t *bytes;
	size_t size;
};

void stuck_map(struct stuck *stuck, size_t size);
/* Waits until somebody has touched the memory. */
bool stuck_is_touched(struct stuck *stuck);
/* Whoever sleeps goes on, with zeroes. */
void stuck_let_go(struct stuck *stuck);
void stuck_unmap(struct stuck *stuck);

#endif
