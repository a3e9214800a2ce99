/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* PCI functions that have memory BARs, and who may map these. */
#ifndef P2PMR_TOOL_PCI_H
#define P2PMR_TOOL_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PCI_BARS	 6
#define PCI_ADDRESS_SIZE 16
#define PCI_NAME_SIZE	 64

struct pci_bar {
	unsigned int number;
	uint64_t start, size;
	bool prefetchable;
	bool claimed; /* by the driver, so that sysfs does not map it */
};

struct pci_function {
	char address[PCI_ADDRESS_SIZE];
	unsigned int vendor, device;
	char driver[PCI_NAME_SIZE]; /* "" if none */
	bool enabled;
	struct pci_bar bars[PCI_BARS];
	size_t bar_count;
};

/* All of them in the order of their addresses; to be freed. */
size_t pci_functions(struct pci_function **functions);
/* False if there is none at that address ("0000:01:00.0" or "01:00.0"). */
bool pci_find(const char *address, struct pci_function *function);
const struct pci_bar *pci_bar(const struct pci_function *function,
			      unsigned int number);
/* The BAR that holds a physical address; NULL if none does. */
const struct pci_bar *pci_bar_at(const struct pci_function *functions,
				 size_t count, uint64_t physical,
				 const struct pci_function **function);

/* The file by which a BAR is mapped. */
struct bar_access {
	char path[128]; /* "" if there is none */
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool mine; /* the caller may open it for reading and writing */
};

void bar_access_look(struct bar_access *access,
		     const struct pci_function *function,
		     const struct pci_bar *bar);
/* "root", "root, group rdma", "everybody", "nobody"; to be freed. */
char *bar_access_text(const struct bar_access *access);

#endif
