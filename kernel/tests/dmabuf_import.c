// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * dma-bufs registered on soft-RoCE: from each exporter that the kernel has, any part of
 * one, with the rights that it gives, for as long as the region lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <rdma/p2pmr-abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "exported.h"
#include "imported.h"
#include "modules.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

struct source {
	void (*make)(struct buffer *buffer, size_t size);
	const char *pieces; /* of the whole buffer; NULL: one */
};

static void imports(void **state)
{
	const struct source *source = *state;
	const struct {
		size_t offset, length;
	} parts[] = { { 0, 8 * PAGE },
		      { PAGE, PAGE },
		      { 3 * PAGE + 77, 5000 },
		      { 8 * PAGE - 1, 1 },
		      { 1, 8 * PAGE - 1 } };
	struct buffer buffer;
	struct import import;

	source->make(&buffer, 8 * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		import_open(&import, buffer.fd, parts[i].offset,
			    parts[i].length);
		assert_imported(&import, &buffer, parts[i].offset);
		import_close(&import, true);
	}
	buffer_release(&buffer);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

/* As libraries ask whether the device takes dma-bufs; the log keeps silent. */
static void probe(void **state)
{
	struct import import;
	int fd = chardev_ready();
	uint64_t refused;

	(void)state;
	import_open_peer(&import);
	refused = counter(fd, "refused");
	assert_int_equal(import_register(&import, -1, 0, PAGE, ACCESS_ALL),
			 EBADF);
	assert_int_equal(import_register(&import, -1, 0, 0, 0), EBADF);
	assert_int_equal(import_register(&import, 1000, 0, PAGE, ACCESS_ALL),
			 EBADF);
	assert_int_equal(counter(fd, "refused"), refused);
	/* The library's own call, on whichever provider there is. */
	assert_null(
		ibv_reg_dmabuf_mr(import.pair.device.pd, 0, PAGE, 0, -1, 0));
	assert_true(errno == EBADF || errno == EOPNOTSUPP);
	import_close(&import, false);
	close(fd);
}

/* And not because something else of it has then been noticed. */
static void assert_ends_before(struct import *import, int fd, uint64_t length)
{
	char reason[REASON_SIZE], *text;

	trace_start();
	assert_int_equal(import_register(import, fd, 0, length, ACCESS_ALL),
			 EINVAL);
	text = trace_end();
	refusal_reason(text, 0, reason);
	free(text);
	assert_non_null(strstr(reason, "reaches beyond the dma-buf's"));
}

static void refusals(void **state)
{
	const struct {
		uint64_t offset, length;
		int access, error;
	} cases[] = {
		{ 0, 0, ACCESS_ALL, EINVAL },
		{ 8 * PAGE, 1, ACCESS_ALL, EINVAL },
		{ 0, 8 * PAGE + 1, ACCESS_ALL, EINVAL },
		{ PAGE, 8 * PAGE, ACCESS_ALL, EINVAL },
		{ PAGE, UINT64_MAX, ACCESS_ALL, EINVAL },
		{ UINT64_MAX - PAGE + 1, PAGE, ACCESS_ALL, EINVAL },
		{ UINT64_MAX, 2, ACCESS_ALL, EINVAL },
		/* uverbs' own: a remote write wants a local one. */
		{ 0, PAGE, IBV_ACCESS_REMOTE_WRITE, EINVAL },
		{ 0, PAGE, IBV_ACCESS_ON_DEMAND, EINVAL },
		{ 0, PAGE, 1 << 19, EINVAL },
	};
	const struct source *source = *state;
	struct buffer buffer;
	struct import import;

	source->make(&buffer, 8 * PAGE);
	import_open_peer(&import);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int error = import_register(&import, buffer.fd, cases[i].offset,
					    cases[i].length, cases[i].access);

		if (error != cases[i].error &&
		    !(cases[i].length == UINT64_MAX && error == EFBIG))
			fail_msg("case %zu: %s", i, strerror(error));
	}
	assert_ends_before(&import, buffer.fd, 8 * PAGE + 1);
	/* uverbs wants the place in the page to be the same. */
	assert_int_equal(uverbs_register_dmabuf(import.pair.device.pd,
						buffer.fd, 1, PAGE, 2,
						ACCESS_ALL, &import.mr),
			 EINVAL);
	assert_int_equal(import_register(&import, import.pair.near.channel->fd,
					 0, PAGE, ACCESS_ALL),
			 EINVAL);
	import_close(&import, false);
	buffer_release(&buffer);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

/* For reading: the peer reads, and neither it nor its owner writes. */
static void assert_reads_only(struct import *import, int fd)
{
	static const int writing[] = {
		IBV_ACCESS_LOCAL_WRITE,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
	};

	for (size_t i = 0; i < ARRAY_SIZE(writing); i++)
		assert_int_equal(import_register(import, fd, 0, PAGE,
						 writing[i]),
				 EACCES);
	assert_int_equal(import_register(import, fd, 0, PAGE,
					 IBV_ACCESS_REMOTE_READ),
			 0);
	assert_status(import_access(import, IBV_WR_RDMA_READ, 0, 100),
		      IBV_WC_SUCCESS);
	assert_status(import_access(import, IBV_WR_RDMA_WRITE, 0, 100),
		      IBV_WC_REM_ACCESS_ERR);
	uverbs_deregister(&import->mr);
}

/* A buffer for reading only, of a mapping that might be written. */
static void read_only_buffer(void **state)
{
	static uint8_t data[PAGE];
	struct import import;
	struct memory bar;
	int dmabuf;

	(void)state;
	memory_map(&bar, BAR, PAGE);
	pattern_fill(data, PAGE, 66);
	memcpy(bar.bytes, data, PAGE);
	assert_int_equal(try_export(bar.bytes, PAGE, 0, &dmabuf), 0);
	import_open_peer(&import);
	assert_reads_only(&import, dmabuf);
	assert_bytes(import.host.bytes, data, 100, "read by the peer");
	assert_bytes(bar.bytes, data, PAGE, "in the BAR");
	import_close(&import, false);
	close(dmabuf);
	memory_release(&bar);
}

/* A descriptor for reading only, which mmap() would not let write either. */
static void read_only_descriptor(void **state)
{
	struct dma_heap_allocation_data data = { .len = PAGE,
						 .fd_flags = O_RDONLY };
	struct import import;
	int fd = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	(void)state;
	if (fd < 0)
		skip_test("this kernel has no /dev/dma_heap/system");
	assert_int_equal(ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &data), 0);
	close(fd);
	assert_true(mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, data.fd, 0) ==
		    MAP_FAILED);
	import_open_peer(&import);
	assert_reads_only(&import, data.fd);
	import_close(&import, false);
	close(data.fd);
}

