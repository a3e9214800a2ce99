/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The RDMA devices, as sysfs shows them; making and deleting soft-RoCE ones. */
#ifndef P2PMR_TOOL_RDMA_H
#define P2PMR_TOOL_RDMA_H

#include <stdbool.h>
#include <stddef.h>

#define RDMA_NAME_SIZE 64

struct rdma_device {
	char name[RDMA_NAME_SIZE];
	char netdev[RDMA_NAME_SIZE]; /* of soft-RoCE */
	char file[RDMA_NAME_SIZE];   /* "/dev/infiniband/uverbs0", or "" */
	bool soft_roce;
	bool active;
	bool addressed; /* it has a GID that is an IP address */
};

/* In the order of their names; to be freed. */
size_t rdma_devices(struct rdma_device **devices);

/* Needs root. False after one line that says why. */
bool rdma_link_add(const char *name, const char *netdev);
bool rdma_link_delete(const char *name);

#endif
