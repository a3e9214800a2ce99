/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The files that give BARs to mmap(): finding the one of a PCI function, and
 * learning from the system what a file is.
 */
#ifndef LIBP2PMR_BAR_FILE_H
#define LIBP2PMR_BAR_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct bar_file {
	int fd;
	uint64_t size;	  /* of the BAR; 0 if nobody tells */
	uint32_t caching; /* P2PMR_CACHING_* that it stands for */
	uint32_t lead;	  /* bytes of its first page that come before it */
	bool claimed;	  /* by a driver, so that sysfs may refuse to map */
};

/* 0 or a negative errno; the caller closes the descriptor. */
int bar_open_by_address(struct bar_file *file, const char *address,
			unsigned int bar, uint32_t caching, bool writable);
int bar_open_by_path(struct bar_file *file, const char *path, bool writable);

#endif
