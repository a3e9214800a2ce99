/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's tree of physical addresses, as /proc/iomem shows it: which BARs a
 * driver has claimed.
 */
#ifndef P2PMR_TOOL_IOMEM_H
#define P2PMR_TOOL_IOMEM_H

#include "pci.h"

/* Sets pci_bar.claimed of each BAR. */
void iomem_find_claims(struct pci_function *function);

#endif
