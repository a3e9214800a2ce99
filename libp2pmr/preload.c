// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Preloaded into a program that knows nothing of dma-bufs, this makes its
 * ibv_reg_mr() take device memory on RDMA devices whose drivers register
 * dma-bufs: what the driver cannot pin is given to it as one. Such an MR is
 * deregistered like any other. `p2pmr exec --dmabuf` preloads it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniband/verbs.h>

#include "dmabuf.h"

/* The header's macros choose between the functions that are defined here. */
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

#define EXPORTED __attribute__((visibility("default")))
/* A program that asks again and again shall not be drowned out. */
#define LINES_MAX 5

/*
 * libibverbs' own, whose versions are what programs are linked to. Every
 * libibverbs that knows of dma-bufs has all of them.
 */
static void *real(const char *function, const char *version)
{
	void *found = dlvsym(RTLD_NEXT, function, version);

	if (!found) {
		fprintf(stderr, "p2pmr: there is no %s@%s\n", function,
			version);
		abort();
	}
	return found;
}

#define REAL(function, version) \
	((__typeof__(&function))real(#function, version))

/* P2PMR_DMABUF=always: also where the driver, or p2pmr_verbs, would do without. */
static bool is_always(void)
{
	const char *value = getenv("P2PMR_DMABUF");

	return value && !strcmp(value, "always");
}

static const char *meaning(int error)
{
	switch (error) {
	case EOPNOTSUPP:
		return "the driver takes no dma-bufs, or cannot be made to let "
		       "go of one (see the kernel log)";
	case EXDEV:
		return "the RDMA device does not reach that memory (see p2pmr "
		       "doctor)";
	default:
		return strerror(error);
	}
}

static void explain(const struct ibv_pd *pd, int error)
{
	static atomic_uint lines;

	if (atomic_fetch_add(&lines, 1) < LINES_MAX)
		fprintf(stderr, "p2pmr: %s: device memory not registered: %s\n",
			pd->context->device->name, meaning(error));
}

/* After the driver has failed, with its errno. */
static struct ibv_mr *instead(struct ibv_pd *pd, void *address, size_t length,
			      uint64_t iova, unsigned int access)
{
	int error = errno;
	struct ibv_mr *mr;

	if (error != EFAULT || !dmabuf_is_device(address, length) ||
	    !dmabuf_applies(pd->context)) {
		errno = error;
		return NULL;
	}
	mr = dmabuf_reg_mr(pd, address, length, iova, access, false);
	error = errno;
	if (!mr)
		explain(pd, error);
	errno = error;
	return mr;
}

/* Whether the dma-buf comes first; then the result is in `mr`. */
static bool is_forced(struct ibv_pd *pd, void *address, size_t length,
		      uint64_t iova, unsigned int access, struct ibv_mr **mr)
{
	if (!is_always() || !dmabuf_is_device(address, length))
		return false;
	*mr = dmabuf_reg_mr(pd, address, length, iova, access, false);
	if (!*mr) {
		int error = errno;

		explain(pd, error);
		errno = error;
	}
	return true;
}

EXPORTED struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
				   int access)
{
	uint64_t iova = (uintptr_t)addr;
	struct ibv_mr *mr;

	if (is_forced(pd, addr, length, iova, access, &mr))
		return mr;
	mr = REAL(ibv_reg_mr, "IBVERBS_1.1")(pd, addr, length, access);
	return mr ? mr : instead(pd, addr, length, iova, access);
}

EXPORTED struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr,
					size_t length, uint64_t iova,
					int access)
{
	struct ibv_mr *mr;

	if (is_forced(pd, addr, length, iova, access, &mr))
		return mr;
	mr = REAL(ibv_reg_mr_iova, "IBVERBS_1.7")(pd, addr, length, iova,
						  access);
	return mr ? mr : instead(pd, addr, length, iova, access);
}

EXPORTED struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr,
					 size_t length, uint64_t iova,
					 unsigned int access)
{
	struct ibv_mr *mr;

	if (is_forced(pd, addr, length, iova, access, &mr))
		return mr;
	mr = REAL(ibv_reg_mr_iova2, "IBVERBS_1.8")(pd, addr, length, iova,
						   access);
	return mr ? mr : instead(pd, addr, length, iova, access);
}
