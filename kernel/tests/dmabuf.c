// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A device with a DMA engine reaches BARs through dma-bufs, attached in each of
 * the ways that drivers of hardware do, and with no more rights than the
 * mapping gave.
 */
#include <errno.h>
#include <fcntl.h>
#include <rdma/p2pmr-abi.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "chardev.h"
#include "child.h"
#include "engine.h"
#include "exported.h"
#include "host.h"
#include "modules.h"
#include "system.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

struct way {
	enum memory_kind kind;
	unsigned int mode;
	bool by_driver; /* p2pmr_bar's own file */
};

/* The mapping is gone before the device attaches. */
static void moves(void **state)
{
	const struct way *way = *state;
	struct edu_segment segment;
	int dmabuf, fd;

	engine_load();
	pinned_are_allowed();
	if (way->by_driver)
		bars_by_driver();
	dmabuf = export_bar(way->kind);
	fd = engine_open();
	engine_attach(fd, dmabuf, way->mode);
	pinned_are_as_before();
	assert_true(engine_segment(fd, 0, &segment));
	assert_int_equal(segment.length, EXPORTED);
	assert_false(engine_segment(fd, 1, &segment));
	assert_moves(fd, way->kind, 0, EDU_BUFFER);
	assert_moves(fd, way->kind, EXPORTED - 3, 3);
	close(fd);
	close(dmabuf);
	engine_unload();
}

/* Parts of two BARs side by side: an entry for each, in their order. */
static void several_pieces(void **state)
{
	static uint8_t data[EDU_BUFFER], seen[EDU_BUFFER];
	struct memory memory;
	struct edu_segment first, second;
	int dmabuf, fd;

	(void)state;
	engine_load();
	memory_map(&memory, HOST, 3 * PAGE);
	assert_true(bar_mmap(BAR2, memory.bytes, PAGE, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, 5 * PAGE) != MAP_FAILED);
	assert_true(bar_mmap(BAR, memory.bytes + PAGE, 2 * PAGE, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, PAGE) != MAP_FAILED);
	dmabuf = must_export(memory.bytes, 3 * PAGE);
	assert_int_equal(lseek(dmabuf, 0, SEEK_END), 3 * PAGE);
	memory_release(&memory);

	fd = engine_open();
	engine_attach(fd, dmabuf, EDU_DYNAMIC);
	assert_true(engine_segment(fd, 0, &first));
	assert_true(engine_segment(fd, 1, &second));
	assert_false(engine_segment(fd, 2, &second));
	assert_int_equal(first.length, PAGE);
	pattern_fill(data, 1000, 41);
	engine_fill(data, 1000);
	engine_move(fd, EDU_STORE, PAGE - 600, 1000);
	host_read(bar_index(BAR2), 6 * PAGE - 600, seen, 600);
	host_read(bar_index(BAR), PAGE, seen + 600, 400);
	assert_bytes(seen, data, 1000, "files behind the BARs");
	close(fd);
	close(dmabuf);
	engine_unload();
}

static void export_and_end(int socket, void *argument)
{
	(void)argument;
	int dmabuf = export_bar(BAR);

	send_file(socket, dmabuf);
}

/* The buffer is its receiver's when the process that made it is no more. */
static void outlives_its_maker(void **state)
{
	struct child child;
	int dmabuf, fd;

	(void)state;
	engine_load();
	child_start(&child, export_and_end, NULL);
	dmabuf = receive_file(child.socket);
	child_finish(&child);
	fd = engine_open();
	engine_attach(fd, dmabuf, EDU_DYNAMIC);
	/* Nor does the device need anybody to hold the descriptor. */
	close(dmabuf);
	assert_moves(fd, BAR, PAGE + 1, 100);
	close(fd);
	engine_unload();
}

