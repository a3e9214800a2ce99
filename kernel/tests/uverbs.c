// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include "uverbs.h"

#include <errno.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "runner.h"

/* Driver data of either direction; more than any test has. */
#define DRIVER_DATA_SIZE 256

static int command(struct ibv_context *context, const void *bytes, size_t size)
{
	ssize_t written = write(context->cmd_fd, bytes, size);

	return written == (ssize_t)size ? 0 : errno;
}

int uverbs_register(struct ibv_pd *pd, void *address, size_t length, int access,
		    const void *request, size_t request_size, void *answer,
		    size_t answer_size, struct raw_mr *mr)
{
	struct {
		struct ib_uverbs_reg_mr_resp body;
		char driver_data[DRIVER_DATA_SIZE];
	} response = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_reg_mr body;
		char driver_data[DRIVER_DATA_SIZE];
	} message = {
		.header.command = IB_USER_VERBS_CMD_REG_MR,
		.body = {
			.response = (uintptr_t)&response,
			.start = (uintptr_t)address,
			.length = length,
			.hca_va = (uintptr_t)address,
			.pd_handle = pd->handle,
			.access_flags = access,
		},
	};
	size_t size = sizeof(message) - DRIVER_DATA_SIZE + request_size;
	size_t response_size = sizeof(response.body) + answer_size;
	int error;

	assert_true(request_size <= DRIVER_DATA_SIZE && request_size % 4 == 0);
	assert_true(answer_size <= DRIVER_DATA_SIZE && answer_size % 4 == 0);
	message.header.in_words = size / 4;
	message.header.out_words = response_size / 4;
	memcpy(message.driver_data, request, request_size);
	error = command(pd->context, &message, size);
	if (error)
		return error;
	memcpy(answer, (char *)&response + sizeof(response.body), answer_size);
	*mr = (struct raw_mr){
		.context = pd->context,
		.handle = response.body.mr_handle,
		.lkey = response.body.lkey,
		.rkey = response.body.rkey,
	};
	return 0;
}

#define REG_DMABUF(name_) UVERBS_ATTR_REG_DMABUF_MR_##name_
#define ATTR(name_, ...)                                      \
	{                                                     \
		.attr_id = REG_DMABUF(name_),                 \
		.flags = UVERBS_ATTR_F_MANDATORY, __VA_ARGS__ \
	}
/* A number of eight bytes stands in the attribute itself. */
#define NUMBER(name_, value_) ATTR(name_, .len = 8, .data = (value_))
#define ANSWER(name_, field_) \
	ATTR(name_, .len = sizeof(field_), .data = (uintptr_t) & (field_))

int uverbs_register_dmabuf(struct ibv_pd *pd, int fd, uint64_t offset,
			   uint64_t length, uint64_t iova, int access,
			   struct raw_mr *mr)
{
	uint32_t lkey, rkey;
	struct {
		struct ib_uverbs_ioctl_hdr header;
		struct ib_uverbs_attr attrs[9];
	} call = {
		.header = {
			.length = sizeof(call),
			.object_id = UVERBS_OBJECT_MR,
			.method_id = UVERBS_METHOD_REG_DMABUF_MR,
			.num_attrs = ARRAY_SIZE(call.attrs),
			.driver_id = RDMA_DRIVER_RXE,
		},
		.attrs = {
			ATTR(HANDLE, .data = 0),
			ATTR(PD_HANDLE, .data = pd->handle),
			ATTR(FD, .len = 4, .data = (uint32_t)fd),
			NUMBER(OFFSET, offset),
			NUMBER(LENGTH, length),
			NUMBER(IOVA, iova),
			NUMBER(ACCESS_FLAGS, access),
			ANSWER(RESP_LKEY, lkey),
			ANSWER(RESP_RKEY, rkey),
		},
	};

	if (ioctl(pd->context->cmd_fd, RDMA_VERBS_IOCTL, &call))
		return errno;
	*mr = (struct raw_mr){
		.context = pd->context,
		.handle = call.attrs[0].data,
		.lkey = lkey,
		.rkey = rkey,
	};
	return 0;
}

int uverbs_try_deregister(struct raw_mr *mr)
{
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_dereg_mr body;
	} message = {
		.header = {
			.command = IB_USER_VERBS_CMD_DEREG_MR,
			.in_words = sizeof(message) / 4,
		},
		.body.mr_handle = mr->handle,
	};

	return command(mr->context, &message, sizeof(message));
}

void uverbs_deregister(struct raw_mr *mr)
{
	assert_int_equal(uverbs_try_deregister(mr), 0);
}

int uverbs_reregister(struct ibv_context *context, uint32_t handle, int flags,
		      struct ibv_pd *pd, void *address, size_t length,
		      int access, struct keys *keys)
{
	struct ib_uverbs_rereg_mr_resp response = { 0 };
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_rereg_mr body;
	} message = {
		.header = {
			.command = IB_USER_VERBS_CMD_REREG_MR,
			.in_words = sizeof(message) / 4,
			.out_words = sizeof(response) / 4,
		},
		.body = {
			.response = (uintptr_t)&response,
			.mr_handle = handle,
			.flags = flags,
			.start = (uintptr_t)address,
			.length = length,
			.hca_va = (uintptr_t)address,
			.pd_handle = pd->handle,
			.access_flags = access,
		},
	};
	int error = command(context, &message, sizeof(message));

	if (!error)
		*keys = (struct keys){ response.lkey, response.rkey };
	return error;
}
