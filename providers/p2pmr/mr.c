// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Memory regions, plain and with an extended request, and memory windows. */
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "p2pmr.h"

static struct ibv_mr *finish(struct p2pmr_mr *mr, struct ibv_pd *pd,
			     uint64_t iova, int error)
{
	if (error) {
		free(mr);
		errno = error;
		return NULL;
	}
	p2pmr_pd_hold(pd);
	mr->verbs.ibv_mr.pd = pd;
	mr->iova = iova;
	return &mr->verbs.ibv_mr;
}

struct ibv_mr *p2pmr_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			    uint64_t iova, int access)
{
	struct ib_uverbs_reg_mr_resp resp;
	struct ibv_reg_mr cmd;
	struct p2pmr_mr *mr;

	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return NULL;
	return finish(mr, pd, iova,
		      ibv_cmd_reg_mr(pd, addr, length, iova, access, &mr->verbs,
				     &cmd, sizeof(cmd), &resp, sizeof(resp)));
}

struct ibv_mr *p2pmr_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset,
				   size_t length, uint64_t iova, int fd,
				   int access)
{
	struct p2pmr_mr *mr;

	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return NULL;
	return finish(mr, pd, iova,
		      p2pmr_cmd_reg_dmabuf_mr(pd, offset, length, iova, fd,
					      access, &mr->verbs));
}

static struct ibv_mr *register_extended(struct ibv_pd *pd, void *addr,
					size_t length, uint64_t iova,
					unsigned int access,
					const struct p2pmr_reg_mr_req *req,
					struct p2pmr_reg_mr_resp *resp)
{
	struct p2pmr_reg_mr_cmd cmd = { .drv_payload = *req };
	struct p2pmr_reg_mr_cmd_resp answer = {};
	struct p2pmr_mr *mr;
	int error;

	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return NULL;
	mr->extended = req->flags;
	error = ibv_cmd_reg_mr(pd, addr, length, iova, access, &mr->verbs,
			       &cmd.ibv_cmd, sizeof(cmd), &answer.ibv_resp,
			       sizeof(answer));
	if (!error)
		*resp = answer.drv_payload;
	return finish(mr, pd, iova, error);
}

/* What ibv_reg_mr_iova() does around the provider's own part. */
struct ibv_mr *p2pmr_reg_mr_extended(struct ibv_pd *pd, void *addr,
				     size_t length, uint64_t iova,
				     unsigned int access,
				     const struct p2pmr_reg_mr_req *req,
				     struct p2pmr_reg_mr_resp *resp)
{
	bool stays = !(access & IBV_ACCESS_ON_DEMAND);
	struct ibv_mr *mr;
	int error;

	memset(resp, 0, sizeof(*resp));
	if (stays && ibv_dontfork_range(addr, length))
		return NULL;
	mr = register_extended(pd, addr, length, iova, access, req, resp);
	if (!mr) {
		error = errno;
		if (stays)
			ibv_dofork_range(addr, length);
		errno = error;
		return NULL;
	}
	mr->context = pd->context;
	mr->addr = addr;
	mr->length = length;
	return mr;
}

int p2pmr_dereg_mr(struct verbs_mr *verbs_mr)
{
	struct p2pmr_mr *mr = to_mr(verbs_mr);
	int error = ibv_cmd_dereg_mr(verbs_mr);

	if (error)
		return error;
	if (mr->dm)
		p2pmr_dm_release(mr->dm);
	p2pmr_pd_release(mr->verbs.ibv_mr.pd);
	free(mr);
	return 0;
}

struct ibv_mw *p2pmr_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct ib_uverbs_alloc_mw_resp resp = {};
	struct ibv_alloc_mw cmd = {};
	struct ibv_mw *mw;
	int error;

	mw = calloc(1, sizeof(*mw));
	if (!mw)
		return NULL;
	error = ibv_cmd_alloc_mw(pd, type, mw, &cmd, sizeof(cmd), &resp,
				 sizeof(resp));
	if (error) {
		free(mw);
		errno = error;
		return NULL;
	}
	p2pmr_pd_hold(pd);
	return mw;
}

int p2pmr_dealloc_mw(struct ibv_mw *mw)
{
	int error = ibv_cmd_dealloc_mw(mw);

	if (error)
		return error;
	p2pmr_pd_release(mw->pd);
	free(mw);
	return 0;
}
