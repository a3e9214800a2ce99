// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr_query() and its answers; and which version answers. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <infiniband/p2pmr.h>

#include "bar.h"
#include "chardev.h"
#include "modules.h"
#include "part.h"
#include "runner.h"

static struct p2pmr_answer *must_query(const void *address, size_t length)
{
	struct p2pmr_answer *answer = p2pmr_query(address, length);

	if (!answer)
		fail_msg("p2pmr_query: %s", strerror(errno));
	return answer;
}

static void query_bar(void **state)
{
	const struct p2pmr_query_segment *segment;
	struct p2pmr_answer *answer;
	struct memory bar;

	(void)state;
	memory_map(&bar, BAR, 4 * PAGE);
	answer = must_query(bar.bytes + 100, PAGE);
	assert_int_equal(p2pmr_answer_count(answer), 1);
	segment = p2pmr_answer_segment(answer, 0);
	assert_segment(segment, P2PMR_SEGMENT_DEVICE, PAGE, ALL_RIGHTS, 0, 0);
	assert_location(&segment->location, BAR, 100);
	assert_null(p2pmr_answer_segment(answer, 1));
	assert_null(p2pmr_answer_segment(answer, SIZE_MAX));
	assert_int_equal(p2pmr_answer_error(answer, 0), 0);
	assert_int_equal(p2pmr_answer_error(answer, 1), 0);
	p2pmr_answer_free(answer);
	p2pmr_answer_free(NULL);
	memory_release(&bar);
}

static void query_foretells_errors(void **state)
{
	struct p2pmr_answer *answer;
	uint8_t *bytes;

	(void)state;
	bytes = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	answer = must_query(bytes, PAGE);
	assert_int_equal(p2pmr_answer_error(answer, 0), 0);
	assert_int_equal(p2pmr_answer_error(answer, 1), -EACCES);
	p2pmr_answer_free(answer);
	assert_int_equal(munmap(bytes, PAGE), 0);
	answer = must_query(bytes, PAGE);
	assert_int_equal(p2pmr_answer_segment(answer, 0)->kind,
			 P2PMR_SEGMENT_HOLE);
	assert_int_equal(p2pmr_answer_error(answer, 0), -EFAULT);
	p2pmr_answer_free(answer);
}

/* Pages of host memory, of the BAR and of nothing, in turns. */
static void query_many_segments(void **state)
{
	static const size_t numbers[] = { 7, 8, 9, 100, 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		size_t n = numbers[i];
		uint8_t *bytes = mmap(NULL, (n + 1) * PAGE, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct p2pmr_answer *answer;

		for (size_t j = 0; j < n; j++)
			if (j % 3 == 0)
				assert_int_equal(munmap(bytes + j * PAGE, PAGE),
						 0);
			else if (j % 3 == 1)
				assert_ptr_equal(
					bar_mmap(BAR, bytes + j * PAGE, PAGE,
						 PROT_READ | PROT_WRITE,
						 MAP_SHARED | MAP_FIXED,
						 2 * j * PAGE),
					bytes + j * PAGE);
		answer = must_query(bytes, n * PAGE);
		assert_int_equal(p2pmr_answer_count(answer), n);
		for (size_t j = 0; j < n; j++) {
			const struct p2pmr_query_segment *s =
				p2pmr_answer_segment(answer, j);

			assert_int_equal(s->offset, j * PAGE);
			assert_int_equal(s->kind,
					 j % 3 == 0   ? P2PMR_SEGMENT_HOLE
					 : j % 3 == 1 ? P2PMR_SEGMENT_DEVICE
						      : P2PMR_SEGMENT_HOST);
			if (j % 3 == 1)
				assert_int_equal(s->location.bar_offset,
						 2 * j * PAGE);
		}
		p2pmr_answer_free(answer);
		assert_int_equal(munmap(bytes, (n + 1) * PAGE), 0);
	}
}

static void query_refused(void **state)
{
	(void)state;
	errno = 0;
	assert_null(p2pmr_query((void *)PAGE, 0));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(p2pmr_query((void *)-PAGE, 2 * PAGE));
	assert_int_equal(errno, EINVAL);
}

static void query_without_the_module(void **state)
{
	int here;

	(void)state;
	modules_unload();
	errno = 0;
	assert_null(p2pmr_query(&here, sizeof(here)));
	assert_int_equal(errno, ENOENT);
	modules_load();
	p2pmr_answer_free(must_query(&here, sizeof(here)));
}

static void versions(void **state)
{
	(void)state;
	assert_int_equal(p2pmr_version(), P2PMR_VERSION);
	assert_int_equal(P2PMR_VERSION, 0x000100);
	assert_string_equal(p2pmr_version_string(), "0.1.0");
}

static const struct test tests[] = {
	TEST(LIB_TEST("query-bar"), query_bar),
	TEST(LIB_TEST("query-foretells-errors"), query_foretells_errors),
	TEST(LIB_TEST("query-many-segments"), query_many_segments),
	TEST(LIB_TEST("query-refused"), query_refused),
	TEST(LIB_TEST("query-without-the-module"), query_without_the_module),
	TEST(LIB_TEST("versions"), versions),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
