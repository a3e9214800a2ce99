/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Asking the kernel part whether one function's DMA reaches another's memory.
 */
#ifndef P2PMR_TESTS_REACH_H
#define P2PMR_TESTS_REACH_H

#include <rdma/p2pmr-abi.h>

/* A request about two functions ("0000:01:00.0"), with nonsense for answers. */
struct p2pmr_ioc_reach reach_question(const char *device, const char *memory);
/* Its errno. */
int reach_ask(struct p2pmr_ioc_reach *reach);
/* Both; must succeed. */
struct p2pmr_ioc_reach reach_must_ask(const char *device, const char *memory);
/* An engine's attempt to attach to a dma-buf, as EDU_DYNAMIC and so on. */
int reach_try_attach(int dmabuf, unsigned int mode);

#endif
