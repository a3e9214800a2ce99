// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Asking /dev/p2pmr, see chardev.h. */
#include "chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "modules.h"
#include "runner.h"

#define RESOURCE_BAR 2 /* the functions' memory is their BAR 2 */
#define MAX_STATS    64

int chardev_open(void)
{
	int fd = open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: %s", P2PMR_DEVICE_PATH, strerror(errno));
	return fd;
}

int chardev_error(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument) ? errno : 0;
}

int chardev_ready(void)
{
	struct p2pmr_ioc_hello hello = { .size = sizeof(hello),
					 .version = P2PMR_ABI_VERSION };
	int fd = chardev_open();

	assert_int_equal(chardev_error(fd, P2PMR_IOC_HELLO, &hello), 0);
	return fd;
}

void asker_open(struct asker *asker, enum memory_kind kind)
{
	asker->fd = chardev_ready();
	device_open(&asker->device);
	memory_map(&asker->memory, kind, ASKER_SIZE);
}

void asker_close(struct asker *asker)
{
	memory_release(&asker->memory);
	device_close(&asker->device);
	close(asker->fd);
}

void query_prepare(struct answer *answer, const void *address, size_t length)
{
	/* Whatever the kernel leaves alone is not zero by luck. */
	memset(answer->segments, 0xa5, sizeof(answer->segments));
	answer->query = (struct p2pmr_ioc_query){
		.size = sizeof(answer->query),
		.address = (uintptr_t)address,
		.length = length,
		.segments = (uintptr_t)answer->segments,
		.segment_size = sizeof(answer->segments[0]),
		.capacity = MAX_SEGMENTS,
		.count = 0xa5a5,
		.read_error = 0xa5a5,
		.write_error = 0xa5a5,
	};
}

void query(int fd, struct answer *answer, const void *address, size_t length)
{
	uint64_t offset = 0;

	query_prepare(answer, address, length);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY, &answer->query), 0);
	assert_in_range(answer->query.count, 1, MAX_SEGMENTS);
	for (uint32_t i = 0; i < answer->query.count; i++) {
		assert_int_equal(answer->segments[i].offset, offset);
		assert_int_not_equal(answer->segments[i].length, 0);
		offset += answer->segments[i].length;
	}
	assert_int_equal(offset, length);
}

void query_once(struct answer *answer, const void *address, size_t length)
{
	int fd = chardev_ready();

	query(fd, answer, address, length);
	close(fd);
}

void assert_location(const struct p2pmr_location *location,
		     enum memory_kind kind, uint64_t offset)
{
	const char *path = bar_path(kind), *function = strstr(path, "devices/");
	unsigned int domain, bus, slot, number;

	assert_non_null(function);
	if (sscanf(function, "devices/%x:%x:%x.%x", &domain, &bus, &slot,
		   &number) != 4)
		fail_msg("%s names no PCI function", path);
	assert_int_equal(location->flags,
			 P2PMR_LOCATION_EXPORTER | P2PMR_LOCATION_PCI |
				 P2PMR_LOCATION_BAR | P2PMR_LOCATION_OFFSET);
	assert_string_equal(location->exporter, "pci-bar");
	assert_int_equal(location->domain, domain);
	assert_int_equal(location->bus, bus);
	assert_int_equal(location->devfn, slot << 3 | number);
	assert_int_equal(location->bar, RESOURCE_BAR);
	assert_int_equal(location->bar_offset, offset);
}

void physical_range(enum memory_kind kind, uint64_t *first, uint64_t *last)
{
	const char *path = bar_path(kind),
		   *file_name = strstr(path, "resource");
	char table[256];
	FILE *file;

	assert_non_null(file_name);
	snprintf(table, sizeof(table), "%.*sresource", (int)(file_name - path),
		 path);
	file = fopen(table, "r");
	if (!file)
		fail_msg("%s: %s", table, strerror(errno));
	for (int bar = 0; bar <= RESOURCE_BAR; bar++)
		assert_int_equal(fscanf(file, "%lx %lx %*x", first, last), 2);
	fclose(file);
	assert_true(*first && *last > *first);
}

static uint32_t caching_at(uint64_t address)
{
	const char *path = "/sys/kernel/debug/x86/pat_memtype_list";
	FILE *file = fopen(path, "r");
	uint64_t start, end;
	char line[256], type[32];
	uint32_t caching = P2PMR_CACHING_UNKNOWN;

	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "PAT: [mem %lx-%lx] %31s", &start, &end,
			   type) != 3 ||
		    address < start || address >= end)
			continue;
		caching = !strcmp(type, "write-combining")
				  ? P2PMR_CACHING_WRITE_COMBINING
			  : !strncmp(type, "uncached", 8)
				  ? P2PMR_CACHING_UNCACHED
				  : P2PMR_CACHING_UNKNOWN;
		break;
	}
	fclose(file);
	assert_int_not_equal(caching, P2PMR_CACHING_UNKNOWN);
	return caching;
}

