// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Which version of the library is loaded. */
#include <infiniband/p2pmr.h>

/* CMake's version of the project and the header's must not drift apart. */
_Static_assert(P2PMR_VERSION == P2PMR_LIBRARY_VERSION,
	       "<infiniband/p2pmr.h> and CMakeLists.txt disagree");

uint32_t p2pmr_version(void)
{
	return P2PMR_VERSION;
}

const char *p2pmr_version_string(void)
{
	return P2PMR_LIBRARY_VERSION_STRING;
}
