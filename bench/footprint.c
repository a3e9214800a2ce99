// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What regions take of the kernel's memory: how much less is free while many exist, for
 * each of them. Other programs' memory is seen as well, so it wants a quiet machine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"
#include "text.h"

/* Free pages that a CPU keeps for itself count as used, a MiB or so: many make that little. */
#define REGIONS 10000

/*
 * What was there before may still be on its way: kfree_rcu() gathers for up to 5 s. All has
 * settled once no more has become free for QUIET looks.
 */
#define LOOK_NS	  (200 * 1000 * 1000)
#define QUIET	  30
#define LOOKS	  100
#define UNSETTLED (64 << 10)

/* False after a line that says why. */
static bool read_free(uint64_t *bytes)
{
	FILE *file = fopen("/proc/meminfo", "re");
	bool found = false;
	char line[128];
	uint64_t kib;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "MemFree: %" SCNu64, &kib) == 1;
	if (file)
		fclose(file);
	if (!found) {
		complain("cannot read MemFree in /proc/meminfo");
		return false;
	}
	*bytes = kib << 10;
	return true;
}

/* What is free once it becomes no more. */
static bool settle(uint64_t *bytes)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	unsigned int quiet = 0;
	uint64_t most = 0;

	for (unsigned int i = 0; i < LOOKS && quiet < QUIET; i++) {
		if (!read_free(bytes))
			return false;
		quiet = *bytes > most + UNSETTLED ? 0 : quiet + 1;
		if (!quiet)
			most = *bytes;
		nanosleep(&pause, NULL);
	}
	if (quiet < QUIET)
		complain(
			"more and more memory becomes free: the figure is not exact");
	return true;
}

static void report_footprint(const struct run *run, const char *kind,
			     size_t size, unsigned int count, uint64_t bytes)
{
	const struct result result = {
		.benchmark = "footprint",
		.operation = "footprint",
		.memory = kind,
		.size = size,
		.mappings = run->mappings,
		.alive = count,
	};
	struct samples samples;

	samples_init(&samples, 1);
	samples_add(&samples, bytes / count);
	report(run, &result, &samples);
	samples_free(&samples);
}

/*
 * The first two thirds only use up what the kernel keeps of the regions of the
 * measurement before. What fails is the end of the process, which gives back the rest.
 */
static bool measure(const struct run *run, struct ibv_pd *pd, const char *kind,
		    size_t size)
{
	unsigned int count = run->alive ? run->alive : REGIONS;
	struct ibv_mr **mrs = must_realloc(NULL, count, 3 * sizeof(*mrs));
	uint64_t before, after;
	struct area area;

	if (!area_map(&area, kind, size, run->mappings) ||
	    !register_many(pd, &area, kind, size, mrs, 2 * count) ||
	    !settle(&before) ||
	    !register_many(pd, &area, kind, size, mrs + 2 * count, count) ||
	    !settle(&after))
		return false;
	for (unsigned int i = 0; i < 3 * count; i++)
		ibv_dereg_mr(mrs[i]);
	area_unmap(&area);
	free(mrs);
	report_footprint(run, kind, size, count,
			 before > after ? before - after : 0);
	return true;
}

static bool run_benchmark(const struct run *run)
{
	struct loopback pair;
	bool ok = loopback_open(&pair, run->device);

	for (size_t k = 0; ok && k < run->memory_count; k++)
		for (size_t i = 0; ok && i < run->size_count; i++)
			ok = measure(run, pair.pd, run->memories[k],
				     run->sizes[i]);
	loopback_close(&pair);
	return ok;
}

const struct benchmark footprint_benchmark = {
	.name = "footprint",
	.summary = "what a region takes of the kernel's memory",
	.sizes = { 4096, 64 << 10, 2 << 20 },
	.unit = "bytes",
	.needs_device = true,
	.run = run_benchmark,
};
