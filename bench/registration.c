// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ibv_reg_mr() and ibv_dereg_mr(), of each kind of memory in turn within one run:
 * by size, with other regions alive, and from several processes at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "text.h"

#define WARM_UP 2

/* One kind of memory, and what has been measured on it. */
struct lane {
	const char *kind;
	struct area area;
	struct samples made, ended;
};

static bool measure_once(struct ibv_pd *pd, struct lane *lane, size_t size,
			 bool counts)
{
	uint64_t begin = now(), middle, end;
	struct ibv_mr *mr = must_register(pd, &lane->area, lane->kind, size);

	if (!mr)
		return false;
	middle = now();
	ibv_dereg_mr(mr);
	end = now();
	if (counts) {
		samples_add(&lane->made, middle - begin);
		samples_add(&lane->ended, end - middle);
	}
	return true;
}

/* In turn, so that what changes on the machine changes for all. */
static bool measure(const struct run *run, struct ibv_pd *pd,
		    struct lane *lanes, size_t size)
{
	for (unsigned int i = 0; i < WARM_UP + run->iterations; i++)
		for (size_t k = 0; k < run->memory_count; k++)
			if (!measure_once(pd, &lanes[k], size, i >= WARM_UP))
				return false;
	return true;
}

static void report_lane(const struct run *run, struct lane *lane, size_t size)
{
	struct result result = {
		.benchmark = "register",
		.operation = "register",
		.memory = lane->kind,
		.size = size,
		.mappings = lane->area.device ? run->mappings : 1,
		.alive = run->alive,
		.processes = run->processes,
	};

	report(run, &result, &lane->made);
	result.operation = "deregister";
	report(run, &result, &lane->ended);
}

static bool lanes_open(const struct run *run, struct lane *lanes, size_t size)
{
	for (size_t i = 0; i < run->memory_count; i++) {
		lanes[i].kind = run->memories[i];
		if (!area_map(&lanes[i].area, lanes[i].kind, size,
			      run->mappings))
			return false;
		samples_init(&lanes[i].made, run->iterations);
		samples_init(&lanes[i].ended, run->iterations);
	}
	return true;
}

static void lanes_close(const struct run *run, struct lane *lanes)
{
	for (size_t i = 0; i < run->memory_count; i++) {
		samples_free(&lanes[i].made);
		samples_free(&lanes[i].ended);
		area_unmap(&lanes[i].area);
	}
}

static bool measure_size(const struct run *run, struct ibv_pd *pd, size_t size,
			 bool shown)
{
	struct lane lanes[MEMORIES_MAX] = { 0 };
	bool ok = lanes_open(run, lanes, size) && measure(run, pd, lanes, size);

	for (size_t i = 0; ok && shown && i < run->memory_count; i++)
		report_lane(run, &lanes[i], size);
	if (ok)
		lanes_close(run, lanes);
	return ok;
}

/* Regions of a page of the first kind that is device memory, or of any. */
static bool make_alive(const struct run *run, struct ibv_pd *pd)
{
	const char *kind = run->memories[run->memory_count - 1];
	struct area area;

	if (!run->alive)
		return true;
	if (!area_map(&area, kind, (size_t)getpagesize(), 1))
		return false;
	for (unsigned int i = 0; i < run->alive; i++)
		if (!must_register(pd, &area, kind, (size_t)getpagesize()))
			return false;
	return true;
}

/* The process's end gives back what make_alive() has made. */
static bool measure_all(const struct run *run, bool shown)
{
	struct loopback pair;
	bool ok = loopback_open(&pair, run->device) && make_alive(run, pair.pd);

	for (size_t i = 0; ok && i < run->size_count; i++)
		ok = measure_size(run, pair.pd, run->sizes[i], shown);
	if (!run->alive)
		loopback_close(&pair);
	return ok;
}

/* The others do the same as this one, and only this one is shown. */
static bool run_benchmark(const struct run *run)
{
	unsigned int others = run->processes - 1;
	bool ok;

	fflush(stdout);
	for (unsigned int i = 0; i < others; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			complain("cannot start a process: %s", strerror(errno));
			return false;
		}
		if (!pid)
			_exit(!measure_all(run, false));
	}
	ok = measure_all(run, true);
	for (int status; others && wait(&status) > 0; others--)
		ok = ok && !status;
	return ok;
}

const struct benchmark register_benchmark = {
	.name = "register",
	.summary = "ibv_reg_mr() and ibv_dereg_mr()",
	.sizes = { 4096, 64 << 10, 1 << 20, 16 << 20 },
	.needs_device = true,
	.run = run_benchmark,
};
