// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Copies by the CPU: libp2pmr's against memcpy(), in turn within one run. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "text.h"

#define WARM_UP 2

static void by_library_to(uint8_t *memory, uint8_t *host, size_t size,
			  uint32_t caching)
{
	p2pmr_copy_to(memory, host, size, caching);
}

static void by_library_from(uint8_t *memory, uint8_t *host, size_t size,
			    uint32_t caching)
{
	p2pmr_copy_from(host, memory, size, caching);
}

static void by_memcpy_to(uint8_t *memory, uint8_t *host, size_t size,
			 uint32_t caching)
{
	(void)caching;
	memcpy(memory, host, size);
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static void by_memcpy_from(uint8_t *memory, uint8_t *host, size_t size,
			   uint32_t caching)
{
	(void)caching;
	memcpy(host, memory, size);
	__asm__ volatile("" : : "r"(host) : "memory");
}

static const struct {
	const char *operation;
	void (*copy)(uint8_t *memory, uint8_t *host, size_t size,
		     uint32_t caching);
} copies[] = {
	{ "to", by_library_to },
	{ "to/memcpy", by_memcpy_to },
	{ "from", by_library_from },
	{ "from/memcpy", by_memcpy_from },
};
#define COPIES (sizeof(copies) / sizeof(copies[0]))

static void measure(const struct run *run, struct area *area, const char *kind,
		    size_t size)
{
	uint8_t *host = must_realloc(NULL, size, 1);
	struct samples samples[COPIES];

	memset(host, 1, size);
	for (size_t k = 0; k < COPIES; k++)
		samples_init(&samples[k], run->iterations);
	for (unsigned int i = 0; i < WARM_UP + run->iterations; i++)
		for (size_t k = 0; k < COPIES; k++) {
			uint64_t begin = now();

			copies[k].copy(area->bytes + run->offset, host, size,
				       area->caching);
			if (i >= WARM_UP)
				samples_add(&samples[k], now() - begin);
		}
	for (size_t k = 0; k < COPIES; k++) {
		const struct result result = {
			.benchmark = "copy",
			.operation = copies[k].operation,
			.memory = kind,
			.size = size,
			.offset = run->offset,
		};

		report(run, &result, &samples[k]);
		samples_free(&samples[k]);
	}
	free(host);
}

static bool run_benchmark(const struct run *run)
{
	for (size_t k = 0; k < run->memory_count; k++)
		for (size_t i = 0; i < run->size_count; i++) {
			struct area area;

			if (!area_map(&area, run->memories[k],
				      run->offset + run->sizes[i], 1))
				return false;
			measure(run, &area, run->memories[k], run->sizes[i]);
			area_unmap(&area);
		}
	return true;
}

const struct benchmark copy_benchmark = {
	.name = "copy",
	.summary = "copies by the CPU: libp2pmr's against memcpy()",
	.sizes = { 8, 64, 1024, 4096, 65536, 1 << 20 },
	.run = run_benchmark,
};
