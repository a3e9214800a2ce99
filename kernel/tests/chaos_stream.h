/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Traffic without end between host memory and registered memory, every byte
 * of it checked against a model: one step moves some bytes one way.
 */
#ifndef P2PMR_TESTS_CHAOS_STREAM_H
#define P2PMR_TESTS_CHAOS_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bar.h"
#include "endpoint.h"

#define STREAM_SIZE (8 * PAGE)

/* Where the bytes are that nobody but this stream writes. */
struct target {
	uint64_t address;
	uint32_t key;
	bool is_local; /* the posting side has it by its lkey */
	/*
	 * The file of a DMA engine that moves the bytes instead; then the address is
	 * one in the dma-buf that it is attached to. Otherwise 0.
	 */
	int engine;
};

struct stream {
	struct queue *queue;
	struct memory host;
	struct target target;
	uint64_t random;
	uint32_t size; /* so much of the target; an engine's buffer is small */
	bool is_known; /* the model is what is there */
	bool no_reads; /* the next step is an RDMA WRITE if it can be */
	atomic_ulong *reads; /* counts RDMA READs, each before it is posted */
	uint8_t model[STREAM_SIZE];
};

enum step {
	MOVED,
	FAILED,	 /* by the completion's status, or when posting */
	WRONG,	 /* bytes are not what they must be */
	STOPPED, /* `stop` became true first */
};

struct result {
	enum step step;
	enum ibv_wc_status status;
	uint32_t length;
	uint32_t first_wrong;
};

/* Host memory of its own, registered in the PD. */
void stream_open(struct stream *stream, struct queue *queue, struct ibv_pd *pd,
		 struct target target, uint64_t seed, atomic_ulong *reads);
void stream_close(struct stream *stream);

/* For any thread: of traffic by queue pairs nothing is asserted. */
struct result stream_step(struct stream *stream, bool (*stop)(void *),
			  void *argument);

#endif
