// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The extended request: what it asks for is kept, what it asks for wrongly is
 * refused, and the answer says what there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "modules.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"

#define WINDOW	   (8 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static struct device device;
static int references;
/* What most tests register. */
static uint8_t *host, *bar, *mixed;

static void set_up(void)
{
	device_open(&device);
	references = module_references(VERBS_MODULE);
}

static void tear_down(void)
{
	expect_references(VERBS_MODULE, references);
	device_close(&device);
}

static struct p2pmr_reg_mr_req request_of(uint32_t flags)
{
	return (struct p2pmr_reg_mr_req){
		.size = sizeof(struct p2pmr_reg_mr_req),
		.flags = flags,
	};
}

static int raw_attempt(void *address, const void *request, size_t size,
		       void *answer, size_t answer_size)
{
	struct raw_mr mr;
	int error = uverbs_register(device.pd, address, WINDOW, ACCESS_ALL,
				    request, size, answer, answer_size, &mr);

	if (!error)
		uverbs_deregister(&mr);
	return error;
}

static int attempt(void *address, const struct p2pmr_reg_mr_req *request,
		   struct p2pmr_reg_mr_resp *answer)
{
	return raw_attempt(address, request, sizeof(*request), answer,
			   sizeof(*answer));
}

static uint8_t *map(enum memory_kind kind)
{
	struct memory memory;

	memory_map(&memory, kind, WINDOW);
	return memory.bytes;
}

/* Host memory, a BAR, and half of a BAR over the second half of host memory. */
static void map_all(void)
{
	void *half;

	host = map(HOST);
	bar = map(BAR);
	mixed = map(HOST);
	half = bar_mmap(BAR, mixed + WINDOW / 2, WINDOW / 2, READ_WRITE,
			MAP_SHARED | MAP_FIXED, 0);
	assert_true(half != MAP_FAILED);
}

static void unmap_all(void)
{
	munmap(host, WINDOW);
	munmap(bar, WINDOW);
	munmap(mixed, WINDOW);
}

static void tells_what_there_is(void **state)
{
	struct p2pmr_reg_mr_req request = request_of(0);
	struct p2pmr_reg_mr_resp answer = { 0 };

	(void)state;
	set_up();
	map_all();

	assert_int_equal(attempt(bar, &request, &answer), 0);
	assert_int_equal(answer.size, sizeof(answer));
	assert_int_equal(answer.kind, P2PMR_MR_DEVICE);
	assert_int_equal(answer.segments, 1);
	assert_true(answer.page_size >= PAGE);

	assert_int_equal(attempt(mixed, &request, &answer), 0);
	assert_int_equal(answer.kind, P2PMR_MR_MIXED);
	assert_true(answer.segments >= 2);
	assert_int_equal(answer.page_size, PAGE);

	assert_int_equal(attempt(host, &request, &answer), 0);
	assert_int_equal(answer.size, sizeof(answer));
	assert_int_equal(answer.kind, P2PMR_MR_HOST);
	assert_int_equal(answer.segments, 0);
	assert_int_equal(answer.page_size, 0);

	unmap_all();
	tear_down();
}

static void requires_device(void **state)
{
	struct p2pmr_reg_mr_req request = request_of(P2PMR_REG_REQUIRE_DEVICE);
	struct p2pmr_reg_mr_resp answer;

	(void)state;
	set_up();
	map_all();
	assert_int_equal(attempt(host, &request, &answer), EMEDIUMTYPE);
	assert_int_equal(attempt(mixed, &request, &answer), EMEDIUMTYPE);
	assert_int_equal(attempt(bar, &request, &answer), 0);
	/* Nothing is not host memory. */
	assert_int_equal(munmap(host, PAGE), 0);
	assert_int_equal(attempt(host, &request, &answer), EFAULT);
	unmap_all();
	tear_down();
}

