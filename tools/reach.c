// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Which RDMA device reaches whose memory, see reach.h. */
#include "reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"
#include "sysfs.h"
#include "text.h"

static const struct {
	const char *path, *reason;
} paths[] = {
	[P2PMR_PATH_SWITCH] = { "switch", NULL },
	[P2PMR_PATH_ROOT] = { "root", NULL },
	[P2PMR_PATH_ALLOWED] = { "allowed", NULL },
	[P2PMR_PATH_UNKNOWN_ROOT] = { "unknown-root",
				      "the root complex between them is not "
				      "known to carry it" },
	[P2PMR_PATH_OTHER_ROOT] = { "other-root",
				    "they are below different root complexes" },
	[P2PMR_PATH_DENIED] = { "denied", "parameter deny_pairs" },
};

static bool is_nic(struct nic *nic, const char *name)
{
	struct pci_function function;
	char line[LINE_SIZE];

	if (!sysfs_link(line, "/sys/class/infiniband/%s/device", name) ||
	    !pci_find(line, &function))
		return false;
	snprintf(nic->name, sizeof(nic->name), "%s", name);
	strcpy(nic->function, function.address);
	return true;
}

size_t nics(struct nic **nics)
{
	struct rdma_device *devices;
	size_t all = rdma_devices(&devices), count = 0;

	*nics = all ? must_realloc(NULL, all, sizeof(**nics)) : NULL;
	for (size_t i = 0; i < all; i++)
		count += is_nic(&(*nics)[count], devices[i].name);
	free(devices);
	return count;
}

struct reach reach_ask(int fd, const struct nic *nic,
		       const struct pci_function *function)
{
	struct reach reach = { 0 };

	if (fd < 0 ||
	    chardev_reach(fd, function->address, nic->function, &reach.answer))
		return reach;
	if (reach.answer.path >= sizeof(paths) / sizeof(paths[0]))
		return reach;
	reach.known = true;
	reach.reaches = !reach.answer.error;
	reach.path = paths[reach.answer.path].path;
	reach.reason = paths[reach.answer.path].reason;
	return reach;
}
