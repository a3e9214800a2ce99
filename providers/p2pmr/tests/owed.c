// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The system refuses what there is no way back from: the call that makes the
 * kernel look at a send queue, the mapping of a ring that is in use already,
 * the second half of a reset. Nothing is lost, and who asks is told.
 */
#include <errno.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin.h"
#include "setting.h"

#define COUNT 12

/* ------------------------------------------------ calls that may fail -- */

/* How many fail, and with what; a doorbell with 0 is written in part. */
static int doorbells_refused, maps_refused, refusal;
/* The n-th command from now on fails; 0: none. */
static int command_refused;

static bool is_doorbell(const void *bytes, size_t size)
{
	uint32_t command;

	if (size < sizeof(struct ib_uverbs_post_send))
		return false;
	memcpy(&command, bytes, sizeof(command));
	return command == IB_USER_VERBS_CMD_POST_SEND;
}

/* The program's own come to the provider before the C library's. */
ssize_t write(int fd, const void *bytes, size_t size)
{
	if (doorbells_refused > 0 && is_doorbell(bytes, size)) {
		doorbells_refused--;
		errno = refusal;
		return refusal ? -1 : 8;
	}
	return syscall(SYS_write, fd, bytes, size);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd,
	   off_t offset)
{
	if (maps_refused > 0 && fd >= 0) {
		maps_refused--;
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, address, size, protection, flags, fd,
			       offset);
}

int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list ap;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	if (request == RDMA_VERBS_IOCTL && command_refused > 0 &&
	    !--command_refused) {
		errno = ENOMEM;
		return -1;
	}
	return syscall(SYS_ioctl, fd, request, argument);
}

/* ---------------------------------------------------------- doorbells -- */

static void expect(struct setting *setting, uint64_t id)
{
	struct ibv_wc wc = wait_completion(&setting->pair.near);

	assert_status(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wr_id, id);
}

static struct ibv_send_wr a_write(struct setting *setting, struct ibv_sge *sge)
{
	struct ibv_send_wr wr = {
		.sg_list = sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma.remote_addr = (uintptr_t)setting->to.bytes,
		.wr.rdma.rkey = setting->to.mr->rkey,
	};

	*sge = (struct ibv_sge){ (uintptr_t)setting->from.bytes, 8,
				 setting->from.mr->lkey };
	return wr;
}

static void doorbell_is_made_up_for(void **state)
{
	struct setting setting = { 0 };

	(void)state;
	setting_open(&setting, HOST, PAGE);
	doorbells_refused = 1;
	refusal = ENOMEM;
	post_write(&setting, &setting.pair.near, 1);
	assert_int_equal(doorbells_refused, 0);
	expect(&setting, 1);
	post_write(&setting, &setting.pair.near, 2);
	expect(&setting, 2);
	setting_close(&setting);
}

/* A call that is refused has posted nothing, and what was posted once is sent once. */
static void doorbell_refused_for_long(void **state)
{
	const int *with = *state;
	struct setting setting = { 0 };
	struct ibv_send_wr wr, *bad = NULL;
	struct ibv_sge sge;
	struct ibv_wc wc;
	int error = *with ? *with : EIO;

	setting_open(&setting, HOST, PAGE);
	wr = a_write(&setting, &sge);
	doorbells_refused = 1000;
	refusal = *with;
	post_write(&setting, &setting.pair.near, 1);
	assert_int_equal(ibv_post_send(setting.pair.near.qp, &wr, &bad), error);
	assert_ptr_equal(bad, &wr);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 1, &wc), -error);
	assert_int_equal(errno, error);
	assert_int_equal(ibv_req_notify_cq(setting.pair.near.cq, 0), error);
	doorbells_refused = 0;
	expect(&setting, 1);
	usleep(200000);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 1, &wc), 0);
	post_write(&setting, &setting.pair.near, 2);
	expect(&setting, 2);
	setting_close(&setting);
}

/* A reset has nothing to send. */
static void doorbell_forgotten_by_reset(void **state)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };
	struct setting setting = { 0 };
	struct ibv_wc wc;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	doorbells_refused = 1;
	refusal = ENOMEM;
	post_write(&setting, &setting.pair.near, 1);
	assert_int_equal(
		ibv_modify_qp(setting.pair.near.qp, &attr, IBV_QP_STATE), 0);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 1, &wc), 0);
	setting_close(&setting);
}

