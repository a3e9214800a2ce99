// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Everything at once: several importers move bytes through dma-bufs while the
 * exporter takes its memory back, the engine loses its driver, and pairs are
 * ruled out. What has been taken back stays untouched, and the IOMMU has nothing to
 * stop: each fault would be a bad report in the kernel log.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "exported.h"
#include "exporting.h"
#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define IMPORTERS 4
#define ROUNDS	  12

struct importer {
	pthread_t thread;
	uint64_t random;
	unsigned int moves, endings;
	int unexpected; /* an errno that cannot be */
};

static atomic_bool over;

/* What may become of an attempt, whoever is at work meanwhile. */
static bool is_expected(int error)
{
	return error == ENODEV || error == ESTALE || error == EXDEV;
}

/* Moves bytes until something ends it; -1: there was nothing to attach to. */
static int use(struct importer *importer, const uint8_t *bytes)
{
	static const unsigned int modes[] = { EDU_DYNAMIC, EDU_REVOCABLE,
					      EDU_DYNAMIC, EDU_SLOW };
	int dmabuf, fd, error, moves = 1 + next_random(&importer->random) % 30;

	error = try_export(bytes, EXPORTED, 1, &dmabuf);
	if (error)
		return error;
	fd = engine_open();
	error = engine_try_attach(fd, dmabuf,
				  modes[next_random(&importer->random) % 4],
				  EDU_BOTH_WAYS);
	/* The file of the buffer may go first, or last. */
	if (next_random(&importer->random) % 2) {
		close(dmabuf);
		dmabuf = -1;
	}
	while (!error && moves--) {
		size_t offset = next_random(&importer->random) %
				(EXPORTED - EDU_BUFFER);

		error = engine_try_move(fd,
					next_random(&importer->random) % 2
						? EDU_STORE
						: EDU_LOAD,
					offset, EDU_BUFFER);
		importer->moves += !error;
	}
	close(fd);
	if (dmabuf >= 0)
		close(dmabuf);
	return error;
}

static void *keep_using(void *argument)
{
	struct importer *importer = argument;

	while (!atomic_load(&over)) {
		uint8_t *bytes = exporter_map(0);
		int error = use(importer, bytes);

		munmap(bytes, WINDOW);
		if (!error)
			continue;
		importer->endings++;
		if (!is_expected(error))
			importer->unexpected = error;
	}
	return NULL;
}

/* Now it is the exporter's alone. */
static void assert_taken(uint64_t seed)
{
	static uint8_t mine[WINDOW], seen[WINDOW];

	assert_exporter_says("users=0 ");
	pattern_fill(mine, WINDOW, seed);
	host_write(bar_index(BAR), 0, mine, WINDOW);
	usleep(50 * 1000);
	host_read(bar_index(BAR), 0, seen, WINDOW);
	assert_bytes(seen, mine, WINDOW, "file behind the BAR");
}

static void disturb(int round)
{
	switch (round % 3) {
	case 0:
		engine_unbind();
		usleep(20 * 1000);
		engine_bind();
		break;
	case 1:
		assert_int_equal(
			module_set(CORE_MODULE, "deny_pairs", "*/*", NULL), 0);
		usleep(20 * 1000);
		assert_int_equal(
			module_set(CORE_MODULE, "deny_pairs", "", NULL), 0);
		break;
	}
}

static void chaos(void **state)
{
	struct importer importers[IMPORTERS] = { 0 };
	unsigned int moves = 0, endings = 0;

	(void)state;
	engine_load();
	pinned_are_allowed();
	exporter_load("lasting=1");
	atomic_store(&over, false);
	for (int i = 0; i < IMPORTERS; i++) {
		importers[i].random = i + 1;
		assert_int_equal(pthread_create(&importers[i].thread, NULL,
						keep_using, &importers[i]),
				 0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		usleep(150 * 1000);
		disturb(round);
		usleep(150 * 1000);
		exporter_do("take 0 %lu\n", WINDOW);
		assert_taken(round);
		exporter_do("give\n");
	}
	atomic_store(&over, true);
	for (int i = 0; i < IMPORTERS; i++) {
		assert_int_equal(pthread_join(importers[i].thread, NULL), 0);
		if (importers[i].unexpected)
			fail_msg("importer %d: %s", i,
				 strerror(importers[i].unexpected));
		moves += importers[i].moves;
		endings += importers[i].endings;
	}
	print_message("%u moves, %u ended by others\n", moves, endings);
	assert_true(moves > 0 && endings > 0);
	pinned_are_as_before();
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	exporter_unload();
	engine_unload();
}

static const struct test tests[] = {
	TEST_WITHIN(120, "dmabuf/chaos", chaos),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
