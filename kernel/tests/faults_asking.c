// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Each request to /dev/p2pmr while the kernel runs out of memory at each place
 * where it can. A request says so; it does not answer something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "faulted_request.h"
#include "faulting.h"
#include "modules.h"
#include "monitor.h"
#include "reach.h"
#include "runner.h"
#include "system.h"

#define SECONDS 600

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

static void look_at_hello(struct request *request)
{
	assert_int_equal(request->argument.hello.version_max,
			 P2PMR_ABI_VERSION);
}

static void handshake(void **state)
{
	struct request request = request_of(P2PMR_IOC_HELLO);

	(void)state;
	request.fresh.hello = (struct p2pmr_ioc_hello){
		.size = sizeof(request.fresh.hello),
		.version = P2PMR_ABI_VERSION,
	};
	request.look = look_at_hello;
	fail_copies(&request, "hello");
}

static void look_at_counters(struct request *request)
{
	assert_true(request->argument.stats.count > 0);
	assert_string_equal(answer.stats[0].name, "registered");
}

static void counters(void **state)
{
	struct request request = request_of(P2PMR_IOC_STATS);

	(void)state;
	request.fresh.stats = (struct p2pmr_ioc_stats){
		.size = sizeof(request.fresh.stats),
		.stats = (uintptr_t)answer.stats,
		.stat_size = sizeof(answer.stats[0]),
		.capacity = ARRAY_SIZE(answer.stats),
	};
	request.look = look_at_counters;
	fail_copies(&request, "counters");
}

static void look_at_bar(struct request *request)
{
	assert_int_equal(request->argument.bar.reason, P2PMR_BAR_SERVED);
}

static void bar(void **state)
{
	struct request request = request_of(P2PMR_IOC_BAR);
	struct p2pmr_ioc_reach place;
	char address[32];

	(void)state;
	pci_address(BAR, address);
	place = reach_question(address, address);
	request.fresh.bar = (struct p2pmr_ioc_bar){
		.size = sizeof(request.fresh.bar),
		.domain = place.domain,
		.bus = place.bus,
		.devfn = place.devfn,
		.bar = 2,
	};
	request.look = look_at_bar;
	fail_copies(&request, "is a BAR served");
}

static void look_at_way(struct request *request)
{
	assert_int_equal(request->argument.reach.path, P2PMR_PATH_UNKNOWN_ROOT);
}

static void way(void **state)
{
	struct request request = request_of(P2PMR_IOC_REACH);
	char from[32], to[32];

	(void)state;
	pci_address(BAR, from);
	pci_address(BAR2, to);
	request.fresh.reach = reach_question(from, to);
	request.look = look_at_way;
	fail_copies(&request, "is memory in reach");
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
		assert_int_equal(call_request(request), 0);
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
					 .call = call_request,
					 .check = check_watch };
	struct request request = { .number = P2PMR_IOC_WATCH };

	(void)state;
	faults_prepare();
	fail_each(&faulted, &request);
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
	TEST_WITHIN(SECONDS, "faults/hello", handshake),
	TEST_WITHIN(SECONDS, "faults/counters", counters),
	TEST_WITHIN(SECONDS, "faults/bar", bar),
	TEST_WITHIN(SECONDS, "faults/reach", way),
	TEST_WITHIN(SECONDS, "faults/list", listing),
	TEST_WITHIN(SECONDS, "faults/exporters", exporters),
	TEST_WITHIN(SECONDS, "faults/instances", instances),
	TEST_WITHIN(SECONDS, "faults/watch", watching),
	TEST_WITHIN(SECONDS, "faults/parameter", parameter),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
