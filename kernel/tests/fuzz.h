/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The fuzzer: a case is a list of steps, made from a seed or read from a file
 * of the corpus, that a process of its own carries out, alone or in threads. A
 * step is a name and numbers, which mean the same for ever, so that a case that
 * has found something can be kept.
 *
 * All happens in an arena of pages where nobody else maps anything, one bit of
 * a 64-bit mask for each page.
 */
#ifndef P2PMR_TESTS_FUZZ_H
#define P2PMR_TESTS_FUZZ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bar.h"
#include "endpoint.h"
#include "host.h"
#include "uverbs.h"

#define ARENA	    ((uint8_t *)0x200000000000)
#define ARENA_PAGES 64
#define ARENA_SIZE  (ARENA_PAGES * PAGE)

#define ARGUMENTS  6
#define MOST_STEPS 400
#define THREADS	   3
#define REGIONS	   8
#define HANDLES	   4

struct step {
	unsigned int op;
	uint32_t arg[ARGUMENTS];
};

struct fuzz_case {
	uint64_t seed; /* 0: it came from a file */
	unsigned int threads;
	bool privileged;
	bool killed; /* ends by SIGKILL, with whatever it holds */
	unsigned int count;
	struct step steps[MOST_STEPS];
};

/* What is mapped in the arena, and by what right. */
enum source {
	SOURCE_BAR,
	SOURCE_BAR_READ_ONLY,
	SOURCE_BAR_WC,
	SOURCE_BAR2,
	SOURCE_REGISTERS,
	SOURCE_MEMORY_FILE,
	NR_SOURCES
};

/* As /proc/self/maps has it. */
struct page_view {
	bool mapped, readable, writable, shared;
	bool device;
	bool registers;
	int source;    /* -1: anonymous */
	uint32_t page; /* of the file */
};

/* A region that a step has registered; `dead`: it must not be reached. */
struct region {
	atomic_flag taken;
	bool used, dead, unsure;
	uint32_t handle, lkey, rkey;
	uint64_t start, length;
	int access;
	uint64_t device_pages;
	struct page_view pages[ARENA_PAGES];
};

/* A part of a dma-buf that a step has registered. */
struct imported {
	atomic_flag taken;
	bool used;
	struct raw_mr mr;
};

struct actor {
	struct world *world;
	unsigned int index;
	struct pair pair;
	uint8_t *buffer;
	struct ibv_mr *buffer_mr;
	int coverage;
	uint64_t *trace;
	const struct fuzz_case *todo;
};

struct world {
	bool alone; /* no other thread: what must happen is known */
	bool privileged;
	struct device device;
	struct ibv_pd *other_pd;
	int sources[NR_SOURCES];
	struct stat files[NR_SOURCES];
	uint64_t bases[NR_SOURCES]; /* where the file begins on the bus */
	const uint8_t *witness;	    /* the BARs, mapped beside the arena */
	const uint8_t *witness2;
	struct region regions[REGIONS];
	int chardevs[HANDLES];
	atomic_int dmabufs[HANDLES];
	struct imported imports[HANDLES];
	struct actor actors[THREADS];
};

/* What all cases together have done, in memory that processes share. */
#define MOST_OPS     32
#define MODULE_BYTES (1 << 20)
struct tally {
	atomic_ulong tried[MOST_OPS];
	atomic_ulong worked[MOST_OPS]; /* the kernel did as it was asked */
	atomic_ulong foretold;	       /* outcomes that were known in advance */
	char reason[256];	       /* what was first wrong with a case */
	uint64_t base[3], size[3];     /* of the modules' code */
	uint8_t covered[3][MODULE_BYTES];
};
extern struct tally *tally;

/* fuzz_case.c */
#define BARS 2
/* What must be the same after each case. */
struct ground {
	int core, verbs;
	size_t outside; /* bytes of a BAR that no case may write */
	char digest[BARS][SHA256_HEX_LENGTH + 1];
};
/* False, and told on standard output, if not; what is left in it is enough for that. */
bool run_case(struct fuzz_case *c, const struct ground *ground);
/*
 * Something that a step has seen cannot be: told on standard output, and once more
 * after the case, which is long. Ends the process.
 */
void wrong(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* fuzz_steps.c */
struct operation_kind {
	const char *name;
	unsigned int weight;
	/* Whether the kernel did as it was asked. */
	bool (*run)(struct actor *me, const uint32_t *arg);
};
extern const struct operation_kind operations[];
extern const unsigned int nr_operations;
void case_from_seed(struct fuzz_case *c, uint64_t seed, unsigned int count);
bool case_from_file(struct fuzz_case *c, const char *path);
void case_print(const struct fuzz_case *c, FILE *file);

/* fuzz_world.c */
void world_open(struct world *w, const struct fuzz_case *c);
void world_close(struct world *w);
void view_arena(const struct world *w, struct page_view pages[ARENA_PAGES]);
void show_arena(void);
/* The mask of `count` pages from `first` on, as far as there are any. */
uint64_t page_mask(unsigned int first, unsigned int count);
/* The pages that have a byte of these addresses. */
uint64_t pages_of(uint64_t start, uint64_t length);
struct region *region_pick(struct world *w, uint32_t arg);
bool region_take(struct region *region);
void region_give(struct region *region);

/* fuzz_memory.c */
bool step_map(struct actor *me, const uint32_t *arg);
bool step_unmap(struct actor *me, const uint32_t *arg);
bool step_protect(struct actor *me, const uint32_t *arg);
bool step_remap(struct actor *me, const uint32_t *arg);
bool step_advise(struct actor *me, const uint32_t *arg);
bool step_fork(struct actor *me, const uint32_t *arg);
bool step_touch(struct actor *me, const uint32_t *arg);

/* fuzz_regions.c */
bool step_register(struct actor *me, const uint32_t *arg);
bool step_extended(struct actor *me, const uint32_t *arg);
bool step_reregister(struct actor *me, const uint32_t *arg);
bool step_deregister(struct actor *me, const uint32_t *arg);
bool step_advise_mr(struct actor *me, const uint32_t *arg);

/* fuzz_traffic.c */
bool step_transfer(struct actor *me, const uint32_t *arg);
bool step_message(struct actor *me, const uint32_t *arg);
bool step_invalidate(struct actor *me, const uint32_t *arg);

/* fuzz_requests.c */
bool step_request(struct actor *me, const uint32_t *arg);
bool step_reach(struct actor *me, const uint32_t *arg);
bool step_bar(struct actor *me, const uint32_t *arg);
bool step_read(struct actor *me, const uint32_t *arg);
bool step_handle(struct actor *me, const uint32_t *arg);
/* Up to eight bytes changed, as the two numbers have it; 0: none. */
unsigned int mutate(void *bytes, size_t size, uint32_t how_many, uint32_t seed);

/* fuzz_dmabuf.c */
bool step_export(struct actor *me, const uint32_t *arg);
bool step_dmabuf(struct actor *me, const uint32_t *arg);
bool step_import(struct actor *me, const uint32_t *arg);
/* In the place of another, which is closed. */
void keep_dmabuf(struct world *w, unsigned int slot, int fd);

/* fuzz_coverage.c */
void coverage_find_modules(void);
void coverage_open(struct actor *me);
void coverage_start(struct actor *me);
void coverage_collect(struct actor *me);
void coverage_write(FILE *file);

#endif
