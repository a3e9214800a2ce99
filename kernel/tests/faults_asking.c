// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Each request to /dev/p2pmr while the kernel runs out of memory at each place
 * where it can. A request says so; it does not answer something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "chardev.h"
#include "exported.h"
#include "faulting.h"
#include "modules.h"
#include "monitor.h"
#include "runner.h"
#include "system.h"

#define SECONDS 600
#define PIECES	4
#define SPAN	(2 * PIECES * PAGE)

/* One request, and what must be in its answer if there is one. */
struct request {
	int fd;
	unsigned long number;
	union {
		struct p2pmr_ioc_hello hello;
		struct p2pmr_ioc_query query;
		struct p2pmr_ioc_list list;
		struct p2pmr_ioc_stats stats;
		struct p2pmr_ioc_watch watch;
		struct p2pmr_ioc_exporters exporters;
		struct p2pmr_ioc_instances instances;
		struct p2pmr_ioc_bar bar;
		struct p2pmr_ioc_export export;
	} fresh, argument;
	void (*look)(struct request *request);
};

static union {
	struct p2pmr_query_segment segments[MAX_SEGMENTS];
	struct p2pmr_list_range ranges[MAX_RANGES];
	struct p2pmr_stat stats[64];
	struct p2pmr_exporter_info exporters[16];
	struct p2pmr_instance_info instances[16];
} answer;

/* Written anew each time, in memory that is there. */
static void prepare(void *argument)
{
	struct request *request = argument;

	request->argument = request->fresh;
	memset(&answer, 0xa5, sizeof(answer));
}

static int call(void *argument)
{
	struct request *request = argument;

	return chardev_error(request->fd, request->number, &request->argument);
}

static void check(void *argument, int error)
{
	struct request *request = argument;

	if (error) {
		prepare(request);
		assert_int_equal(call(request), 0);
	}
	if (request->look)
		request->look(request);
}

static void fail_request(struct request *request, const char *name)
{
	const struct faulted faulted = {
		.name = name, .prepare = prepare, .call = call, .check = check
	};

	fail_each(&faulted, request);
}

static struct request request_of(unsigned long number)
{
	faults_prepare();
	return (struct request){ .fd = chardev_ready(), .number = number };
}

static int call_open(void *argument)
{
	int *fd = argument;

	*fd = open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	return *fd < 0 ? errno : 0;
}

static void check_open(void *argument, int error)
{
	int *fd = argument;

	if (error)
		assert_int_equal(call_open(fd), 0);
	close(*fd);
	close(chardev_ready());
}

static void opening(void **state)
{
	const struct faulted faulted = { .name = "open /dev/p2pmr",
					 .call = call_open,
					 .check = check_open };
	int fd;

	(void)state;
	faults_prepare();
	fail_each(&faulted, &fd);
}

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
	for (size_t at = 0; at < SPAN; at += 2 * PAGE)
		assert_true(bar_mmap(BAR, memory.bytes + at, PAGE,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED,
				     SPAN - at) != MAP_FAILED);
	prepare_query(&request, memory.bytes, SPAN);
	request.look = look_at_pieces;
	fail_request(&request, "query of BAR and host memory");
	memory_release(&memory);
	close(request.fd);
}

static void look_at_range(struct request *request)
{
	assert_int_equal(request->argument.list.count, 1);
	assert_int_equal(answer.ranges[0].pid, getpid());
}

static void listing(void **state)
{
	struct request request = request_of(P2PMR_IOC_LIST);
	struct asker asker;

	(void)state;
	asker_open(&asker, BAR);
	memory_register(&asker.memory, asker.device.pd);
	request.fresh.list = (struct p2pmr_ioc_list){
		.size = sizeof(request.fresh.list),
		.ranges = (uintptr_t)answer.ranges,
		.range_size = sizeof(answer.ranges[0]),
		.capacity = MAX_RANGES,
	};
	request.look = look_at_range;
	fail_request(&request, "list");
	asker_close(&asker);
	close(request.fd);
}

static void look_at_exporters(struct request *request)
{
	assert_true(request->argument.exporters.count >= 1);
	assert_string_equal(answer.exporters[0].name, "pci-bar");
}

