// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Questions about memory, and dma-bufs of it, while the kernel runs out of memory at each
 * place where it can. No memory is said so; it is no answer.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faulted_request.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define SECONDS 600
#define PIECES	4
#define SPAN	(2 * PIECES * PAGE)

static void expect_query(const struct request *request, uint32_t count)
{
	assert_int_equal(request->argument.query.count, count);
	assert_int_equal(request->argument.query.read_error, 0);
	assert_int_equal(request->argument.query.write_error, 0);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(answer.segments[i].read_error, 0);
		assert_int_equal(answer.segments[i].write_error, 0);
	}
}

static void look_at_one(struct request *request)
{
	expect_query(request, 1);
	assert_location(&answer.segments[0].location, BAR, 0);
}

static void look_at_pieces(struct request *request)
{
	expect_query(request, 2 * PIECES);
}

static void prepare_query(struct request *request, const void *bytes,
			  size_t length)
{
	request->fresh.query = (struct p2pmr_ioc_query){
		.size = sizeof(request->fresh.query),
		.address = (uintptr_t)bytes,
		.length = length,
		.segments = (uintptr_t)answer.segments,
		.segment_size = sizeof(answer.segments[0]),
		.capacity = MAX_SEGMENTS,
	};
}

static void asking_of_a_bar(void **state)
{
	struct request request = request_of(P2PMR_IOC_QUERY);
	struct memory bar;

	(void)state;
	memory_map(&bar, BAR, SPAN);
	prepare_query(&request, bar.bytes, SPAN);
	request.look = look_at_one;
	fail_request(&request, "query of a BAR");
	memory_release(&bar);
	close(request.fd);
}

/* With lists to look the function up in: no memory is not "ruled out". */
static void asking_with_lists(void **state)
{
	struct request request = request_of(P2PMR_IOC_QUERY);
	char address[32], before[2][PARAMETER_SIZE];
	struct memory bar;

	(void)state;
	pci_address(BAR, address);
	module_set(CORE_MODULE, "allow", address, before[0]);
	module_set(CORE_MODULE, "deny", "ffff:ffff", before[1]);
	memory_map(&bar, BAR, SPAN);
	prepare_query(&request, bar.bytes, SPAN);
	request.look = look_at_one;
	fail_request(&request, "query with lists of functions");
	module_set(CORE_MODULE, "allow", before[0], NULL);
	module_set(CORE_MODULE, "deny", before[1], NULL);
	memory_release(&bar);
	close(request.fd);
}

static void asking_of_pieces(void **state)
{
	struct request request = request_of(P2PMR_IOC_QUERY);
	struct memory memory;

	(void)state;
	memory_map(&memory, HOST, SPAN);
	memset(memory.bytes, 1, SPAN);
	memory_cover(&memory, 2 * PAGE);
	prepare_query(&request, memory.bytes, SPAN);
	request.look = look_at_pieces;
	fail_request(&request, "query of BAR and host memory");
	memory_release(&memory);
	close(request.fd);
}

static void look_at_dmabuf(struct request *request)
{
	struct p2pmr_ioc_export *export = &request->argument.export;

	assert_true(export->fd >= 0);
	assert_int_equal(lseek(export->fd, 0, SEEK_END), SPAN);
	close(export->fd);
}

static void fail_export(void *bytes, const char *name)
{
	struct request request = request_of(P2PMR_IOC_EXPORT);

	request.fresh.export = (struct p2pmr_ioc_export){
		.size = sizeof(request.fresh.export),
		.flags = P2PMR_EXPORT_WRITE,
		.address = (uintptr_t)bytes,
		.length = SPAN,
	};
	request.look = look_at_dmabuf;
	fail_request(&request, name);
	close(request.fd);
}

static void exporting(void **state)
{
	struct memory bar;

	(void)state;
	memory_map(&bar, BAR, SPAN);
	fail_export(bar.bytes, "export");
	memory_release(&bar);
}

static void exporting_pieces(void **state)
{
	struct memory bar;

	(void)state;
	memory_map(&bar, HOST, SPAN);
	memory_cover(&bar, PAGE);
	fail_export(bar.bytes, "export of pieces");
	memory_release(&bar);
}

static const struct test tests[] = {
	TEST_WITHIN(SECONDS, "faults/query", asking_of_a_bar),
	TEST_WITHIN(SECONDS, "faults/query-with-lists", asking_with_lists),
	TEST_WITHIN(SECONDS, "faults/query-mixed", asking_of_pieces),
	TEST_WITHIN(SECONDS, "faults/export", exporting),
	TEST_WITHIN(SECONDS, "faults/export-pieces", exporting_pieces),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
