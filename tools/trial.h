/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * RDMA into a BAR and out of it over one RDMA device: the data checked with the
 * CPU, and the BAR's bytes given back as they were.
 */
#ifndef P2PMR_TOOL_TRIAL_H
#define P2PMR_TOOL_TRIAL_H

#include "pci.h"
#include "rdma.h"

/* What is asked for, and what has come of it. */
struct trial {
	struct pci_function function;
	const struct pci_bar *bar;
	uint64_t offset, length;
	bool write_combining, registers;
	char device[RDMA_NAME_SIZE];
	bool provider; /* p2pmr's, which vouches for device memory */
	uint32_t caching;
	struct {
		bool done;
		size_t differing; /* bytes */
	} write, read;
	bool restored;
};

/*
 * An exit status. What fails is said in one line on standard error; that data
 * differ is not, it is in the trial. Signals are to be held: one that would end
 * the program ends the trial, once the BAR has its bytes back.
 */
int trial_run(struct trial *trial);
bool trial_is_good(const struct trial *trial);

#endif