/* The same for ibv_wr_* calls, and a CQ that is polled field by field. */
static void doorbell_of_extended_objects(void **state)
{
	struct ibv_cq_init_attr_ex cq_attr = { .cqe = 15 };
	struct ibv_poll_cq_attr none = { 0 };
	struct ibv_qp_init_attr_ex attr = {
		.cap = { 8, 8, 1, 1, 0 },
		.qp_type = IBV_QPT_RC,
		.comp_mask =
			IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_SEND,
	};
	struct setting setting = { 0 };
	struct ibv_cq_ex *cq;
	struct ibv_qp_ex *qp;
	struct queue queue;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	cq = ibv_create_cq_ex(setting.pair.device.context, &cq_attr);
	assert_non_null(cq);
	attr.pd = setting.pair.device.pd;
	attr.send_cq = attr.recv_cq = ibv_cq_ex_to_cq(cq);
	queue = (struct queue){ .device = &setting.pair.device };
	queue.qp = ibv_create_qp_ex(setting.pair.device.context, &attr);
	assert_non_null(queue.qp);
	queue_connect(&queue, queue.qp->qp_num);
	qp = ibv_qp_to_qp_ex(queue.qp);

	doorbells_refused = 3;
	refusal = EIO;
	for (int i = 0; i < 2; i++) {
		ibv_wr_start(qp);
		ibv_wr_send(qp);
		assert_int_equal(ibv_wr_complete(qp), i ? EIO : 0);
	}
	assert_int_equal(ibv_start_poll(cq, &none), EIO);
	assert_int_equal(ibv_start_poll(cq, &none), ENOENT);
	assert_int_equal(doorbells_refused, 0);
	assert_int_equal(ibv_destroy_qp(queue.qp), 0);
	assert_int_equal(ibv_destroy_cq(ibv_cq_ex_to_cq(cq)), 0);
	setting_close(&setting);
}

/* -------------------------------------------------------------- rings -- */

static void ring_of_a_cq_is_mapped_later(void **state)
{
	struct setting setting = { 0 };
	struct ibv_wc wc;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	for (uint64_t i = 0; i < COUNT; i++)
		post_write(&setting, &setting.pair.near, i);
	usleep(300000);
	maps_refused = 2;
	assert_int_equal(ibv_resize_cq(setting.pair.near.cq, 200), 0);
	assert_in_range(setting.pair.near.cq->cqe, 200, 255);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 1, &wc), -ENOMEM);
	assert_int_equal(maps_refused, 0);
	for (uint64_t i = 0; i < COUNT; i++)
		expect(&setting, i);
	post_write(&setting, &setting.pair.near, COUNT);
	expect(&setting, COUNT);
	setting_close(&setting);
}

static void ring_of_an_srq_is_mapped_later(void **state)
{
	struct ibv_srq_init_attr init = { .attr = { 7, 1, 0 } };
	struct ibv_srq_attr attr = { .max_wr = 31 };
	struct ibv_recv_wr wr = { 0 }, *bad = NULL;
	struct setting setting = { 0 };
	struct ibv_srq *srq;
	int count = 0;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	srq = ibv_create_srq(setting.pair.device.pd, &init);
	assert_non_null(srq);
	for (int i = 0; i < 5; i++)
		assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), 0);
	maps_refused = 2;
	assert_int_equal(ibv_modify_srq(srq, &attr, IBV_SRQ_MAX_WR), 0);
	assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), ENOMEM);
	assert_ptr_equal(bad, &wr);
	assert_int_equal(maps_refused, 0);
	while (!ibv_post_srq_recv(srq, &wr, &bad))
		count++;
	assert_int_equal(count, 31 - 5);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	setting_close(&setting);
}

/* ------------------------------------------------------------- resets -- */

/* The kernel has reset it, so nothing can be sent. */
static void half_a_reset(void **state)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RESET };
	struct setting setting = { 0 };
	struct ibv_send_wr wr, *bad;
	struct ibv_sge sge;
	struct ibv_wc wc;

	(void)state;
	setting_open(&setting, HOST, PAGE);
	wr = a_write(&setting, &sge);
	post_write(&setting, &setting.pair.near, 1);
	usleep(200000);
	command_refused = 2;
	assert_int_equal(ibv_modify_qp(setting.pair.near.qp, &attr,
				       IBV_QP_STATE),
			 ENOMEM);
	assert_int_equal(command_refused, 0);
	assert_int_equal(setting.pair.near.qp->state, IBV_QPS_RESET);
	assert_int_equal(ibv_post_send(setting.pair.near.qp, &wr, &bad),
			 EINVAL);
	assert_int_equal(ibv_poll_cq(setting.pair.near.cq, 1, &wc), 0);
	/* One that the kernel has not begun changes nothing. */
	command_refused = 1;
	assert_int_equal(ibv_modify_qp(setting.pair.far.qp, &attr,
				       IBV_QP_STATE),
			 ENOMEM);
	assert_int_equal(setting.pair.far.qp->state, IBV_QPS_RTS);
	setting_close(&setting);
}

static const int no_memory = ENOMEM, no_device = EIO, in_part;

static const struct test tests[] = {
	TEST("provider/doorbell-is-made-up-for", doorbell_is_made_up_for),
	TEST_OF("provider/doorbell-refused-for-want-of-memory",
		doorbell_refused_for_long, &no_memory),
	TEST_OF("provider/doorbell-refused-for-want-of-a-device",
		doorbell_refused_for_long, &no_device),
	TEST_OF("provider/doorbell-written-in-part", doorbell_refused_for_long,
		&in_part),
	TEST("provider/doorbell-forgotten-by-reset",
	     doorbell_forgotten_by_reset),
	TEST("provider/doorbell-of-extended-objects",
	     doorbell_of_extended_objects),
	TEST("provider/ring-of-a-cq-is-mapped-later",
	     ring_of_a_cq_is_mapped_later),
	TEST("provider/ring-of-an-srq-is-mapped-later",
	     ring_of_an_srq_is_mapped_later),
	TEST("provider/half-a-reset", half_a_reset),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
