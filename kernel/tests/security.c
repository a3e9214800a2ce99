// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a user without privileges may not register, tried by one: through which
 * files, mappings and moments ever. docs/security.md has the list, with the
 * tests of other files that stand for the rest of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

/* The errno of a registration, 0 if it succeeds (and is undone). */
static int attempt(struct device *device, void *address, size_t length,
		   int access)
{
	struct ibv_mr *mr = ibv_reg_mr(device->pd, address, length, access);

	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

static int attempt_export(int fd, void *address, uint32_t flags)
{
	struct p2pmr_ioc_export export = { .size = sizeof(export),
					   .flags = flags,
					   .address = (uintptr_t)address,
					   .length = PAGE };
	int error = chardev_error(fd, P2PMR_IOC_EXPORT, &export);

	if (!error)
		close(export.fd);
	return error;
}

/* Files that somebody with rights has opened, and passes on. */
struct given {
	int read_only;
	int read_write;
	int registers;
};

static void *map(int fd, int prot, int flags)
{
	void *bytes = mmap(NULL, WINDOW, prot, flags, fd, 0);

	assert_true(bytes != MAP_FAILED);
	return bytes;
}

/* A right that the mapping has not cannot be had later either. */
static void no_write(struct device *device, int fd, void *bytes)
{
	struct keys keys;
	struct ibv_mr *mr;
	int error;

	assert_int_equal(attempt(device, bytes, WINDOW, ACCESS_ALL), EACCES);
	assert_int_equal(attempt_export(fd, bytes, P2PMR_EXPORT_WRITE), EACCES);
	assert_int_equal(mprotect(bytes, WINDOW, READ_WRITE), -1);
	assert_int_equal(errno, EACCES);
	mr = must_register(device->pd, bytes, WINDOW, IBV_ACCESS_REMOTE_READ);
	error = uverbs_reregister(device->context, mr->handle,
				  IBV_REREG_MR_CHANGE_ACCESS, device->pd, bytes,
				  WINDOW, ACCESS_ALL, &keys);
	assert_true(error == EACCES || error == EOPNOTSUPP);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(munmap(bytes, WINDOW), 0);
}

static void take_what_is_not_given(int socket, void *argument)
{
	const struct given *given = argument;
	struct device device;
	uint8_t *bytes;
	int fd;

	become(NOBODY);
	device_open(&device);
	fd = chardev_ready();
	assert_int_equal(open(bar_path(BAR), O_RDWR), -1);
	assert_int_equal(errno, EACCES);

	no_write(&device, fd, map(given->read_only, PROT_READ, MAP_SHARED));

	bytes = map(given->read_write, READ_WRITE, MAP_PRIVATE);
	assert_int_equal(attempt(&device, bytes, WINDOW, ACCESS_ALL), EINVAL);
	assert_int_equal(attempt(&device, bytes, WINDOW, 0), EINVAL);
	assert_int_equal(attempt_export(fd, bytes, 0), EINVAL);
	assert_int_equal(munmap(bytes, WINDOW), 0);

	bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, given->registers, 0);
	assert_true(bytes != MAP_FAILED);
	assert_int_equal(attempt(&device, bytes, 256, ACCESS_ALL), EPERM);
	assert_int_equal(attempt_export(fd, bytes, P2PMR_EXPORT_REGISTER_BAR),
			 EPERM);
	assert_int_equal(munmap(bytes, PAGE), 0);

	close(fd);
	device_close(&device);
	meet(socket);
}

static void no_more_than_the_mapping(void **state)
{
	char path[PATH_SIZE];
	struct given given;
	struct child child;

	(void)state;
	pci_file(BAR, "resource0", path);
	given.read_only = open(bar_path(BAR), O_RDONLY);
	given.read_write = open(bar_path(BAR), O_RDWR);
	given.registers = open(path, O_RDWR);
	assert_true(given.read_only >= 0 && given.read_write >= 0 &&
		    given.registers >= 0);
	child_start(&child, take_what_is_not_given, &given);
	meet(child.socket);
	child_finish(&child);
	close(given.read_only);
	close(given.read_write);
	close(given.registers);
}

