/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Would p2pmr take a BAR, and if not, why? */
#ifndef P2PMR_TOOL_POLICY_H
#define P2PMR_TOOL_POLICY_H

#include "pci.h"
#include "terminal.h"

struct verdict {
	const char *serves; /* "yes", "request", "no", "unknown" */
	const char *reason; /* one word of the JSON schema, NULL if "yes" */
	const char *text;   /* short, for tables */
	enum style style;
};

/* fd: /dev/p2pmr, or negative if it cannot be asked. */
struct verdict policy_ask(int fd, const struct pci_function *function,
			  const struct pci_bar *bar);

#endif
