// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * ibv_rereg_mr(). soft-RoCE changes the PD and, within limits, the access of an
 * MR in place, since Linux 6.4; nothing before that, and never where the MR
 * lies. What it does not do is done by a registration that takes the place of
 * the old one, which then has other keys, as the call allows.
 */
#include <stdlib.h>

#include "p2pmr.h"

/* What the MR shall be; starts as what it is. */
struct wish {
	struct ibv_pd *pd;
	void *addr;
	size_t length;
	uint64_t iova;
	int access;
};

static struct wish wish_of(const struct p2pmr_mr *mr, int flags,
			   struct ibv_pd *pd, void *addr, size_t length,
			   int access)
{
	struct wish wish = {
		.pd = mr->verbs.ibv_mr.pd,
		.addr = mr->verbs.ibv_mr.addr,
		.length = mr->verbs.ibv_mr.length,
		.iova = mr->iova,
		.access = mr->verbs.access,
	};

	if (flags & IBV_REREG_MR_CHANGE_PD)
		wish.pd = pd;
	if (flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
		wish.addr = addr;
		wish.length = length;
		wish.iova = (uintptr_t)addr;
	}
	if (flags & IBV_REREG_MR_CHANGE_ACCESS)
		wish.access = access;
	return wish;
}

/* The new one's identity in the old one's struct, which the caller keeps. */
static int replace(struct p2pmr_mr *mr, const struct wish *wish)
{
	struct ibv_mr *ibmr = &mr->verbs.ibv_mr;
	struct p2pmr_mr old = *mr;
	struct p2pmr_mr *new;
	struct ibv_mr *made;
	int error;

	made = p2pmr_reg_mr(wish->pd, wish->addr, wish->length, wish->iova,
			    wish->access);
	if (!made)
		return errno;
	new = to_mr(verbs_get_mr(made));
	made->context = wish->pd->context;
	error = ibv_cmd_dereg_mr(&old.verbs);
	if (error) {
		/* It is in use, by a memory window: it stays what it was. */
		p2pmr_dereg_mr(&new->verbs);
		return error;
	}
	ibmr->handle = made->handle;
	ibmr->lkey = made->lkey;
	ibmr->rkey = made->rkey;
	p2pmr_pd_release(wish->pd);
	free(new);
	return 0;
}

static int in_place(struct p2pmr_mr *mr, int flags, const struct wish *wish)
{
	struct ib_uverbs_rereg_mr_resp resp;
	struct ibv_rereg_mr cmd;

	return ibv_cmd_rereg_mr(&mr->verbs, flags, wish->addr, wish->length,
				wish->iova, wish->access, wish->pd, &cmd,
				sizeof(cmd), &resp, sizeof(resp));
}

int p2pmr_rereg_mr(struct verbs_mr *verbs_mr, int flags, struct ibv_pd *pd,
		   void *addr, size_t length, int access)
{
	struct p2pmr_mr *mr = to_mr(verbs_mr);
	struct wish wish;
	int error;

	if (!flags || ((flags & IBV_REREG_MR_CHANGE_PD) &&
		       (!pd || pd->context != mr->verbs.ibv_mr.context))) {
		errno = EINVAL;
		return EINVAL;
	}
	wish = wish_of(mr, flags, pd, addr, length, access);
	error = in_place(mr, flags, &wish);
	/* EACCES: it was registered for reading, and is to be written. */
	if ((error == EOPNOTSUPP || error == EACCES) && !mr->extended)
		error = replace(mr, &wish);
	if (error) {
		errno = error;
		return error;
	}
	p2pmr_pd_hold(wish.pd);
	p2pmr_pd_release(mr->verbs.ibv_mr.pd);
	mr->verbs.ibv_mr.pd = wish.pd;
	mr->iova = wish.iova;
	mr->verbs.access = wish.access;
	return 0;
}
