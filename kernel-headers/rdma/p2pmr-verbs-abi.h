/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause) */
/*
 * The extended request: driver data of the uverbs command REG_MR on a device
 * that p2pmr_verbs is attached to.
 *
 * A kernel without p2pmr_verbs, or a device that it is not attached to, reads
 * no driver data and registers as ever. So clear the response before the call:
 * if its size is still zero after it, nobody has looked at the request.
 */
#ifndef P2PMR_VERBS_ABI_H
#define P2PMR_VERBS_ABI_H

#include <linux/types.h>

/* p2pmr_reg_mr_req.flags */
#define P2PMR_REG_REQUIRE_DEVICE 0x1U /* EMEDIUMTYPE for host memory */
#define P2PMR_REG_REGISTER_BAR	 0x2U /* take a BAR that is not prefetchable */
#define P2PMR_REG_EVENTFD	 0x4U /* signal p2pmr_reg_mr_req.eventfd */

/**
 * struct p2pmr_reg_mr_req - what the caller wants beside a registration
 * @size: of this struct. A larger one than the kernel knows is taken if the
 *	rest is zero (else E2BIG), a smaller one down to that of version 1 (else
 *	EINVAL).
 * @flags: P2PMR_REG_*; EINVAL for others
 * @eventfd: with P2PMR_REG_EVENTFD, an eventfd (else EBADF, EINVAL), to which
 *	1 is added once when the MR is revoked, whatever the cause, but not when
 *	it is deregistered. Otherwise 0. The kernel takes a reference, so that
 *	the caller may close it. Host memory is never revoked.
 * @reserved: 0
 *
 * P2PMR_REG_REGISTER_BAR is the caller's word that the registers bear being
 * read and written in pieces of any size, twice or out of order. The
 * administrator must allow such requests: EPERM.
 */
struct p2pmr_reg_mr_req {
	__u32 size;
	__u32 flags;
	__s32 eventfd;
	__u32 reserved;
};

/* p2pmr_reg_mr_resp.kind */
#define P2PMR_MR_HOST	1
#define P2PMR_MR_DEVICE 2
#define P2PMR_MR_MIXED	3

/**
 * struct p2pmr_reg_mr_resp - what has been registered
 * @size: how much of this struct the kernel has filled in, at most what the
 *	caller gave; 0 if it has not seen the request
 * @kind: P2PMR_MR_HOST, _DEVICE or _MIXED
 * @segments: contiguous pieces; 0 for host memory, which is not looked at
 * @page_size: in bytes, of the pages in the RDMA device's table; 0 for host
 *	memory
 */
struct p2pmr_reg_mr_resp {
	__u32 size;
	__u32 kind;
	__u32 segments;
	__u32 page_size;
};

#endif /* P2PMR_VERBS_ABI_H */
