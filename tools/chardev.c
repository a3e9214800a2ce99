// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Asking /dev/p2pmr, see chardev.h. */
#include "chardev.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sysfs.h"
#include "text.h"

/* Ranges that are asked for at once. */
#define BATCH 64

int chardev_open(struct p2pmr_ioc_hello *hello)
{
	int fd = open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	int error;

	*hello = (struct p2pmr_ioc_hello){ .size = sizeof(*hello),
					   .version = P2PMR_ABI_VERSION };
	if (fd < 0)
		return -errno;
	if (!ioctl(fd, P2PMR_IOC_HELLO, hello))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

const char *chardev_reason(int error)
{
	switch (-error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return sysfs_exists("/sys/module/p2pmr")
			       ? "the module p2pmr is loaded, but its device "
				 "is not there: see p2pmr doctor"
			       : "the module p2pmr is not loaded: "
				 "modprobe p2pmr_verbs";
	case EPROTONOSUPPORT:
		return "the module speaks another version than this program";
	default:
		return strerror(-error);
	}
}

int chardev_need(__u64 feature)
{
	struct p2pmr_ioc_hello hello;
	int fd = chardev_open(&hello);

	if (fd >= 0 && (hello.features & feature) == feature)
		return fd;
	if (fd >= 0)
		close(fd);
	complain("%s: %s", P2PMR_DEVICE_PATH,
		 fd < 0 ? chardev_reason(fd)
			: "the module is older than this program, and cannot "
			  "do that yet");
	return -1;
}

int chardev_list(int fd, __u32 flags, struct p2pmr_list_range **ranges,
		 size_t *count)
{
	struct p2pmr_ioc_list list = {
		.size = sizeof(list),
		.flags = flags,
		.range_size = sizeof(struct p2pmr_list_range),
		.capacity = BATCH,
	};

	*ranges = NULL;
	*count = 0;
	do {
		*ranges =
			must_realloc(*ranges, *count + BATCH, sizeof(**ranges));
		list.ranges = (uintptr_t)(*ranges + *count);
		if (ioctl(fd, P2PMR_IOC_LIST, &list)) {
			int error = errno;

			free(*ranges);
			*ranges = NULL;
			*count = 0;
			return -error;
		}
		*count += list.count;
		if (list.count)
			list.after = (*ranges)[*count - 1].id;
	} while (list.count == BATCH);
	return 0;
}

/*
 * Requests that fill a whole array have one form; this is the first one's. The
 * first time is only to learn how many elements there are.
 */
static int read_array(int fd, unsigned long request, void **array,
		      size_t element, size_t *count)
{
	struct p2pmr_ioc_stats argument = { .size = sizeof(argument),
					    .stat_size = element };

	static_assert(sizeof(argument) == sizeof(struct p2pmr_ioc_exporters) &&
			      sizeof(argument) ==
				      sizeof(struct p2pmr_ioc_instances),
		      "one form");
	*array = NULL;
	*count = 0;
	while (ioctl(fd, request, &argument)) {
		int error = errno;

		if (error != ENOSPC) {
			free(*array);
			*array = NULL;
			return -error;
		}
		*array = must_realloc(*array, argument.count, element);
		argument.stats = (uintptr_t)*array;
		argument.capacity = argument.count;
	}
	*count = argument.count;
	return 0;
}

int chardev_stats(int fd, struct p2pmr_stat **stats, size_t *count)
{
	return read_array(fd, P2PMR_IOC_STATS, (void **)stats, sizeof(**stats),
			  count);
}

int chardev_exporters(int fd, struct p2pmr_exporter_info **exporters,
		      size_t *count)
{
	return read_array(fd, P2PMR_IOC_EXPORTERS, (void **)exporters,
			  sizeof(**exporters), count);
}

int chardev_instances(int fd, struct p2pmr_instance_info **instances,
		      size_t *count)
{
	return read_array(fd, P2PMR_IOC_INSTANCES, (void **)instances,
			  sizeof(**instances), count);
}

static bool place(const char *address, __u32 *domain, __u8 *bus, __u8 *devfn)
{
	unsigned int d, b, slot, fn;

	if (sscanf(address, "%x:%x:%x.%x", &d, &b, &slot, &fn) != 4)
		return false;
	*domain = d;
	*bus = b;
	*devfn = slot << 3 | fn;
	return true;
}

int chardev_reach(int fd, const char *memory, const char *device,
		  struct p2pmr_ioc_reach *answer)
{
	*answer = (struct p2pmr_ioc_reach){ .size = sizeof(*answer) };
	if (!place(memory, &answer->domain, &answer->bus, &answer->devfn) ||
	    !place(device, &answer->device_domain, &answer->device_bus,
		   &answer->device_devfn))
		return -EINVAL;
	return ioctl(fd, P2PMR_IOC_REACH, answer) ? -errno : 0;
}

int chardev_bar(int fd, const struct pci_function *function, unsigned int bar,
		unsigned int *reason)
{
	struct p2pmr_ioc_bar request = { .size = sizeof(request), .bar = bar };

	if (!place(function->address, &request.domain, &request.bus,
		   &request.devfn))
		return -EINVAL;
	if (ioctl(fd, P2PMR_IOC_BAR, &request))
		return -errno;
	*reason = request.reason;
	return 0;
}
