// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Messages between host memory and each kind of memory, both ways, in turn within one run;
 * and what one would do without registering device memory: a transfer into host
 * memory that the CPU copies on, one at a time or in a stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "text.h"

#define WARM_UP 4

/* Messages of a stream, and how many are on their way: one comes, one is copied. */
#define STREAM	  16
#define IN_FLIGHT 2

static bool receive(struct loopback *pair, const struct ibv_mr *mr,
		    uint32_t length)
{
	struct ibv_sge sge = { .addr = (uintptr_t)mr->addr,
			       .length = length,
			       .lkey = mr->lkey };
	struct ibv_recv_wr *bad, wr = { .sg_list = &sge, .num_sge = 1 };
	int error = ibv_post_recv(pair->far, &wr, &bad);

	if (error)
		complain("ibv_post_recv: %s", strerror(error));
	return !error;
}

/* Until the CQ may have a completion. False after a line that says why. */
static bool sleep_for_event(struct loopback *pair)
{
	struct ibv_cq *cq;
	void *context;

	if (ibv_get_cq_event(pair->events, &cq, &context)) {
		complain("ibv_get_cq_event: %s", strerror(errno));
		return false;
	}
	ibv_ack_cq_events(cq, 1);
	return true;
}

/*
 * As ibv_poll_cq() of one completion, but for a line that says what has failed; who
 * sleeps is back after an event.
 */
static int look(struct loopback *pair, bool sleeps, struct ibv_wc *wc)
{
	int error, n = ibv_poll_cq(pair->cq, 1, wc);

	if (!n && sleeps) {
		error = ibv_req_notify_cq(pair->cq, 0);
		if (error) {
			complain("ibv_req_notify_cq: %s", strerror(error));
			return -1;
		}
		/* There is no event for what came before that. */
		n = ibv_poll_cq(pair->cq, 1, wc);
		if (!n && !sleep_for_event(pair))
			return -1;
	}
	if (n < 0)
		complain("ibv_poll_cq: %s", strerror(errno));
	return n;
}

/* All of them, or one that has failed. */
static bool complete(struct loopback *pair, bool sleeps, unsigned int count,
		     enum ibv_wc_status *status)
{
	struct ibv_wc wc;
	int n;

	while (count) {
		n = look(pair, sleeps, &wc);
		if (n < 0)
			return false;
		if (!n)
			continue;
		*status = wc.status;
		count = wc.status == IBV_WC_SUCCESS ? count - 1 : 0;
	}
	return true;
}

static void aim(struct ibv_send_wr *wr, const struct ibv_mr *remote,
		uint64_t offset)
{
	uint64_t address = (uintptr_t)remote->addr + offset;

	if (wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr->wr.atomic.rkey = remote->rkey;
		wr->wr.atomic.remote_addr = address;
		wr->wr.atomic.compare_add = 1;
	} else {
		wr->wr.rdma.rkey = remote->rkey;
		wr->wr.rdma.remote_addr = address;
	}
}

static bool post(struct loopback *pair, enum ibv_wr_opcode opcode,
		 const struct ibv_mr *local, const struct ibv_mr *remote,
		 uint64_t offset, uint32_t length)
{
	struct ibv_sge sge = { .addr = (uintptr_t)local->addr,
			       .length = length,
			       .lkey = local->lkey };
	struct ibv_send_wr *bad, wr = {
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
		.sg_list = &sge,
		.num_sge = 1,
	};
	int error;

	aim(&wr, remote, offset);
	error = ibv_post_send(pair->near, &wr, &bad);
	if (error)
		complain("ibv_post_send: %s", strerror(error));
	return !error;
}

bool move(struct loopback *pair, bool sleeps, enum ibv_wr_opcode opcode,
	  const struct ibv_mr *local, const struct ibv_mr *remote,
	  uint32_t length, enum ibv_wc_status *status)
{
	bool sends = opcode == IBV_WR_SEND;

	return (!sends || receive(pair, remote, length)) &&
	       post(pair, opcode, local, remote, 0, length) &&
	       complete(pair, sleeps, sends ? 2 : 1, status);
}

