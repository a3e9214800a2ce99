// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Messages beyond the plain SEND: datagrams, lists that mix host memory with
 * BARs, inline data, and a shared receive queue.
 */
#include <string.h>

#include "bar.h"
#include "endpoint.h"
#include "runner.h"

#define WINDOW	  (4 * PAGE)
#define UD_LENGTH 1000

struct route {
	enum memory_kind local;
	enum memory_kind remote;
};

static void fill_both(struct memory *memory, uint8_t *expected, uint64_t seed)
{
	pattern_fill(expected, WINDOW, seed);
	memcpy(memory->bytes, expected, WINDOW);
}

static void datagram(void **state)
{
	static uint8_t near_expected[WINDOW], far_expected[WINDOW];
	const struct route *route = *state;
	const size_t from = 4095, to = 8150;
	struct memory local, remote;
	struct queue sender, receiver;
	struct device device;
	struct ibv_wc wc;

	device_open(&device);
	queue_open(&sender, &device, IBV_QPT_UD);
	queue_open(&receiver, &device, IBV_QPT_UD);
	queue_start_ud(&sender);
	queue_start_ud(&receiver);
	memory_map(&local, route->local, WINDOW);
	memory_map(&remote, route->remote, WINDOW);
	memory_register(&local, device.pd);
	memory_register(&remote, device.pd);
	fill_both(&local, near_expected, 1);
	fill_both(&remote, far_expected, 2);

	post_receive(&receiver, remote.bytes + to, GRH_LENGTH + UD_LENGTH,
		     remote.mr->lkey);
	assert_status(run_transfer(&sender,
				   &(struct transfer){
					   .opcode = IBV_WR_SEND,
					   .local = local.bytes + from,
					   .lkey = local.mr->lkey,
					   .length = UD_LENGTH,
					   .ud_qp_num = receiver.qp->qp_num,
				   }),
		      IBV_WC_SUCCESS);
	wc = wait_completion(&receiver);
	assert_status(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.byte_len, GRH_LENGTH + UD_LENGTH);

	/* What the header before the data says is the network's affair. */
	memcpy(far_expected + to, remote.bytes + to, GRH_LENGTH);
	memcpy(far_expected + to + GRH_LENGTH, near_expected + from, UD_LENGTH);
	assert_bytes(local.bytes, near_expected, WINDOW, "local side");
	assert_bytes(remote.bytes, far_expected, WINDOW, "remote side");
	memory_release(&local);
	memory_release(&remote);
	queue_close(&sender);
	queue_close(&receiver);
	device_close(&device);
}

#define PIECES 3
#define PIECE  1500

/* Three pieces of three memories, one list; the order differs by side. */
static const enum memory_kind kinds[PIECES] = { BAR, HOST, BAR2_WC };

struct mix {
	struct memory memory[PIECES];
	struct ibv_sge gather[PIECES];
	struct ibv_sge scatter[PIECES];
	uint8_t expected[PIECES][WINDOW];
};

static struct mix mix;

static void mix_open(struct mix *m, struct ibv_pd *pd)
{
	for (int i = 0; i < PIECES; i++) {
		memory_map(&m->memory[i], kinds[i], WINDOW);
		memory_register(&m->memory[i], pd);
		fill_both(&m->memory[i], m->expected[i], i);
	}
	for (int i = 0; i < PIECES; i++) {
		struct memory *from = &m->memory[i];
		struct memory *to = &m->memory[(i + 1) % PIECES];

		m->gather[i] = (struct ibv_sge){
			.addr = (uintptr_t)from->bytes + 4000 + i,
			.length = PIECE,
			.lkey = from->mr->lkey,
		};
		m->scatter[i] = (struct ibv_sge){
			.addr = (uintptr_t)to->bytes + 8100 + i,
			.length = PIECE,
			.lkey = to->mr->lkey,
		};
		memcpy(m->expected[(i + 1) % PIECES] + 8100 + i,
		       m->memory[i].bytes + 4000 + i, PIECE);
	}
}

static void lists_mix_bars_and_host(void **state)
{
	struct ibv_recv_wr *bad_receive, receive = { .num_sge = PIECES };
	struct ibv_send_wr *bad_send,
		send = { .num_sge = PIECES, .opcode = IBV_WR_SEND };
	struct pair pair;

	(void)state;
	pair_open(&pair);
	mix_open(&mix, pair.device.pd);
	receive.sg_list = mix.scatter;
	send.sg_list = mix.gather;
	assert_int_equal(ibv_post_recv(pair.far.qp, &receive, &bad_receive), 0);
	assert_int_equal(ibv_post_send(pair.near.qp, &send, &bad_send), 0);
	assert_status(wait_completion(&pair.near).status, IBV_WC_SUCCESS);
	assert_status(wait_completion(&pair.far).status, IBV_WC_SUCCESS);

	for (int i = 0; i < PIECES; i++) {
		assert_bytes(mix.memory[i].bytes, mix.expected[i], WINDOW,
			     "piece");
		memory_release(&mix.memory[i]);
	}
	pair_close(&pair);
}

