// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What ends a region over a dma-buf: its exporter, who takes the memory away or moves
 * it, at any time. Afterwards no peer reaches it, and nothing of the buffer is held.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bound.h"
#include "child.h"
#include "exported.h"
#include "exporting.h"
#include "host.h"
#include "imported.h"
#include "modules.h"
#include "modules/p2pmr_test_buffer.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define BUFFERS	   "p2pmr_test_buffer"
#define IMPORTER   "p2pmr_test_importer"
#define SIZE	   (4 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static int buffers_load(void)
{
	int fd;

	test_module_load(BUFFERS, "%s", "");
	fd = open("/dev/" BUFFERS, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail_msg("/dev/" BUFFERS ": %s", strerror(errno));
	return fd;
}

static int make(int fd, uint32_t flags, uint32_t moves)
{
	struct test_buffer how = { .size = SIZE,
				   .flags = flags,
				   .moves = moves };
	int dmabuf = ioctl(fd, TEST_BUFFER_MAKE, &how);

	if (dmabuf < 0)
		fail_msg("TEST_BUFFER_MAKE: %s", strerror(errno));
	return dmabuf;
}

static void peek(int fd, void *to)
{
	struct test_buffer_bytes bytes = { .length = SIZE,
					   .to = (uintptr_t)to };

	assert_int_equal(ioctl(fd, TEST_BUFFER_PEEK, &bytes), 0);
}

/* The peer writes into it, and the exporter finds that there. */
static void assert_writes(struct import *import, int fd)
{
	static uint8_t seen[SIZE];

	pattern_fill(import->host.bytes, SIZE, 71);
	assert_status(import_access(import, IBV_WR_RDMA_WRITE, 0, SIZE),
		      IBV_WC_SUCCESS);
	peek(fd, seen);
	assert_bytes(seen, import->host.bytes, SIZE, "in the buffer");
}

/* A worker gives the buffer back. */
static void assert_not_used(int fd)
{
	for (int i = 0; ioctl(fd, TEST_BUFFER_USERS) > 0 && i < 200; i++)
		usleep(50 * 1000);
	assert_int_equal(ioctl(fd, TEST_BUFFER_USERS), 0);
}

struct ending {
	void (*begin)(void);
	void (*end)(void);
	void (*restore)(void);
};

/* What p2pmr has exported itself. */
static void own_ends(void **state)
{
	static uint8_t before[SIZE], seen[SIZE];
	const struct ending *ending = *state;
	struct import import;
	int dmabuf;

	if (ending->begin)
		ending->begin();
	dmabuf = export_bar(BAR);
	import_open(&import, dmabuf, 0, SIZE);
	assert_status(import_access(&import, IBV_WR_RDMA_WRITE, 0, SIZE),
		      IBV_WC_SUCCESS);
	pattern_fill(before, SIZE, 72);
	host_write(bar_index(BAR), 0, before, SIZE);
	ending->end();
	assert_int_equal(ranges_of(getpid(), "revoked"), 2);
	assert_not_imported(&import);
	host_read(bar_index(BAR), 0, seen, SIZE);
	assert_bytes(seen, before, SIZE, "file behind the BAR");
	uverbs_deregister(&import.mr);
	assert_int_equal(import_register(&import, dmabuf, 0, SIZE, ACCESS_ALL),
			 ENODEV);
	close(dmabuf);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	import_close(&import, false);
	if (ending->restore)
		ending->restore();
}

static int export_lasting(void)
{
	void *bytes;
	int dmabuf;

	exporter_load("lasting=1");
	bytes = exporter_map(0);
	dmabuf = must_export(bytes, WINDOW);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	return dmabuf;
}

/* The peer writes until it may not. */
static void *keep_writing(void *argument)
{
	struct import *import = argument;
	struct transfer write = { .opcode = IBV_WR_RDMA_WRITE,
				  .local = import->host.bytes,
				  .lkey = import->host.mr->lkey,
				  .length = WINDOW,
				  .remote = import->iova,
				  .rkey = import->mr.rkey };
	enum ibv_wc_status status;

	do
		status = try_transfer(&import->pair.near, &write);
	while (status == IBV_WC_SUCCESS);
	return status == IBV_WC_REM_ACCESS_ERR ? argument : NULL;
}

/* Taken back amid traffic: what the exporter then puts there stays. */
static void taken_back(void **state)
{
	static uint8_t before[WINDOW], seen[WINDOW];
	struct import import;
	pthread_t thread;
	void *satisfied;
	int dmabuf;

	(void)state;
	for (int i = 0; i < 5; i++) {
		dmabuf = export_lasting();
		import_open(&import, dmabuf, 0, WINDOW);
		assert_false(module_try_remove(EXPORTER_MODULE));
		assert_int_equal(pthread_create(&thread, NULL, keep_writing,
						&import),
				 0);
		usleep((50 + i * 20) * 1000);
		exporter_do("take 8191 1\n");
		assert_exporter_says("users=0 ");
		pattern_fill(before, WINDOW, 73 + i);
		host_write(bar_index(BAR), 0, before, WINDOW);
		usleep(100 * 1000);
		host_read(bar_index(BAR), 0, seen, WINDOW);
		assert_bytes(seen, before, WINDOW, "file behind the BAR");
		assert_int_equal(pthread_join(thread, &satisfied), 0);
		assert_non_null(satisfied);
		pair_reconnect(&import.pair);
		assert_not_imported(&import);
		import_close(&import, true);
		close(dmabuf);
		exporter_unload();
	}
}

/* A move is an end; registered anew it is reached where it is now. */
static void moved(void **state)
{
	int fd = buffers_load(), dmabuf = make(fd, 0, 0);
	static uint8_t before[SIZE], seen[SIZE];
	struct import import;

	(void)state;
	import_open(&import, dmabuf, 0, SIZE);
	assert_writes(&import, fd);
	assert_int_equal(ioctl(fd, TEST_BUFFER_USERS), 1 + 16);
	peek(fd, before);
	assert_int_equal(ioctl(fd, TEST_BUFFER_MOVE), 0);
	assert_int_equal(ranges_of(getpid(), "live"), 0);
	assert_not_imported(&import);
	peek(fd, seen);
	assert_bytes(seen, before, SIZE, "in the buffer");
	assert_not_used(fd);
	/* And once more, with only a tombstone there. */
	assert_int_equal(ioctl(fd, TEST_BUFFER_MOVE), 0);
	uverbs_deregister(&import.mr);

	assert_int_equal(import_register(&import, dmabuf, 0, SIZE, ACCESS_ALL),
			 0);
	assert_writes(&import, fd);
	assert_int_equal(ioctl(fd, TEST_BUFFER_GO), 0);
	assert_not_imported(&import);
	uverbs_deregister(&import.mr);
	assert_int_equal(import_register(&import, dmabuf, 0, SIZE, ACCESS_ALL),
			 ENODEV);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	import_close(&import, false);
	close(dmabuf);
	close(fd);
	assert_true(module_try_remove(BUFFERS));
}

/* Two regions over one buffer, and both end. */
static void several_regions(void **state)
{
	int fd = buffers_load(), dmabuf = make(fd, 0, 0);
	struct import first, second;

	(void)state;
	import_open(&first, dmabuf, 0, SIZE);
	import_open(&second, dmabuf, PAGE, PAGE);
	assert_writes(&first, fd);
	uverbs_deregister(&first.mr);
	assert_status(import_access(&second, IBV_WR_RDMA_WRITE, 0, PAGE),
		      IBV_WC_SUCCESS);
	assert_int_equal(import_register(&first, dmabuf, 0, SIZE, ACCESS_ALL),
			 0);
	assert_int_equal(ioctl(fd, TEST_BUFFER_MOVE), 0);
	assert_not_imported(&first);
	assert_not_imported(&second);
	import_close(&first, true);
	import_close(&second, true);
	assert_not_used(fd);
	close(dmabuf);
	close(fd);
	assert_true(module_try_remove(BUFFERS));
}

/* While it is being registered: begun anew, but not for ever. */
static void moves_meanwhile(void **state)
{
	int fd = buffers_load(), dmabuf = make(fd, 0, 3);
	struct import import;

	(void)state;
	import_open(&import, dmabuf, 0, SIZE);
	assert_writes(&import, fd);
	import_close(&import, true);
	close(dmabuf);

	dmabuf = make(fd, 0, 1000);
	import_open_peer(&import);
	assert_int_equal(import_register(&import, dmabuf, 0, SIZE, ACCESS_ALL),
			 EAGAIN);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_not_used(fd);
	import_close(&import, false);
	close(dmabuf);
	close(fd);
	assert_true(module_try_remove(BUFFERS));
}

static void register_and_tell(int socket, void *argument)
{
	const int *dmabuf = argument;
	struct import import;
	char word = 0;

	import_open_peer(&import);
	send_message(socket, &word, sizeof(word));
	assert_int_equal(import_register(&import, *dmabuf, 0, SIZE, ACCESS_ALL),
			 0);
	send_message(socket, &word, sizeof(word));
	receive_message(socket, &word, sizeof(word));
	import_close(&import, true);
}

static bool says_something(int socket, int milliseconds)
{
	struct pollfd fd = { .fd = socket, .events = POLLIN };

	return poll(&fd, 1, milliseconds) == 1;
}

/* What is to bring the buffer where it is has to be over; who waits can be killed. */
static void waits_for_arrival(void **state)
{
	int fd = buffers_load(), dmabuf = make(fd, TEST_BUFFER_PENDING, 0);
	struct child child;
	char word = 0;

	(void)state;
	child_start(&child, register_and_tell, &dmabuf);
	receive_message(child.socket, &word, sizeof(word));
	assert_false(says_something(child.socket, 1000));
	child_kill(&child);
	assert_int_equal(ranges_of(child.pid, NULL), 0);
	assert_not_used(fd);

	child_start(&child, register_and_tell, &dmabuf);
	receive_message(child.socket, &word, sizeof(word));
	assert_false(says_something(child.socket, 500));
	assert_int_equal(ioctl(fd, TEST_BUFFER_ARRIVE), 0);
	receive_message(child.socket, &word, sizeof(word));
	send_message(child.socket, &word, sizeof(word));
	child_finish(&child);
	assert_not_used(fd);
	close(dmabuf);
	close(fd);
	assert_true(module_try_remove(BUFFERS));
}

/* What an exporter may lack or refuse. */
static void unfit(void **state)
{
	const struct {
		uint32_t flags;
		int error;
	} cases[] = {
		{ TEST_BUFFER_NO_VMAP, EOPNOTSUPP },
		{ TEST_BUFFER_UNALIGNED, EOPNOTSUPP },
		{ TEST_BUFFER_NO_ACCESS, EIO },
	};
	struct import import;
	int fd = buffers_load();

	(void)state;
	import_open_peer(&import);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int dmabuf = make(fd, cases[i].flags, 0);

		assert_int_equal(import_register(&import, dmabuf, 0, PAGE,
						 ACCESS_ALL),
				 cases[i].error);
		assert_int_equal(ranges_of(getpid(), NULL), 0);
		assert_not_used(fd);
		close(dmabuf);
	}
	import_close(&import, false);
	close(fd);
	assert_true(module_try_remove(BUFFERS));
}

