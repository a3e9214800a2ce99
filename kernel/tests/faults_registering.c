// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Registering, changing and deregistering regions while the kernel runs out of
 * memory at each place where it can: an errno, nothing left behind, and the next
 * try moves bytes.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exporting.h"
#include "faulting.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "uverbs.h"

#define SECONDS 600

/* What is registered, and by whom. */
struct subject {
	struct scene scene; /* scene.bar.bytes, scene.bar.mr */
	int event;
	struct raw_mr raw;
	struct ibv_mr keys; /* of raw, for those who look for a struct */
	struct keys changed;
};

/* With a region over the bytes so that all is tried once; then without. */
static void open_over(struct subject *subject, enum memory_kind kind,
		      void *bytes)
{
	memset(subject, 0, sizeof(*subject));
	faults_prepare();
	scene_open_over(&subject->scene, kind, bytes);
	assert_reachable(&subject->scene);
	assert_int_equal(ibv_dereg_mr(subject->scene.bar.mr), 0);
	subject->scene.bar.mr = NULL;
	scene_empty_store(&subject->scene);
}

static void close_subject(struct subject *subject)
{
	memory_release(&subject->scene.bar);
	scene_close(&subject->scene);
}

static void *map_bar(enum memory_kind kind)
{
	struct memory bar;

	memory_map(&bar, kind, WINDOW);
	return bar.bytes;
}

/*
 * Host memory, and every second page of it covered by one of a BAR, backwards, so
 * that no two pieces grow together: more than fit into what is there for the usual
 * range.
 */
static void *map_mixed(void)
{
	struct memory memory;

	memory_map(&memory, HOST, WINDOW);
	for (size_t at = 0; at < WINDOW; at += 2 * PAGE)
		assert_ptr_equal(bar_mmap(BAR, memory.bytes + at, PAGE,
					  PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_FIXED,
					  WINDOW - PAGE - at),
				 memory.bytes + at);
	return memory.bytes;
}

static int call_register(void *argument)
{
	struct subject *s = argument;

	s->scene.bar.mr = ibv_reg_mr(s->scene.pair.device.pd,
				     s->scene.bar.bytes, WINDOW, ACCESS_ALL);
	return s->scene.bar.mr ? 0 : errno;
}

static void must(int error)
{
	assert_int_equal(error, 0);
}

static void end_region(struct subject *s)
{
	assert_reachable(&s->scene);
	must(ibv_dereg_mr(s->scene.bar.mr));
	s->scene.bar.mr = NULL;
}

static void check_registered(void *argument, int error)
{
	if (error)
		must(call_register(argument));
	end_region(argument);
}

static const struct faulted registering = {
	.call = call_register,
	.check = check_registered,
};

static void fail_registering(struct subject *subject, const char *name)
{
	struct faulted faulted = registering;

	faulted.name = name;
	fail_each(&faulted, subject);
	close_subject(subject);
}

static void plain_region(void **state)
{
	struct subject subject;

	(void)state;
	open_over(&subject, BAR, map_bar(BAR));
	fail_registering(&subject, "register a BAR");
}

static void write_combining_region(void **state)
{
	struct subject subject;

	(void)state;
	open_over(&subject, BAR_WC, map_bar(BAR_WC));
	fail_registering(&subject, "register a BAR, write-combining");
}

static void mixed_region(void **state)
{
	struct subject subject;

	(void)state;
	open_over(&subject, BAR, map_mixed());
	fail_registering(&subject, "register BAR and host memory");
}

/* By the driver's own way, past the hook. */
static void host_region(void **state)
{
	struct subject subject;

	(void)state;
	open_over(&subject, HOST, map_bar(HOST));
	fail_registering(&subject, "register host memory");
}

static void exporters_region(void **state)
{
	struct subject subject;

	(void)state;
	exporter_load("");
	open_over(&subject, BAR, exporter_map(0));
	fail_registering(&subject, "register an exporter's memory");
	exporter_unload();
}

static int call_extended(void *argument)
{
	struct subject *s = argument;
	struct p2pmr_reg_mr_req request = {
		.size = sizeof(request),
		.flags = P2PMR_REG_EVENTFD | P2PMR_REG_REQUIRE_DEVICE,
		.eventfd = s->event,
	};
	struct p2pmr_reg_mr_resp answer;

	return uverbs_register(s->scene.pair.device.pd, s->scene.bar.bytes,
			       WINDOW, ACCESS_ALL, &request, sizeof(request),
			       &answer, sizeof(answer), &s->raw);
}