/* The region holds the buffer, and gives it back. */
static void outlives_descriptor(void **state)
{
	int references = module_references(CORE_MODULE);
	struct buffer buffer;
	struct import import;

	(void)state;
	buffer_of_bar(&buffer, 4 * PAGE);
	import_open(&import, buffer.fd, 0, 4 * PAGE);
	close(buffer.fd);
	buffer.fd = -1;
	assert_imported(&import, &buffer, 0);
	assert_int_equal(ranges_of(getpid(), "live"), 2);
	assert_false(module_try_remove(VERBS_MODULE));
	import_close(&import, true);
	buffer_release(&buffer);
	/* A worker has put the last reference, and the file goes some time after. */
	expect_references(CORE_MODULE, references);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

/* Parts of two BARs side by side. */
static void buffer_of_two_bars(struct buffer *buffer, size_t size)
{
	const size_t half = size / 2;
	struct memory memory;

	memory_map(&memory, HOST, size);
	assert_true(bar_mmap(BAR2, memory.bytes, half, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, 5 * PAGE) != MAP_FAILED);
	assert_true(bar_mmap(BAR, memory.bytes + half, half, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, PAGE) != MAP_FAILED);
	*buffer = (struct buffer){ .exporter = "two BARs",
				   .fd = must_export(memory.bytes, size),
				   .size = size,
				   .bytes = memory.bytes };
}

static void several_pieces(void **state)
{
	struct buffer buffer;
	struct import import;

	(void)state;
	buffer_of_two_bars(&buffer, 4 * PAGE);
	/* Across the border, and behind it. */
	import_open(&import, buffer.fd, PAGE + 9, 2 * PAGE);
	assert_imported(&import, &buffer, PAGE + 9);
	import_close(&import, true);
	import_open(&import, buffer.fd, 3 * PAGE + 10, 100);
	assert_imported(&import, &buffer, 3 * PAGE + 10);
	import_close(&import, true);
	buffer_release(&buffer);
}

static void register_and_wait(int socket, void *argument)
{
	const int *fd = argument;
	struct import import;
	char word = 0;

	import_open(&import, *fd, 0, PAGE);
	send_file(socket, import.pair.device.context->cmd_fd);
	send_message(socket, &import.mr, sizeof(import.mr));
	receive_message(socket, &word, sizeof(word));
}

/*
 * Unlike one over a mapping, such a region is the verbs file's: it lives on when the
 * process that made it is gone and somebody else has that file.
 */
static void outlives_its_maker(void **state)
{
	struct buffer buffer;
	struct raw_mr mr;
	struct child child;
	int fd;

	(void)state;
	buffer_of_bar(&buffer, 4 * PAGE);
	child_start(&child, register_and_wait, &buffer.fd);
	fd = receive_file(child.socket);
	receive_message(child.socket, &mr, sizeof(mr));
	child_kill(&child);
	assert_int_equal(ranges_of(child.pid, "live"), 1);
	close(fd);
	/* Files go some time after their last descriptor. */
	for (int i = 0; ranges_of(child.pid, NULL) && i < 200; i++)
		usleep(50 * 1000);
	assert_int_equal(ranges_of(child.pid, NULL), 0);
	buffer_release(&buffer);
}

static void listed(void **state)
{
	static struct listing listing;
	const struct p2pmr_list_range *range = NULL;
	int fd = chardev_ready();
	struct buffer buffer;
	struct import import;

	(void)state;
	buffer_of_bar(&buffer, 4 * PAGE);
	import_open(&import, buffer.fd, PAGE, 2 * PAGE);
	list(fd, &listing, 0);
	for (size_t i = 0; i < listing.list.count; i++)
		if (!strcmp(listing.ranges[i].importer, "p2pmr_verbs"))
			range = &listing.ranges[i];
	assert_non_null(range);
	assert_int_equal(range->length, 2 * PAGE);
	assert_int_equal(range->device_bytes, 2 * PAGE);
	assert_int_equal(range->device_segments, 1);
	assert_int_equal(range->flags, P2PMR_RANGE_WRITE);
	assert_int_equal(range->address, 0);
	assert_string_equal(range->instance, need_env("P2PMR_DEV"));
	assert_location(&range->location, BAR, PAGE);
	import_close(&import, true);
	buffer_release(&buffer);
	close(fd);
}

/* Of others' memory the place is not known, but whose it is. */
static void listed_of_others(void **state)
{
	static struct listing listing;
	int fd = chardev_ready();
	struct buffer buffer;
	struct import import;

	(void)state;
	buffer_of_drm(&buffer, 4 * PAGE);
	import_open(&import, buffer.fd, 0, 4 * PAGE);
	list(fd, &listing, 0);
	assert_int_equal(listing.list.count, 1);
	assert_int_equal(listing.ranges[0].device_bytes, 4 * PAGE);
	assert_int_equal(listing.ranges[0].location.flags,
			 P2PMR_LOCATION_EXPORTER);
	assert_string_equal(listing.ranges[0].location.exporter,
			    buffer.exporter);
	assert_int_equal(listing.ranges[0].location.caching,
			 P2PMR_CACHING_UNKNOWN);
	import_close(&import, true);
	buffer_release(&buffer);
	close(fd);
}

/* The second one is too much. What there is goes with the process. */
static void register_twice(int socket, void *argument)
{
	const struct buffer *buffer = argument;
	struct import import;
	int errors[2];

	import_open_peer(&import);
	become(NOBODY);
	errors[0] = import_register(&import, buffer->fd, 0, buffer->size,
				    ACCESS_ALL);
	errors[1] = import_register(&import, buffer->fd, 0, PAGE, ACCESS_ALL);
	send_message(socket, errors, sizeof(errors));
}

static void limited(void **state)
{
	const struct source *source = *state;
	char before[PARAMETER_SIZE];
	struct buffer buffer;
	struct child child;
	int errors[2];

	source->make(&buffer, 4 * PAGE);
	assert_int_equal(module_set(CORE_MODULE, "user_max_ranges",
				    source->pieces ?: "1", before),
			 0);
	child_start(&child, register_twice, &buffer);
	receive_message(child.socket, errors, sizeof(errors));
	child_finish(&child);
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", before, NULL), 0);
	assert_int_equal(errors[0], 0);
	assert_int_equal(errors[1], EDQUOT);
	buffer_release(&buffer);
}

/* For other memory only; what it was made of may be gone. */
static void rereg(void **state)
{
	struct buffer buffer;
	struct import import;
	struct memory bar;
	struct keys keys;
	int error;

	(void)state;
	buffer_of_bar(&buffer, 4 * PAGE);
	import_open(&import, buffer.fd, 0, 4 * PAGE);
	error = uverbs_reregister(import.pair.device.context, import.mr.handle,
				  IBV_REREG_MR_CHANGE_ACCESS,
				  import.pair.device.pd, NULL, 0,
				  IBV_ACCESS_REMOTE_READ, &keys);
	assert_int_equal(error, EOPNOTSUPP);
	assert_imported(&import, &buffer, 0);
	memory_map(&bar, BAR2, PAGE);
	error = uverbs_reregister(import.pair.device.context, import.mr.handle,
				  IBV_REREG_MR_CHANGE_TRANSLATION,
				  import.pair.device.pd, bar.bytes, PAGE,
				  ACCESS_ALL, &keys);
	if (error != EOPNOTSUPP) {
		assert_int_equal(error, 0);
		assert_not_imported(&import);
		import.mr.rkey = keys.rkey;
		import.iova = (uintptr_t)bar.bytes;
		assert_status(import_access(&import, IBV_WR_RDMA_WRITE, 0, 64),
			      IBV_WC_SUCCESS);
		assert_bytes(bar.bytes, import.host.bytes, 64, "other memory");
	}
	import_close(&import, true);
	memory_release(&bar);
	buffer_release(&buffer);
}

/* Without its device, the importer, nobody registers, and it is told so. */
static void without_the_module(void **state)
{
	struct buffer buffer;
	struct import import;

	(void)state;
	buffer_of_drm(&buffer, 4 * PAGE);
	import_open_peer(&import);
	for (int i = 0; i < 3; i++) {
		modules_unload();
		assert_int_equal(import_register(&import, buffer.fd, 0, PAGE,
						 ACCESS_ALL),
				 EOPNOTSUPP);
		assert_int_equal(import_register(&import, -1, 0, 0, 0),
				 EOPNOTSUPP);
		modules_load();
		assert_int_equal(import_register(&import, buffer.fd, 0, PAGE,
						 ACCESS_ALL),
				 0);
		assert_imported(&import, &buffer, 0);
		uverbs_deregister(&import.mr);
	}
	import_close(&import, false);
	buffer_release(&buffer);
}

#define SOURCE(make_) (&(const struct source){ .make = (make_) })

static const struct test tests[] = {
	TEST_OF("dmabuf/import-of-own", imports, SOURCE(buffer_of_bar)),
	TEST_OF("dmabuf/import-of-udmabuf", imports, SOURCE(buffer_of_udmabuf)),
	TEST_OF("dmabuf/import-of-heap", imports, SOURCE(buffer_of_heap)),
	TEST_OF("dmabuf/import-of-drm", imports, SOURCE(buffer_of_drm)),
	TEST("dmabuf/import-probe", probe),
	TEST_OF("dmabuf/import-refusals", refusals, SOURCE(buffer_of_drm)),
	TEST_OF("dmabuf/import-of-own-refusals", refusals,
		SOURCE(buffer_of_bar)),
	TEST("dmabuf/import-read-only-buffer", read_only_buffer),
	TEST("dmabuf/import-read-only-descriptor", read_only_descriptor),
	TEST("dmabuf/import-outlives-descriptor", outlives_descriptor),
	TEST("dmabuf/import-outlives-its-maker", outlives_its_maker),
	TEST("dmabuf/import-several-pieces", several_pieces),
	TEST("dmabuf/import-listed", listed),
	TEST("dmabuf/import-listed-of-others", listed_of_others),
	TEST_OF("dmabuf/import-limited", limited, SOURCE(buffer_of_drm)),
	TEST_OF("dmabuf/import-of-own-limited", limited, SOURCE(buffer_of_bar)),
	TEST_OF("dmabuf/import-of-pieces-limited", limited,
		(&(const struct source){ buffer_of_two_bars, "2" })),
	TEST("dmabuf/import-rereg", rereg),
	TEST("dmabuf/import-without-the-module", without_the_module),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
