// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a user without privileges may not register, tried by one: through which
 * files, mappings and moments ever. docs/security.md has the list, with the
 * tests of other files that stand for the rest of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "host.h"
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

static void expect_ram_refused(struct device *device, int chardev, int fd,
			       uint64_t address)
{
	void *bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, address);

	assert_int_not_equal(address, 0);
	if (bytes == MAP_FAILED) {
		print_message("%#lx: the kernel does not map it\n", address);
		assert_true(errno == EPERM);
		return;
	}
	print_message("%#lx: is mapped\n", address);
	assert_int_equal(attempt(device, bytes, PAGE, ACCESS_ALL), ENXIO);
	assert_int_equal(attempt(device, bytes, PAGE, 0), ENXIO);
	assert_int_equal(attempt_export(chardev, bytes, 0), EOPNOTSUPP);
	assert_int_equal(munmap(bytes, PAGE), 0);
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
	expect_ram_refused(&device, chardev, fd, find_ram(PAGE));
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

#define PAGES	   4
#define ROUNDS	   25
#define AT_ONCE	   6
#define NR_STATES  5
#define PATIENCE_S 20

/* A thread that changes what is mapped while another registers it. */
struct changer {
	uint8_t *bytes;
	int read_write;
	int read_only;
	atomic_int parked; /* asked for: odd; done: the same number */
	atomic_int done;
	atomic_bool stop;
	unsigned long changes;
	bool failed;
};

static bool put(struct changer *c, size_t page, unsigned int what)
{
	uint8_t *at = c->bytes + page * PAGE;
	const off_t offset = page * PAGE;
	void *got;

	switch (what % NR_STATES) {
	case 0:
		got = mmap(at, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED,
			   c->read_write, offset);
		break;
	case 1:
		got = mmap(at, PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED,
			   c->read_write, offset);
		break;
	case 2:
		got = mmap(at, PAGE, READ_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case 3:
		return mprotect(at, PAGE, PROT_READ) == 0;
	default:
		got = mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
			   c->read_only, offset);
	}
	return got == at;
}

static void *keep_changing(void *argument)
{
	struct changer *c = argument;
	uint64_t seed = 6;
	int asked;

	while (!atomic_load(&c->stop)) {
		uint64_t random = next_random(&seed);

		asked = atomic_load(&c->parked);
		if (asked != atomic_load(&c->done)) {
			/* Parked with all of the BAR for reading only. */
			for (size_t page = 0; asked % 2 && page < PAGES; page++)
				c->failed |= !put(c, page, 4);
			atomic_store(&c->done, asked);
		}
		if (asked % 2) {
			usleep(100);
			continue;
		}
		/* Writable BAR more often, so that registrations succeed. */
		if (random >> 40 & 1)
			for (size_t page = 0; page < PAGES; page++)
				c->failed |= !put(c, page, 0);
		else
			c->failed |=
				!put(c, random % PAGES, random / PAGES % 97);
		c->changes++;
		if (random >> 41 & 1)
			usleep(random >> 42 & 1023);
	}
	return NULL;
}

static void tell_changer(struct changer *c, int number)
{
	atomic_store(&c->parked, number);
	for (int i = 0; i < PATIENCE_S * 10000; i++) {
		if (atomic_load(&c->done) == number)
			return;
		usleep(100);
	}
	fail_msg("the other thread does not answer");
}

/*
 * None is left that may write into the BAR. One that had found nothing but host
 * memory writes into that. Returns how many were refused.
 */
static unsigned int assert_none_writes(struct pair *pair,
				       const struct memory *host,
				       struct ibv_mr *const mrs[],
				       unsigned int n)
{
	static uint8_t planted[PAGES * PAGE], seen[PAGES * PAGE];
	unsigned int refused = 0;

	pattern_fill(planted, sizeof(planted), n);
	host_write(0, 0, planted, sizeof(planted));
	for (unsigned int i = 0; i < n; i++) {
		const struct transfer write = {
			.opcode = IBV_WR_RDMA_WRITE,
			.local = host->bytes,
			.lkey = host->mr->lkey,
			.length = PAGES * PAGE,
			.remote = (uintptr_t)mrs[i]->addr,
			.rkey = mrs[i]->rkey,
		};

		if (run_transfer(&pair->near, &write) == IBV_WC_SUCCESS)
			continue;
		refused++;
		pair_reconnect(pair);
	}
	host_read(0, 0, seen, sizeof(seen));
	assert_bytes(seen, planted, sizeof(seen), "file behind the BAR");
	return refused;
}

static unsigned int register_while_it_changes(struct changer *changer,
					      struct ibv_pd *pd,
					      struct ibv_mr *mrs[])
{
	unsigned int n = 0;

	for (int i = 0; i < 4 * AT_ONCE && n < AT_ONCE; i++) {
		mrs[n] = ibv_reg_mr(pd, changer->bytes, PAGES * PAGE,
				    ACCESS_ALL);
		if (mrs[n])
			n++;
		else if (errno != EACCES && errno != EINVAL &&
			 errno != EAGAIN && errno != EFAULT)
			fail_msg("registration: %s", strerror(errno));
	}
	return n;
}

/*
 * Whatever a registration has seen while the mappings changed under it: once
 * they are for reading only no region is left that could be written through.
 */
static void mappings_change_under_the_walk(void **state)
{
	struct changer changer = { .read_write = open(bar_path(BAR), O_RDWR),
				   .read_only = open(bar_path(BAR), O_RDONLY) };
	struct memory host, window;
	unsigned int n, registered = 0, refused = 0;
	struct ibv_mr *mrs[AT_ONCE];
	struct pair pair;
	pthread_t thread;

	(void)state;
	pair_open(&pair);
	memory_map(&host, HOST, PAGES * PAGE);
	memory_register(&host, pair.device.pd);
	memory_map(&window, BAR, PAGES * PAGE);
	changer.bytes = window.bytes;
	assert_int_equal(pthread_create(&thread, NULL, keep_changing, &changer),
			 0);
	for (int round = 0; round < ROUNDS; round++) {
		tell_changer(&changer, 2 * round + 2);
		n = register_while_it_changes(&changer, pair.device.pd, mrs);
		registered += n;
		tell_changer(&changer, 2 * round + 3);
		refused += assert_none_writes(&pair, &host, mrs, n);
		while (n)
			assert_int_equal(ibv_dereg_mr(mrs[--n]), 0);
	}
	atomic_store(&changer.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("%u registered, %u of them over by then, %lu changes\n",
		      registered, refused, changer.changes);
	assert_false(changer.failed);
	assert_true(refused > 0);
	memory_release(&window);
	memory_release(&host);
	pair_close(&pair);
	close(changer.read_write);
	close(changer.read_only);
}

static const struct test tests[] = {
	TEST("security/no-more-than-the-mapping", no_more_than_the_mapping),
	TEST("security/mapping-of-another-process", mapping_of_another_process),
	TEST("security/ram-through-dev-mem", ram_through_dev_mem),
	TEST("security/mappings-change-under-the-walk",
	     mappings_change_under_the_walk),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
