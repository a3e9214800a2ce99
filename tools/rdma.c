// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* RDMA devices, see rdma.h. */
#include "rdma.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spawn.h"
#include "sysfs.h"
#include "text.h"

#define RDMA_FOLDER  "/sys/class/infiniband"
#define VERBS_FOLDER "/sys/class/infiniband_verbs"

/* The first soft-RoCE port's GIDs: one that is neither empty nor link-local. */
static bool has_address(const char *name)
{
	char *folder = text_format(RDMA_FOLDER "/%s/ports/1/gids", name);
	char **gids = sysfs_names(folder);
	char line[LINE_SIZE];
	bool found = false;

	for (char **gid = gids; *gid && !found; gid++)
		found = sysfs_line(line, "%s/%s", folder, *gid) &&
			strcmp(line,
			       "0000:0000:0000:0000:0000:0000:0000:0000") &&
			strncmp(line, "fe80:", 5) != 0;
	sysfs_names_free(gids);
	free(folder);
	return found;
}

static void find_file(struct rdma_device *device)
{
	char **names = sysfs_names(VERBS_FOLDER);
	char line[LINE_SIZE];

	for (char **name = names; *name; name++)
		if (sysfs_line(line, VERBS_FOLDER "/%s/ibdev", *name) &&
		    !strcmp(line, device->name))
			snprintf(device->file, sizeof(device->file),
				 "/dev/infiniband/%.40s", *name);
	sysfs_names_free(names);
}

static void look(struct rdma_device *device, const char *name)
{
	char line[LINE_SIZE];

	*device = (struct rdma_device){ 0 };
	snprintf(device->name, sizeof(device->name), "%s", name);
	/* Only soft-RoCE has a parent of this kind. */
	if (sysfs_line(line, RDMA_FOLDER "/%s/parent", name)) {
		device->soft_roce = true;
		snprintf(device->netdev, sizeof(device->netdev), "%.*s",
			 RDMA_NAME_SIZE - 1, line);
	}
	device->active =
		sysfs_line(line, RDMA_FOLDER "/%s/ports/1/state", name) &&
		strstr(line, "ACTIVE");
	device->addressed = has_address(name);
	find_file(device);
}

size_t rdma_devices(struct rdma_device **devices)
{
	char **names = sysfs_names(RDMA_FOLDER);
	size_t count = 0;

	*devices = NULL;
	for (char **name = names; *name; name++) {
		*devices = must_realloc(*devices, count + 1, sizeof(**devices));
		look(&(*devices)[count++], *name);
	}
	sysfs_names_free(names);
	return count;
}

bool rdma_link_add(const char *name, const char *netdev)
{
	const char *const argv[] = { "rdma", "link",   "add",  name, "type",
				     "rxe",  "netdev", netdev, NULL };
	char message[256];

	if (spawn(argv, message, sizeof(message)))
		return true;
	complain("cannot make a soft-RoCE device on %s: %s", netdev, message);
	return false;
}

bool rdma_link_delete(const char *name)
{
	const char *const argv[] = { "rdma", "link", "delete", name, NULL };
	char message[256];

	if (spawn(argv, message, sizeof(message)))
		return true;
	complain("cannot delete %s: %s", name, message);
	return false;
}
