// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Queue pairs on the device under test, see endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runner.h"

#define PORT	    1
#define FIRST_PSN   0x1000
#define QUEUE_DEPTH 64
#define DEADLINE_MS 20000

static int try_ipv4_gid(struct ibv_context *context, union ibv_gid *gid)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ibv_gid_entry entry;

	for (uint32_t i = 0; i < 64; i++) {
		if (ibv_query_gid_ex(context, PORT, i, &entry, 0))
			continue;
		if (entry.gid_type != IBV_GID_TYPE_ROCE_V2 ||
		    memcmp(entry.gid.raw, mapped, sizeof(mapped)))
			continue;
		*gid = entry.gid;
		return i;
	}
	return -1;
}

/* The addresses of a new device appear some time after it. */
static int find_ipv4_gid(struct ibv_context *context, union ibv_gid *gid)
{
	int index = try_ipv4_gid(context, gid);

	for (int i = 0; index < 0 && i < DEADLINE_MS / 100; i++) {
		usleep(100 * 1000);
		index = try_ipv4_gid(context, gid);
	}
	if (index < 0)
		fail_msg("the device has no RoCE v2 GID of an IPv4 address");
	return index;
}

void device_open(struct device *device)
{
	const char *name = need_env("P2PMR_DEV");
	struct ibv_device **list = ibv_get_device_list(NULL);

	memset(device, 0, sizeof(*device));
	assert_non_null(list);
	for (int i = 0; list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			device->context = ibv_open_device(list[i]);
	ibv_free_device_list(list);
	if (!device->context)
		fail_msg("cannot open %s: %s", name, strerror(errno));

	device->pd = ibv_alloc_pd(device->context);
	assert_non_null(device->pd);
	device->gid_index = find_ipv4_gid(device->context, &device->gid);
}

void device_close(struct device *device)
{
	assert_int_equal(ibv_dealloc_pd(device->pd), 0);
	assert_int_equal(ibv_close_device(device->context), 0);
}

static void create_qp(struct queue *queue, enum ibv_qp_type type)
{
	struct ibv_qp_init_attr init = {
		.send_cq = queue->cq,
		.recv_cq = queue->cq,
		.cap = {
			.max_send_wr = QUEUE_DEPTH,
			.max_recv_wr = QUEUE_DEPTH,
			.max_send_sge = 4,
			.max_recv_sge = 4,
			.max_inline_data = 64,
		},
		.qp_type = type,
		.sq_sig_all = 1,
	};

	queue->qp = ibv_create_qp(queue->device->pd, &init);
	if (!queue->qp)
		fail_msg("ibv_create_qp: %s", strerror(errno));
}

void queue_open(struct queue *queue, struct device *device,
		enum ibv_qp_type type)
{
	memset(queue, 0, sizeof(*queue));
	queue->device = device;
	queue->channel = ibv_create_comp_channel(device->context);
	assert_non_null(queue->channel);
	queue->cq = ibv_create_cq(device->context, 2 * QUEUE_DEPTH, NULL,
				  queue->channel, 0);
	assert_non_null(queue->cq);
	create_qp(queue, type);
}

static void modify(struct queue *queue, struct ibv_qp_attr *attr, int mask)
{
	int error = ibv_modify_qp(queue->qp, attr, mask | IBV_QP_STATE);

	if (error)
		fail_msg("ibv_modify_qp to state %d: %s", attr->qp_state,
			 strerror(error));
}

static struct ibv_ah_attr own_address(struct device *device)
{
	struct ibv_ah_attr address = {
		.is_global = 1,
		.port_num = PORT,
		.grh = {
			.dgid = device->gid,
			.sgid_index = device->gid_index,
			.hop_limit = 8,
		},
	};

	return address;
}

void queue_connect(struct queue *queue, uint32_t peer_qp_num)
{
	struct ibv_qp_attr to_init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = PORT,
		.qp_access_flags = ACCESS_ALL,
	};
	struct ibv_qp_attr to_rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer_qp_num,
		.rq_psn = FIRST_PSN,
		.max_dest_rd_atomic = 8,
		.min_rnr_timer = 12,
		.ah_attr = own_address(queue->device),
	};
	struct ibv_qp_attr to_rts = {
		.qp_state = IBV_QPS_RTS,
		.sq_psn = FIRST_PSN,
		/* Half a second: a CPU of a busy host may be away for some time. */
		.timeout = 17,
		/* 7 is for ever in rxe, and a dead peer has to show. */
		.retry_cnt = 6,
		.rnr_retry = 7,
		.max_rd_atomic = 8,
	};

	modify(queue, &to_init,
	       IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	modify(queue, &to_rtr,
	       IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	modify(queue, &to_rts,
	       IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
		       IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC);
}

void queue_start_ud(struct queue *queue)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT,
				    .port_num = PORT,
				    .qkey = UD_QKEY,
				    .sq_psn = FIRST_PSN };
	struct ibv_ah_attr address = own_address(queue->device);

	modify(queue, &attr, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
	attr.qp_state = IBV_QPS_RTR;
	modify(queue, &attr, 0);
	attr.qp_state = IBV_QPS_RTS;
	modify(queue, &attr, IBV_QP_SQ_PSN);
	queue->ah = ibv_create_ah(queue->device->pd, &address);
	assert_non_null(queue->ah);
}

