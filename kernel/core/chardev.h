/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files behind /dev/p2pmr share.
 */
#ifndef P2PMR_CHARDEV_H
#define P2PMR_CHARDEV_H

#include <linux/types.h>

#include <rdma/p2pmr-abi.h>

#include "core.h"

/**
 * struct p2pmr_array - an array of the caller's that is being filled
 * @base: its first element
 * @size: of one element, as the caller was compiled
 * @capacity: elements that there is room for
 * @count: elements that there are, more than @capacity or not
 */
struct p2pmr_array {
	void __user *base;
	u32 size;
	u32 capacity;
	u32 count;
};

/* chardev.c */
int p2pmr_array_init(struct p2pmr_array *array, u64 base, u32 size,
		     u32 min_size, u32 capacity);
int p2pmr_array_add(struct p2pmr_array *array, const void *element, u32 size);

/* query.c */
int p2pmr_ioctl_query(void *arg);

/* report.c */
int p2pmr_ioctl_list(void *arg);
int p2pmr_ioctl_stats(void *arg);

/* location.c */
void p2pmr_locate(struct p2pmr_location *location,
		  const struct p2pmr_piece *piece,
		  const struct p2pmr_segment *seg);

#endif /* P2PMR_CHARDEV_H */
