// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Would p2pmr take a BAR? See policy.h. */
#include "policy.h"

#include <string.h>

#include "chardev.h"
#include "module.h"

static const struct verdict unknown = { "unknown", "not-asked", "?", DOUBTFUL };

static const struct verdict verdicts[] = {
	[P2PMR_BAR_SERVED] = { "yes", NULL, "yes", GOOD },
	[P2PMR_BAR_EXPORTER_OFF] = { "no", "exporter-off", "no: exporter off",
				     BAD },
	[P2PMR_BAR_REGISTERS] = { "no", "registers", "no: registers",
				  DOUBTFUL },
	[P2PMR_BAR_ON_REQUEST] = { "request", "registers", "on request",
				   DOUBTFUL },
	[P2PMR_BAR_RULED_OUT] = { "no", "ruled-out", "no: ruled out", BAD },
	[P2PMR_BAR_NOT_MEMORY] = { "no", "not-memory", "no: no memory",
				   DOUBTFUL },
	[P2PMR_BAR_NOT_THERE] = { "no", "not-there", "no: not there",
				  DOUBTFUL },
	[P2PMR_BAR_NO_ADDRESS] = { "no", "no-address", "no: no address", BAD },
};

/* The driver p2pmr_bar decides for itself, and by one parameter only. */
static struct verdict by_own_driver(const struct pci_bar *bar)
{
	char value[LINE_SIZE];

	if (bar->prefetchable ||
	    (module_parameter("p2pmr_bar", "allow_registers", value) &&
	     *value == 'Y'))
		return verdicts[P2PMR_BAR_SERVED];
	return verdicts[P2PMR_BAR_REGISTERS];
}

struct verdict policy_ask(int fd, const struct pci_function *function,
			  const struct pci_bar *bar)
{
	unsigned int reason;

	if (fd < 0)
		return unknown;
	if (!strcmp(function->driver, "p2pmr_bar"))
		return by_own_driver(bar);
	if (chardev_bar(fd, function, bar->number, &reason) ||
	    reason >= sizeof(verdicts) / sizeof(verdicts[0]))
		return unknown;
	return verdicts[reason];
}
