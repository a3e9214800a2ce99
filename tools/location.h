/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where device memory is, as the module tells it: printing that. */
#ifndef P2PMR_TOOL_LOCATION_H
#define P2PMR_TOOL_LOCATION_H

#include <rdma/p2pmr-abi.h>

#include "pci.h"

/* "0000:01:00.0", or "-" if no function is known. */
void location_address(const struct p2pmr_location *location,
		      char address[PCI_ADDRESS_SIZE]);

/* Members of the object that is open: those that are known. */
void json_location(const struct p2pmr_location *location);

#endif
