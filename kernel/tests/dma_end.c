// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What ends a range that a DMA engine reaches: afterwards the IOMMU stops the
 * engine, even if its driver does not, and no byte of the BAR changes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "child.h"
#include "engine.h"
#include "host.h"
#include "system.h"

#define WINDOW	   (8 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

struct scene {
	struct memory bar;
	int fd;
	uint8_t before[WINDOW];
};

/* A range in use: the device has written into the BAR through it. */
static void scene_open(struct scene *scene, enum memory_kind kind)
{
	static uint8_t data[EDU_BUFFER];

	memory_map(&scene->bar, kind, WINDOW);
	scene->fd = engine_open();
	engine_map(scene->fd, scene->bar.bytes, WINDOW);
	pattern_fill(data, sizeof(data), 31);
	engine_fill(data, sizeof(data));
	pattern_fill(scene->before, WINDOW, 32);
	host_write(bar_index(kind), 0, scene->before, WINDOW);
	engine_move(scene->fd, EDU_STORE, 3, 1000);
	memcpy(scene->before + 3, data, 1000);
}

static void assert_unchanged(const struct scene *scene)
{
	static uint8_t seen[WINDOW];

	host_read(bar_index(scene->bar.kind), 0, seen, WINDOW);
	assert_bytes(seen, scene->before, WINDOW, "file behind the BAR");
}

/* Neither the importer nor, in its place, the IOMMU lets the engine in. */
static void assert_over(const struct scene *scene)
{
	assert_int_equal(engine_try_move(scene->fd, EDU_STORE, 0, 1), ESTALE);
	assert_stopped(scene->fd, EDU_STORE, PAGE + 7, EDU_BUFFER);
	assert_unchanged(scene);
}

/* How a range ends, and how the machine becomes again what it was. */
struct ending {
	void (*begin)(void);
	void (*end)(struct scene *scene);
	void (*restore)(void);
};

static void by_munmap(struct scene *scene)
{
	assert_int_equal(munmap(scene->bar.bytes, WINDOW), 0);
}

static void by_munmap_of_a_page(struct scene *scene)
{
	assert_int_equal(munmap(scene->bar.bytes + 5 * PAGE, PAGE), 0);
}

static void by_mprotect(struct scene *scene)
{
	assert_int_equal(mprotect(scene->bar.bytes, WINDOW, PROT_READ), 0);
}

static void by_unbind(struct scene *scene)
{
	(void)scene;
	first_unbind();
}

static void by_remove(struct scene *scene)
{
	(void)scene;
	first_remove();
}

static void by_unplug(struct scene *scene)
{
	(void)scene;
	first_unplug();
}

static void ends(void **state)
{
	const struct ending *ending = *state;
	struct scene scene;

	engine_load();
	if (ending->begin)
		ending->begin();
	scene_open(&scene, BAR);
	ending->end(&scene);
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_over(&scene);
	close(scene.fd);
	munmap(scene.bar.bytes, WINDOW);
	if (ending->restore)
		ending->restore();
	engine_unload();
}

/* The file outlives the process whose addresses they were. */
static void open_in_child(int socket, void *argument)
{
	struct scene *scene = argument;

	memory_map(&scene->bar, BAR, WINDOW);
	engine_map(scene->fd, scene->bar.bytes, WINDOW);
	send_message(socket, "", 1);
	pause();
}

static void owner_is_killed(void **state)
{
	struct scene scene = { .bar.kind = BAR };
	struct child child;
	char byte;

	(void)state;
	engine_load();
	scene.fd = engine_open();
	pattern_fill(scene.before, WINDOW, 33);
	host_write(bar_index(BAR), 0, scene.before, WINDOW);
	child_start(&child, open_in_child, &scene);
	receive_message(child.socket, &byte, 1);
	child_kill(&child);
	assert_over(&scene);
	close(scene.fd);
	engine_unload();
}

