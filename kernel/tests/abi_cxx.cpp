// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The C++ side of abi.c; the ABI's header comes first and needs no other. */
#include <rdma/p2pmr-abi.h>

#include "abi.h"

#include <sys/ioctl.h>

int hello_cxx(int fd, struct p2pmr_ioc_hello *hello)
{
	*hello = p2pmr_ioc_hello{};
	hello->size = sizeof(*hello);
	hello->version = P2PMR_ABI_VERSION;
	return ioctl(fd, P2PMR_IOC_HELLO, hello);
}
