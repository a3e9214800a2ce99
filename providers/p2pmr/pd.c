// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Protection domains, thread domains and parent domains. The kernel knows the
 * first alone: the others say which locks the provider can do without.
 */
#include <stdlib.h>

#include "p2pmr.h"

struct ibv_pd *p2pmr_alloc_pd(struct ibv_context *context)
{
	struct ib_uverbs_alloc_pd_resp resp;
	struct ibv_alloc_pd cmd;
	struct p2pmr_pd *pd;
	int error;

	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return NULL;
	error = ibv_cmd_alloc_pd(context, &pd->pd, &cmd, sizeof(cmd), &resp,
				 sizeof(resp));
	if (error) {
		free(pd);
		errno = error;
		return NULL;
	}
	return &pd->pd;
}

int p2pmr_dealloc_pd(struct ibv_pd *ibpd)
{
	struct p2pmr_pd *pd = to_pd(ibpd);
	int error;

	if (atomic_load(&pd->users))
		return EBUSY;
	if (pd->parent_of) {
		p2pmr_pd_release(&pd->parent_of->pd);
		if (pd->td)
			atomic_fetch_sub(&pd->td->users, 1);
		free(pd);
		return 0;
	}
	error = ibv_cmd_dealloc_pd(ibpd);
	if (error)
		return error;
	free(pd);
	return 0;
}

struct ibv_td *p2pmr_alloc_td(struct ibv_context *context,
			      struct ibv_td_init_attr *attr)
{
	struct p2pmr_td *td;

	if (attr->comp_mask) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	td = calloc(1, sizeof(*td));
	if (!td)
		return NULL;
	td->td.context = context;
	return &td->td;
}

int p2pmr_dealloc_td(struct ibv_td *ibtd)
{
	struct p2pmr_td *td = container_of(ibtd, struct p2pmr_td, td);

	if (atomic_load(&td->users))
		return EBUSY;
	free(td);
	return 0;
}

/*
 * Allocators are taken and never called: all that is allocated per object for
 * its queues is the kernel's.
 */
#define PARENT_DOMAIN_SUPPORTED                   \
	(IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS | \
	 IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT)

struct ibv_pd *
p2pmr_alloc_parent_domain(struct ibv_context *context,
			  struct ibv_parent_domain_init_attr *attr)
{
	struct p2pmr_pd *pd;

	if (ibv_check_alloc_parent_domain(attr))
		return NULL;
	if (attr->comp_mask & ~(uint32_t)PARENT_DOMAIN_SUPPORTED) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (attr->pd->context != context || to_pd(attr->pd)->parent_of ||
	    (attr->td && attr->td->context != context)) {
		errno = EINVAL;
		return NULL;
	}
	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return NULL;
	ibv_initialize_parent_domain(&pd->pd, attr->pd);
	pd->parent_of = to_pd(attr->pd);
	p2pmr_pd_hold(attr->pd);
	if (attr->td) {
		pd->td = container_of(attr->td, struct p2pmr_td, td);
		atomic_fetch_add(&pd->td->users, 1);
	}
	return &pd->pd;
}

bool p2pmr_pd_is_shared(struct ibv_pd *pd)
{
	return !to_pd(pd)->td;
}

/*
 * The kernel counts what is in a PD of its own, and knows nothing of parent
 * domains; one way of counting does for both.
 */
void p2pmr_pd_hold(struct ibv_pd *pd)
{
	atomic_fetch_add(&to_pd(pd)->users, 1);
}

void p2pmr_pd_release(struct ibv_pd *pd)
{
	atomic_fetch_sub(&to_pd(pd)->users, 1);
}
