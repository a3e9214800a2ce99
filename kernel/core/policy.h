/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which PCI functions the built-in exporter serves, and which of their BARs; and
 * what the administrator says of pairs of functions.
 */
#ifndef P2PMR_POLICY_H
#define P2PMR_POLICY_H

#include <linux/pci.h>

u32 p2pmr_policy(const struct pci_dev *pdev, int bar, bool requested);

enum p2pmr_pair {
	P2PMR_PAIR_UNSAID,
	P2PMR_PAIR_ALLOWED,
	P2PMR_PAIR_DENIED,
};

enum p2pmr_pair p2pmr_policy_pair(const struct pci_dev *dev,
				  const struct pci_dev *function);

/* The module goes, or does not come. */
void p2pmr_policy_exit(void);

#endif /* P2PMR_POLICY_H */