void queue_close(struct queue *queue)
{
	if (queue->ah)
		assert_int_equal(ibv_destroy_ah(queue->ah), 0);
	assert_int_equal(ibv_destroy_qp(queue->qp), 0);
	assert_int_equal(ibv_destroy_cq(queue->cq), 0);
	assert_int_equal(ibv_destroy_comp_channel(queue->channel), 0);
}

/*
 * Not by a reset: rxe moves a queue pair to the error state some time after
 * the failed completion, and would do so to one that is being set up again.
 */
void queue_renew(struct queue *queue)
{
	struct ibv_wc wc;

	assert_int_equal(ibv_destroy_qp(queue->qp), 0);
	while (ibv_poll_cq(queue->cq, 1, &wc) > 0)
		;
	create_qp(queue, IBV_QPT_RC);
}

static void connect_both(struct pair *pair)
{
	queue_connect(&pair->near, pair->far.qp->qp_num);
	queue_connect(&pair->far, pair->near.qp->qp_num);
}

void pair_open(struct pair *pair)
{
	device_open(&pair->device);
	queue_open(&pair->near, &pair->device, IBV_QPT_RC);
	queue_open(&pair->far, &pair->device, IBV_QPT_RC);
	connect_both(pair);
}

void pair_close(struct pair *pair)
{
	queue_close(&pair->near);
	queue_close(&pair->far);
	device_close(&pair->device);
}

void pair_reconnect(struct pair *pair)
{
	queue_renew(&pair->near);
	queue_renew(&pair->far);
	connect_both(pair);
}

int try_post(struct queue *queue, const struct transfer *t)
{
	struct ibv_sge sge = { .addr = (uintptr_t)t->local,
			       .length = t->length,
			       .lkey = t->lkey };
	struct ibv_send_wr *bad, wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = t->opcode,
		.imm_data = t->imm,
	};

	if (queue->ah) {
		wr.wr.ud.ah = queue->ah;
		wr.wr.ud.remote_qpn = t->ud_qp_num;
		wr.wr.ud.remote_qkey = UD_QKEY;
	} else if (t->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
		   t->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
		wr.wr.atomic.remote_addr = t->remote;
		wr.wr.atomic.rkey = t->rkey;
		wr.wr.atomic.compare_add = t->compare_add;
		wr.wr.atomic.swap = t->swap;
	} else {
		wr.wr.rdma.remote_addr = t->remote;
		wr.wr.rdma.rkey = t->rkey;
	}
	return ibv_post_send(queue->qp, &wr, &bad);
}

void post(struct queue *queue, const struct transfer *transfer)
{
	int error = try_post(queue, transfer);

	if (error)
		fail_msg("ibv_post_send: %s", strerror(error));
}

void post_receive(struct queue *queue, void *buffer, uint32_t length,
		  uint32_t lkey)
{
	struct ibv_sge sge = { .addr = (uintptr_t)buffer,
			       .length = length,
			       .lkey = lkey };
	struct ibv_recv_wr *bad, wr = { .sg_list = &sge, .num_sge = 1 };
	int error = ibv_post_recv(queue->qp, &wr, &bad);

	if (error)
		fail_msg("ibv_post_recv: %s", strerror(error));
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void drain_event(struct queue *queue, int milliseconds)
{
	struct pollfd fd = { .fd = queue->channel->fd, .events = POLLIN };
	struct ibv_cq *cq;
	void *context;

	if (poll(&fd, 1, milliseconds) == 1 &&
	    !ibv_get_cq_event(queue->channel, &cq, &context))
		ibv_ack_cq_events(cq, 1);
}

bool try_completion(struct queue *queue, struct ibv_wc *wc, int milliseconds)
{
	long long left, end = now_ms() + milliseconds;

	for (;;) {
		if (ibv_poll_cq(queue->cq, 1, wc) == 1)
			return true;
		/* Arm, then look again: the completion may have slipped in. */
		if (ibv_req_notify_cq(queue->cq, 0))
			return false;
		if (ibv_poll_cq(queue->cq, 1, wc) == 1)
			return true;
		left = end - now_ms();
		if (left <= 0)
			return false;
		drain_event(queue, left);
	}
}

int deadline_ms(void)
{
	return DEADLINE_MS * slowness();
}

struct ibv_wc wait_completion(struct queue *queue)
{
	struct ibv_wc wc = { 0 };

	if (!try_completion(queue, &wc, deadline_ms()))
		fail_msg("no completion within %d ms", deadline_ms());
	return wc;
}

enum ibv_wc_status try_transfer(struct queue *queue,
				const struct transfer *transfer)
{
	struct ibv_wc wc;

	if (try_post(queue, transfer) ||
	    !try_completion(queue, &wc, deadline_ms()))
		return IBV_WC_GENERAL_ERR;
	return wc.status;
}

enum ibv_wc_status run_transfer(struct queue *queue,
				const struct transfer *transfer)
{
	post(queue, transfer);
	return wait_completion(queue).status;
}

void assert_status_at(enum ibv_wc_status actual, enum ibv_wc_status expected,
		      const char *file, int line)
{
	if (actual == expected)
		return;
	print_error("completion says \"%s\", expected \"%s\"\n",
		    ibv_wc_status_str(actual), ibv_wc_status_str(expected));
	_fail(file, line);
}
