// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * soft-RoCE refuses a step of a registration: the region is refused with an errno,
 * nothing is left of it, and the next one works. The steps are made to fail from
 * outside, since there is no way to make the driver do so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define MODULE "p2pmr_test_refuse"

/* A step, what it fails with, and what becomes of that. */
struct step {
	const char *function;
	int error;
	int expected;
	bool retried; /* where the driver says that the request was flushed */
};

static int attempt(struct scene *scene)
{
	scene->bar.mr = ibv_reg_mr(scene->pair.device.pd, scene->bar.bytes,
				   WINDOW, ACCESS_ALL);
	if (!scene->bar.mr)
		return errno;
	assert_reachable(scene);
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
	scene->bar.mr = NULL;
	return 0;
}

static void open_scene(struct scene *scene)
{
	scene_open(scene, BAR);
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
	scene->bar.mr = NULL;
	scene_empty_store(scene);
}

static void close_scene(struct scene *scene)
{
	assert_true(module_try_remove(MODULE));
	write_file(STORE_SIZE, "32");
	assert_int_equal(attempt(scene), 0);
	memory_release(&scene->bar);
	scene_close(scene);
}

/* How often a function is still to fail. */
static int left(int function)
{
	char *text = read_file("/sys/module/" MODULE "/parameters/times");
	int times[2] = { 0 };

	assert_true(sscanf(text, "%d,%d", &times[0], &times[1]) > function);
	free(text);
	return times[function];
}

static void step_fails(void **state)
{
	const struct step *step = *state;
	int references = module_references(VERBS_MODULE), error;
	struct scene scene;

	open_scene(&scene);
	for (int i = 0; i < 3; i++) {
		test_module_load(MODULE, "functions=%s errors=%d times=1",
				 step->function, step->error);
		error = attempt(&scene);
		if (error || !step->retried)
			assert_int_equal(error, step->expected);
		assert_int_equal(left(0), 0);
		assert_int_equal(ranges_of(getpid(), NULL), 0);
		expect_references(VERBS_MODULE, references);
		assert_int_equal(attempt(&scene), 0);
	}
	close_scene(&scene);
}

/*
 * The helper queue pair breaks, and there is no memory for another one. Whoever
 * registers next is told so, and who comes when there is some gets his region at once.
 */
static void no_helper(void **state)
{
	struct scene scene;
	int error;

	(void)state;
	open_scene(&scene);
	test_module_load(
		MODULE,
		"functions=rxe_reg_fast_mr,rxe_create_qp errors=%d,%d times=1,2",
		EINVAL, ENOMEM);
	error = attempt(&scene);
	/* If the driver calls the request flushed, for want of the other one. */
	if (error != ENOMEM)
		assert_int_equal(error, EIO);
	assert_int_equal(left(0), 0);
	assert_int_equal(left(1), 1);
	assert_int_equal(attempt(&scene), ENOMEM);
	assert_int_equal(left(1), 0);
	assert_int_equal(attempt(&scene), 0);
	close_scene(&scene);
}

static bool fails_soon(int function)
{
	for (unsigned int i = 0; i < 50 * slowness(); i++) {
		if (!left(function))
			return true;
		usleep(100 * 1000);
	}
	return false;
}

/*
 * The worker that fills the store up, a second after something was taken. Nobody
 * waits for it; what was made in vain is gone, and there is a next time.
 */
static void filling_fails(void **state)
{
	const struct step *step = *state;
	struct ibv_mr *mrs[2 * STORE], *first;
	struct scene scene;

	scene_open(&scene, BAR);
	first = scene.bar.mr;
	test_module_load(MODULE, "functions=%s errors=%d times=1",
			 step->function, step->error);
	mrs[0] = ibv_reg_mr(scene.pair.device.pd, scene.bar.bytes, PAGE,
			    ACCESS_ALL);
	/* On 6.1 the request is made by who takes from the store. */
	if (mrs[0])
		assert_int_equal(ibv_dereg_mr(mrs[0]), 0);
	else
		assert_int_equal(errno, step->expected);
	assert_true(fails_soon(0));
	for (int i = 0; i < 2 * STORE; i++) {
		mrs[i] = must_register(scene.pair.device.pd, scene.bar.bytes,
				       WINDOW, ACCESS_ALL);
		scene.bar.mr = mrs[i];
		assert_reachable(&scene);
	}
	scene.bar.mr = first;
	for (int i = 0; i < 2 * STORE; i++)
		assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
	assert_true(module_try_remove(MODULE));
	memory_release(&scene.bar);
	scene_close(&scene);
}

#define STEP(...) (&(const struct step){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("verbs/driver-makes-no-mr", step_fails,
		STEP("rxe_alloc_mr", ENOSPC, ENOSPC, false)),
	TEST_OF("verbs/driver-maps-no-pages", step_fails,
		STEP("rxe_map_mr_sg", ENOMEM, ENOMEM, false)),
	TEST_OF("verbs/driver-takes-no-request", step_fails,
		STEP("rxe_post_send", ENOMEM, ENOMEM, false)),
	TEST_OF("verbs/driver-fails-request", step_fails,
		STEP("rxe_reg_fast_mr", EINVAL, EIO, true)),
	TEST("verbs/driver-gives-no-helper", no_helper),
	TEST_OF("verbs/driver-makes-no-store", filling_fails,
		STEP("rxe_alloc_mr", ENOSPC, ENOSPC, false)),
	TEST_OF("verbs/driver-takes-no-chain", filling_fails,
		STEP("rxe_post_send", ENOMEM, ENOMEM, false)),
	TEST_OF("verbs/driver-fails-chain", filling_fails,
		STEP("rxe_reg_fast_mr", EINVAL, EIO, true)),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
