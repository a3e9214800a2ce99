// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A device with a DMA engine gets at BARs, by ranges and by dma-bufs, while the
 * kernel runs out of memory at each place where it can.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "engine.h"
#include "exported.h"
#include "faulting.h"
#include "runner.h"

#define SECONDS 600

/* What the engine is given; the other ways of its driver have none. */
struct given {
	int fd;
	int dmabuf;
	struct memory memory;
	bool in_order; /* the first BAR, from its start */
};

static int call_map(void *argument)
{
	struct given *given = argument;

	return engine_try_map(given->fd, given->memory.bytes, EXPORTED, true,
			      EDU_BOTH_WAYS);
}

static int call_attach(void *argument)
{
	struct given *given = argument;

	return engine_try_attach(given->fd, given->dmabuf, EDU_DYNAMIC,
				 EDU_BOTH_WAYS);
}

static void look(struct given *given)
{
	if (given->in_order)
		assert_moves(given->fd, BAR, 5, 1000);
	engine_unmap(given->fd);
}

static void check_map(void *argument, int error)
{
	if (error)
		assert_int_equal(call_map(argument), 0);
	look(argument);
}

static void check_attach(void *argument, int error)
{
	if (error)
		assert_int_equal(call_attach(argument), 0);
	look(argument);
}

/* Pages of BARs and of host memory in turn. */
static void map_pieces(struct memory *memory, size_t step)
{
	memory_map(memory, HOST, EXPORTED);
	memory_cover(memory, step);
}

/* The DMA API has no errno for its failures, which become EIO. */
static void fail_map(struct given *given, const char *name)
{
	const struct faulted faulted = { .name = name,
					 .call = call_map,
					 .check = check_map,
					 .errors = { EIO } };

	fail_each(&faulted, given);
	close(given->fd);
	memory_release(&given->memory);
	engine_unload();
}

static void mapping(void **state)
{
	struct given given = { .in_order = true };

	(void)state;
	faults_prepare();
	engine_load();
	given.fd = engine_open();
	memory_map(&given.memory, BAR, EXPORTED);
	fail_map(&given, "DMA addresses of a BAR");
}

static void mapping_pieces(void **state)
{
	struct given given = { 0 };

	(void)state;
	faults_prepare();
	engine_load();
	given.fd = engine_open();
	map_pieces(&given.memory, 2 * PAGE);
	fail_map(&given, "DMA addresses of BAR and host memory");
}

static void fail_attach(struct given *given, const char *name)
{
	const struct faulted faulted = { .name = name,
					 .call = call_attach,
					 .check = check_attach,
					 .errors = { EIO } };

	given->fd = engine_open();
	given->dmabuf = must_export(given->memory.bytes, EXPORTED);
	fail_each(&faulted, given);
	close(given->dmabuf);
	close(given->fd);
	memory_release(&given->memory);
	engine_unload();
}

static void attaching(void **state)
{
	struct given given = { .in_order = true };

	(void)state;
	faults_prepare();
	engine_load();
	memory_map(&given.memory, BAR, EXPORTED);
	fail_attach(&given, "attach to a dma-buf and map it");
}

static void attaching_pieces(void **state)
{
	struct given given = { 0 };

	(void)state;
	faults_prepare();
	engine_load();
	map_pieces(&given.memory, PAGE);
	fail_attach(&given, "attach to a dma-buf of pieces and map it");
}

static const struct test tests[] = {
	TEST_WITHIN(SECONDS, "faults/dma-map", mapping),
	TEST_WITHIN(SECONDS, "faults/dma-map-mixed", mapping_pieces),
	TEST_WITHIN(SECONDS, "faults/dmabuf-attach", attaching),
	TEST_WITHIN(SECONDS, "faults/dmabuf-attach-pieces", attaching_pieces),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
