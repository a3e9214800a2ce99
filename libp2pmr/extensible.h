/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Structs that begin with their size and grow at the end: taking one in from a
 * caller that was compiled with another version of the header.
 */
#ifndef LIBP2PMR_EXTENSIBLE_H
#define LIBP2PMR_EXTENSIBLE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* No struct will ever be longer: it is no size, then, but what lay there. */
#define EXTENSIBLE_MAX 4096

/*
 * Copies what the library knows and clears what the caller did not; `own` is
 * cleared if nothing is given.
 */
static inline int extensible_take(void *own, size_t own_size, const void *given,
				  size_t first_version_size)
{
	uint32_t size;

	memset(own, 0, own_size);
	if (!given)
		return 0;
	memcpy(&size, given, sizeof(size));
	if (size < first_version_size)
		return -EINVAL;
	if (size > EXTENSIBLE_MAX)
		return -E2BIG;
	for (size_t i = own_size; i < size; i++)
		if (((const uint8_t *)given)[i])
			return -E2BIG;
	memcpy(own, given, size < own_size ? size : own_size);
	return 0;
}

#endif
