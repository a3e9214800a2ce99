/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * dma-bufs of other exporters than p2pmr, as far as the kernel has these, and a region
 * over one for a peer.
 */
#ifndef P2PMR_TESTS_IMPORTED_H
#define P2PMR_TESTS_IMPORTED_H

#include <stddef.h>
#include <stdint.h>

#include "bar.h"
#include "endpoint.h"
#include "uverbs.h"

/*
 * A new buffer; what the kernel lacks skips the test. Its bytes as this process maps
 * them are NULL where no process can.
 */
struct buffer {
	const char *exporter; /* as the kernel names it */
	int fd;
	size_t size;
	uint8_t *bytes;
};
void buffer_of_udmabuf(struct buffer *buffer, size_t size);
void buffer_of_heap(struct buffer *buffer, size_t size);
void buffer_of_drm(struct buffer *buffer, size_t size); /* vgem */
/* The first pages of a BAR, as p2pmr exports it, mapped through sysfs. */
void buffer_of_bar(struct buffer *buffer, size_t size);
void buffer_release(struct buffer *buffer);

/* A region over a part of a buffer, and a peer that knows it. */
struct import {
	struct pair pair;
	struct memory host; /* the peer's own buffer, of IMPORT_WINDOW bytes */
	struct raw_mr mr;
	uint64_t iova;
	size_t length;
};
#define IMPORT_WINDOW (16 * PAGE)

/* Registers for all accesses; unmapped numbers are as good an iova as any. */
void import_open(struct import *import, int fd, size_t offset, size_t length);
/* The peer's side alone, with nothing registered. */
void import_open_peer(struct import *import);
int import_register(struct import *import, int fd, size_t offset, size_t length,
		    int access);
/* `mr` must have been deregistered if `registered` is not set. */
void import_close(struct import *import, bool registered);

/* One access of the peer; repairs the queue pairs after. */
enum ibv_wc_status import_access(struct import *import,
				 enum ibv_wr_opcode opcode, size_t offset,
				 size_t length);

/* The peer writes all of it, and reads it; the bytes are looked at by themselves. */
void assert_imported(struct import *import, const struct buffer *buffer,
		     size_t offset);
/* Every kind of access is refused. */
void assert_not_imported(struct import *import);

#endif
