/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Two connected queue pairs and registered memory at either end, which most
 * tests of the provider begin with.
 */
#ifndef P2PMR_PROVIDER_TESTS_SETTING_H
#define P2PMR_PROVIDER_TESTS_SETTING_H

#include "bar.h"
#include "endpoint.h"

struct setting {
	struct pair pair;
	struct memory from, to;
};

/* `from` is a page of host memory, `to` what is asked for. */
void setting_open(struct setting *setting, enum memory_kind kind, size_t size);
/* A queue pair that is its own peer, on a CQ: the near one's, or another. */
struct queue own_peer(struct setting *setting, struct ibv_cq *cq,
		      bool all_signaled);
/* Posts a write of eight bytes from the one memory to the other. */
void post_write(struct setting *setting, struct queue *queue, uint64_t id);
void setting_close(struct setting *setting);

#endif
