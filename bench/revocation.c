// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * munmap() of device memory that is registered: how long it takes, by the number of
 * regions that it ends, and when the peer finds out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "text.h"

/* An access after the end, whose answer is what the peer sees of it. */
static bool peer_is_told(struct loopback *pair, const struct ibv_mr *host,
			 const struct ibv_mr *gone)
{
	enum ibv_wc_status status;

	if (!move(pair, false, IBV_WR_RDMA_WRITE, host, gone, 8, &status))
		return false;
	if (status == IBV_WC_REM_ACCESS_ERR)
		return true;
	complain("the peer was answered: %s", ibv_wc_status_str(status));
	return false;
}

/* The pair is of one use: the refused access ends it. */
static bool measure_once(const struct run *run, const char *kind, size_t size,
			 struct samples *unmapped, struct samples *told)
{
	unsigned int count = run->alive ? run->alive : 1;
	struct ibv_mr **mrs = must_realloc(NULL, count, sizeof(*mrs));
	struct area host, area;
	struct loopback pair;
	struct ibv_mr *mr;
	uint64_t begin;
	bool ok;

	if (!loopback_open(&pair, run->device) ||
	    !area_map(&host, "host", 4096, 1) ||
	    !area_map(&area, kind, size, run->mappings))
		return false;
	mr = must_register(pair.pd, &host, "host", 4096);
	if (!mr || !register_many(pair.pd, &area, kind, size, mrs, count))
		return false;
	begin = now();
	area_unmap(&area);
	samples_add(unmapped, now() - begin);
	ok = peer_is_told(&pair, mr, mrs[0]);
	samples_add(told, now() - begin);
	for (unsigned int i = 0; i < count; i++)
		ibv_dereg_mr(mrs[i]);
	free(mrs);
	ibv_dereg_mr(mr);
	area_unmap(&host);
	loopback_close(&pair);
	return ok;
}

static bool measure(const struct run *run, const char *kind, size_t size)
{
	struct result result = {
		.benchmark = "revoke",
		.memory = kind,
		.size = size,
		.mappings = run->mappings,
		.alive = run->alive,
	};
	struct samples unmapped, told;
	bool ok = true;

	samples_init(&unmapped, run->iterations);
	samples_init(&told, run->iterations);
	for (unsigned int i = 0; ok && i < run->iterations; i++)
		ok = measure_once(run, kind, size, &unmapped, &told);
	if (ok) {
		result.operation = "munmap";
		report(run, &result, &unmapped);
		result.operation = "peer-told";
		report(run, &result, &told);
	}
	samples_free(&unmapped);
	samples_free(&told);
	return ok;
}

static bool run_benchmark(const struct run *run)
{
	for (size_t k = 0; k < run->memory_count; k++)
		for (size_t i = 0; i < run->size_count; i++)
			if (!measure(run, run->memories[k], run->sizes[i]))
				return false;
	return true;
}

const struct benchmark revoke_benchmark = {
	.name = "revoke",
	.summary = "munmap() under regions, until the peer is told",
	.sizes = { 65536 },
	.needs_device = true,
	.run = run_benchmark,
};
