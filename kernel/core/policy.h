/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which PCI functions the built-in exporter serves, and which of their BARs.
 */
#ifndef P2PMR_POLICY_H
#define P2PMR_POLICY_H

#include <linux/pci.h>

u32 p2pmr_policy(const struct pci_dev *pdev, int bar, bool requested);

#endif /* P2PMR_POLICY_H */
