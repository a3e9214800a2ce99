// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Streaming loads and non-temporal stores, in widths that not every CPU has:
 * each function is compiled for the CPU that it needs.
 */
#include "copy.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static void
avx2_to(void *device, const void *source, size_t lines)
{
	const __m256i *from = source;
	__m256i *to = device;

	for (; lines; lines--, from += 2, to += 2) {
		__m256i low = _mm256_loadu_si256(from);
		__m256i high = _mm256_loadu_si256(from + 1);

		_mm256_stream_si256(to, low);
		_mm256_stream_si256(to + 1, high);
	}
}

__attribute__((target("avx2"))) static void
avx2_from(void *destination, const void *device, size_t lines)
{
	const __m256i *from = device;
	__m256i *to = destination;

	for (; lines; lines--, from += 2, to += 2) {
		__m256i low = _mm256_stream_load_si256(from);
		__m256i high = _mm256_stream_load_si256(from + 1);

		_mm256_storeu_si256(to, low);
		_mm256_storeu_si256(to + 1, high);
	}
}

static bool avx2_usable(void)
{
	return __builtin_cpu_supports("avx2");
}

/* MOVNTDQ is older than MOVNTDQA, but no CPU of today has one alone. */
__attribute__((target("sse4.1"))) static void
sse4_to(void *device, const void *source, size_t lines)
{
	const __m128i *from = source;
	__m128i *to = device;

	for (; lines; lines--, from += 4, to += 4) {
		__m128i a = _mm_loadu_si128(from);
		__m128i b = _mm_loadu_si128(from + 1);
		__m128i c = _mm_loadu_si128(from + 2);
		__m128i d = _mm_loadu_si128(from + 3);

		_mm_stream_si128(to, a);
		_mm_stream_si128(to + 1, b);
		_mm_stream_si128(to + 2, c);
		_mm_stream_si128(to + 3, d);
	}
}

__attribute__((target("sse4.1"))) static void
sse4_from(void *destination, const void *device, size_t lines)
{
	/* The intrinsic of older compilers takes a pointer to what may change. */
	__m128i *from = (__m128i *)(uintptr_t)device;
	__m128i *to = destination;

	for (; lines; lines--, from += 4, to += 4) {
		__m128i a = _mm_stream_load_si128(from);
		__m128i b = _mm_stream_load_si128(from + 1);
		__m128i c = _mm_stream_load_si128(from + 2);
		__m128i d = _mm_stream_load_si128(from + 3);

		_mm_storeu_si128(to, a);
		_mm_storeu_si128(to + 1, b);
		_mm_storeu_si128(to + 2, c);
		_mm_storeu_si128(to + 3, d);
	}
}

static bool sse4_usable(void)
{
	return __builtin_cpu_supports("sse4.1");
}

const struct copy_stream copy_streams[] = {
	{ "avx2", avx2_usable, avx2_to, avx2_from },
	{ "sse4.1", sse4_usable, sse4_to, sse4_from },
	{ NULL, NULL, NULL, NULL },
};

#else

const struct copy_stream copy_streams[] = {
	{ NULL, NULL, NULL, NULL },
};

#endif

const struct copy_stream *copy_best_stream(void)
{
	for (const struct copy_stream *s = copy_streams; s->name; s++)
		if (s->usable())
			return s;
	return NULL;
}