/* The exporter's module stays as long as the region, and no longer. */
static void holds_exporter(void **state)
{
	int fd = buffers_load(), dmabuf = make(fd, 0, 0);
	struct import import;

	(void)state;
	import_open(&import, dmabuf, 0, SIZE);
	close(dmabuf);
	assert_writes(&import, fd);
	close(fd);
	assert_false(module_try_remove(BUFFERS));
	import_close(&import, true);
	for (int i = 0; module_references(BUFFERS) && i < 200; i++)
		usleep(50 * 1000);
	assert_true(module_try_remove(BUFFERS));
}

static int step(int fd, const char *line)
{
	return write(fd, line, strlen(line)) < 0 ? errno : 0;
}

static int step_dmabuf(int fd, int dmabuf)
{
	char line[64];

	snprintf(line, sizeof(line), "dmabuf %d 0 %#lx\n", dmabuf, SIZE);
	return step(fd, line);
}

/* Any importer: what comes before it is live keeps it from becoming so. */
static void step_by_step(void **state)
{
	int fd = buffers_load(), dmabuf = make(fd, 0, 0), importer;

	(void)state;
	test_module_load(IMPORTER, "%s", "");
	importer = must_open("/dev/" IMPORTER, O_RDWR);
	assert_int_equal(step_dmabuf(importer, -1), EBADF);
	assert_int_equal(step_dmabuf(importer, dmabuf), 0);
	assert_int_equal(ioctl(fd, TEST_BUFFER_MOVE), 0);
	assert_int_equal(step(importer, "kernel\n"), 0);
	assert_int_equal(step(importer, "commit\n"), EAGAIN);
	assert_int_equal(step(importer, "unmap\n"), 0);
	assert_not_used(fd);

	assert_int_equal(step_dmabuf(importer, dmabuf), 0);
	assert_int_equal(step(importer, "revoke\n"), 0);
	assert_not_used(fd);
	assert_int_equal(step(importer, "commit\n"), ENODEV);
	assert_int_equal(step(importer, "unmap\n"), 0);

	close(importer);
	close(dmabuf);
	close(fd);
	assert_true(module_try_remove(IMPORTER));
	assert_true(module_try_remove(BUFFERS));
}

