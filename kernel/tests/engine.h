/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A PCI device with a DMA engine of its own that reaches ranges of this
 * process through p2pmr, by the test module p2pmr_test_edu: loading it, moving
 * bytes, and the proof that the IOMMU stops what it should.
 */
#ifndef P2PMR_TESTS_ENGINE_H
#define P2PMR_TESTS_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "modules/p2pmr_test_edu.h"

#define ENGINE_MODULE "p2pmr_test_edu"

#define ENGINE_IDS "1234:11e8"

/*
 * Anew, with the device bound; removes what an earlier test has left. The
 * administrator says that the device reaches all memory, until it is unloaded:
 * the machine's root complex is not known to carry it.
 */
void engine_load(void);
/* Parameter allow_pairs. */
void engine_reaches(const char *pairs);
/* "0000:00:1e.0" */
const char *engine_address(void);
/* The module must let itself be unloaded, and no range be left. */
void engine_unload(void);
/* Takes the device away from its driver, and gives it back. */
void engine_unbind(void);
void engine_bind(void);
/* Another one becomes the engine, where the machine has several. */
void engine_choose(const char *other);

/*
 * Ends the test as skipped where the kernel checks DMA mappings: its checker keeps
 * account of dma_map_resource() also when that has failed, which nobody then unmaps,
 * and reports it (6.12; failed mappings of pages it leaves out).
 */
void skip_with_dma_checker(void);

/* A file of the module, which can hold one range. */
int engine_open(void);
/* Maps addresses of this process for the device; 0 or an errno. */
int engine_try_map(int fd, const void *bytes, size_t length, bool write,
		   unsigned int direction);
void engine_map(int fd, const void *bytes, size_t length);
/* Attaches to a dma-buf and maps it, as EDU_DYNAMIC and so on; 0 or an errno. */
int engine_try_attach(int fd, int dmabuf, unsigned int mode,
		      unsigned int direction);
void engine_attach(int fd, int dmabuf, unsigned int mode);
void engine_unmap(int fd);
/* Where the device sees the range's segment; false if there are fewer. */
bool engine_segment(int fd, unsigned int index, struct edu_segment *segment);

/* EDU_LOAD or EDU_STORE; 0 or an errno. */
int engine_try_move(int fd, unsigned long request, size_t offset,
		    size_t length);
void engine_move(int fd, unsigned long request, size_t offset, size_t length);

/* The bytes in the device, by way of host memory. */
void engine_fill(const uint8_t *data, size_t length);
void engine_read(uint8_t *data, size_t length);

/*
 * The device accesses the first segment by the address that it had, whatever
 * has become of the range. Fails the test unless the IOMMU reports just that.
 */
void assert_stopped(int fd, unsigned long request, size_t offset,
		    size_t length);

#endif
