// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Every refusal that docs/kernel.md lists says why, in the words that are promised
 * there. Looked up in the trace, which no rate limits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "endpoint.h"
#include "exporting.h"
#include "modules.h"
#include "remapping.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"
#include "watch.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define MAPPINGS   1025
#define TOO_LONG   (2ul << 40)

static void *map_window(void)
{
	return bar_mmap(BAR, NULL, 2 * PAGE, READ_WRITE, MAP_SHARED, 0);
}

static void *map_with_hole(void)
{
	uint8_t *bytes = map_window();

	munmap(bytes + PAGE, PAGE);
	return bytes;
}

static void *map_private(void)
{
	return bar_mmap(BAR, NULL, 2 * PAGE, READ_WRITE, MAP_PRIVATE, 0);
}

static void *map_read_only(void)
{
	return bar_mmap(BAR, NULL, 2 * PAGE, PROT_READ, MAP_SHARED, 0);
}

static void *map_before_nothing_to_pin(void)
{
	uint8_t *bytes = map_window();

	assert_true(mmap(bytes + PAGE, PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) != MAP_FAILED);
	return bytes;
}

static void *map_mixed(void)
{
	uint8_t *bytes = map_window();

	assert_true(mmap(bytes + PAGE, PAGE, READ_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) != MAP_FAILED);
	return bytes;
}

