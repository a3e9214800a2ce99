// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which BARs a driver has claimed, see iomem.h. Ordinary users see the tree with
 * its names but without its addresses, so BARs are found by their order.
 */
#include "iomem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The BAR with the next higher address; NULL if there is none. */
static struct pci_bar *after(struct pci_function *function,
			     const struct pci_bar *last)
{
	struct pci_bar *next = NULL;

	for (size_t i = 0; i < function->bar_count; i++) {
		struct pci_bar *bar = &function->bars[i];

		if (bar->start && (!last || bar->start > last->start) &&
		    (!next || bar->start < next->start))
			next = bar;
	}
	return next;
}

/* Depth of a line "  …  first-last : name"; its name. */
static size_t take_apart(char *line, const char **name)
{
	char *colon = strstr(line, " : ");

	*name = colon ? colon + 3 : "";
	line[strcspn(line, "\n")] = '\0';
	return strspn(line, " ");
}

void iomem_find_claims(struct pci_function *function)
{
	struct pci_bar *bar = NULL;
	size_t size = 0, depth = 0;
	bool is_bar = false;
	char *line = NULL;
	FILE *file = fopen("/proc/iomem", "re");

	/* Better too much than a promise that does not hold. */
	for (size_t i = 0; !file && i < function->bar_count; i++)
		function->bars[i].claimed = true;
	while (file && getline(&line, &size, file) > 0) {
		const char *name;
		size_t own = take_apart(line, &name);

		/* What lies in a BAR is what somebody has claimed of it. */
		if (is_bar && own > depth)
			bar->claimed = true;
		is_bar = !strcmp(name, function->address);
		if (is_bar) {
			bar = after(function, bar);
			is_bar = bar;
			depth = own;
		}
	}
	free(line);
	if (file)
		fclose(file);
}
