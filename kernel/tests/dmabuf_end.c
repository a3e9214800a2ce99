// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What ends a dma-buf: afterwards no importer gets at the memory, the IOMMU
 * stops an engine whose driver would go on, and no byte of the BAR changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bound.h"
#include "chardev.h"
#include "engine.h"
#include "exported.h"
#include "host.h"
#include "modules.h"
#include "system.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define EXPORTER   "p2pmr_test_exporter"

struct scene {
	int dmabuf;
	int fd;
	uint8_t before[EXPORTED];
};

/* A buffer in use: the device has written into the BAR through it. */
static void scene_begin(struct scene *scene, int dmabuf, unsigned int mode)
{
	scene->dmabuf = dmabuf;
	scene->fd = engine_open();
	engine_attach(scene->fd, dmabuf, mode);
	assert_moves(scene->fd, BAR, 3, 1000);
	pattern_fill(scene->before, EXPORTED, 51);
	host_write(bar_index(BAR), 0, scene->before, EXPORTED);
}

static void scene_end(struct scene *scene)
{
	close(scene->fd);
	close(scene->dmabuf);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

static void assert_unchanged(const struct scene *scene)
{
	static uint8_t seen[EXPORTED];

	host_read(bar_index(BAR), 0, seen, EXPORTED);
	assert_bytes(seen, scene->before, EXPORTED, "file behind the BAR");
}

/*
 * The one who had it mapped gets it no more, the IOMMU does not let him either,
 * and nobody else gets it.
 */
static void assert_over(const struct scene *scene, int expected)
{
	int other = engine_open();

	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_int_equal(engine_try_move(scene->fd, EDU_STORE, 0, 1), expected);
	assert_stopped(scene->fd, EDU_STORE, PAGE + 7, EDU_BUFFER);
	assert_unchanged(scene);
	assert_int_equal(engine_try_attach(other, scene->dmabuf, EDU_DYNAMIC,
					   EDU_BOTH_WAYS),
			 ENODEV);
	close(other);
}

struct ending {
	void (*begin)(void);
	void (*end)(void);
	void (*restore)(void);
	unsigned int mode;
};

static void ends(void **state)
{
	const struct ending *ending = *state;
	struct scene scene;

	engine_load();
	pinned_are_allowed();
	if (ending->begin)
		ending->begin();
	scene_begin(&scene, export_bar(BAR), ending->mode);
	pinned_are_as_before();
	ending->end();
	assert_over(&scene, ending->mode == EDU_REVOCABLE ? ESTALE : ENODEV);
	if (ending->restore)
		ending->restore();
	scene_end(&scene);
	engine_unload();
}

/* Two pages of the exporter's, as a buffer; the mapping is gone. */
static int export_lasting(void)
{
	uint64_t first, last;
	void *bytes;
	int fd, dmabuf;

	physical_range(BAR, &first, &last);
	test_module_load(EXPORTER, "addr=%#lx size=%lu lasting=1", first,
			 last - first + 1);
	fd = must_open("/dev/" EXPORTER, O_RDWR);
	bytes = mmap(NULL, EXPORTED, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	close(fd);
	dmabuf = must_export(bytes, EXPORTED);
	assert_int_equal(munmap(bytes, EXPORTED), 0);
	return dmabuf;
}

static bool exporter_says(const char *text)
{
	char *all = read_file("/dev/" EXPORTER);
	bool said = strstr(all, text);

	free(all);
	return said;
}

/* One byte of it is enough. */
static void taken_back(void **state)
{
	struct scene scene;

	(void)state;
	engine_load();
	scene_begin(&scene, export_lasting(), EDU_DYNAMIC);
	assert_true(exporter_says("users=1 "));
	write_file("/dev/" EXPORTER, "take 40960 4096\n");
	engine_move(scene.fd, EDU_LOAD, 0, 1);
	write_file("/dev/" EXPORTER, "take 8191 1\n");
	assert_true(exporter_says("users=0 "));
	assert_over(&scene, ENODEV);
	scene_end(&scene);
	assert_true(module_try_remove(EXPORTER));
	engine_unload();
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* The exporter has its memory back only when the last importer has let go. */
static void waits_for_the_slow(void **state)
{
	struct scene scene;
	double start;

	(void)state;
	engine_load();
	scene_begin(&scene, export_lasting(), EDU_SLOW);
	start = now();
	write_file("/dev/" EXPORTER, "take 0 4096\n");
	assert_true(now() - start >= 0.9);
	assert_true(exporter_says("users=0 "));
	assert_over(&scene, ENODEV);
	scene_end(&scene);
	assert_true(module_try_remove(EXPORTER));
	engine_unload();
}

/* Who does not let go keeps the memory from the exporter, until he does. */
static void waits_for_the_stubborn(void **state)
{
	struct scene scene;

	(void)state;
	engine_load();
	pinned_are_allowed();
	scene_begin(&scene, export_lasting(), EDU_PINNED);
	pinned_are_as_before();
	assert_int_equal(try_write_file("/dev/" EXPORTER, "take 0 4096\n"),
			 EBUSY);
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_true(exporter_says("users=1 "));
	assert_false(module_try_remove(EXPORTER));
	close(scene.fd);
	assert_true(exporter_says("users=1 "));
	close(scene.dmabuf);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_true(exporter_says("users=0 "));
	assert_true(module_try_remove(EXPORTER));
	engine_unload();
}

/* The importer's driver leaves its device; the buffer stays for others. */
static void engine_goes(void **state)
{
	struct scene scene;

	(void)state;
	engine_load();
	scene_begin(&scene, export_bar(BAR), EDU_DYNAMIC);
	engine_unbind();
	assert_int_equal(engine_try_move(scene.fd, EDU_STORE, 0, 1), ENODEV);
	engine_bind();
	assert_stopped(scene.fd, EDU_STORE, PAGE + 7, EDU_BUFFER);
	assert_unchanged(&scene);
	engine_attach(scene.fd, scene.dmabuf, EDU_DYNAMIC);
	assert_moves(scene.fd, BAR, 77, 100);
	scene_end(&scene);
	engine_unload();
}

/* Stores until the buffer is over. */
static void *keep_storing(void *argument)
{
	const int *fd = argument;
	int error;

	do
		error = engine_try_move(*fd, EDU_STORE, 0, EDU_BUFFER);
	while (!error);
	return error == ENODEV ? argument : NULL;
}

/*
 * The end comes while the engine runs. When the exporter has its memory back,
 * what is put there stays; a fault would mean that it went while it was in use.
 */
static void waits_for_the_engine(void **state)
{
	struct scene scene;
	pthread_t thread;
	void *satisfied;

	(void)state;
	engine_load();
	for (int i = 0; i < 5; i++) {
		scene_begin(&scene, export_lasting(), EDU_DYNAMIC);
		assert_int_equal(pthread_create(&thread, NULL, keep_storing,
						&scene.fd),
				 0);
		usleep(30 * 1000 * (i + 1));
		write_file("/dev/" EXPORTER, "take 0 4096\n");
		host_write(bar_index(BAR), 0, scene.before, EXPORTED);
		usleep(200 * 1000);
		assert_unchanged(&scene);
		assert_int_equal(pthread_join(thread, &satisfied), 0);
		assert_non_null(satisfied);
		scene_end(&scene);
		assert_true(module_try_remove(EXPORTER));
	}
	engine_unload();
}

#define ENDING(...) (&(const struct ending){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("dmabuf/over-after-unbind", ends,
		ENDING(.begin = bars_by_driver, .end = first_unbind)),
	TEST_OF("dmabuf/over-after-bind", ends, ENDING(.end = first_bind)),
	TEST_OF("dmabuf/over-after-remove", ends,
		ENDING(.end = first_remove, .restore = first_rescan)),
	TEST_OF("dmabuf/over-after-unplug", ends,
		ENDING(.end = first_unplug, .restore = first_plug)),
	TEST_OF("dmabuf/over-after-unbind-revocable", ends,
		ENDING(.begin = bars_by_driver, .end = first_unbind,
		       .mode = EDU_REVOCABLE)),
	TEST("dmabuf/taken-back-by-exporter", taken_back),
	TEST("dmabuf/waits-for-slow-importer", waits_for_the_slow),
	TEST_WITHIN(90, "dmabuf/importer-that-does-not-let-go",
		    waits_for_the_stubborn),
	TEST("dmabuf/engine-unbound", engine_goes),
	TEST("dmabuf/waits-for-the-engine", waits_for_the_engine),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
