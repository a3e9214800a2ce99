// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Two connected queue pairs, see pair.h. */
#include "pair.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT	    1
#define QUEUE_DEPTH 4
#define FIRST_PSN   100
#define GIDS_TRIED  16

void die(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf(": %s\n", strerror(error));
	exit(EXIT_FAILURE);
}

/* soft-RoCE talks over IPv4 here: its GID is that of a mapped address. */
static void find_gid(struct pair *pair)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	for (int i = 0; i < GIDS_TRIED; i++) {
		if (ibv_query_gid(pair->context, PORT, i, &pair->gid) ||
		    memcmp(pair->gid.raw, mapped, sizeof(mapped)))
			continue;
		pair->gid_index = i;
		return;
	}
	errno = ENOENT;
	die("no GID of an IPv4 address");
}

void pair_open(struct pair *pair)
{
	const char *name = getenv("P2PMR_DEV");
	struct ibv_device **list = ibv_get_device_list(NULL);

	if (!list)
		die("ibv_get_device_list");
	for (int i = 0; name && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			pair->context = ibv_open_device(list[i]);
	if (!pair->context)
		die("cannot open the device %s", name ? name : "(P2PMR_DEV)");
	ibv_free_device_list(list);

	pair->pd = ibv_alloc_pd(pair->context);
	if (!pair->pd)
		die("ibv_alloc_pd");
}

static struct ibv_qp *create_qp(struct pair *pair)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = pair->cq,
		.recv_cq = pair->cq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = QUEUE_DEPTH,
			 .max_recv_wr = QUEUE_DEPTH,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};
	struct ibv_qp *qp = ibv_create_qp(pair->pd, &attr);

	if (!qp)
		die("ibv_create_qp");
	return qp;
}

static void modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	if (ibv_modify_qp(qp, attr, mask | IBV_QP_STATE))
		die("ibv_modify_qp to state %d", attr->qp_state);
}

static void connect_qp(struct pair *pair, struct ibv_qp *qp, uint32_t other)
{
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = PORT,
		.qp_access_flags =
			IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
	};
	struct ibv_qp_attr ready = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = other,
		.rq_psn = FIRST_PSN,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1,
			     .port_num = PORT,
			     .grh = { .dgid = pair->gid,
				      .sgid_index = pair->gid_index,
				      .hop_limit = 1 } },
	};
	struct ibv_qp_attr send = {
		.qp_state = IBV_QPS_RTS,
		.sq_psn = FIRST_PSN,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 1,
	};

	modify_qp(qp, &init,
		  IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	modify_qp(qp, &ready,
		  IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
			  IBV_QP_RQ_PSN | IBV_QP_MIN_RNR_TIMER |
			  IBV_QP_MAX_DEST_RD_ATOMIC);
	modify_qp(qp, &send,
		  IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
			  IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC);
}

void pair_connect(struct pair *pair)
{
	find_gid(pair);
	pair->cq = ibv_create_cq(pair->context, 2 * QUEUE_DEPTH, NULL, NULL, 0);
	if (!pair->cq)
		die("ibv_create_cq");
	pair->local = create_qp(pair);
	pair->peer = create_qp(pair);
	connect_qp(pair, pair->local, pair->peer->qp_num);
	connect_qp(pair, pair->peer, pair->local->qp_num);
}

enum ibv_wc_status pair_rdma(struct pair *pair, enum ibv_wr_opcode opcode,
			     const struct ibv_mr *mr, void *local,
			     uint32_t length, const void *remote, uint32_t rkey)
{
	struct ibv_sge sge = { .addr = (uintptr_t)local,
			       .length = length,
			       .lkey = mr->lkey };
	struct ibv_send_wr wr = {
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
		.sg_list = &sge,
		.num_sge = 1,
		.wr.rdma = { .remote_addr = (uintptr_t)remote, .rkey = rkey },
	};
	struct ibv_send_wr *bad;
	struct ibv_wc wc;
	int count;

	errno = ibv_post_send(pair->local, &wr, &bad);
	if (errno)
		die("ibv_post_send");
	do {
		count = ibv_poll_cq(pair->cq, 1, &wc);
	} while (count == 0);
	if (count < 0)
		die("ibv_poll_cq");
	return wc.status;
}

void pair_close(struct pair *pair)
{
	if (pair->cq &&
	    (ibv_destroy_qp(pair->local) || ibv_destroy_qp(pair->peer) ||
	     ibv_destroy_cq(pair->cq)))
		die("cannot destroy the queue pairs");
	if (ibv_dealloc_pd(pair->pd))
		die("ibv_dealloc_pd");
	if (ibv_close_device(pair->context))
		die("ibv_close_device");
}
