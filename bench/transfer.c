// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Messages between host memory and each kind of memory, in turn within one run;
 * and what one would do without registering device memory: a transfer into host
 * memory that the CPU copies on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "text.h"

#define WARM_UP 4

bool move(struct loopback *pair, enum ibv_wr_opcode opcode,
	  const struct ibv_mr *local, const struct ibv_mr *remote,
	  uint32_t length, enum ibv_wc_status *status)
{
	struct ibv_sge sge = { .addr = (uintptr_t)local->addr,
			       .length = length,
			       .lkey = local->lkey };
	struct ibv_send_wr *bad, wr = {
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
		.sg_list = &sge,
		.num_sge = 1,
		.wr.rdma.rkey = remote->rkey,
		.wr.rdma.remote_addr = (uintptr_t)remote->addr,
	};
	struct ibv_wc wc;
	int n = ibv_post_send(pair->near, &wr, &bad);

	if (n) {
		complain("ibv_post_send: %s", strerror(n));
		return false;
	}
	do
		n = ibv_poll_cq(pair->cq, 1, &wc);
	while (!n);
	if (n < 0) {
		complain("ibv_poll_cq: %s", strerror(errno));
		return false;
	}
	*status = wc.status;
	return true;
}

/* A way that bytes go, and what has been measured on it. */
struct way {
	const char *operation;
	enum ibv_wr_opcode opcode;
	bool copies; /* on into the memory, after a transfer into host memory */
	struct samples samples;
};

/* What all ways of one kind of memory have. */
struct place {
	const char *kind;
	struct area area;
	struct ibv_mr *mr;
	struct way ways[2];
};

static bool go(struct loopback *pair, struct place *place, struct way *way,
	       const struct ibv_mr *host, struct ibv_mr *stage, size_t size,
	       bool counts)
{
	const struct ibv_mr *remote = way->copies ? stage : place->mr;
	uint64_t begin = now();
	enum ibv_wc_status status;

	if (!move(pair, way->opcode, host, remote, (uint32_t)size, &status))
		return false;
	if (status != IBV_WC_SUCCESS) {
		complain("the transfer failed: %s", ibv_wc_status_str(status));
		return false;
	}
	if (way->copies)
		p2pmr_copy_to(place->area.bytes, stage->addr, size,
			      place->area.caching);
	if (counts)
		samples_add(&way->samples, now() - begin);
	return true;
}

/* Everything a run has open. */
struct bench {
	const struct run *run;
	struct loopback pair;
	struct area host, stage;
	struct ibv_mr *host_mr, *stage_mr;
	struct place places[MEMORIES_MAX];
};

static bool place_open(struct bench *bench, struct place *place, size_t size)
{
	if (!area_map(&place->area, place->kind, size, bench->run->mappings))
		return false;
	place->mr =
		must_register(bench->pair.pd, &place->area, place->kind, size);
	for (int i = 0; i < 2; i++)
		samples_init(&place->ways[i].samples, bench->run->iterations);
	return place->mr;
}

static void place_close(struct place *place)
{
	ibv_dereg_mr(place->mr);
	area_unmap(&place->area);
	for (int i = 0; i < 2; i++)
		samples_free(&place->ways[i].samples);
}

static bool measure(struct bench *bench, size_t size)
{
	const struct run *run = bench->run;

	for (unsigned int i = 0; i < WARM_UP + run->iterations; i++)
		for (size_t k = 0; k < run->memory_count; k++)
			for (int w = 0; w < 2; w++)
				if (!go(&bench->pair, &bench->places[k],
					&bench->places[k].ways[w],
					bench->host_mr, bench->stage_mr, size,
					i >= WARM_UP))
					return false;
	return true;
}

static void report_place(const struct run *run, const char *benchmark,
			 struct place *place, size_t size)
{
	for (int i = 0; i < 2; i++) {
		const struct result result = {
			.benchmark = benchmark,
			.operation = place->ways[i].operation,
			.memory = place->kind,
			.size = size,
			.mappings = place->area.device ? run->mappings : 1,
		};

		report(run, &result, &place->ways[i].samples);
	}
}

static bool measure_size(struct bench *bench, const char *benchmark,
			 const struct way ways[2], size_t size)
{
	const struct run *run = bench->run;
	bool ok = true;

	for (size_t i = 0; ok && i < run->memory_count; i++) {
		bench->places[i] = (struct place){
			.kind = run->memories[i],
			.ways = { ways[0], ways[1] },
		};
		ok = place_open(bench, &bench->places[i], size);
	}
	ok = ok && measure(bench, size);
	for (size_t i = 0; ok && i < run->memory_count; i++) {
		report_place(run, benchmark, &bench->places[i], size);
		place_close(&bench->places[i]);
	}
	return ok;
}

static size_t largest(const struct run *run)
{
	size_t most = 0;

	for (size_t i = 0; i < run->size_count; i++)
		if (run->sizes[i] > most)
			most = run->sizes[i];
	return most;
}

static bool open_host(struct bench *bench, struct area *area,
		      struct ibv_mr **mr, size_t size)
{
	if (!area_map(area, "host", size, 1))
		return false;
	*mr = must_register(bench->pair.pd, area, "host", size);
	return *mr;
}

static bool run_ways(const struct run *run, const char *benchmark,
		     const struct way ways[2])
{
	struct bench bench = { .run = run };
	size_t most = largest(run);
	bool ok = loopback_open(&bench.pair, run->device) &&
		  open_host(&bench, &bench.host, &bench.host_mr, most) &&
		  open_host(&bench, &bench.stage, &bench.stage_mr, most);

	for (size_t i = 0; ok && i < run->size_count; i++)
		ok = measure_size(&bench, benchmark, ways, run->sizes[i]);
	if (!ok)
		return false; /* the process ends, and gives all of it back */
	ibv_dereg_mr(bench.host_mr);
	ibv_dereg_mr(bench.stage_mr);
	area_unmap(&bench.host);
	area_unmap(&bench.stage);
	loopback_close(&bench.pair);
	return true;
}

static bool run_transfer(const struct run *run)
{
	static const struct way ways[2] = {
		{ .operation = "write", .opcode = IBV_WR_RDMA_WRITE },
		{ .operation = "read", .opcode = IBV_WR_RDMA_READ },
	};

	return run_ways(run, "transfer", ways);
}

static bool run_staged(const struct run *run)
{
	static const struct way ways[2] = {
		{ .operation = "straight", .opcode = IBV_WR_RDMA_WRITE },
		{ .operation = "staged",
		  .opcode = IBV_WR_RDMA_WRITE,
		  .copies = true },
	};

	return run_ways(run, "staged", ways);
}

const struct benchmark transfer_benchmark = {
	.name = "transfer",
	.summary = "RDMA WRITE and READ, a message at a time",
	.sizes = { 64, 1024, 4096, 65536, 1 << 20 },
	.needs_device = true,
	.run = run_transfer,
};

const struct benchmark staged_benchmark = {
	.name = "staged",
	.summary =
		"straight into the memory, against into host memory and a copy",
	.sizes = { 64, 1024, 4096, 65536, 1 << 20 },
	.needs_device = true,
	.run = run_staged,
};
