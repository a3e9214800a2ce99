// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Checked traffic, see chaos_stream.h. */
#include "chaos_stream.h"

#include <string.h>

#include "engine.h"
#include "runner.h"

/* How long a stream may sleep before it looks whether it is to stop. */
#define SLICE_MS 50

void stream_open(struct stream *stream, struct queue *queue, struct ibv_pd *pd,
		 struct target target, uint64_t seed, atomic_ulong *reads)
{
	memset(stream, 0, sizeof(*stream));
	stream->reads = reads;
	stream->queue = queue;
	stream->target = target;
	stream->random = seed;
	stream->size = target.engine ? EDU_BUFFER : STREAM_SIZE;
	memory_map(&stream->host, HOST, STREAM_SIZE);
	memory_register(&stream->host, pd);
}

void stream_close(struct stream *stream)
{
	memory_release(&stream->host);
}

/* What is local is written by reading into it, and the other way round. */
static enum ibv_wr_opcode opcode_of(const struct stream *stream, bool write)
{
	return write == stream->target.is_local ? IBV_WR_RDMA_READ
						: IBV_WR_RDMA_WRITE;
}

static struct transfer transfer_of(const struct stream *stream, bool write,
				   uint32_t offset, uint32_t length)
{
	uint64_t target = stream->target.address + offset;
	uint64_t host = (uintptr_t)stream->host.bytes;
	bool is_local = stream->target.is_local;

	return (struct transfer){
		.opcode = opcode_of(stream, write),
		.local = (const void *)(uintptr_t)(is_local ? target : host),
		.lkey = is_local ? stream->target.key : stream->host.mr->lkey,
		.length = length,
		.remote = is_local ? host : target,
		.rkey = is_local ? stream->host.mr->rkey : stream->target.key,
	};
}

static enum step run(struct stream *stream, const struct transfer *transfer,
		     bool (*stop)(void *), void *argument,
		     enum ibv_wc_status *status)
{
	struct ibv_wc wc;

	*status = IBV_WC_GENERAL_ERR;
	if (transfer->opcode == IBV_WR_RDMA_READ)
		(*stream->reads)++;
	if (try_post(stream->queue, transfer))
		return FAILED;
	while (!try_completion(stream->queue, &wc, SLICE_MS))
		if (stop(argument))
			return STOPPED;
	*status = wc.status;
	return wc.status == IBV_WC_SUCCESS ? MOVED : FAILED;
}

/* By way of the engine's own buffer, which nobody else uses meanwhile. */
static enum step run_engine(struct stream *stream, bool write, uint32_t offset,
			    uint32_t length, enum ibv_wc_status *status)
{
	const struct target *target = &stream->target;
	int error;

	if (write)
		engine_fill(stream->host.bytes, length);
	error = engine_try_move(target->engine, write ? EDU_STORE : EDU_LOAD,
				target->address + offset, length);
	if (!error && !write)
		engine_read(stream->host.bytes, length);
	*status = error ? IBV_WC_GENERAL_ERR : IBV_WC_SUCCESS;
	return error ? FAILED : MOVED;
}

/* Which way the bytes of a step go: to the target first, as long as it is not known. */
static bool choose_write(struct stream *stream)
{
	bool write = !stream->is_known || next_random(&stream->random) % 2;

	if (stream->is_known && stream->no_reads && !stream->target.engine)
		return opcode_of(stream, true) == IBV_WR_RDMA_WRITE;
	return write;
}

struct result stream_step(struct stream *stream, bool (*stop)(void *),
			  void *argument)
{
	bool write = choose_write(stream);
	uint32_t offset = next_random(&stream->random) % stream->size;
	uint32_t length =
		1 + next_random(&stream->random) % (stream->size - offset);
	struct result result = { 0 };
	struct transfer transfer;

	if (!stream->is_known) {
		offset = 0;
		length = stream->size;
	}
	if (write) {
		pattern_fill(stream->model + offset, length,
			     next_random(&stream->random));
		memcpy(stream->host.bytes, stream->model + offset, length);
	} else {
		memset(stream->host.bytes, ~stream->model[offset], length);
	}

	transfer = transfer_of(stream, write, offset, length);
	result.length = length;
	if (stream->target.engine)
		result.step = run_engine(stream, write, offset, length,
					 &result.status);
	else
		result.step =
			run(stream, &transfer, stop, argument, &result.status);
	/* Of a write that failed some bytes may have arrived. */
	stream->is_known = result.step == MOVED;
	if (result.step != MOVED ||
	    !memcmp(stream->host.bytes, stream->model + offset, length))
		return result;
	result.step = WRONG;
	while (stream->host.bytes[result.first_wrong] ==
	       stream->model[offset + result.first_wrong])
		result.first_wrong++;
	result.first_wrong += offset;
	return result;
}
