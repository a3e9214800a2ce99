/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which RDMA device does DMA into whose memory, as far as /dev/p2pmr knows. */
#ifndef P2PMR_TOOL_REACH_H
#define P2PMR_TOOL_REACH_H

#include <rdma/p2pmr-abi.h>
#include <stdbool.h>
#include <stddef.h>

#include "pci.h"
#include "rdma.h"

/* An RDMA device that is a PCI function. */
struct nic {
	char name[RDMA_NAME_SIZE];
	char function[PCI_ADDRESS_SIZE];
};

/* In the order of their names; to be freed. */
size_t nics(struct nic **nics);

struct reach {
	bool known; /* if not, nobody could be asked */
	bool reaches;
	const char *path;   /* one word of the JSON schema */
	const char *reason; /* for people, why not */
	struct p2pmr_ioc_reach answer;
};

/* fd: /dev/p2pmr, or negative if it cannot be asked. */
struct reach reach_ask(int fd, const struct nic *nic,
		       const struct pci_function *function);

#endif
