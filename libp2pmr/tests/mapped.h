/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Mapping through the library, as several tests do it. */
#ifndef LIBP2PMR_TESTS_MAPPED_H
#define LIBP2PMR_TESTS_MAPPED_H

#include <errno.h>
#include <string.h>

#include <infiniband/p2pmr.h>

#include "bound.h"
#include "runner.h"

#define COMBINING P2PMR_CACHING_WRITE_COMBINING
#define UNCACHED  P2PMR_CACHING_UNCACHED

#define ATTR(...)                                                         \
	(&(struct p2pmr_map_attr){ .size = sizeof(struct p2pmr_map_attr), \
				   __VA_ARGS__ })

/* NULL, with that errno. */
#define assert_refused(call, error)             \
	do {                                    \
		errno = 0;                      \
		assert_null(call);              \
		assert_int_equal(errno, error); \
	} while (0)

static inline struct p2pmr_mapping *must_map(unsigned int bar,
					     const struct p2pmr_map_attr *attr)
{
	struct p2pmr_mapping *mapping =
		p2pmr_map_bar(function_address(FIRST), bar, attr);

	if (!mapping)
		fail_msg("p2pmr_map_bar: %s", strerror(errno));
	return mapping;
}

#endif