/* A way that bytes go, and what has been measured on it. */
struct way {
	const char *operation;
	enum ibv_wr_opcode opcode;
	bool outward; /* the memory is on the side that asks, else where it goes */
	bool copies; /* on into the memory, after a transfer into host memory */
	bool streams;	/* a sample is STREAM messages */
	uint64_t limit; /* of sizes that it is for; 0: none */
	struct samples samples;
};
#define WAYS_MAX 8

/* What all ways of one kind of memory have. */
struct place {
	const char *kind;
	struct area area;
	struct ibv_mr *mr;
	struct way ways[WAYS_MAX]; /* one without a name ends them */
};

/* Everything a run has open. */
struct bench {
	const struct run *run;
	struct loopback pair;
	struct area host, stage;
	struct ibv_mr *host_mr, *stage_mr;
	struct place places[MEMORIES_MAX];
};

static bool succeeded(enum ibv_wc_status status)
{
	if (status != IBV_WC_SUCCESS)
		complain("the transfer failed: %s", ibv_wc_status_str(status));
	return status == IBV_WC_SUCCESS;
}

static void copy_on(struct place *place, const struct ibv_mr *stage,
		    uint64_t offset, size_t size)
{
	p2pmr_copy_to(place->area.bytes, (uint8_t *)stage->addr + offset, size,
		      place->area.caching);
}

static bool go_once(struct bench *bench, struct place *place, struct way *way,
		    size_t size)
{
	const struct ibv_mr *host = bench->host_mr;
	const struct ibv_mr *here = way->outward ? place->mr : host;
	const struct ibv_mr *there = way->outward  ? host
				     : way->copies ? bench->stage_mr
						   : place->mr;
	enum ibv_wc_status status;

	if (!move(&bench->pair, bench->run->events, way->opcode, here, there,
		  (uint32_t)size, &status) ||
	    !succeeded(status))
		return false;
	if (way->copies)
		copy_on(place, bench->stage_mr, 0, size);
	return true;
}

/* While one message is copied on, the next one comes. */
static bool go_on(struct bench *bench, struct place *place, struct way *way,
		  size_t size)
{
	const struct ibv_mr *there = way->copies ? bench->stage_mr : place->mr;
	size_t apart = way->copies ? size : 0;
	enum ibv_wc_status status;

	for (unsigned int i = 0; i < STREAM + IN_FLIGHT; i++) {
		uint64_t offset = i % IN_FLIGHT * apart;

		if (i >= IN_FLIGHT) {
			if (!complete(&bench->pair, bench->run->events, 1,
				      &status) ||
			    !succeeded(status))
				return false;
			if (way->copies)
				copy_on(place, bench->stage_mr, offset, size);
		}
		if (i < STREAM &&
		    !post(&bench->pair, way->opcode, bench->host_mr, there,
			  offset, (uint32_t)size))
			return false;
	}
	return true;
}

static bool go(struct bench *bench, struct place *place, struct way *way,
	       size_t size, bool counts)
{
	uint64_t begin = now();

	if (!(way->streams ? go_on : go_once)(bench, place, way, size))
		return false;
	if (counts)
		samples_add(&way->samples, now() - begin);
	return true;
}

static bool place_open(struct bench *bench, struct place *place, size_t size)
{
	if (!area_map(&place->area, place->kind, size, bench->run->mappings))
		return false;
	place->mr =
		must_register(bench->pair.pd, &place->area, place->kind, size);
	for (struct way *way = place->ways; way->operation; way++)
		samples_init(&way->samples, bench->run->iterations);
	return place->mr;
}

static void place_close(struct place *place)
{
	ibv_dereg_mr(place->mr);
	area_unmap(&place->area);
	for (struct way *way = place->ways; way->operation; way++)
		samples_free(&way->samples);
}

