// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Address handles: the kernel keeps the address, a send names its number. */
#include <stdlib.h>

#include "abi.h"
#include "p2pmr.h"

struct ibv_ah *p2pmr_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct p2pmr_create_ah_resp resp = {};
	struct p2pmr_ah *ah;
	int error;

	ah = calloc(1, sizeof(*ah));
	if (!ah)
		return NULL;
	error = ibv_cmd_create_ah(pd, &ah->ah, attr, &resp.ibv_resp,
				  sizeof(resp));
	if (error)
		goto err_free;
	ah->ah.pd = pd;
	ah->number = resp.ah_num;
	/* A kernel before 5.15 wants the whole address in every send. */
	if (!ah->number) {
		ibv_cmd_destroy_ah(&ah->ah);
		error = EPROTONOSUPPORT;
		goto err_free;
	}
	p2pmr_pd_hold(pd);
	return &ah->ah;

err_free:
	free(ah);
	errno = error;
	return NULL;
}

int p2pmr_destroy_ah(struct ibv_ah *ah)
{
	int error = ibv_cmd_destroy_ah(ah);

	if (error)
		return error;
	p2pmr_pd_release(ah->pd);
	free(to_ah(ah));
	return 0;
}
