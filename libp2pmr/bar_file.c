// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Finding the file of a BAR in sysfs and /dev, see bar_file.h. */
#define _GNU_SOURCE
#include "bar_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#define BARS 6

/* Flags of a resource, as sysfs shows them. */
#define RESOURCE_MEMORY	      0x200
#define RESOURCE_PREFETCHABLE 0x2000

#define ADDRESS_SIZE 32
#define PATH_SIZE    128
#define TABLE_SIZE   4096

/* In the form of the kernel; false for anything but an address. */
static bool normalize(const char *address, char normal[ADDRESS_SIZE])
{
	static const char letters[] = "0123456789abcdefABCDEF:.";
	unsigned int domain = 0, bus, slot, function;
	int end = 0;

	if (strlen(address) >= ADDRESS_SIZE ||
	    strspn(address, letters) != strlen(address))
		return false;
	if (sscanf(address, "%x:%x:%x.%x%n", &domain, &bus, &slot, &function,
		   &end) != 4) {
		domain = 0;
		if (sscanf(address, "%x:%x.%x%n", &bus, &slot, &function,
			   &end) != 3)
			return false;
	}
	if (address[end] || bus > 0xff || slot > 0x1f || function > 7)
		return false;
	snprintf(normal, ADDRESS_SIZE, "%04x:%02x:%02x.%x", domain, bus, slot,
		 function);
	return true;
}

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int error;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (n < 0)
		return -error;
	text[n] = '\0';
	return 0;
}

/*
 * From the function's table of resources: one line for each BAR. A BAR smaller
 * than a page may begin anywhere in it, and what is mapped is the page.
 */
static int look_up(const char *path, struct bar_file *file, unsigned int bar,
		   unsigned long long *flags)
{
	char table[TABLE_SIZE], *line = table;
	unsigned long long first, last;
	int ret = read_text(path, table, sizeof(table));

	if (ret == -ENOENT)
		return -ENODEV;
	if (ret)
		return ret;
	for (unsigned int i = 0; line && i < bar; i++) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || sscanf(line, "%llx %llx %llx", &first, &last, flags) != 3)
		return -ENXIO;
	if (!(*flags & RESOURCE_MEMORY) || last <= first)
		return -ENXIO;
	file->size = last - first + 1;
	file->lead = first % sysconf(_SC_PAGESIZE);
	return 0;
}

static int memory_bar(const char *address, struct bar_file *file,
		      unsigned int bar, unsigned long long *flags)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource",
		 address);
	return look_up(path, file, bar, flags);
}

static bool has_driver(const char *address)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
	return access(path, F_OK) == 0;
}

static int open_file(const char *path, bool writable)
{
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int bar_open_by_address(struct bar_file *file, const char *address,
			unsigned int bar, uint32_t caching, bool writable)
{
	bool wc = caching == P2PMR_CACHING_WRITE_COMBINING;
	char normal[ADDRESS_SIZE], path[PATH_SIZE];
	unsigned long long flags;
	int ret;

	if (bar >= BARS || !normalize(address, normal))
		return -EINVAL;
	ret = memory_bar(normal, file, bar, &flags);
	if (ret)
		return ret;
	if (wc && !(flags & RESOURCE_PREFETCHABLE))
		return -EOPNOTSUPP;
	file->caching =
		wc ? P2PMR_CACHING_WRITE_COMBINING : P2PMR_CACHING_UNCACHED;
	file->claimed = has_driver(normal);

	snprintf(path, sizeof(path), "/dev/p2pmr_bar/%s-bar%u%s", normal, bar,
		 wc ? "-wc" : "");
	ret = open_file(path, writable);
	if (ret == -ENOENT) {
		snprintf(path, sizeof(path),
			 "/sys/bus/pci/devices/%s/resource%u%s", normal, bar,
			 wc ? "_wc" : "");
		ret = open_file(path, writable);
		/* The BAR is there, so what lacks is this way to map it. */
		if (ret == -ENOENT)
			return -EOPNOTSUPP;
	}
	if (ret < 0)
		return ret;
	file->fd = ret;
	return 0;
}

/* Where a symbolic link leads, and the last part of that. */
static int follow(const char *link, char target[PATH_MAX], const char **name)
{
	ssize_t n = readlink(link, target, PATH_MAX - 1);
	char *slash;

	if (n < 0)
		return -errno;
	target[n] = '\0';
	slash = strrchr(target, '/');
	*name = slash ? slash + 1 : target;
	return 0;
}

static uint32_t caching_of_suffix(const char *rest, const char *wc)
{
	if (!*rest)
		return P2PMR_CACHING_UNCACHED;
	return strcmp(rest, wc) ? P2PMR_CACHING_UNKNOWN
				: P2PMR_CACHING_WRITE_COMBINING;
}

static bool is_in_sysfs(int fd)
{
	struct statfs facts;

	return !fstatfs(fd, &facts) && facts.f_type == SYSFS_MAGIC;
}

/*
 * sysfs: "resource2" or "resource2_wc", by whatever path it was opened, with
 * the function's table beside it. Other files have nothing before their first
 * byte, nor has a BAR that fills pages.
 */
static int look_at_resource(struct bar_file *file, off_t size)
{
	char link[PATH_SIZE], target[PATH_MAX];
	unsigned long long flags;
	unsigned int bar;
	const char *name;
	int end = 0;

	file->size = size;
	if (!is_in_sysfs(file->fd))
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
	/* Without /proc there is one to ask less. */
	if (!follow(link, target, &name) &&
	    sscanf(name, "resource%u%n", &bar, &end) == 1) {
		file->caching = caching_of_suffix(name + end, "_wc");
		strcpy(target + (name - target), "resource");
		if (!look_up(target, file, bar, &flags))
			return 0;
	}
	return size % sysconf(_SC_PAGESIZE) ? -EOPNOTSUPP : 0;
}

/* p2pmr_bar: a device named "0000:01:00.0-bar2" or "0000:01:00.0-bar2-wc". */
static int look_at_device(struct bar_file *file, dev_t number)
{
	char link[PATH_SIZE], target[PATH_MAX], address[ADDRESS_SIZE];
	unsigned long long flags;
	unsigned int bar;
	const char *name;
	int end = 0, ret;

	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(number),
		 minor(number));
	ret = follow(link, target, &name);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	/* All other devices are welcome, but tell neither size nor caching. */
	if (sscanf(name, "%31[^-]-bar%u%n", address, &bar, &end) != 2 ||
	    bar >= BARS)
		return 0;
	file->caching = caching_of_suffix(name + end, "-wc");
	return memory_bar(address, file, bar, &flags);
}

int bar_open_by_path(struct bar_file *file, const char *path, bool writable)
{
	struct stat st;
	int ret = open_file(path, writable);

	if (ret < 0)
		return ret;
	*file = (struct bar_file){ .fd = ret,
				   .caching = P2PMR_CACHING_UNKNOWN };
	ret = 0;
	if (fstat(file->fd, &st))
		ret = -errno;
	else if (S_ISREG(st.st_mode))
		ret = look_at_resource(file, st.st_size);
	else if (S_ISCHR(st.st_mode))
		ret = look_at_device(file, st.st_rdev);
	if (ret)
		close(file->fd);
	return ret;
}
