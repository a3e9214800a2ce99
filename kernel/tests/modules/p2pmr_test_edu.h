/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause) */
/*
 * Requests to /dev/p2pmr_test_edu: what the tests ask of the DMA engine of
 * QEMU's educational device. An open file holds at most one range or dma-buf.
 */
#ifndef P2PMR_TEST_EDU_H
#define P2PMR_TEST_EDU_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The device keeps bytes in a buffer of its own. Not all 4,096 of it: QEMU 7.2
 * ends the machine when the last one is used.
 */
#define EDU_BUFFER 4095

/* As enum dma_data_direction has them. */
#define EDU_BOTH_WAYS	0
#define EDU_TO_DEVICE	1
#define EDU_FROM_DEVICE 2
#define EDU_NO_WAY	3

struct edu_map {
	__u64 address;
	__u64 length;
	__u32 write;	 /* what the range is resolved for */
	__u32 direction; /* what the device is given */
	__u32 mask_bits; /* of the device's DMA mask */
	__u32 reserved;
};

/* How to attach to a dma-buf. */
#define EDU_DYNAMIC	  0 /* lets go when told, maps again when it needs to */
#define EDU_REVOCABLE	  1 /* pins, but lets go when told, for good */
#define EDU_PINNED	  2 /* pins, and does not let go */
#define EDU_SLOW	  3 /* as EDU_DYNAMIC, but takes its time to let go */
#define EDU_WITHOUT_PEERS 4 /* wants memory that has pages */
#define EDU_STATIC	  5 /* knows nothing of moves */

struct edu_attach {
	__s32 fd;
	__u32 mode;
	__u32 direction; /* what the device is given */
	__u32 mask_bits; /* of the device's DMA mask */
};

/* Move on although the range is no longer live: by the old DMA addresses. */
#define EDU_REGARDLESS 1

struct edu_transfer {
	__u64 offset; /* in the range */
	__u32 length;
	__u32 flags;
};

struct edu_segment {
	__u64 index; /* asked for; ENOENT if there are fewer */
	__u64 dma;
	__u64 length;
	__u64 host;
};

#define EDU_MAP	    _IOW('e', 1, struct edu_map)
#define EDU_UNMAP   _IO('e', 2)
#define EDU_LOAD    _IOW('e', 3, struct edu_transfer) /* memory to device */
#define EDU_STORE   _IOW('e', 4, struct edu_transfer) /* device to memory */
#define EDU_SEGMENT _IOWR('e', 5, struct edu_segment)
#define EDU_ATTACH  _IOW('e', 6, struct edu_attach)

#endif
