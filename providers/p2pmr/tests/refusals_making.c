// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What making objects refuses, and with which errno. */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "endpoint.h"
#include "plugin.h"

static void completion_queues(void **state)
{
	struct ibv_cq_init_attr_ex attr = { .cqe = 16 };
	struct device device;

	(void)state;
	device_open(&device);
	attr.wc_flags = IBV_WC_EX_WITH_COMPLETION_TIMESTAMP;
	assert_null(ibv_create_cq_ex(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);
	attr.wc_flags = IBV_WC_EX_WITH_CVLAN;
	assert_null(ibv_create_cq_ex(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);
	attr.wc_flags = 0;
	attr.comp_mask = 1u << 30;
	assert_null(ibv_create_cq_ex(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_null(ibv_create_cq(device.context, 1 << 28, NULL, NULL, 0));
	assert_int_equal(errno, EINVAL);
	device_close(&device);
}

/* From that version on soft-RoCE has atomic writes, and says so. */
static bool kernel_has_atomic_writes(void)
{
	struct utsname name;
	int major, minor;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 2);
}

/* What the kernel lacks is refused when it is asked for, not when it is posted. */
static void operations_that_came_later(void **state)
{
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = IBV_QPT_RC,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_ATOMIC_WRITE,
	};
	struct device device;
	struct ibv_cq *cq;
	struct ibv_qp *qp;

	(void)state;
	device_open(&device);
	cq = ibv_create_cq(device.context, 16, NULL, NULL, 0);
	assert_non_null(cq);
	attr.send_cq = attr.recv_cq = cq;
	attr.pd = device.pd;
	errno = 0;
	qp = ibv_create_qp_ex(device.context, &attr);
	if (kernel_has_atomic_writes()) {
		assert_non_null(qp);
		assert_int_equal(ibv_destroy_qp(qp), 0);
	} else {
		assert_null(qp);
		assert_int_equal(errno, EOPNOTSUPP);
	}
	assert_int_equal(ibv_destroy_cq(cq), 0);
	device_close(&device);
}

static void queue_pairs(void **state)
{
	struct ibv_qp_init_attr_ex attr = { .qp_type = IBV_QPT_RC };
	struct ibv_qp_init_attr plain = { .qp_type = IBV_QPT_RC };
	struct device device;
	struct ibv_cq *cq;

	(void)state;
	device_open(&device);
	cq = ibv_create_cq(device.context, 16, NULL, NULL, 0);
	assert_non_null(cq);
	attr.send_cq = attr.recv_cq = plain.send_cq = plain.recv_cq = cq;
	attr.pd = device.pd;

	attr.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
	attr.send_ops_flags = IBV_QP_EX_WITH_TSO;
	assert_null(ibv_create_qp_ex(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);
	attr.qp_type = IBV_QPT_UD;
	attr.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE;
	assert_null(ibv_create_qp_ex(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);
	attr.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS;
	attr.create_flags = IBV_QP_CREATE_BLOCK_SELF_MCAST_LB;
	assert_null(ibv_create_qp_ex(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);

	plain.cap.max_send_wr = 1 << 28;
	assert_null(ibv_create_qp(device.pd, &plain));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ibv_destroy_cq(cq), 0);
	device_close(&device);
}

static void memory_regions(void **state)
{
	struct device device;

	(void)state;
	device_open(&device);
	assert_null(ibv_reg_mr(device.pd, (void *)0x1000, 4096,
			       IBV_ACCESS_LOCAL_WRITE));
	assert_int_equal(errno, EFAULT);
	/* As UCX, libfabric and NCCL ask whether there is such a thing. */
	assert_null(ibv_reg_dmabuf_mr(device.pd, 0, 4096, 0, -1,
				      IBV_ACCESS_LOCAL_WRITE));
	assert_int_equal(errno, EBADF);
	assert_null(ibv_reg_dmabuf_mr(device.pd, 0, 0, 0, -1, 0));
	assert_int_equal(errno, EBADF);
	assert_null(ibv_reg_dmabuf_mr(device.pd, 0, 4096, 0,
				      device.context->cmd_fd, 0));
	assert_int_equal(errno, EINVAL);
	device_close(&device);
}

static void address_handles(void **state)
{
	struct ibv_ah_attr attr = { .port_num = 7, .is_global = 1 };
	struct device device;

	(void)state;
	device_open(&device);
	assert_null(ibv_create_ah(device.pd, &attr));
	assert_int_equal(errno, EINVAL);
	device_close(&device);
}

static void what_is_in_use(void **state)
{
	struct device device;
	struct queue queue;

	(void)state;
	device_open(&device);
	queue_open(&queue, &device, IBV_QPT_RC);
	assert_int_equal(ibv_dealloc_pd(device.pd), EBUSY);
	assert_int_equal(ibv_destroy_cq(queue.cq), EBUSY);
	queue_close(&queue);
	device_close(&device);
}

static const struct test tests[] = {
	TEST("provider/refuses-completion-queues", completion_queues),
	TEST("provider/refuses-queue-pairs", queue_pairs),
	TEST("provider/refuses-operations-that-the-kernel-lacks",
	     operations_that_came_later),
	TEST("provider/refuses-memory-regions", memory_regions),
	TEST("provider/refuses-address-handles", address_handles),
	TEST("provider/refuses-to-end-what-is-in-use", what_is_in_use),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
