/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The memory under test: the two PCI BARs as a program maps them through
 * sysfs, plain host memory, their registration, and the patterns that tell
 * one byte from another.
 */
#ifndef P2PMR_TESTS_BAR_H
#define P2PMR_TESTS_BAR_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ul

enum memory_kind {
	HOST,	/* anonymous pages */
	BAR,	/* first function, resource2 */
	BAR_WC, /* first function, resource2_wc */
	BAR2,	/* second function, resource2 */
	BAR2_WC,
};

struct memory {
	enum memory_kind kind;
	uint8_t *bytes;
	size_t size;
	struct ibv_mr *mr; /* NULL until registered */
};

const char *bar_path(enum memory_kind kind);
/* Which function a BAR belongs to, as host requests count them. */
int bar_index(enum memory_kind kind);
size_t bar_size(enum memory_kind kind);

/* Maps the first `size` bytes (0: the whole BAR), readable and writable. */
void memory_map(struct memory *memory, enum memory_kind kind, size_t size);
/*
 * Puts pages of BAR over host memory, one every `step` bytes and the last ones first, so
 * that no two are one piece.
 */
void memory_cover(struct memory *memory, size_t step);
/* mmap() of a BAR with everything said; MAP_FAILED as mmap() itself. */
void *bar_mmap(enum memory_kind kind, void *address, size_t size, int prot,
	       int flags, size_t offset);

/* The page of the first function's register BAR, through its resource0. */
uint8_t *registers_map(void);

struct ibv_mr *must_register(struct ibv_pd *pd, void *address, size_t length,
			     int access);
void memory_register(struct memory *memory, struct ibv_pd *pd);
/* Deregisters if registered, then unmaps. */
void memory_release(struct memory *memory);

/* Every seed gives another sequence without a short period. */
void pattern_fill(uint8_t *bytes, size_t size, uint64_t seed);
/* Fails the test at the first byte that differs, naming its offset. */
void assert_bytes(const uint8_t *actual, const uint8_t *expected, size_t size,
		  const char *what);
uint64_t next_random(uint64_t *state);

#endif
