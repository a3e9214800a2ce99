/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What p2pmr_test_buffer can be told. */
#ifndef P2PMR_TEST_BUFFER_H
#define P2PMR_TEST_BUFFER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TEST_BUFFER_NO_VMAP   0x1 /* nothing for the CPU */
#define TEST_BUFFER_UNALIGNED 0x2 /* mapped inside a page */
#define TEST_BUFFER_PENDING   0x4 /* something is yet to bring it where it is */
#define TEST_BUFFER_NO_ACCESS 0x8 /* access by the CPU fails, with EIO */

struct test_buffer {
	__u64 size;
	__u32 flags;
	__u32 moves; /* while it is being mapped, so many times */
};

struct test_buffer_bytes {
	__u64 offset;
	__u64 length;
	__u64 to;
};

/* Answers the descriptor. */
#define TEST_BUFFER_MAKE   _IOW('b', 0, struct test_buffer)
#define TEST_BUFFER_MOVE   _IO('b', 1)
#define TEST_BUFFER_GO	   _IO('b', 2) /* move, and never come back */
#define TEST_BUFFER_ARRIVE _IO('b', 3) /* what was pending is over */
/* Answers kernel mappings, and 16 times the accesses by the CPU. */
#define TEST_BUFFER_USERS  _IO('b', 4)
#define TEST_BUFFER_PEEK   _IOW('b', 5, struct test_buffer_bytes)

#endif