/* The CPU reads inline data through the user's mapping: no key needed. */
static void inline_send(void **state)
{
	static uint8_t near_expected[WINDOW], far_expected[WINDOW];
	struct memory bar, bar2;
	struct ibv_sge sge = { .length = 60 };
	struct ibv_send_wr *bad, send = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_INLINE,
	};
	struct pair pair;

	(void)state;
	pair_open(&pair);
	memory_map(&bar, BAR, WINDOW);
	memory_map(&bar2, BAR2, WINDOW);
	memory_register(&bar2, pair.device.pd);
	fill_both(&bar, near_expected, 1);
	fill_both(&bar2, far_expected, 2);
	sge.addr = (uintptr_t)bar.bytes + 4070;
	post_receive(&pair.far, bar2.bytes + 3, 60, bar2.mr->lkey);
	assert_int_equal(ibv_post_send(pair.near.qp, &send, &bad), 0);
	assert_status(wait_completion(&pair.near).status, IBV_WC_SUCCESS);
	assert_status(wait_completion(&pair.far).status, IBV_WC_SUCCESS);

	memcpy(far_expected + 3, near_expected + 4070, 60);
	assert_bytes(bar2.bytes, far_expected, WINDOW, "receiver");
	memory_release(&bar);
	memory_release(&bar2);
	pair_close(&pair);
}

/* A pair as ever, but the far side receives from `srq`. */
static void open_with_shared_queue(struct pair *pair, struct ibv_srq **srq)
{
	struct ibv_srq_init_attr srq_init = { .attr = { .max_wr = 8,
							.max_sge = 1 } };
	struct ibv_qp_init_attr init = {
		.cap = { .max_send_wr = 4, .max_send_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};

	device_open(&pair->device);
	*srq = ibv_create_srq(pair->device.pd, &srq_init);
	assert_non_null(*srq);
	queue_open(&pair->near, &pair->device, IBV_QPT_RC);
	queue_open(&pair->far, &pair->device, IBV_QPT_RC);
	init.send_cq = init.recv_cq = pair->far.cq;
	init.srq = *srq;
	assert_int_equal(ibv_destroy_qp(pair->far.qp), 0);
	pair->far.qp = ibv_create_qp(pair->device.pd, &init);
	assert_non_null(pair->far.qp);
	queue_connect(&pair->far, pair->near.qp->qp_num);
	queue_connect(&pair->near, pair->far.qp->qp_num);
}

static void shared_receive_queue(void **state)
{
	static uint8_t near_expected[WINDOW], far_expected[WINDOW];
	struct ibv_recv_wr *bad, receive = { .num_sge = 1 };
	struct memory host, bar;
	struct ibv_sge sge;
	struct ibv_srq *srq;
	struct pair pair;

	(void)state;
	open_with_shared_queue(&pair, &srq);
	memory_map(&host, HOST, WINDOW);
	memory_map(&bar, BAR, WINDOW);
	memory_register(&host, pair.device.pd);
	memory_register(&bar, pair.device.pd);
	fill_both(&host, near_expected, 1);
	fill_both(&bar, far_expected, 2);

	sge = (struct ibv_sge){ .addr = (uintptr_t)bar.bytes + 33,
				.length = 5000,
				.lkey = bar.mr->lkey };
	receive.sg_list = &sge;
	assert_int_equal(ibv_post_srq_recv(srq, &receive, &bad), 0);
	assert_status(run_transfer(&pair.near,
				   &(struct transfer){
					   .opcode = IBV_WR_SEND,
					   .local = host.bytes + 5,
					   .lkey = host.mr->lkey,
					   .length = 5000,
				   }),
		      IBV_WC_SUCCESS);
	assert_status(wait_completion(&pair.far).status, IBV_WC_SUCCESS);

	memcpy(far_expected + 33, near_expected + 5, 5000);
	assert_bytes(bar.bytes, far_expected, WINDOW, "BAR");
	memory_release(&host);
	memory_release(&bar);
	queue_close(&pair.near);
	queue_close(&pair.far);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	device_close(&pair.device);
}

#define ROUTE(from, to) (&(const struct route){ from, to })

static const struct test tests[] = {
	TEST_OF("verbs/ud-send-from-bar", datagram, ROUTE(BAR, HOST)),
	TEST_OF("verbs/ud-send-from-bar-wc", datagram, ROUTE(BAR_WC, HOST)),
	TEST_OF("verbs/ud-receive-into-bar", datagram, ROUTE(HOST, BAR)),
	TEST_OF("verbs/ud-bar-to-bar", datagram, ROUTE(BAR, BAR2)),
	TEST("verbs/send-lists-mixing-bars-and-host", lists_mix_bars_and_host),
	TEST("verbs/send-inline-from-bar", inline_send),
	TEST("verbs/receive-into-bar-shared-queue", shared_receive_queue),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
