/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who has which part of a device's memory, whatever file it is mapped through.
 *
 * One BAR has many files: with and without write-combining, of sysfs and of a
 * driver, one for each mount of sysfs. So its parts are not taken by locks on
 * the file, but by locks on /dev/p2pmr, at a place that stands for PCI
 * function, BAR and offset as the kernel names them. Host memory has one
 * file, which is locked itself.
 */
#ifndef P2PMR_DM_SPACE_H
#define P2PMR_DM_SPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct p2pmr_dm_space {
	int fd;		/* where the locks are; closing it gives all back */
	int64_t origin; /* the place there of the file's beginning */
	bool is_device;
};

/*
 * What is behind a file at an offset. 0 or an errno: EOPNOTSUPP if it cannot be
 * told, or without p2pmr.
 */
int p2pmr_dm_space_open(struct p2pmr_dm_space *space, int file, off_t offset);

/*
 * Takes a part, in whole pages of the file. EAGAIN if somebody has some of it;
 * `next` is then where that ends in the file, 0 if it does not.
 */
int p2pmr_dm_space_take(const struct p2pmr_dm_space *space, off_t offset,
			size_t size, off_t *next);
void p2pmr_dm_space_give_back(const struct p2pmr_dm_space *space, off_t offset,
			      size_t size);

/* Is a mapping of the file that part? 0 or an errno. */
int p2pmr_dm_space_check(const struct p2pmr_dm_space *space, off_t offset,
			 const void *bytes, size_t size);

#endif
