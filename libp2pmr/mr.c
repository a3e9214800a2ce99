// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Registration: by the extended request where that is possible, else plain, and
 * by a dma-buf where the driver knows of no device memory but that.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>
#include <p2pmr_provider.h>

#include "dmabuf.h"
#include "extensible.h"
#include "provider.h"

#define ALL_FLAGS \
	(P2PMR_REG_REQUIRE_DEVICE | P2PMR_REG_REGISTER_BAR | P2PMR_REG_EVENTFD)

/* Of the structs in version 0.1, which stay accepted; they only grow. */
#define ATTR_SIZE_0_1 24
#define INFO_SIZE_0_1 16
static_assert(sizeof(struct p2pmr_reg_attr) >= ATTR_SIZE_0_1, "");
static_assert(sizeof(struct p2pmr_mr_info) >= INFO_SIZE_0_1, "");

struct p2pmr_mr {
	struct ibv_mr *verbs;
	struct p2pmr_reg_mr_resp resp; /* size 0: nobody told */
	int eventfd;		       /* -1: none was asked for */
};

static int take_attr(struct p2pmr_reg_attr *own,
		     const struct p2pmr_reg_attr *given)
{
	int ret = extensible_take(own, sizeof(*own), given, ATTR_SIZE_0_1);

	if (ret)
		return ret;
	if (own->flags & ~ALL_FLAGS || own->has_iova > 1 || own->reserved)
		return -EINVAL;
	return 0;
}

/* Not every provider says why. */
static int reason(void)
{
	return errno ? -errno : -EIO;
}

/* Through the provider; the kernel must have seen the flags, if there are any. */
static int register_extended(struct p2pmr_mr *mr,
			     const struct p2pmr_provider *provider,
			     struct ibv_pd *pd, void *address, size_t length,
			     uint64_t iova, unsigned int access, uint32_t flags)
{
	struct p2pmr_reg_mr_req req = {
		.size = sizeof(req),
		.flags = flags,
		.eventfd = flags & P2PMR_REG_EVENTFD ? mr->eventfd : 0,
	};

	errno = 0;
	mr->verbs = provider->reg_mr(pd, address, length, iova, access, &req,
				     &mr->resp);
	if (!mr->verbs)
		return reason();
	if (flags && !mr->resp.size) {
		ibv_dereg_mr(mr->verbs);
		return -EPROTONOSUPPORT;
	}
	return 0;
}

static int register_plain(struct p2pmr_mr *mr, struct ibv_pd *pd, void *address,
			  size_t length, uint64_t iova, unsigned int access)
{
	errno = 0;
	mr->verbs = ibv_reg_mr_iova2(pd, address, length, iova, access);
	return mr->verbs ? 0 : reason();
}

/*
 * A driver that pins pages answers EFAULT where there are none. Host memory has
 * gone its way by then, and at no cost.
 */
static int register_plainly(struct p2pmr_mr *mr, struct ibv_pd *pd,
			    void *address, size_t length, uint64_t iova,
			    unsigned int access, uint32_t flags)
{
	int ret = -EFAULT;

	if (flags &&
	    (flags & P2PMR_REG_EVENTFD || !dmabuf_applies(pd->context)))
		return -EOPNOTSUPP;
	if (!(flags & P2PMR_REG_REQUIRE_DEVICE)) {
		ret = register_plain(mr, pd, address, length, iova, access);
		if (ret != -EFAULT || !dmabuf_is_device(address, length) ||
		    !dmabuf_applies(pd->context))
			return ret;
	}
	mr->verbs = dmabuf_reg_mr(pd, address, length, iova, access,
				  flags & P2PMR_REG_REGISTER_BAR);
	if (!mr->verbs)
		return -errno;
	mr->resp.kind = P2PMR_MR_DEVICE;
	return 0;
}

static int register_range(struct p2pmr_mr *mr, struct ibv_pd *pd, void *address,
			  size_t length, unsigned int access,
			  const struct p2pmr_reg_attr *attr)
{
	const struct p2pmr_provider *provider = provider_of(pd->context);
	uint64_t iova = attr->has_iova ? attr->iova : (uintptr_t)address;
	int ret;

	if (!provider)
		return register_plainly(mr, pd, address, length, iova, access,
					attr->flags);
	if (attr->flags & P2PMR_REG_EVENTFD) {
		mr->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (mr->eventfd < 0)
			return -errno;
	}
	ret = register_extended(mr, provider, pd, address, length, iova, access,
				attr->flags);
	if (ret && mr->eventfd >= 0)
		close(mr->eventfd);
	return ret;
}

struct p2pmr_mr *p2pmr_reg_mr(struct ibv_pd *pd, void *address, size_t length,
			      unsigned int access,
			      const struct p2pmr_reg_attr *given)
{
	struct p2pmr_reg_attr attr;
	struct p2pmr_mr *mr = NULL;
	int ret = take_attr(&attr, given);

	if (!ret) {
		mr = calloc(1, sizeof(*mr));
		ret = mr ? 0 : -ENOMEM;
	}
	if (!ret) {
		mr->eventfd = -1;
		ret = register_range(mr, pd, address, length, access, &attr);
	}
	if (!ret)
		return mr;
	free(mr);
	errno = -ret;
	return NULL;
}

int p2pmr_dereg_mr(struct p2pmr_mr *mr)
{
	int error = mr ? ibv_dereg_mr(mr->verbs) : 0;

	if (error)
		return -error;
	if (mr && mr->eventfd >= 0)
		close(mr->eventfd);
	free(mr);
	return 0;
}

struct ibv_mr *p2pmr_mr_verbs(const struct p2pmr_mr *mr)
{
	return mr->verbs;
}

int p2pmr_mr_fd(const struct p2pmr_mr *mr)
{
	return mr->eventfd >= 0 ? mr->eventfd : -ENOENT;
}

int p2pmr_mr_revoked(const struct p2pmr_mr *mr)
{
	struct pollfd p = { .fd = mr->eventfd, .events = POLLIN };
	int n;

	if (mr->eventfd < 0)
		return -ENOENT;
	do
		n = poll(&p, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* Who has closed the descriptor has learned nothing of the MR. */
	return p.revents & POLLNVAL ? -EBADF : n;
}

int p2pmr_mr_query(const struct p2pmr_mr *mr, struct p2pmr_mr_info *info)
{
	struct p2pmr_mr_info known = {
		.size = info->size,
		.kind = mr->resp.kind,
		.segments = mr->resp.segments,
		.page_size = mr->resp.page_size,
	};
	uint32_t size = info->size;

	if (size < INFO_SIZE_0_1)
		return -EINVAL;
	if (size > EXTENSIBLE_MAX)
		return -E2BIG;
	/* What a later header has beside that is nothing to this library. */
	memset(info, 0, size);
	memcpy(info, &known, size < sizeof(known) ? size : sizeof(known));
	return 0;
}
