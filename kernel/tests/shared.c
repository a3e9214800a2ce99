// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Regions over the same pages of a BAR: the kernel maps the pages once, and the end
 * of one region leaves the others what they were.
 */
#include <stdlib.h>
#include <string.h>

#include "revoked.h"
#include "runner.h"
#include "system.h"

/* Kernel mappings of device memory that p2pmr has. */
static unsigned int windows(void)
{
	char *text = read_file("/proc/vmallocinfo");
	unsigned int count = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, "[p2pmr]") && strstr(line, "ioremap"))
			count++;
	free(text);
	return count;
}

/* The scene's region is another one for a moment. */
static void assert_reachable_by(struct scene *scene, const struct memory *bar)
{
	struct memory own = scene->bar;

	scene->bar = *bar;
	assert_reachable(scene);
	scene->bar = own;
}

static void map_again(const struct scene *scene, struct memory *bar)
{
	memory_map(bar, scene->kind, WINDOW);
	memory_register(bar, scene->pair.device.pd);
}

static void one_ends(void **state)
{
	struct memory second, third;
	unsigned int before = windows();
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	assert_int_equal(windows(), before + 1);
	map_again(&scene, &second);
	assert_int_equal(windows(), before + 1);

	mapping_unmapped(scene.bar.bytes);
	assert_revoked(&scene);
	assert_reachable_by(&scene, &second);
	map_again(&scene, &third);
	assert_int_equal(windows(), before + 1);
	memory_release(&second);
	assert_reachable_by(&scene, &third);
	memory_release(&third);
	assert_int_equal(windows(), before);

	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
}

/* Parts of one page, other pages, and another caching. */
static void what_is_shared(void **state)
{
	unsigned int before = windows();
	struct ibv_mr *first, *inside, *longer;
	struct memory bar, other;
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR2_WC);
	assert_int_equal(windows(), before + 1);
	memory_map(&bar, BAR, WINDOW);
	memory_map(&other, BAR, WINDOW);
	first = must_register(scene.pair.device.pd, bar.bytes + 8, 100,
			      ACCESS_ALL);
	assert_int_equal(windows(), before + 2);
	inside = must_register(scene.pair.device.pd, other.bytes + 700, 1,
			       ACCESS_ALL);
	assert_int_equal(windows(), before + 2);
	longer = must_register(scene.pair.device.pd, bar.bytes, PAGE + 1,
			       ACCESS_ALL);
	assert_int_equal(windows(), before + 3);
	assert_int_equal(ibv_dereg_mr(first), 0);
	assert_int_equal(windows(), before + 3);
	assert_int_equal(ibv_dereg_mr(inside), 0);
	assert_int_equal(windows(), before + 2);
	assert_int_equal(ibv_dereg_mr(longer), 0);
	memory_release(&bar);
	memory_release(&other);
	memory_release(&scene.bar);
	assert_int_equal(windows(), before);
	scene_close(&scene);
}

static const struct test tests[] = {
	TEST("verbs/same-pages-one-ends", one_ends),
	TEST("verbs/same-pages-mapped-once", what_is_shared),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
