/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What there is that could be left over: ranges and MRs, references on modules,
 * pinned memory, open files, device files, RDMA objects, dma-bufs.
 */
#ifndef P2PMR_TESTS_INVENTORY_H
#define P2PMR_TESTS_INVENTORY_H

#define INVENTORY_SIZE 8192

struct inventory {
	char quick[INVENTORY_SIZE];
	char slow[INVENTORY_SIZE];
};

void inventory_take(struct inventory *inventory);
/*
 * Fails the test unless there is the same again, after a while at the latest. The
 * first leaves out what takes time to find out.
 */
void inventory_expect(const struct inventory *before, const char *what);
void inventory_expect_all(const struct inventory *before, const char *what);

#endif
