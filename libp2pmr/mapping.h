/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a mapping is inside of the library. */
#ifndef LIBP2PMR_MAPPING_H
#define LIBP2PMR_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct p2pmr_mapping {
	uint8_t *address; /* of the first byte that was asked for */
	size_t length;
	void *pages; /* what is mapped: whole pages around it */
	size_t pages_length;
	uint32_t caching;
	bool writable;
};

#endif