/* Where no process has anything by itself. */
#define PLACE ((uint8_t *)0x200000000000)

static void hold_mapping(int socket, void *argument)
{
	(void)argument;
	assert_ptr_equal(bar_mmap(BAR, PLACE, WINDOW, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 PLACE);
	become(NOBODY);
	meet(socket);
	meet(socket);
}

static void ask_for_mapping_of(int socket, void *argument)
{
	struct device device;
	struct answer answer;
	int fd;

	(void)argument;
	become(NOBODY);
	device_open(&device);
	fd = chardev_ready();
	assert_int_equal(attempt(&device, PLACE, WINDOW, ACCESS_ALL), EFAULT);
	assert_int_equal(attempt(&device, PLACE, PAGE, 0), EFAULT);
	assert_int_equal(attempt_export(fd, PLACE, 0), EFAULT);
	query(fd, &answer, PLACE, WINDOW);
	assert_int_equal(answer.segments[0].kind, P2PMR_SEGMENT_HOLE);
	close(fd);
	device_close(&device);
	meet(socket);
}

/* Of the same user even: what counts is the address space. */
static void mapping_of_another_process(void **state)
{
	struct child owner, other;

	(void)state;
	child_start(&owner, hold_mapping, NULL);
	meet(owner.socket);
	child_start(&other, ask_for_mapping_of, NULL);
	meet(other.socket);
	child_finish(&other);
	meet(owner.socket);
	child_finish(&owner);
}

/* The first page of system RAM from an address on, 0 if there is none. */
static uint64_t find_ram(uint64_t from)
{
	FILE *file = fopen("/proc/iomem", "r");
	uint64_t first, last, found = 0;
	char line[256];

	assert_non_null(file);
	while (!found && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx", &first, &last) != 2 ||
		    !strstr(line, ": System RAM"))
			continue;
		if (first < from)
			first = from;
		if (first + PAGE - 1 <= last)
			found = first;
	}
	fclose(file);
	return found;
}

/* Whether the kernel maps it at all. */
static bool expect_ram_refused(struct device *device, int chardev, int fd,
			       uint64_t address)
{
	void *bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, address);

	assert_int_not_equal(address, 0);
	if (bytes == MAP_FAILED) {
		print_message("%#lx: the kernel does not map it\n", address);
		assert_true(errno == EPERM);
		return false;
	}
	print_message("%#lx: is mapped\n", address);
	assert_int_equal(attempt(device, bytes, PAGE, ACCESS_ALL), ENXIO);
	assert_int_equal(attempt(device, bytes, PAGE, 0), ENXIO);
	assert_int_equal(attempt_export(chardev, bytes, 0), EOPNOTSUPP);
	assert_int_equal(munmap(bytes, PAGE), 0);
	return true;
}

/*
 * Root's file, and root may map what it shows: RAM below 1 MiB on the kernels
 * of today. Even so it is no device's.
 */
static void ram_through_dev_mem(void **state)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC), chardev = chardev_ready();
	struct device device;
	uint64_t first, last;
	void *bytes;

	(void)state;
	assert_true(fd >= 0);
	device_open(&device);
	assert_true(expect_ram_refused(&device, chardev, fd, find_ram(PAGE)));
	expect_ram_refused(&device, chardev, fd, find_ram(1 << 20));

	/* What it shows of a BAR is the BAR. */
	physical_range(BAR, &first, &last);
	bytes = mmap(NULL, WINDOW, READ_WRITE, MAP_SHARED, fd, first);
	assert_true(bytes != MAP_FAILED);
	assert_int_equal(attempt(&device, bytes, WINDOW, ACCESS_ALL), 0);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	device_close(&device);
	close(chardev);
	close(fd);
}

static const struct test tests[] = {
	TEST("security/no-more-than-the-mapping", no_more_than_the_mapping),
	TEST("security/mapping-of-another-process", mapping_of_another_process),
	TEST("security/ram-through-dev-mem", ram_through_dev_mem),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
