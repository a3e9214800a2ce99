/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Ways to copy whole lines to and from write-combining memory. One that the CPU
 * cannot do must not be called.
 */
#ifndef LIBP2PMR_COPY_H
#define LIBP2PMR_COPY_H

#include <stdbool.h>
#include <stddef.h>

/* What the CPU combines before it goes out, and what a stream moves. */
#define COPY_LINE 64

struct copy_stream {
	const char *name;
	bool (*usable)(void);
	/* The device's address is at a line's beginning, the other anywhere. */
	void (*to)(void *device, const void *source, size_t lines);
	void (*from)(void *destination, const void *device, size_t lines);
};

/* Widest first, ended by an empty one. */
extern const struct copy_stream copy_streams[];

/* NULL if this CPU has none. */
const struct copy_stream *copy_best_stream(void);

/* A way for all that is write-combining; stream may be NULL. */
void copy_to_combining(void *device, const void *source, size_t length,
		       const struct copy_stream *stream);
void copy_from_combining(void *destination, const void *device, size_t length,
			 const struct copy_stream *stream);

/* Loads and stores that are neither split, merged nor repeated. */
void copy_to_plain(void *device, const void *source, size_t length);
void copy_from_plain(void *destination, const void *device, size_t length);

#endif