/* Without a driver's knowledge of it, nothing answers. */
static void not_looked_at_without_module(void **state)
{
	struct p2pmr_reg_mr_req request = request_of(P2PMR_REG_REQUIRE_DEVICE);
	struct p2pmr_reg_mr_resp answer = { 0 };

	(void)state;
	modules_unload();
	device_open(&device);
	host = map(HOST);
	assert_int_equal(attempt(host, &request, &answer), 0);
	assert_int_equal(answer.size, 0);
	munmap(host, WINDOW);
	device_close(&device);
	modules_load();
}

static void assert_malformed_refused(void *bytes)
{
	struct p2pmr_reg_mr_req request = request_of(0);
	struct p2pmr_reg_mr_resp answer;
	char longer[64], room[64];

	request.size = sizeof(request) - 4;
	assert_int_equal(attempt(bytes, &request, &answer), EINVAL);
	request.size = sizeof(request) + 4;
	assert_int_equal(attempt(bytes, &request, &answer), EINVAL);
	request = request_of(1u << 31);
	assert_int_equal(attempt(bytes, &request, &answer), EINVAL);
	request = request_of(0);
	request.reserved = 1;
	assert_int_equal(attempt(bytes, &request, &answer), EINVAL);
	request = request_of(0);
	request.eventfd = 1;
	assert_int_equal(attempt(bytes, &request, &answer), EINVAL);

	request = request_of(0);
	assert_int_equal(raw_attempt(bytes, &request, 4, room, 16), EINVAL);
	assert_int_equal(raw_attempt(bytes, &request, 12, room, 16), EINVAL);
	assert_int_equal(raw_attempt(bytes, &request, 16, room, 12), EINVAL);
	assert_int_equal(raw_attempt(bytes, &request, 16, room, 0), EINVAL);

	memset(longer, 0, sizeof(longer));
	request.size = sizeof(longer);
	memcpy(longer, &request, sizeof(request));
	assert_int_equal(raw_attempt(bytes, longer, sizeof(longer), room,
				     sizeof(room)),
			 0);
	longer[sizeof(longer) - 1] = 1;
	assert_int_equal(raw_attempt(bytes, longer, sizeof(longer), room,
				     sizeof(room)),
			 E2BIG);
}

static void refuses_malformed(void **state)
{
	(void)state;
	set_up();
	map_all();
	assert_malformed_refused(host);
	assert_malformed_refused(bar);
	unmap_all();
	tear_down();
}

static void refuses_other_descriptors(void **state)
{
	struct p2pmr_reg_mr_req request = request_of(P2PMR_REG_EVENTFD);
	struct p2pmr_reg_mr_resp answer;

	(void)state;
	set_up();
	bar = map(BAR);
	request.eventfd = -1;
	assert_int_equal(attempt(bar, &request, &answer), EBADF);
	request.eventfd = device.context->cmd_fd;
	assert_int_equal(attempt(bar, &request, &answer), EINVAL);
	munmap(bar, WINDOW);
	tear_down();
}

/* What has been added to the eventfd since the last look. */
static uint64_t signals(int event)
{
	uint64_t value = 0;

	if (read(event, &value, sizeof(value)) < 0)
		assert_int_equal(errno, EAGAIN);
	return value;
}

static struct raw_mr register_with_event(uint8_t *bytes, int event)
{
	struct p2pmr_reg_mr_req request = request_of(P2PMR_REG_EVENTFD);
	struct p2pmr_reg_mr_resp answer;
	struct raw_mr mr;

	request.eventfd = event;
	assert_int_equal(uverbs_register(device.pd, bytes, WINDOW, ACCESS_ALL,
					 &request, sizeof(request), &answer,
					 sizeof(answer), &mr),
			 0);
	return mr;
}

static int open_event(void)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(event >= 0);
	return event;
}

static void signals_revocation(void **state)
{
	struct raw_mr mr;
	int event;

	(void)state;
	set_up();
	bar = map(BAR);
	event = open_event();
	mr = register_with_event(bar, event);
	assert_int_equal(signals(event), 0);
	assert_int_equal(munmap(bar + PAGE, PAGE), 0);
	assert_int_equal(signals(event), 1);
	assert_int_equal(munmap(bar, WINDOW), 0);
	uverbs_deregister(&mr);
	assert_int_equal(signals(event), 0);
	close(event);
	tear_down();
}

