/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel shows of another process's mappings, in the form of pieces of
 * a range of addresses.
 *
 * /proc/PID/smaps tells which mappings consist of page frame numbers, which is
 * what device memory has, and which file they are of. The page tables of such
 * mappings nobody is shown (/proc/PID/pagemap leaves them out), so their place is
 * what the file's name and the offset say.
 */
#ifndef P2PMR_TOOL_PROCESS_MAP_H
#define P2PMR_TOOL_PROCESS_MAP_H

#include "pci.h"

struct piece {
	uint64_t offset, length; /* in the range */
	enum {
		PIECE_HOLE,
		PIECE_HOST,
		PIECE_DEVICE
	} kind;
	bool read, write, shared;
	char *path; /* NULL if it has no name */
	/* Where it is, if function is not NULL. */
	const struct pci_function *function;
	const struct pci_bar *bar;
	uint64_t bar_offset;
};

struct process_map {
	struct piece *pieces;
	size_t count;
	struct pci_function *functions;
	size_t function_count;
};

/* 0 or a negative errno; -ESRCH if there is no such process. */
int process_map_read(struct process_map *map, pid_t pid, uint64_t address,
		     uint64_t length);
void process_map_free(struct process_map *map);

#endif