static void read_only(void **state)
{
	static uint8_t planted[EXPORTED], data[EDU_BUFFER];
	void *bytes;
	int dmabuf, fd;

	(void)state;
	engine_load();
	bytes = bar_mmap(BAR, NULL, EXPORTED, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	assert_int_equal(try_export(bytes, EXPORTED, P2PMR_EXPORT_WRITE,
				    &dmabuf),
			 EACCES);
	assert_int_equal(try_export(bytes, EXPORTED, 0, &dmabuf), 0);
	assert_int_equal(munmap(bytes, EXPORTED), 0);

	fd = engine_open();
	assert_int_equal(engine_try_attach(fd, dmabuf, EDU_DYNAMIC,
					   EDU_BOTH_WAYS),
			 EACCES);
	assert_int_equal(engine_try_attach(fd, dmabuf, EDU_DYNAMIC,
					   EDU_FROM_DEVICE),
			 EACCES);
	assert_int_equal(
		engine_try_attach(fd, dmabuf, EDU_DYNAMIC, EDU_TO_DEVICE), 0);
	pattern_fill(planted, EXPORTED, 43);
	host_write(bar_index(BAR), 0, planted, EXPORTED);
	engine_move(fd, EDU_LOAD, 99, 1000);
	engine_read(data, 1000);
	assert_bytes(data, planted + 99, 1000, "read by the device");
	assert_stopped(fd, EDU_STORE, PAGE, 100);
	host_read(bar_index(BAR), PAGE, data, 100);
	assert_bytes(data, planted + PAGE, 100, "file behind the BAR");
	close(fd);
	close(dmabuf);
	engine_unload();
}

/* A mapping that may be written can be given away for reading, too. */
static void less_than_the_mapping(void **state)
{
	struct memory bar;
	int dmabuf, fd;

	(void)state;
	engine_load();
	memory_map(&bar, BAR, EXPORTED);
	assert_int_equal(try_export(bar.bytes, EXPORTED, 0, &dmabuf), 0);
	fd = engine_open();
	assert_int_equal(engine_try_attach(fd, dmabuf, EDU_DYNAMIC,
					   EDU_BOTH_WAYS),
			 EACCES);
	close(fd);
	close(dmabuf);
	memory_release(&bar);
	engine_unload();
}

static void no_cpu_mapping(void **state)
{
	int dmabuf = export_bar(BAR);

	(void)state;
	assert_true(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dmabuf, 0) ==
		    MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	close(dmabuf);
}

static void closed_on_exec(void **state)
{
	int dmabuf = export_bar(BAR);

	(void)state;
	assert_int_equal(fcntl(dmabuf, F_GETFD), FD_CLOEXEC);
	close(dmabuf);
}

/* What others can see of it, as long as somebody holds it. */
static void listed(void **state)
{
	static struct listing listing;
	const struct p2pmr_list_range *range;
	int fd = chardev_ready(), dmabuf = export_bar(BAR), copy = dup(dmabuf);

	(void)state;
	close(dmabuf);
	list(fd, &listing, 0);
	range = range_of(&listing, getpid());
	assert_non_null(range);
	assert_string_equal(range->importer, "p2pmr_dmabuf");
	assert_int_equal(range->length, EXPORTED);
	assert_int_equal(range->device_bytes, EXPORTED);
	assert_int_equal(range->flags, P2PMR_RANGE_WRITE);
	assert_location(&range->location, BAR, 0);
	close(copy);
	list(fd, &listing, 0);
	assert_null(range_of(&listing, getpid()));
	close(fd);
}

/* In use it holds the modules; given up it holds nothing. */
static void holds_modules(void **state)
{
	int before = module_references(CORE_MODULE);
	int dmabuf = export_bar(BAR);

	(void)state;
	assert_int_equal(module_references(CORE_MODULE), before + 1);
	close(dmabuf);
	expect_references(CORE_MODULE, before);

	bars_by_driver();
	dmabuf = export_bar(BAR);
	assert_false(module_try_remove(BAR_MODULE));
	function_unbind(FIRST);
	expect_references(BAR_MODULE, 0);
	close(dmabuf);
}

/* Unmapped, both ways are closed, and the addresses serve again. */
static void unmaps(void **state)
{
	struct edu_segment first, segment;
	struct memory bar;
	int dmabuf, fd;

	(void)state;
	engine_load();
	/* Too long for the caches of freed addresses. */
	memory_map(&bar, BAR, 1 << 20);
	dmabuf = must_export(bar.bytes, bar.size);
	fd = engine_open();
	for (int i = 0; i < 100; i++) {
		engine_attach(fd, dmabuf, EDU_DYNAMIC);
		assert_true(engine_segment(fd, 0, &segment));
		if (!i)
			first = segment;
		assert_int_equal(segment.dma, first.dma);
		engine_unmap(fd);
	}
	assert_stopped(fd, EDU_STORE, PAGE + 7, 100);
	assert_stopped(fd, EDU_LOAD, 2 * PAGE, 1);
	close(fd);
	close(dmabuf);
	memory_release(&bar);
	engine_unload();
}

#define WAY(...) (&(const struct way){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("dmabuf/dynamic", moves, WAY(.kind = BAR, .mode = EDU_DYNAMIC)),
	TEST_OF("dmabuf/dynamic-wc", moves,
		WAY(.kind = BAR2_WC, .mode = EDU_DYNAMIC)),
	TEST_OF("dmabuf/dynamic-of-a-driver", moves,
		WAY(.kind = BAR, .mode = EDU_DYNAMIC, .by_driver = true)),
	TEST_OF("dmabuf/revocable", moves,
		WAY(.kind = BAR, .mode = EDU_REVOCABLE)),
	TEST_OF("dmabuf/pinned", moves, WAY(.kind = BAR, .mode = EDU_PINNED)),
	TEST("dmabuf/several-pieces", several_pieces),
	TEST("dmabuf/outlives-its-maker", outlives_its_maker),
	TEST("dmabuf/read-only-is-not-written", read_only),
	TEST("dmabuf/less-than-the-mapping", less_than_the_mapping),
	TEST("dmabuf/no-cpu-mapping", no_cpu_mapping),
	TEST("dmabuf/closed-on-exec", closed_on_exec),
	TEST("dmabuf/listed", listed),
	TEST("dmabuf/holds-modules", holds_modules),
	TEST("dmabuf/unmaps", unmaps),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