static void *map_two(void)
{
	uint8_t *bytes = map_window();

	assert_true(bar_mmap(BAR, bytes + PAGE, PAGE, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
	return bytes;
}

static void *map_registers(void)
{
	return registers_map();
}

static void *map_many(void)
{
	uint8_t *bytes = mmap(NULL, MAPPINGS * PAGE, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(bytes != MAP_FAILED);
	for (int i = 0; i < MAPPINGS; i++)
		assert_true(bar_mmap(BAR, bytes + i * PAGE, PAGE, READ_WRITE,
				     MAP_SHARED | MAP_FIXED, 0) != MAP_FAILED);
	return bytes;
}

static void *map_first_missing(void)
{
	uint64_t pages[] = { REMAP_NO_ENTRY, physical_address(BAR) };

	return remap_map(pages, 2);
}

static void *map_stubborn(void)
{
	uint64_t pages[] = { physical_address(BAR),
			     physical_address(BAR) + PAGE + REMAP_READ_ONLY };

	return remap_map(pages, 2);
}

static void *map_ram(void)
{
	static const uint64_t pages[] = { REMAP_RAM, REMAP_RAM };

	return remap_map(pages, 2);
}

static void *map_past_the_end(void)
{
	uint64_t last = physical_address(BAR) + bar_size(BAR) - PAGE;
	uint64_t pages[] = { last, last + PAGE };

	return remap_map(pages, 2);
}

static void *map_without_frames(void)
{
	static const uint64_t pages[] = { REMAP_NO_ENTRY, REMAP_NO_ENTRY };

	return remap_map(pages, 2);
}

static void *map_changing(void)
{
	exporter_do("answer %d 0\n", -EAGAIN);
	return exporter_map(0);
}

#define WHY(text_, error_, map_, length_, ...)                     \
	{                                                          \
		.text = (text_), .error = (error_), .map = (map_), \
		.length = (length_), __VA_ARGS__                   \
	}

static const struct reason {
	const char *text;
	int error;
	void *(*map)(void); /* two pages at least */
	size_t length;
	int access; /* beside all that are usual */
	const char *parameter, *value;
	bool nobody;	/* who may not pin anything */
	uint32_t flags; /* of an extended request, if not 0 */
} reasons[] = {
	WHY("nothing is mapped at offset 0x1000", EFAULT, map_with_hole,
	    2 * PAGE),
	WHY("cannot be faulted in", EFAULT, map_first_missing, 2 * PAGE),
	WHY("cannot be pinned", EFAULT, map_before_nothing_to_pin, 2 * PAGE),
	WHY("mapping's protection", EACCES, map_read_only, PAGE),
	WHY("page 0x1 of the mapping is not writable", EACCES, map_stubborn,
	    2 * PAGE),
	WHY("mapping is private", EINVAL, map_private, PAGE),
	WHY("range is empty", EINVAL, map_window, 0,
	    .flags = P2PMR_REG_REQUIRE_DEVICE),
	WHY("parameter builtin_exporter", EPERM, map_window, PAGE,
	    .parameter = "builtin_exporter", .value = "N"),
	WHY("parameters allow and deny", EPERM, map_window, PAGE,
	    .parameter = "deny", .value = "1af4:1110"),
	WHY("parameter allow_registers", EPERM, map_registers, 256),
	WHY("not a memory BAR", ENXIO, map_ram, PAGE),
	WHY("beyond BAR", ENXIO, map_past_the_end, 2 * PAGE),
	WHY("page frame numbers", ENXIO, map_without_frames, PAGE),
	WHY("are not supported", EOPNOTSUPP, map_window, PAGE,
	    .access = IBV_ACCESS_MW_BIND),
	WHY("user 65534 is at its limit", EDQUOT, map_two, 2 * PAGE,
	    .parameter = "user_max_ranges", .value = "1", .nobody = true),
	WHY("ends at", EFBIG, map_window, TOO_LONG),
	WHY("has more than 1024 mappings", E2BIG, map_many, MAPPINGS *PAGE),
	WHY("host memory at offset 0x1000, where device memory is required",
	    EMEDIUMTYPE, map_mixed, 2 * PAGE,
	    .flags = P2PMR_REG_REQUIRE_DEVICE),
	WHY("malformed extended request", EINVAL, map_window, PAGE,
	    .flags = 1u << 31),
	WHY("mappings changed", EAGAIN, map_changing, PAGE),
	WHY("RLIMIT_MEMLOCK", ENOMEM, map_mixed, 2 * PAGE, .nobody = true),
};

static int extended_error(struct ibv_pd *pd, void *bytes,
			  const struct reason *reason)
{
	struct p2pmr_reg_mr_req request = { .size = sizeof(request),
					    .flags = reason->flags };
	struct p2pmr_reg_mr_resp answer;
	struct raw_mr mr;
	int error =
		uverbs_register(pd, bytes, reason->length, ACCESS_ALL, &request,
				sizeof(request), &answer, sizeof(answer), &mr);

	if (!error)
		uverbs_deregister(&mr);
	return error;
}

static int registration_error(struct ibv_pd *pd, void *bytes,
			      const struct reason *reason)
{
	struct ibv_mr *mr;

	if (reason->flags)
		return extended_error(pd, bytes, reason);
	mr = ibv_reg_mr(pd, bytes, reason->length, ACCESS_ALL | reason->access);
	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

static void register_here(int socket, void *argument)
{
	const struct rlimit nothing = { 0, 0 };
	const struct reason *reason = argument;
	struct device device;
	void *bytes;
	int error;

	device_open(&device);
	bytes = reason->map();
	assert_true(bytes != MAP_FAILED);
	if (reason->nobody) {
		assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &nothing), 0);
		become(NOBODY);
	}
	error = registration_error(device.pd, bytes, reason);
	send_message(socket, &error, sizeof(error));
}

/* In a process of its own, whose end undoes what has been made for it. */
static int provoke(const struct reason *reason)
{
	char before[PARAMETER_SIZE];
	struct child child;
	int error;

	if (reason->parameter)
		assert_int_equal(module_set(CORE_MODULE, reason->parameter,
					    reason->value, before),
				 0);
	child_start(&child, register_here, (void *)reason);
	receive_message(child.socket, &error, sizeof(error));
	child_finish(&child);
	if (reason->parameter)
		assert_int_equal(module_set(CORE_MODULE, reason->parameter,
					    before, NULL),
				 0);
	return error;
}

static void each_refusal_says_why(void **state)
{
	int errors[ARRAY_SIZE(reasons)];
	char said[REASON_SIZE], *text;

	(void)state;
	remap_load(0);
	exporter_load("");
	trace_start();
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		errors[i] = provoke(&reasons[i]);
	text = trace_end();
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		refusal_reason(text, i, said);
		print_message("%s: %d, %s\n", reasons[i].text, errors[i], said);
		assert_int_equal(errors[i], reasons[i].error);
		assert_non_null(strstr(said, reasons[i].text));
	}
	/* Once each. */
	assert_int_equal(count_in(text, "p2pmr_refuse: "), ARRAY_SIZE(reasons));
	free(text);
	exporter_unload();
	remap_unload();
}

static const struct test tests[] = {
	TEST("seen/each-refusal-says-why", each_refusal_says_why),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