static void show_keys(struct subject *s, uint32_t lkey, uint32_t rkey)
{
	s->keys = (struct ibv_mr){ .lkey = lkey, .rkey = rkey };
	s->scene.bar.mr = &s->keys;
}

static void check_extended(void *argument, int error)
{
	struct subject *s = argument;

	if (error)
		must(call_extended(s));
	show_keys(s, s->raw.lkey, s->raw.rkey);
	assert_reachable(&s->scene);
	uverbs_deregister(&s->raw);
	s->scene.bar.mr = NULL;
}

static void extended_region(void **state)
{
	const struct faulted faulted = { .name = "extended registration",
					 .call = call_extended,
					 .check = check_extended };
	struct subject subject;

	(void)state;
	open_over(&subject, BAR, map_bar(BAR));
	subject.event = eventfd(0, EFD_CLOEXEC);
	assert_true(subject.event >= 0);
	fail_each(&faulted, &subject);
	close(subject.event);
	close_subject(&subject);
}

static void prepare_extended(void *argument)
{
	must(call_extended(argument));
}

static int call_rereg(void *argument)
{
	struct subject *s = argument;

	return uverbs_reregister(s->raw.context, s->raw.handle,
				 IBV_REREG_MR_CHANGE_ACCESS |
					 IBV_REREG_MR_CHANGE_TRANSLATION,
				 s->scene.pair.device.pd, s->scene.bar.bytes,
				 WINDOW, ACCESS_ALL, &s->changed);
}

/* After a failure the region is what it was. */
static void check_rereg(void *argument, int error)
{
	struct subject *s = argument;

	if (error) {
		show_keys(s, s->raw.lkey, s->raw.rkey);
		assert_reachable(&s->scene);
		must(call_rereg(s));
	}
	show_keys(s, s->changed.lkey, s->changed.rkey);
	assert_reachable(&s->scene);
	uverbs_deregister(&s->raw);
	s->scene.bar.mr = NULL;
}

static void changed_region(void **state)
{
	const struct faulted faulted = { .name = "rereg",
					 .prepare = prepare_extended,
					 .call = call_rereg,
					 .check = check_rereg,
					 .commits_first = true };
	struct subject subject;

	(void)state;
	open_over(&subject, BAR, map_bar(BAR));
	subject.event = eventfd(0, EFD_CLOEXEC);
	fail_each(&faulted, &subject);
	close(subject.event);
	close_subject(&subject);
}

static void prepare_region(void *argument)
{
	must(call_register(argument));
}

static int call_dereg(void *argument)
{
	struct subject *s = argument;

	return ibv_dereg_mr(s->scene.bar.mr);
}

/* A region that stays works, and goes when memory is back. */
static void check_dereg(void *argument, int error)
{
	struct subject *s = argument;

	if (error)
		end_region(s);
	s->scene.bar.mr = NULL;
	check_registered(s, ENOMEM);
}

static void fail_dereg(enum memory_kind kind, void *bytes, const char *name)
{
	const struct faulted faulted = { .name = name,
					 .prepare = prepare_region,
					 .call = call_dereg,
					 .check = check_dereg,
					 .allocates_nothing = true };
	struct subject subject;

	open_over(&subject, kind, bytes);
	fail_each(&faulted, &subject);
	close_subject(&subject);
}

static void deregistered_region(void **state)
{
	(void)state;
	fail_dereg(BAR, map_bar(BAR), "dereg");
}

static void deregistered_mixed_region(void **state)
{
	(void)state;
	fail_dereg(BAR, map_mixed(), "dereg of BAR and host memory");
}

static const struct test tests[] = {
	TEST_WITHIN(SECONDS, "faults/register", plain_region),
	TEST_WITHIN(SECONDS, "faults/register-write-combining",
		    write_combining_region),
	TEST_WITHIN(SECONDS, "faults/register-mixed", mixed_region),
	TEST_WITHIN(SECONDS, "faults/register-host", host_region),
	TEST_WITHIN(SECONDS, "faults/register-exporter", exporters_region),
	TEST_WITHIN(SECONDS, "faults/register-extended", extended_region),
	TEST_WITHIN(SECONDS, "faults/rereg", changed_region),
	TEST_WITHIN(SECONDS, "faults/dereg", deregistered_region),
	TEST_WITHIN(SECONDS, "faults/dereg-mixed", deregistered_mixed_region),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
