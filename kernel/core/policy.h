/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which PCI functions the built-in exporter serves, and which of their BARs.
 */
#ifndef P2PMR_POLICY_H
#define P2PMR_POLICY_H

#include <linux/pci.h>

bool p2pmr_policy_registers(bool requested);
bool p2pmr_policy_allows(const struct pci_dev *pdev);

#endif /* P2PMR_POLICY_H */