static void silent_on_deregistration(void **state)
{
	struct raw_mr mr;
	int event;

	(void)state;
	set_up();
	bar = map(BAR);
	event = open_event();
	mr = register_with_event(bar, event);
	uverbs_deregister(&mr);
	assert_int_equal(munmap(bar, WINDOW), 0);
	assert_int_equal(signals(event), 0);
	close(event);
	tear_down();
}

/* The kernel's reference is enough. */
static void event_outlives_its_descriptor(void **state)
{
	int event, other;
	struct raw_mr mr;

	(void)state;
	set_up();
	bar = map(BAR);
	event = open_event();
	other = dup(event);
	mr = register_with_event(bar, event);
	close(event);
	assert_int_equal(munmap(bar, WINDOW), 0);
	assert_int_equal(signals(other), 1);
	uverbs_deregister(&mr);
	close(other);
	tear_down();
}

static void request_survives_rereg(void **state)
{
	struct keys keys;
	struct raw_mr mr;
	int error, event;

	(void)state;
	set_up();
	bar = map(BAR);
	event = open_event();
	mr = register_with_event(bar, event);
	error = uverbs_reregister(device.context, mr.handle,
				  IBV_REREG_MR_CHANGE_ACCESS, device.pd, bar,
				  WINDOW, IBV_ACCESS_REMOTE_READ, &keys);
	assert_int_equal(signals(event), 0);
	assert_int_equal(munmap(bar, WINDOW), 0);
	assert_int_equal(signals(event), 1);
	uverbs_deregister(&mr);
	close(event);
	tear_down();
	if (error == EOPNOTSUPP)
		skip_test("this kernel's rdma_rxe has no re-registration");
	assert_int_equal(error, 0);
}

#define REGISTERS_SIZE 256

static int attempt_registers(const char *parameter, uint32_t flags)
{
	struct p2pmr_reg_mr_req request = request_of(flags);
	struct p2pmr_reg_mr_resp answer;
	char path[PATH_SIZE];
	struct raw_mr mr;
	void *bytes;
	int fd, error;

	assert_int_equal(
		module_set(CORE_MODULE, "allow_registers", parameter, NULL), 0);
	pci_file(BAR, "resource0", path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	close(fd);
	error = uverbs_register(device.pd, bytes, REGISTERS_SIZE, ACCESS_ALL,
				&request, sizeof(request), &answer,
				sizeof(answer), &mr);
	if (!error)
		uverbs_deregister(&mr);
	munmap(bytes, PAGE);
	return error;
}

static void registers_by_request(void **state)
{
	const uint32_t asks = P2PMR_REG_REGISTER_BAR;

	(void)state;
	set_up();
	assert_int_equal(attempt_registers("N", 0), EPERM);
	assert_int_equal(attempt_registers("N", asks), EPERM);
	assert_int_equal(attempt_registers("request", 0), EPERM);
	assert_int_equal(attempt_registers("request", asks), 0);
	assert_int_equal(attempt_registers("Y", 0), 0);
	assert_int_equal(attempt_registers("Y", asks), 0);
	assert_int_equal(module_set(CORE_MODULE, "allow_registers", "perhaps",
				    NULL),
			 EINVAL);
	assert_int_equal(attempt_registers("N", asks), EPERM);
	tear_down();
}

static const struct test tests[] = {
	TEST("request/tells-what-there-is", tells_what_there_is),
	TEST("request/requires-device", requires_device),
	TEST("request/not-looked-at-without-module",
	     not_looked_at_without_module),
	TEST("request/refuses-malformed", refuses_malformed),
	TEST("request/refuses-other-descriptors", refuses_other_descriptors),
	TEST("request/signals-revocation", signals_revocation),
	TEST("request/silent-on-deregistration", silent_on_deregistration),
	TEST("request/event-outlives-its-descriptor",
	     event_outlives_its_descriptor),
	TEST("request/survives-rereg", request_survives_rereg),
	TEST("request/registers-by-request", registers_by_request),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
