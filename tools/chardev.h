/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Asking /dev/p2pmr. Calls return 0 or a negative errno; lists are whole, and to
 * be freed.
 */
#ifndef P2PMR_TOOL_CHARDEV_H
#define P2PMR_TOOL_CHARDEV_H

#include <rdma/p2pmr-abi.h>
#include <stdbool.h>
#include <stddef.h>

#include "pci.h"

/* Opened and agreed upon: a descriptor, or a negative errno. */
int chardev_open(struct p2pmr_ioc_hello *hello);
/* What such an errno means here, and what is to be done. */
const char *chardev_reason(int error);
/*
 * The same for commands that are nothing without it, and without a feature
 * (P2PMR_FEATURE_*): after one line on standard error, -1.
 */
int chardev_need(__u64 feature);

/* flags: P2PMR_LIST_* */
int chardev_list(int fd, __u32 flags, struct p2pmr_list_range **ranges,
		 size_t *count);
int chardev_stats(int fd, struct p2pmr_stat **stats, size_t *count);
int chardev_exporters(int fd, struct p2pmr_exporter_info **exporters,
		      size_t *count);
int chardev_instances(int fd, struct p2pmr_instance_info **instances,
		      size_t *count);

/* Would the built-in exporter serve a BAR? P2PMR_BAR_* */
int chardev_bar(int fd, const struct pci_function *function, unsigned int bar,
		unsigned int *reason);

/* Does the function at an address reach another's memory? Both are addresses. */
int chardev_reach(int fd, const char *memory, const char *device,
		  struct p2pmr_ioc_reach *answer);

#endif
