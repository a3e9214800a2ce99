// SPDX-License-Identifier: GPL-2.0
/*
 * The extended request: what user space wants beside an MR, and what it is told
 * about it, as driver data of the uverbs command REG_MR.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/build_bug.h>
#include <linux/eventfd.h>
#include <linux/slab.h>

#include "verbs.h"

/* Sizes of version 1, which callers may count on for ever. */
#define REQ_SIZE_1 16
#define RESP_SIZE_1 16

#define REQ_FLAGS							\
	(P2PMR_REG_REQUIRE_DEVICE | P2PMR_REG_REGISTER_BAR |		\
	 P2PMR_REG_EVENTFD)

/* Takes what is larger than known only if the rest is zero. */
static int copy_in(struct ib_udata *udata, struct p2pmr_reg_mr_req *req)
{
	size_t known = sizeof(*req);
	u32 size;
	int ret;

	BUILD_BUG_ON(sizeof(*req) != REQ_SIZE_1);
	if (udata->inlen < REQ_SIZE_1)
		return -EINVAL;
	ret = ib_copy_from_udata(&size, udata, sizeof(size));
	if (ret)
		return ret;
	if (size < REQ_SIZE_1 || size > udata->inlen)
		return -EINVAL;
	if (size > known && !ib_is_udata_cleared(udata, known, size - known))
		return -E2BIG;
	return ib_copy_from_udata(req, udata, min_t(size_t, size, known));
}

static int check(const struct p2pmr_reg_mr_req *req)
{
	if ((req->flags & ~REQ_FLAGS) || req->reserved)
		return -EINVAL;
	if (!(req->flags & P2PMR_REG_EVENTFD) && req->eventfd)
		return -EINVAL;
	return 0;
}

/**
 * p2pmr_request_read() - the request that came with a registration
 * @dev: for refusals
 * @udata: of the command
 *
 * Return: NULL if none came, else the request with a reference that is the
 * caller's, or an error pointer: -EINVAL, -E2BIG, -EBADF, -EFAULT, -ENOMEM.
 */
struct p2pmr_mr_request *p2pmr_request_read(struct p2pmr_ibdev *dev,
					    struct ib_udata *udata)
{
	struct p2pmr_mr_request *request;
	struct p2pmr_reg_mr_req req;
	int ret;

	if (!udata || !udata->inlen)
		return NULL;
	ret = copy_in(udata, &req);
	if (!ret)
		ret = check(&req);
	if (ret) {
		p2pmr_ibdev_refuse(dev, ret, "malformed extended request: %d",
				   ret);
		return ERR_PTR(ret);
	}
	request = kzalloc(sizeof(*request), GFP_KERNEL_ACCOUNT);
	if (!request)
		return ERR_PTR(-ENOMEM);
	refcount_set(&request->refs, 1);
	request->flags = req.flags;
	if (!(req.flags & P2PMR_REG_EVENTFD))
		return request;
	request->event = eventfd_ctx_fdget(req.eventfd);
	if (IS_ERR(request->event)) {
		ret = PTR_ERR(request->event);
		kfree(request);
		p2pmr_ibdev_refuse(dev, ret,
				   "extended request: descriptor %d is no eventfd",
				   req.eventfd);
		return ERR_PTR(ret);
	}
	return request;
}

struct p2pmr_mr_request *p2pmr_request_get(struct p2pmr_mr_request *request)
{
	if (request)
		refcount_inc(&request->refs);
	return request;
}

void p2pmr_request_put(struct p2pmr_mr_request *request)
{
	if (!request || !refcount_dec_and_test(&request->refs))
		return;
	if (request->event)
		eventfd_ctx_put(request->event);
	kfree(request);
}

/* Tell the owner that the MR is no more. */
void p2pmr_request_signal(const struct p2pmr_mr_request *request)
{
	if (request && request->event)
		p2pmr_eventfd_signal(request->event);
}

/**
 * p2pmr_request_answer() - tell user space what has been registered
 * @udata: of the command
 * @length: of the MR, in bytes
 * @device_bytes: of them device memory
 * @segments: contiguous pieces
 * @page_size: in the driver's table
 *
 * Return: 0, -EINVAL (too little room for an answer) or -EFAULT.
 */
int p2pmr_request_answer(struct ib_udata *udata, u64 length, u64 device_bytes,
			 unsigned int segments, unsigned int page_size)
{
	struct p2pmr_reg_mr_resp resp = {
		.size = min_t(size_t, udata->outlen, sizeof(resp)),
		.kind = P2PMR_MR_MIXED,
		.segments = segments,
		.page_size = page_size,
	};

	BUILD_BUG_ON(sizeof(resp) != RESP_SIZE_1);
	if (resp.size < RESP_SIZE_1)
		return -EINVAL;
	if (!device_bytes)
		resp.kind = P2PMR_MR_HOST;
	else if (device_bytes == length)
		resp.kind = P2PMR_MR_DEVICE;
	return ib_copy_to_udata(udata, &resp, resp.size);
}
