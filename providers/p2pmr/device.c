// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The device and its context: which devices, and which operations. */
#include <stdio.h>
#include <stdlib.h>

#include "dm_pool.h"
#include "p2pmr.h"

static int query_device(struct ibv_context *context,
			const struct ibv_query_device_ex_input *input,
			struct ibv_device_attr_ex *attr, size_t attr_size)
{
	struct ib_uverbs_ex_query_device_resp resp;
	size_t resp_size = sizeof(resp);
	uint64_t version;
	int error;

	error = ibv_cmd_query_device_any(context, input, attr, attr_size, &resp,
					 &resp_size);
	if (error)
		return error;
	version = resp.base.fw_ver;
	snprintf(attr->orig_attr.fw_ver, sizeof(attr->orig_attr.fw_ver),
		 "%u.%u.%u", (unsigned int)(version >> 32 & 0xffff),
		 (unsigned int)(version >> 16 & 0xffff),
		 (unsigned int)(version & 0xffff));
	if (attr_size >= offsetof(struct ibv_device_attr_ex, max_dm_size) +
				 sizeof(attr->max_dm_size))
		attr->max_dm_size = p2pmr_dm_pool_size();
	return 0;
}

static int query_port(struct ibv_context *context, uint8_t port,
		      struct ibv_port_attr *attr)
{
	struct ibv_query_port cmd;

	return ibv_cmd_query_port(context, port, attr, &cmd, sizeof(cmd));
}

static void free_context(struct ibv_context *ibcontext)
{
	struct p2pmr_context *context =
		container_of(ibcontext, struct p2pmr_context, verbs.context);

	verbs_uninit_context(&context->verbs);
	free(context);
}

static const struct verbs_context_ops context_ops = {
	.advise_mr = ibv_cmd_advise_mr,
	.alloc_dm = p2pmr_alloc_dm,
	.alloc_mw = p2pmr_alloc_mw,
	.alloc_parent_domain = p2pmr_alloc_parent_domain,
	.alloc_pd = p2pmr_alloc_pd,
	.alloc_td = p2pmr_alloc_td,
	.attach_mcast = ibv_cmd_attach_mcast,
	.bind_mw = p2pmr_bind_mw,
	.create_ah = p2pmr_create_ah,
	.create_cq = p2pmr_create_cq,
	.create_cq_ex = p2pmr_create_cq_ex,
	.create_qp = p2pmr_create_qp,
	.create_qp_ex = p2pmr_create_qp_ex,
	.create_srq = p2pmr_create_srq,
	.create_srq_ex = p2pmr_create_srq_ex,
	.dealloc_mw = p2pmr_dealloc_mw,
	.dealloc_pd = p2pmr_dealloc_pd,
	.dealloc_td = p2pmr_dealloc_td,
	.dereg_mr = p2pmr_dereg_mr,
	.destroy_ah = p2pmr_destroy_ah,
	.destroy_cq = p2pmr_destroy_cq,
	.destroy_qp = p2pmr_destroy_qp,
	.destroy_srq = p2pmr_destroy_srq,
	.detach_mcast = ibv_cmd_detach_mcast,
	.free_context = free_context,
	.free_dm = p2pmr_free_dm,
	.modify_qp = p2pmr_modify_qp,
	.modify_srq = p2pmr_modify_srq,
	.poll_cq = p2pmr_poll_cq,
	.post_recv = p2pmr_post_recv,
	.post_send = p2pmr_post_send,
	.post_srq_recv = p2pmr_post_srq_recv,
	.query_device_ex = query_device,
	.query_port = query_port,
	.query_qp = p2pmr_query_qp,
	.query_srq = p2pmr_query_srq,
	.reg_dm_mr = p2pmr_reg_dm_mr,
	.reg_dmabuf_mr = p2pmr_reg_dmabuf_mr,
	.reg_mr = p2pmr_reg_mr,
	.req_notify_cq = ibv_cmd_req_notify_cq,
	.rereg_mr = p2pmr_rereg_mr,
	.resize_cq = p2pmr_resize_cq,
};

static struct verbs_context *alloc_context(struct ibv_device *device, int fd,
					   void *private_data)
{
	struct ib_uverbs_get_context_resp resp;
	struct p2pmr_context *context;
	struct ibv_get_context cmd;
	int error;

	(void)private_data;
	context = verbs_init_and_alloc_context(device, fd, context, verbs,
					       RDMA_DRIVER_RXE);
	if (!context)
		return NULL;
	error = ibv_cmd_get_context(&context->verbs, &cmd, sizeof(cmd), &resp,
				    sizeof(resp));
	if (error) {
		verbs_uninit_context(&context->verbs);
		free(context);
		errno = error;
		return NULL;
	}
	verbs_set_ops(&context->verbs, &context_ops);
	return &context->verbs;
}

static struct verbs_device *alloc_device(struct verbs_sysfs_dev *sysfs)
{
	(void)sysfs;
	return calloc(1, sizeof(struct verbs_device));
}

static void uninit_device(struct verbs_device *device)
{
	free(device);
}

static const struct verbs_match_ent match_table[] = {
	VERBS_DRIVER_ID(RDMA_DRIVER_RXE),
	{},
};

/* Version 1 of soft-RoCE's ABI is version 2 where pointers have 64 bits. */
const struct verbs_device_ops p2pmr_device_ops = {
	.name = "p2pmr",
	.match_min_abi_version = sizeof(void *) == 8 ? 1 : 2,
	.match_max_abi_version = 2,
	.match_table = match_table,
	.alloc_device = alloc_device,
	.uninit_device = uninit_device,
	.alloc_context = alloc_context,
};
