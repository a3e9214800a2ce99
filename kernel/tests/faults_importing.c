// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Registering dma-bufs on soft-RoCE while the kernel runs out of memory at each
 * place where it can; and such regions end when there is none to be had. Own ones
 * only: dma_buf_vmap() warns whenever another driver has no memory to map its own.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exported.h"
#include "exporting.h"
#include "faulting.h"
#include "host.h"
#include "imported.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define SECONDS 600

struct subject {
	struct buffer buffer;
	struct import import;
};

/* What is made beforehand for regions would spare them allocations. */
static void empty_store(void)
{
	struct scene scene;

	scene_open(&scene, BAR2);
	scene_empty_store(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static int call_import(void *argument)
{
	struct subject *s = argument;

	return import_register(&s->import, s->buffer.fd, 0, s->buffer.size,
			       ACCESS_ALL);
}

static void check_import(void *argument, int error)
{
	struct subject *s = argument;

	if (error)
		assert_int_equal(call_import(s), 0);
	assert_imported(&s->import, &s->buffer, 0);
	uverbs_deregister(&s->import.mr);
}

/* Once beforehand, so that nothing of it is done for the first time. */
static void fail_import(struct subject *subject, const char *name)
{
	const struct faulted faulted = { .name = name,
					 .call = call_import,
					 .check = check_import };

	import_open_peer(&subject->import);
	empty_store();
	check_import(subject, ENOMEM);
	fail_each(&faulted, subject);
	import_close(&subject->import, false);
	buffer_release(&subject->buffer);
}

struct source {
	const char *name;
	void (*make)(struct buffer *buffer, size_t size);
};

static void importing(void **state)
{
	const struct source *source = *state;
	struct subject subject;

	faults_prepare();
	source->make(&subject.buffer, EXPORTED);
	fail_import(&subject, source->name);
}

static void make_of_pieces(struct buffer *buffer, size_t size)
{
	struct memory memory;

	memory_map(&memory, HOST, size);
	memory_cover(&memory, PAGE);
	*buffer = (struct buffer){ .exporter = "p2pmr",
				   .fd = must_export(memory.bytes, size),
				   .size = size,
				   .bytes = memory.bytes };
}

/* The exporter takes it back, and what it then puts there stays. */
static void taken_without_memory(void **state)
{
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct import import, other;
	int dmabuf, error, refused;
	unsigned int count;
	void *bytes;

	(void)state;
	faults_prepare();
	exporter_load("lasting=1");
	bytes = exporter_map(0);
	dmabuf = must_export(bytes, WINDOW);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	empty_store();
	import_open(&import, dmabuf, 0, WINDOW);
	import_open_peer(&other);
	faults_below_module(CORE_MODULE);
	faults_start();
	refused = import_register(&other, dmabuf, 0, WINDOW, ACCESS_ALL);
	error = exporter_try("take 0 1\n");
	count = faults_stop();
	print_message("%u allocations failed\n", count);
	assert_int_equal(refused, ENOMEM);
	assert_true(count > 0);
	assert_int_equal(error, 0);
	assert_exporter_says("users=0 ");
	pattern_fill(planted, WINDOW, 91);
	host_write(bar_index(BAR), 0, planted, WINDOW);
	assert_not_imported(&import);
	host_read(bar_index(BAR), 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");
	import_close(&other, false);
	import_close(&import, true);
	close(dmabuf);
	expect_references(EXPORTER_MODULE, 0);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	exporter_unload();
}

#define TEST_BY(name_, ...)                                            \
	{                                                              \
		.name = (name_), .run = importing, .timeout = SECONDS, \
		.param = (&(const struct source){ __VA_ARGS__ })       \
	}

static const struct test tests[] = {
	TEST_BY("faults/dmabuf-import", "import of an own dma-buf",
		buffer_of_bar),
	TEST_BY("faults/dmabuf-import-pieces",
		"import of an own dma-buf of pieces", make_of_pieces),
	TEST("faults/dmabuf-taken-back-without-memory", taken_without_memory),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
