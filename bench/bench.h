/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What all benchmarks share: the options of a run, kinds of memory, and samples
 * of a clock with their figures.
 */
#ifndef P2PMR_BENCH_H
#define P2PMR_BENCH_H

#include <infiniband/p2pmr.h>
#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loopback.h"

#define MEMORIES_MAX 8
#define SIZES_MAX    32

/* ----------------------------------------------------------------- a run -- */

struct run {
	const char *device;
	const char *memories[MEMORIES_MAX];
	size_t memory_count;
	uint64_t sizes[SIZES_MAX];
	size_t size_count;
	unsigned int iterations;
	unsigned int mappings; /* that a range consists of */
	unsigned int alive;    /* regions that exist beside */
	unsigned int processes;
	unsigned int offset; /* in the memory's page, of what is copied */
	bool events;	     /* are waited for, instead of polling */
	bool json;
	bool instructions; /* are what the clock counts */
	const char *unit;  /* of samples */
};

struct benchmark {
	const char *name;
	const char *summary;
	uint64_t sizes[SIZES_MAX]; /* unless the user says other; 0 ends them */
	const char *unit;	   /* of samples; NULL: the clock's */
	bool needs_device;
	bool knows_events; /* --events is for it */
	/* False after a line that says why. */
	bool (*run)(const struct run *run);
};

extern const struct benchmark register_benchmark, transfer_benchmark,
	staged_benchmark, copy_benchmark, revoke_benchmark, footprint_benchmark;

/* ---------------------------------------------------------------- memory -- */

/*
 * A range of one kind, in equal mappings side by side: "host" (pages of 4 KiB),
 * "thp", "hugetlb", "ADDRESS:BAR" or "ADDRESS:BAR:wc" (the BAR of a PCI function,
 * uncached or write-combined), or the path of a file that maps device memory; after
 * "mixed:" the same with host memory in every other mapping, of two at least.
 * Several mappings of a BAR take every other piece of it, so that none continues
 * another.
 */
struct area {
	uint8_t *bytes;
	size_t length;
	bool device;
	uint32_t caching;	       /* P2PMR_CACHING_* */
	struct p2pmr_mapping *mapping; /* NULL: by mmap() */
};

/* False after a line that says why; area_unmap() then is not needed. */
bool area_map(struct area *area, const char *kind, size_t length,
	      unsigned int mappings);
void area_unmap(struct area *area);

/* ---------------------------------------------------------------- samples -- */

uint64_t now(void);

/* Nanoseconds, or instructions where those are what the clock counts. */
struct samples {
	uint64_t *values;
	unsigned int count, room;
};

void samples_init(struct samples *samples, unsigned int room);
void samples_add(struct samples *samples, uint64_t value);
void samples_free(struct samples *samples);

/* One measurement for the user, a row of a table or a document of JSON. */
struct result {
	const char *benchmark, *operation, *memory;
	uint64_t size;
	unsigned int mappings, alive, processes, offset;
	unsigned int messages; /* that each sample stands for; 0 counts as 1 */
};

void report_head(const struct run *run);
void report(const struct run *run, const struct result *result,
	    struct samples *samples);

/* ----------------------------------------------------------------- others -- */

#define ACCESS                                             \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | \
	 IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

/* NULL after a line that says why. */
struct ibv_mr *must_register(struct ibv_pd *pd, const struct area *area,
			     const char *kind, size_t length);
/* So many of the same; false after a line that says why there are fewer. */
bool register_many(struct ibv_pd *pd, const struct area *area, const char *kind,
		   size_t length, struct ibv_mr **mrs, unsigned int count);

/*
 * One message from or to the beginning of the regions, done when it returns; a SEND
 * is received there. Polls without a break, as who looks for latency does, or sleeps.
 */
bool move(struct loopback *pair, bool sleeps, enum ibv_wr_opcode opcode,
	  const struct ibv_mr *local, const struct ibv_mr *remote,
	  uint32_t length, enum ibv_wc_status *status);

#endif