/* Both ways are closed, and the addresses are free for the next range. */
static void unmap(void **state)
{
	struct edu_segment first, last;
	struct scene scene;

	(void)state;
	engine_load();
	scene_open(&scene, BAR);
	assert_true(engine_segment(scene.fd, 0, &first));
	engine_unmap(scene.fd);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_over(&scene);
	assert_stopped(scene.fd, EDU_LOAD, 2 * PAGE, 1);

	memory_release(&scene.bar);
	/* Too long for the caches of freed addresses, which have their own mind. */
	memory_map(&scene.bar, BAR, 1 << 20);
	for (int i = 0; i < 200; i++) {
		engine_map(scene.fd, scene.bar.bytes, scene.bar.size);
		assert_true(engine_segment(scene.fd, 0, &last));
		if (!i)
			first = last;
		assert_int_equal(last.dma, first.dma);
		engine_unmap(scene.fd);
	}
	close(scene.fd);
	memory_release(&scene.bar);
	engine_unload();
}

/* The importer's driver leaves the device while its ranges are in use. */
static void engine_goes(void **state)
{
	struct scene scene;

	(void)state;
	engine_load();
	scene_open(&scene, BAR);
	engine_unbind();
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_int_equal(engine_try_move(scene.fd, EDU_STORE, 0, 1), ENODEV);
	assert_int_equal(engine_try_map(scene.fd, scene.bar.bytes, WINDOW, true,
					EDU_BOTH_WAYS),
			 ENODEV);
	engine_bind();
	assert_over(&scene);
	engine_map(scene.fd, scene.bar.bytes, WINDOW);
	engine_move(scene.fd, EDU_STORE, 0, 1);
	close(scene.fd);
	memory_release(&scene.bar);
	engine_unload();
}

/* Stores until the range is over. */
static void *keep_storing(void *argument)
{
	const int *fd = argument;
	int error;

	do
		error = engine_try_move(*fd, EDU_STORE, 0, EDU_BUFFER);
	while (!error);
	return error == ESTALE ? argument : NULL;
}

/*
 * munmap() comes while the engine runs. When it has returned the engine stands
 * still: what is put into the BAR then stays. A fault would mean that the range
 * went while it was in use.
 */
static void munmap_waits(void **state)
{
	struct scene scene;
	pthread_t thread;
	void *satisfied;

	(void)state;
	engine_load();
	scene_open(&scene, BAR);
	for (int i = 0; i < 5; i++) {
		if (i) {
			memory_map(&scene.bar, BAR, WINDOW);
			engine_unmap(scene.fd);
			engine_map(scene.fd, scene.bar.bytes, WINDOW);
		}
		assert_int_equal(pthread_create(&thread, NULL, keep_storing,
						&scene.fd),
				 0);
		usleep(30 * 1000 * (i + 1));
		assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
		host_write(bar_index(BAR), 0, scene.before, WINDOW);
		usleep(200 * 1000);
		assert_unchanged(&scene);
		assert_int_equal(pthread_join(thread, &satisfied), 0);
		assert_non_null(satisfied);
	}
	close(scene.fd);
	engine_unload();
}

#define ENDING(...) (&(const struct ending){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("dma/stopped-after-munmap", ends, ENDING(.end = by_munmap)),
	TEST_OF("dma/stopped-after-munmap-of-a-page", ends,
		ENDING(.end = by_munmap_of_a_page)),
	TEST_OF("dma/stopped-after-mprotect", ends, ENDING(.end = by_mprotect)),
	TEST_OF("dma/stopped-after-unbind", ends,
		ENDING(.begin = bars_by_driver, .end = by_unbind)),
	TEST_OF("dma/stopped-after-remove", ends,
		ENDING(.end = by_remove, .restore = first_rescan)),
	TEST_OF("dma/stopped-after-unplug", ends,
		ENDING(.end = by_unplug, .restore = first_plug)),
	TEST("dma/stopped-after-owner-is-killed", owner_is_killed),
	TEST("dma/stopped-after-unmap", unmap),
	TEST("dma/engine-unbound", engine_goes),
	TEST("dma/munmap-waits-for-the-engine", munmap_waits),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