static void exporters(void **state)
{
	struct request request = request_of(P2PMR_IOC_EXPORTERS);

	(void)state;
	request.fresh.exporters = (struct p2pmr_ioc_exporters){
		.size = sizeof(request.fresh.exporters),
		.exporters = (uintptr_t)answer.exporters,
		.exporter_size = sizeof(answer.exporters[0]),
		.capacity = ARRAY_SIZE(answer.exporters),
	};
	request.look = look_at_exporters;
	fail_request(&request, "list of exporters");
	close(request.fd);
}

static void look_at_instances(struct request *request)
{
	assert_true(request->argument.instances.count >= 1);
	assert_string_equal(answer.instances[0].importer, "p2pmr_verbs");
}

static void instances(void **state)
{
	struct request request = request_of(P2PMR_IOC_INSTANCES);

	(void)state;
	request.fresh.instances = (struct p2pmr_ioc_instances){
		.size = sizeof(request.fresh.instances),
		.instances = (uintptr_t)answer.instances,
		.instance_size = sizeof(answer.instances[0]),
		.capacity = ARRAY_SIZE(answer.instances),
	};
	request.look = look_at_instances;
	fail_request(&request, "list of instances");
	close(request.fd);
}

/* Each time by a file that does not watch yet. */
static void prepare_watch(void *argument)
{
	struct request *request = argument;

	request->fd = chardev_ready();
	request->argument.watch = (struct p2pmr_ioc_watch){
		.size = sizeof(request->argument.watch),
		.event_size = sizeof(struct p2pmr_event),
	};
}

static void check_watch(void *argument, int error)
{
	struct request *request = argument;
	struct p2pmr_event event;
	struct refused refused;

	if (error)
		assert_int_equal(call(request), 0);
	refused_open(&refused);
	refused_ask(&refused);
	refused_close(&refused);
	monitor_next(request->fd, P2PMR_EVENT_REFUSE, &event);
	assert_int_equal(event.error, EACCES);
	close(request->fd);
}

static void watching(void **state)
{
	const struct faulted faulted = { .name = "watch",
					 .prepare = prepare_watch,
					 .call = call,
					 .check = check_watch };
	struct request request = { .number = P2PMR_IOC_WATCH };

	(void)state;
	faults_prepare();
	fail_each(&faulted, &request);
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
	for (size_t at = 0; at < SPAN; at += PAGE)
		assert_true(bar_mmap(BAR, bar.bytes + at, PAGE,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED,
				     SPAN - at) != MAP_FAILED);
	fail_export(bar.bytes, "export of pieces");
	memory_release(&bar);
}

static int call_parameter(void *argument)
{
	return try_write_file("/sys/module/p2pmr/parameters/allow", argument);
}

static void check_parameter(void *argument, int error)
{
	char now[PARAMETER_SIZE];

	if (error)
		assert_int_equal(call_parameter(argument), 0);
	assert_int_equal(module_set(CORE_MODULE, "allow", "", now), 0);
	assert_string_equal(now, argument);
}

static void parameter(void **state)
{
	const struct faulted faulted = { .name = "parameter allow",
					 .call = call_parameter,
					 .check = check_parameter };
	char address[32];

	(void)state;
	pci_address(BAR, address);
	faults_prepare();
	fail_each(&faulted, address);
}

static const struct test tests[] = {
	TEST_WITHIN(SECONDS, "faults/open", opening),
	TEST_WITHIN(SECONDS, "faults/query", asking_of_a_bar),
	TEST_WITHIN(SECONDS, "faults/query-with-lists", asking_with_lists),
	TEST_WITHIN(SECONDS, "faults/query-mixed", asking_of_pieces),
	TEST_WITHIN(SECONDS, "faults/list", listing),
	TEST_WITHIN(SECONDS, "faults/exporters", exporters),
	TEST_WITHIN(SECONDS, "faults/instances", instances),
	TEST_WITHIN(SECONDS, "faults/watch", watching),
	TEST_WITHIN(SECONDS, "faults/export", exporting),
	TEST_WITHIN(SECONDS, "faults/export-pieces", exporting_pieces),
	TEST_WITHIN(SECONDS, "faults/parameter", parameter),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