#define WORKERS 3

struct storm {
	int dmabuf;
	struct device device;
	volatile bool over;
};

static void *register_all_the_time(void *argument)
{
	struct storm *storm = argument;
	struct raw_mr mr;
	long done = 0;
	int error;

	/* Also by who begins when the moves are over. */
	do {
		error = uverbs_register_dmabuf(storm->device.pd, storm->dmabuf,
					       0, SIZE, 0, ACCESS_ALL, &mr);
		if (!error)
			uverbs_deregister(&mr);
		else if (error != EAGAIN)
			return (void *)(long)-error;
		done++;
	} while (!storm->over);
	return (void *)done;
}

/* Regions come and go while the buffer moves all the time. */
static void storm(void **state)
{
	int fd = buffers_load();
	struct storm storm = { .dmabuf = make(fd, 0, 0) };
	pthread_t threads[WORKERS];

	(void)state;
	device_open(&storm.device);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						register_all_the_time, &storm),
				 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(ioctl(fd, TEST_BUFFER_MOVE), 0);
	storm.over = true;
	for (int i = 0; i < WORKERS; i++) {
		void *done;

		assert_int_equal(pthread_join(threads[i], &done), 0);
		if ((long)done <= 0)
			fail_msg("registering: %s", strerror(-(long)done));
	}
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_not_used(fd);
	device_close(&storm.device);
	close(storm.dmabuf);
	close(fd);
	assert_true(module_try_remove(BUFFERS));
}

#define ENDING(...) (&(const struct ending){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("dmabuf/import-over-after-unbind", own_ends,
		ENDING(.begin = bars_by_driver, .end = first_unbind)),
	TEST_OF("dmabuf/import-over-after-bind", own_ends,
		ENDING(.end = first_bind)),
	TEST_OF("dmabuf/import-over-after-remove", own_ends,
		ENDING(.end = first_remove, .restore = first_rescan)),
	TEST_OF("dmabuf/import-over-after-unplug", own_ends,
		ENDING(.end = first_unplug, .restore = first_plug)),
	TEST("dmabuf/import-taken-back-amid-traffic", taken_back),
	TEST("dmabuf/import-over-after-move", moved),
	TEST("dmabuf/import-several-regions", several_regions),
	TEST("dmabuf/import-moves-meanwhile", moves_meanwhile),
	TEST("dmabuf/import-waits-for-arrival", waits_for_arrival),
	TEST("dmabuf/import-unfit", unfit),
	TEST("dmabuf/import-holds-exporter", holds_exporter),
	TEST("dmabuf/import-step-by-step", step_by_step),
	TEST_WITHIN(120, "dmabuf/import-storm", storm),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
