// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* PCI functions, see pci.h. */
#include "pci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iomem.h"
#include "sysfs.h"
#include "text.h"

#define PCI_FOLDER "/sys/bus/pci/devices"

/* Flags of a resource, as sysfs shows them. */
#define RESOURCE_MEMORY	      0x200
#define RESOURCE_PREFETCHABLE 0x2000

static unsigned int read_hex(const char *address, const char *name)
{
	char line[LINE_SIZE];

	return sysfs_line(line, PCI_FOLDER "/%s/%s", address, name)
		       ? strtoul(line, NULL, 16)
		       : 0;
}

static void read_bars(struct pci_function *function)
{
	unsigned long long first, last, flags;
	char *path = text_format(PCI_FOLDER "/%s/resource", function->address);
	FILE *file = fopen(path, "re");

	free(path);
	if (!file)
		return;
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		if (fscanf(file, "%llx %llx %llx", &first, &last, &flags) != 3)
			break;
		if (!(flags & RESOURCE_MEMORY) || last <= first)
			continue;
		function->bars[function->bar_count++] = (struct pci_bar){
			.number = i,
			.start = first,
			.size = last - first + 1,
			.prefetchable = flags & RESOURCE_PREFETCHABLE,
		};
	}
	fclose(file);
}

static bool read_function(struct pci_function *function, const char *address)
{
	char line[LINE_SIZE];

	*function = (struct pci_function){ 0 };
	if (strlen(address) >= sizeof(function->address) ||
	    !sysfs_exists(PCI_FOLDER "/%s/resource", address))
		return false;
	strcpy(function->address, address);
	function->vendor = read_hex(address, "vendor");
	function->device = read_hex(address, "device");
	if (sysfs_link(line, PCI_FOLDER "/%s/driver", address))
		snprintf(function->driver, sizeof(function->driver), "%.*s",
			 PCI_NAME_SIZE - 1, line);
	function->enabled =
		sysfs_line(line, PCI_FOLDER "/%s/enable", address) &&
		strtoul(line, NULL, 10) > 0;
	read_bars(function);
	/* Without a driver nobody has claimed anything. */
	if (*function->driver)
		iomem_find_claims(function);
	return true;
}

size_t pci_functions(struct pci_function **functions)
{
	char **names = sysfs_names(PCI_FOLDER);
	size_t count = 0;

	*functions = NULL;
	for (char **name = names; *name; name++) {
		*functions = must_realloc(*functions, count + 1,
					  sizeof(**functions));
		if (read_function(&(*functions)[count], *name) &&
		    (*functions)[count].bar_count)
			count++;
	}
	sysfs_names_free(names);
	return count;
}

bool pci_find(const char *address, struct pci_function *function)
{
	static const char letters[] = "0123456789abcdefABCDEF:.";
	unsigned int domain = 0, bus, slot, fn;
	char normal[PCI_ADDRESS_SIZE];
	int end = 0;

	if (strlen(address) >= sizeof(normal) ||
	    strspn(address, letters) != strlen(address))
		return false;
	if (sscanf(address, "%x:%x:%x.%x%n", &domain, &bus, &slot, &fn, &end) !=
	    4) {
		domain = 0;
		if (sscanf(address, "%x:%x.%x%n", &bus, &slot, &fn, &end) != 3)
			return false;
	}
	if (address[end] || bus > 0xff || slot > 0x1f || fn > 7)
		return false;
	snprintf(normal, sizeof(normal), "%04x:%02x:%02x.%x", domain, bus, slot,
		 fn);
	return read_function(function, normal);
}

const struct pci_bar *pci_bar(const struct pci_function *function,
			      unsigned int number)
{
	for (size_t i = 0; i < function->bar_count; i++)
		if (function->bars[i].number == number)
			return &function->bars[i];
	return NULL;
}

const struct pci_bar *pci_bar_at(const struct pci_function *functions,
				 size_t count, uint64_t physical,
				 const struct pci_function **function)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < functions[i].bar_count; k++) {
			const struct pci_bar *bar = &functions[i].bars[k];

			if (physical < bar->start ||
			    physical - bar->start >= bar->size)
				continue;
			*function = &functions[i];
			return bar;
		}
	}
	return NULL;
}