void assert_caching(const struct p2pmr_location *location,
		    enum memory_kind kind)
{
	uint64_t first, last;

	physical_range(kind, &first, &last);
	assert_int_equal(location->caching,
			 caching_at(first + location->bar_offset));
}

void query_while(struct answer *answer, const void *address, size_t length,
		 const char *parameter, const char *value)
{
	char before[PARAMETER_SIZE];
	int fd = chardev_ready(), error;

	query_prepare(answer, address, length);
	assert_int_equal(module_set(CORE_MODULE, parameter, value, before), 0);
	error = chardev_error(fd, P2PMR_IOC_QUERY, &answer->query);
	assert_int_equal(module_set(CORE_MODULE, parameter, before, NULL), 0);
	assert_int_equal(error, 0);
	close(fd);
}

/* The errno of a registration, which is undone. */
static int registration_error(void *address, size_t length, int access)
{
	struct device device;
	struct ibv_mr *mr;
	int error = 0;

	device_open(&device);
	mr = ibv_reg_mr(device.pd, address, length, access);
	if (mr)
		assert_int_equal(ibv_dereg_mr(mr), 0);
	else
		error = errno;
	device_close(&device);
	return error;
}

void assert_foretold(const struct answer *answer, int read_error,
		     int write_error)
{
	void *address = (void *)(uintptr_t)answer->query.address;
	size_t length = answer->query.length;

	assert_int_equal(answer->query.read_error, read_error);
	assert_int_equal(answer->query.write_error, write_error);
	assert_int_equal(registration_error(address, length,
					    IBV_ACCESS_REMOTE_READ),
			 read_error);
	assert_int_equal(registration_error(address, length, ACCESS_ALL),
			 write_error);
}

void assert_segment(const struct p2pmr_query_segment *segment, uint32_t kind,
		    uint64_t length, uint32_t rights, int read_error,
		    int write_error)
{
	assert_int_equal(segment->kind, kind);
	assert_int_equal(segment->length, length);
	assert_int_equal(segment->rights, rights);
	assert_int_equal(segment->read_error, read_error);
	assert_int_equal(segment->write_error, write_error);
}

void assert_nowhere(const struct p2pmr_location *location)
{
	static const struct p2pmr_location nowhere;

	assert_memory_equal(location, &nowhere, sizeof(nowhere));
}

void list_prepare(struct listing *listing, uint32_t flags)
{
	memset(listing->ranges, 0xa5, sizeof(listing->ranges));
	listing->list = (struct p2pmr_ioc_list){
		.size = sizeof(listing->list),
		.flags = flags,
		.ranges = (uintptr_t)listing->ranges,
		.range_size = sizeof(listing->ranges[0]),
		.capacity = MAX_RANGES,
		.count = 0xa5a5,
	};
}

void list(int fd, struct listing *listing, uint32_t flags)
{
	list_prepare(listing, flags);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_LIST, &listing->list), 0);
	assert_in_range(listing->list.count, 0, MAX_RANGES - 1);
	for (uint32_t i = 1; i < listing->list.count; i++)
		assert_true(listing->ranges[i - 1].id < listing->ranges[i].id);
}

const struct p2pmr_list_range *range_of(const struct listing *listing, int pid)
{
	const struct p2pmr_list_range *found = NULL;

	for (uint32_t i = 0; i < listing->list.count; i++) {
		if (listing->ranges[i].pid != (uint32_t)pid)
			continue;
		assert_null(found);
		found = &listing->ranges[i];
	}
	return found;
}

uint64_t counter(int fd, const char *name)
{
	struct p2pmr_stat stats[MAX_STATS];
	struct p2pmr_ioc_stats request = {
		.size = sizeof(request),
		.stats = (uintptr_t)stats,
		.stat_size = sizeof(stats[0]),
		.capacity = MAX_STATS,
	};

	assert_int_equal(chardev_error(fd, P2PMR_IOC_STATS, &request), 0);
	for (uint32_t i = 0; i < request.count; i++)
		if (!strncmp(stats[i].name, name, sizeof(stats[i].name)))
			return stats[i].value;
	fail_msg("there is no counter %s", name);
	return 0;
}
