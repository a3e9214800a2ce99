/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of p2pmr_test_edu share: an open file, and what it holds for
 * the engine.
 */
#ifndef P2PMR_TEST_EDU_INTERNAL_H
#define P2PMR_TEST_EDU_INTERNAL_H

#include <linux/list.h>
#include <linux/p2pmr.h>

#include "p2pmr_test_edu.h"

struct device;
struct import;

/* An open file and its range, or its dma-buf. */
struct client {
	struct list_head link;
	struct p2pmr_range range;
	bool mapped;			/* the range is to be unmapped */
	struct import *import;		/* the dma-buf, if it holds one */
	bool live;			/* cleared under the engine's lock */
	/* What the segments were, also when they are gone. */
	struct edu_segment *segs;
	unsigned int nr_segs;
};

/* edu_main.c: when it returns the engine does not run for this client. */
void client_stop(struct client *client);
void client_remember(struct client *client, struct edu_segment *segs,
		     unsigned int nr_segs, bool live);

/* edu_dmabuf.c: under the lock of the clients */
int import_begin(struct client *client, struct device *dev,
		 const struct edu_attach *how);
int import_refresh(struct client *client);
void import_end(struct client *client);

#endif
