// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Two connected queue pairs, see loopback.h. */
#include "loopback.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define PORT	    1
#define PSN	    1
#define GIDS	    32
#define GID_SECONDS 2
/* Retries that lead nowhere are over long before. */
#define SECONDS 30

static bool failed(const char *what, int error)
{
	complain("%s: %s", what, strerror(error));
	return false;
}

static bool open_device(struct loopback *loopback, const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	int error = ENODEV;

	for (int i = 0; list && list[i]; i++) {
		if (strcmp(ibv_get_device_name(list[i]), name) != 0)
			continue;
		loopback->context = ibv_open_device(list[i]);
		error = errno;
	}
	if (list)
		ibv_free_device_list(list);
	return loopback->context || failed(name, error);
}

static bool is_mapped(const union ibv_gid *gid)
{
	static const uint8_t start[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(gid->raw, start, sizeof(start));
}

/* One of an IPv4 address if there is one, else any of RoCE v2. */
static bool look_for_gid(struct ibv_context *context,
			 struct ibv_gid_entry *found)
{
	struct ibv_gid_entry entries[GIDS];
	ssize_t count = ibv_query_gid_table(context, entries, GIDS, 0);
	bool any = false;

	for (ssize_t i = 0; i < count; i++) {
		if (entries[i].port_num != PORT ||
		    entries[i].gid_type != IBV_GID_TYPE_ROCE_V2)
			continue;
		if (!any || is_mapped(&entries[i].gid))
			*found = entries[i];
		any = true;
		if (is_mapped(&entries[i].gid))
			break;
	}
	return any;
}

/* A new device gets its GIDs a moment later. */
static bool find_gid(struct ibv_context *context, struct ibv_gid_entry *found)
{
	time_t end = time(NULL) + GID_SECONDS;

	while (!look_for_gid(context, found)) {
		if (time(NULL) > end) {
			complain("%s has no RoCE v2 address: is its network "
				 "interface up, with an IP address?",
				 ibv_get_device_name(context->device));
			return false;
		}
		usleep(10 * 1000);
	}
	return true;
}

static struct ibv_qp *make_qp(struct loopback *loopback)
{
	struct ibv_qp_init_attr attr = {
		.send_cq = loopback->cq,
		.recv_cq = loopback->cq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 2,
			 .max_recv_wr = 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};

	return ibv_create_qp(loopback->pd, &attr);
}

static int connect_qp(struct ibv_qp *qp, uint32_t other,
		      const struct ibv_gid_entry *gid)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = PORT,
		.qp_access_flags = IBV_ACCESS_REMOTE_READ |
				   IBV_ACCESS_REMOTE_WRITE |
				   IBV_ACCESS_REMOTE_ATOMIC,
		.path_mtu = IBV_MTU_1024,
		.dest_qp_num = other,
		.rq_psn = PSN,
		.sq_psn = PSN,
		.max_dest_rd_atomic = 1,
		.max_rd_atomic = 1,
		.min_rnr_timer = 12,
		.timeout = 14,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.ah_attr = { .is_global = 1,
			     .port_num = PORT,
			     .grh = { .dgid = gid->gid,
				      .sgid_index = gid->gid_index,
				      .hop_limit = 1 } },
	};
	int error;

	error = ibv_modify_qp(qp, &attr,
			      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				      IBV_QP_ACCESS_FLAGS);
	if (error)
		return error;
	attr.qp_state = IBV_QPS_RTR;
	error = ibv_modify_qp(qp, &attr,
			      IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
				      IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				      IBV_QP_MIN_RNR_TIMER |
				      IBV_QP_MAX_DEST_RD_ATOMIC);
	if (error)
		return error;
	attr.qp_state = IBV_QPS_RTS;
	return ibv_modify_qp(qp, &attr,
			     IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT |
				     IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				     IBV_QP_MAX_QP_RD_ATOMIC);
}

bool loopback_open(struct loopback *loopback, const char *device)
{
	struct ibv_gid_entry gid;
	int error;

	*loopback = (struct loopback){ 0 };
	if (!open_device(loopback, device) ||
	    !find_gid(loopback->context, &gid))
		return false;
	loopback->pd = ibv_alloc_pd(loopback->context);
	if (!loopback->pd)
		return failed("ibv_alloc_pd", errno);
	loopback->events = ibv_create_comp_channel(loopback->context);
	if (!loopback->events)
		return failed("ibv_create_comp_channel", errno);
	loopback->cq =
		ibv_create_cq(loopback->context, 4, NULL, loopback->events, 0);
	if (!loopback->cq)
		return failed("ibv_create_cq", errno);
	loopback->near = make_qp(loopback);
	loopback->far = loopback->near ? make_qp(loopback) : NULL;
	if (!loopback->far)
		return failed("ibv_create_qp", errno);
	error = connect_qp(loopback->near, loopback->far->qp_num, &gid);
	if (!error)
		error = connect_qp(loopback->far, loopback->near->qp_num, &gid);
	return !error || failed("connecting the queue pairs", error);
}

void loopback_close(struct loopback *loopback)
{
	if (loopback->far)
		ibv_destroy_qp(loopback->far);
	if (loopback->near)
		ibv_destroy_qp(loopback->near);
	if (loopback->cq)
		ibv_destroy_cq(loopback->cq);
	if (loopback->events)
		ibv_destroy_comp_channel(loopback->events);
	if (loopback->pd)
		ibv_dealloc_pd(loopback->pd);
	if (loopback->context)
		ibv_close_device(loopback->context);
}

static bool wait_for_completion(struct loopback *loopback)
{
	time_t end = time(NULL) + SECONDS;
	struct ibv_wc wc;
	int n;

	while (!(n = ibv_poll_cq(loopback->cq, 1, &wc))) {
		if (time(NULL) > end) {
			complain("no completion within %d seconds", SECONDS);
			return false;
		}
		usleep(100);
	}
	if (n < 0)
		return failed("ibv_poll_cq", errno);
	if (wc.status == IBV_WC_SUCCESS)
		return true;
	complain("the transfer failed: %s", ibv_wc_status_str(wc.status));
	return false;
}

bool loopback_transfer(struct loopback *loopback, enum ibv_wr_opcode opcode,
		       const struct ibv_mr *local, const struct ibv_mr *remote,
		       size_t at, uint32_t length)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)local->addr + at,
		.length = length,
		.lkey = local->lkey,
	};
	struct ibv_send_wr *bad, wr = {
		.opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
		.sg_list = &sge,
		.num_sge = 1,
		.wr.rdma = { .remote_addr = (uintptr_t)remote->addr + at,
			     .rkey = remote->rkey },
	};
	int error = ibv_post_send(loopback->near, &wr, &bad);

	if (error)
		return failed("ibv_post_send", error);
	return wait_for_completion(loopback);
}