static bool go_all(struct bench *bench, struct place *place, size_t size,
		   bool counts)
{
	for (struct way *way = place->ways; way->operation; way++)
		if ((!way->limit || size <= way->limit) &&
		    !go(bench, place, way, size, counts))
			return false;
	return true;
}

static bool measure(struct bench *bench, size_t size)
{
	const struct run *run = bench->run;

	for (unsigned int i = 0; i < WARM_UP + run->iterations; i++)
		for (size_t k = 0; k < run->memory_count; k++)
			if (!go_all(bench, &bench->places[k], size,
				    i >= WARM_UP))
				return false;
	return true;
}

static void report_place(const struct run *run, const char *benchmark,
			 struct place *place, size_t size)
{
	for (struct way *way = place->ways; way->operation; way++) {
		const struct result result = {
			.benchmark = benchmark,
			.operation = way->operation,
			.memory = place->kind,
			.size = size,
			.mappings = place->area.device ? run->mappings : 1,
			.messages = way->streams ? STREAM : 1,
		};

		report(run, &result, &way->samples);
	}
}

static bool measure_size(struct bench *bench, const char *benchmark,
			 const struct way ways[WAYS_MAX], size_t size)
{
	const struct run *run = bench->run;
	bool ok = true;

	for (size_t i = 0; ok && i < run->memory_count; i++) {
		bench->places[i] = (struct place){
			.kind = run->memories[i],
		};
		memcpy(bench->places[i].ways, ways,
		       sizeof(bench->places[i].ways));
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
		     const struct way ways[WAYS_MAX])
{
	struct bench bench = { .run = run };
	size_t most = largest(run);
	bool ok = loopback_open(&bench.pair, run->device) &&
		  open_host(&bench, &bench.host, &bench.host_mr, most) &&
		  open_host(&bench, &bench.stage, &bench.stage_mr,
			    IN_FLIGHT * most);

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
	static const struct way ways[WAYS_MAX] = {
		{ .operation = "write", .opcode = IBV_WR_RDMA_WRITE },
		{ .operation = "read", .opcode = IBV_WR_RDMA_READ },
		{ .operation = "send", .opcode = IBV_WR_SEND },
		{ .operation = "write-from",
		  .opcode = IBV_WR_RDMA_WRITE,
		  .outward = true },
		{ .operation = "read-into",
		  .opcode = IBV_WR_RDMA_READ,
		  .outward = true },
		{ .operation = "send-from",
		  .opcode = IBV_WR_SEND,
		  .outward = true },
		{ .operation = "fetch-add",
		  .opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
		  .limit = 8 },
	};

	return run_ways(run, "transfer", ways);
}

static bool run_staged(const struct run *run)
{
	static const struct way ways[WAYS_MAX] = {
		{ .operation = "straight", .opcode = IBV_WR_RDMA_WRITE },
		{ .operation = "staged",
		  .opcode = IBV_WR_RDMA_WRITE,
		  .copies = true },
		{ .operation = "stream",
		  .opcode = IBV_WR_RDMA_WRITE,
		  .streams = true },
		{ .operation = "stream/staged",
		  .opcode = IBV_WR_RDMA_WRITE,
		  .copies = true,
		  .streams = true },
	};

	return run_ways(run, "staged", ways);
}

const struct benchmark transfer_benchmark = {
	.name = "transfer",
	.summary = "RDMA of all kinds, a message at a time",
	.sizes = { 8, 64, 1024, 4096, 65536, 1 << 20 },
	.needs_device = true,
	.knows_events = true,
	.run = run_transfer,
};

const struct benchmark staged_benchmark = {
	.name = "staged",
	.summary =
		"straight into the memory, against into host memory and a copy",
	.sizes = { 64, 1024, 4096, 65536, 1 << 20 },
	.needs_device = true,
	.knows_events = true,
	.run = run_staged,
};
