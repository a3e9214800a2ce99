// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * How /dev/p2pmr takes its arguments: their size, what must be zero, what
 * cannot be accessed, and the size of elements.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "runner.h"

#define BAD_ADDRESS 8ul

/* Room for the elements of the array of any request. */
static uint8_t array[16 * PAGE];

static void valid_hello(union request_argument *argument)
{
	argument->hello = (struct p2pmr_ioc_hello){
		.size = sizeof(argument->hello),
		.version = P2PMR_ABI_VERSION,
	};
}

/* About the argument itself: one segment, or more if it says otherwise. */
static void valid_query(union request_argument *argument)
{
	argument->query = (struct p2pmr_ioc_query){
		.size = sizeof(argument->query),
		.address = (uintptr_t)argument,
		.length = 1,
		.segments = (uintptr_t)array,
		.segment_size = sizeof(struct p2pmr_query_segment),
		.capacity = 4,
	};
}

static void valid_list(union request_argument *argument)
{
	argument->list = (struct p2pmr_ioc_list){
		.size = sizeof(argument->list),
		.ranges = (uintptr_t)array,
		.range_size = sizeof(struct p2pmr_list_range),
		.capacity = 4,
	};
}

static void valid_stats(union request_argument *argument)
{
	argument->stats = (struct p2pmr_ioc_stats){
		.size = sizeof(argument->stats),
		.stats = (uintptr_t)array,
		.stat_size = sizeof(struct p2pmr_stat),
		.capacity = 64,
	};
}

static void valid_watch(union request_argument *argument)
{
	argument->watch =
		(struct p2pmr_ioc_watch){ .size = sizeof(argument->watch),
					  .event_size =
						  sizeof(struct p2pmr_event) };
}

static void valid_exporters(union request_argument *argument)
{
	argument->exporters = (struct p2pmr_ioc_exporters){
		.size = sizeof(argument->exporters),
		.exporters = (uintptr_t)array,
		.exporter_size = sizeof(struct p2pmr_exporter_info),
		.capacity = 8
	};
}

static void valid_instances(union request_argument *argument)
{
	argument->instances = (struct p2pmr_ioc_instances){
		.size = sizeof(argument->instances),
		.instances = (uintptr_t)array,
		.instance_size = sizeof(struct p2pmr_instance_info),
		.capacity = 8
	};
}

/* The host bridge has no BAR, which is an answer. */
static void valid_bar(union request_argument *argument)
{
	argument->bar = (struct p2pmr_ioc_bar){ .size = sizeof(argument->bar) };
}

/* Nor does its DMA go beyond itself. */
static void valid_reach(union request_argument *argument)
{
	argument->reach =
		(struct p2pmr_ioc_reach){ .size = sizeof(argument->reach) };
}

