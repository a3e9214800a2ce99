// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Connecting two processes of a test, see peer.h. */
#include "peer.h"

#include "child.h"

void peer_open(struct peer *peer, int socket)
{
	uint32_t qp_num;

	peer->socket = socket;
	device_open(&peer->device);
	queue_open(&peer->queue, &peer->device, IBV_QPT_RC);
	send_message(socket, &peer->queue.qp->qp_num, sizeof(qp_num));
	receive_message(socket, &qp_num, sizeof(qp_num));
	queue_connect(&peer->queue, qp_num);
	meet(socket);
}

void peer_close(struct peer *peer)
{
	queue_close(&peer->queue);
	device_close(&peer->device);
}

void tell_region(struct peer *peer, const struct ibv_mr *mr)
{
	struct region region = { .address = (uintptr_t)mr->addr,
				 .length = mr->length,
				 .rkey = mr->rkey };

	send_message(peer->socket, &region, sizeof(region));
}

struct region learn_region(struct peer *peer)
{
	struct region region;

	receive_message(peer->socket, &region, sizeof(region));
	return region;
}

enum ibv_wc_status peer_transfer(struct peer *peer, enum ibv_wr_opcode opcode,
				 const struct memory *local,
				 const struct region *region, size_t offset,
				 size_t length)
{
	return run_transfer(&peer->queue,
			    &(struct transfer){
				    .opcode = opcode,
				    .local = local->bytes,
				    .lkey = local->mr->lkey,
				    .length = length,
				    .remote = region->address + offset,
				    .rkey = region->rkey,
				    .compare_add = 1,
			    });
}

void meet(int socket)
{
	char nothing = 0;

	send_message(socket, &nothing, 1);
	receive_message(socket, &nothing, 1);
}