#define ABSENT ((size_t)-1)
#define REQUEST(name_, NAME_)                                                \
	.name = #name_, .number = P2PMR_IOC_##NAME_, .valid = valid_##name_, \
	.size = sizeof(struct p2pmr_ioc_##name_),                            \
	.flags = offsetof(struct p2pmr_ioc_##name_, flags)
#define RESERVED(name_) .reserved = offsetof(struct p2pmr_ioc_##name_, reserved)
/* An element of version 1 ended with its member last_. */
#define ARRAY(name_, pointer_, element_size_, element_, last_)             \
	.pointer = offsetof(struct p2pmr_ioc_##name_, pointer_),           \
	.element_size = offsetof(struct p2pmr_ioc_##name_, element_size_), \
	.least = offsetof(struct element_, last_) +                        \
		 sizeof(((struct element_ *)0)->last_)

static const struct request {
	const char *name;
	unsigned long number;
	void (*valid)(union request_argument *argument);
	size_t size, flags, reserved;
	size_t pointer, element_size, least;
} requests[] = {
	{ REQUEST(hello, HELLO), RESERVED(hello), .pointer = ABSENT },
	{ REQUEST(query, QUERY), RESERVED(query),
	  ARRAY(query, segments, segment_size, p2pmr_query_segment, location) },
	{ REQUEST(list, LIST), RESERVED(list),
	  ARRAY(list, ranges, range_size, p2pmr_list_range, location) },
	{ REQUEST(stats, STATS), RESERVED(stats),
	  ARRAY(stats, stats, stat_size, p2pmr_stat, value) },
	{ REQUEST(watch, WATCH), .reserved = ABSENT, .pointer = ABSENT },
	{ REQUEST(exporters, EXPORTERS), RESERVED(exporters),
	  ARRAY(exporters, exporters, exporter_size, p2pmr_exporter_info,
		reserved) },
	{ REQUEST(instances, INSTANCES), RESERVED(instances),
	  ARRAY(instances, instances, instance_size, p2pmr_instance_info,
		ranges) },
	{ REQUEST(bar, BAR), .reserved = ABSENT, .pointer = ABSENT },
	{ REQUEST(reach, REACH), .reserved = ABSENT, .pointer = ABSENT },
};

/* With room behind it for what is to come. */
static union {
	union request_argument request;
	uint8_t bytes[2 * PAGE];
} argument;

/* A valid argument with one 32-bit member changed. */
static int error_with(int fd, const struct request *request, size_t offset,
		      uint32_t value)
{
	memset(&argument, 0, sizeof(argument));
	request->valid(&argument.request);
	memcpy(argument.bytes + offset, &value, sizeof(value));
	return chardev_error(fd, request->number, &argument);
}

/* Runs a check on each request, and that it is fine without any change. */
static void each(void (*check)(int fd, const struct request *request))
{
	int fd = chardev_ready();

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		const struct request *request = &requests[i];

		print_message("request %s\n", request->name);
		assert_int_equal(error_with(fd, request, 0, request->size), 0);
		check(fd, request);
	}
	close(fd);
}

static void check_flags(int fd, const struct request *request)
{
	for (int bit = 0; bit < 32; bit++) {
		uint32_t flag = 1u << bit;
		bool known = request->number == P2PMR_IOC_LIST &&
			     flag == P2PMR_LIST_ALL;

		assert_int_equal(error_with(fd, request, request->flags, flag),
				 known ? 0 : EINVAL);
	}
}

static void unknown_flags(void **state)
{
	(void)state;
	each(check_flags);
}

static void check_reserved(int fd, const struct request *request)
{
	if (request->reserved == ABSENT)
		return;
	assert_int_equal(error_with(fd, request, request->reserved, 1), EINVAL);
	assert_int_equal(error_with(fd, request, request->reserved, 1u << 31),
			 EINVAL);
}

static void reserved_not_zero(void **state)
{
	(void)state;
	each(check_reserved);
}

static void check_larger(int fd, const struct request *request)
{
	size_t larger[] = { request->size + 1, request->size + 8, PAGE };

	for (size_t i = 0; i < ARRAY_SIZE(larger); i++) {
		assert_int_equal(error_with(fd, request, 0, larger[i]), 0);
		/* What comes behind stays as it is. */
		for (size_t at = request->size; at < sizeof(argument); at++)
			assert_int_equal(argument.bytes[at], 0);
		assert_int_equal(argument.request.size, larger[i]);

		memset(&argument, 0, sizeof(argument));
		request->valid(&argument.request);
		argument.request.size = larger[i];
		argument.bytes[larger[i] - 1] = 1;
		assert_int_equal(chardev_error(fd, request->number, &argument),
				 E2BIG);
		/* Beyond what the caller calls its own nobody looks. */
		argument.request.size = larger[i] - 1;
		assert_int_equal(chardev_error(fd, request->number, &argument),
				 0);
	}
	assert_int_equal(error_with(fd, request, 0, PAGE + 1), E2BIG);
	assert_int_equal(error_with(fd, request, 0, UINT32_MAX), E2BIG);
}

static void larger_argument(void **state)
{
	(void)state;
	each(check_larger);
}

static void check_smaller(int fd, const struct request *request)
{
	for (size_t size = 0; size < request->size; size++)
		assert_int_equal(error_with(fd, request, 0, size), EINVAL);
}

/* Version 1 is the first, so that there is nothing smaller yet. */
static void smaller_argument(void **state)
{
	(void)state;
	each(check_smaller);
}

/* Two pages, the second of which is not there. */
static uint8_t *edge(void)
{
	uint8_t *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(munmap(pages + PAGE, PAGE), 0);
	return pages + PAGE;
}

static void check_bad_argument(int fd, const struct request *request)
{
	uint8_t *end = edge(), *page = end - PAGE;

	assert_int_equal(chardev_error(fd, request->number, NULL), EFAULT);
	assert_int_equal(chardev_error(fd, request->number,
				       (void *)BAD_ADDRESS),
			 EFAULT);
	assert_int_equal(chardev_error(fd, request->number,
				       (void *)(1ul << 63)),
			 EFAULT);
	memset(&argument, 0, sizeof(argument));
	request->valid(&argument.request);
	memcpy(end - request->size, &argument, request->size);
	assert_int_equal(
		chardev_error(fd, request->number, end - request->size), 0);
	/* Only the size is there, then all but the last byte. */
	memcpy(end - 4, &argument, 4);
	assert_int_equal(chardev_error(fd, request->number, end - 4), EFAULT);
	memcpy(end - request->size + 1, &argument, request->size - 1);
	assert_int_equal(chardev_error(fd, request->number,
				       end - request->size + 1),
			 EFAULT);
	/* The answer cannot be written. */
	memcpy(end - request->size, &argument, request->size);
	assert_int_equal(mprotect(page, PAGE, PROT_READ), 0);
	assert_int_equal(chardev_error(fd, request->number,
				       end - request->size),
			 EFAULT);
	assert_int_equal(munmap(page, PAGE), 0);
}

static void bad_argument(void **state)
{
	(void)state;
	each(check_bad_argument);
}

static int error_with_array(int fd, const struct request *request,
			    const void *address, uint32_t element_size)
{
	uint64_t pointer = (uintptr_t)address;

	memset(&argument, 0, sizeof(argument));
	request->valid(&argument.request);
	memcpy(argument.bytes + request->pointer, &pointer, sizeof(pointer));
	memcpy(argument.bytes + request->element_size, &element_size,
	       sizeof(element_size));
	return chardev_error(fd, request->number, &argument);
}

static void check_bad_array(int fd, const struct request *request)
{
	size_t least = request->least;
	uint8_t *end = edge(), *page = end - PAGE;

	/* A list needs something to write. */
	if (request->pointer == ABSENT || request->number == P2PMR_IOC_LIST)
		return;
	assert_int_equal(error_with_array(fd, request, NULL, least), EFAULT);
	assert_int_equal(error_with_array(fd, request, (void *)BAD_ADDRESS,
					  least),
			 EFAULT);
	assert_int_equal(error_with_array(fd, request, (void *)(1ul << 63),
					  least),
			 EFAULT);
	assert_int_equal(error_with_array(fd, request, end - least + 1, least),
			 EFAULT);
	/* What the kernel would clear counts too. */
	assert_int_equal(error_with_array(fd, request, end - least, least + 1),
			 EFAULT);
	assert_int_equal(mprotect(page, PAGE, PROT_READ), 0);
	assert_int_equal(error_with_array(fd, request, page, least), EFAULT);
	assert_int_equal(munmap(page, PAGE), 0);
}

static void bad_array(void **state)
{
	(void)state;
	each(check_bad_array);
}

static void check_element_size(int fd, const struct request *request)
{
	size_t least = request->least;

	if (request->pointer == ABSENT)
		return;
	for (size_t size = 0; size < least; size++)
		assert_int_equal(error_with_array(fd, request, array, size),
				 EINVAL);
	assert_int_equal(error_with_array(fd, request, array, least), 0);
	assert_int_equal(error_with_array(fd, request, array, PAGE + 1), E2BIG);
	assert_int_equal(error_with_array(fd, request, array, UINT32_MAX),
			 E2BIG);
}

static void element_size(void **state)
{
	(void)state;
	each(check_element_size);
}

/* Elements of a caller from the future: the same ones, further apart. */
static void larger_elements(void **state)
{
	const struct request *request = &requests[3];
	const size_t least = request->least, larger = least + 24;
	static uint8_t usual[sizeof(array)];
	int fd = chardev_ready();

	(void)state;
	assert_int_equal(request->number, P2PMR_IOC_STATS);
	assert_int_equal(error_with_array(fd, request, usual, least), 0);
	memset(array, 0xa5, sizeof(array));
	assert_int_equal(error_with_array(fd, request, array, larger), 0);
	assert_in_range(argument.request.stats.count, 2, 64);
	for (size_t i = 0; i < argument.request.stats.count; i++) {
		assert_memory_equal(array + i * larger, usual + i * least,
				    least);
		for (size_t at = least; at < larger; at++)
			assert_int_equal(array[i * larger + at], 0);
	}
	assert_int_equal(array[argument.request.stats.count * larger], 0xa5);
	close(fd);
}

static const struct test tests[] = {
	TEST("device/refused-unknown-flags", unknown_flags),
	TEST("device/refused-reserved-not-zero", reserved_not_zero),
	TEST("device/larger-argument", larger_argument),
	TEST("device/refused-smaller-argument", smaller_argument),
	TEST("device/refused-bad-argument-pointer", bad_argument),
	TEST("device/refused-bad-array-pointer", bad_array),
	TEST("device/refused-element-size", element_size),
	TEST("device/larger-elements", larger_elements),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
