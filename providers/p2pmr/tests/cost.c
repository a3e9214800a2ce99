// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Instructions in user space of posting and polling, with the stock provider, here,
 * and here in a thread domain, which the stock provider has not: nowhere more, and
 * clearly fewer for chains and batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cost_setting.h"
#include "plugin.h"
#include "steps.h"

/* Where there is one and a chain or batch of it, they follow each other. */
enum measured {
	OVERHEAD,
	POST_WRITE,
	POST_WRITES,
	POST_INLINE,
	POST_INLINES,
	POST_ATOMIC,
	POST_ATOMICS,
	POST_SEND,
	POST_SENDS,
	POST_UD,
	POST_UDS,
	WR_WRITE,
	WR_WRITES,
	WR_INLINE,
	WR_INLINES,
	WR_ATOMIC,
	WR_ATOMICS,
	WR_UD,
	WR_UDS,
	RECEIVE_ONE,
	RECEIVE_CHAIN,
	SRQ_ONE,
	SRQ_CHAIN,
	POLL_NONE,
	POLL_ONE,
	POLL_BATCH,
	START_POLL_NONE,
	START_POLL_ONE,
	START_POLL_BATCH,
	MEASURED
};
_Static_assert(MEASURED <= STEPS_MAX, "too much is measured");

/* Of the stock provider's instructions, at most so many percent. */
#define NOT_MORE      100
#define CLEARLY_FEWER 85
/* Most of it is the copying, by memcpy(). */
#define COPYING 90

static const struct {
	const char *what;
	unsigned int percent;
} limits[MEASURED] = {
	[POST_WRITE] = { "ibv_post_send, a write", NOT_MORE },
	[POST_WRITES] = { "ibv_post_send, 16 writes", CLEARLY_FEWER },
	[POST_INLINE] = { "ibv_post_send, 32 bytes inline", NOT_MORE },
	[POST_INLINES] = { "ibv_post_send, 16 inline", COPYING },
	[POST_ATOMIC] = { "ibv_post_send, an atomic", NOT_MORE },
	[POST_ATOMICS] = { "ibv_post_send, 16 atomics", CLEARLY_FEWER },
	[POST_SEND] = { "ibv_post_send, a send", NOT_MORE },
	[POST_SENDS] = { "ibv_post_send, 16 sends", CLEARLY_FEWER },
	[POST_UD] = { "ibv_post_send, a UD send", NOT_MORE },
	[POST_UDS] = { "ibv_post_send, 16 UD sends", CLEARLY_FEWER },
	[WR_WRITE] = { "ibv_wr_*, a write", NOT_MORE },
	[WR_WRITES] = { "ibv_wr_*, 16 writes", CLEARLY_FEWER },
	[WR_INLINE] = { "ibv_wr_*, 32 bytes inline", NOT_MORE },
	[WR_INLINES] = { "ibv_wr_*, 16 inline", CLEARLY_FEWER },
	[WR_ATOMIC] = { "ibv_wr_*, an atomic", NOT_MORE },
	[WR_ATOMICS] = { "ibv_wr_*, 16 atomics", CLEARLY_FEWER },
	[WR_UD] = { "ibv_wr_*, a UD send", NOT_MORE },
	[WR_UDS] = { "ibv_wr_*, 16 UD sends", CLEARLY_FEWER },
	[RECEIVE_ONE] = { "ibv_post_recv, one", NOT_MORE },
	[RECEIVE_CHAIN] = { "ibv_post_recv, 16", CLEARLY_FEWER },
	[SRQ_ONE] = { "ibv_post_srq_recv, one", NOT_MORE },
	[SRQ_CHAIN] = { "ibv_post_srq_recv, 16", CLEARLY_FEWER },
	[POLL_NONE] = { "ibv_poll_cq, nothing there", NOT_MORE },
	[POLL_ONE] = { "ibv_poll_cq, one", NOT_MORE },
	[POLL_BATCH] = { "ibv_poll_cq, 16", CLEARLY_FEWER },
	[START_POLL_NONE] = { "ibv_start_poll, nothing there", NOT_MORE },
	[START_POLL_ONE] = { "ibv_start_poll and on, one", NOT_MORE },
	[START_POLL_BATCH] = { "ibv_start_poll and on, 16", CLEARLY_FEWER },
};

static void drain(struct queue *queue, unsigned int count)
{
	while (count--)
		assert_status(wait_completion(queue).status, IBV_WC_SUCCESS);
}

static void measure_post(struct cost_setting *setting, struct queue *queue,
			 enum measured what, unsigned int count)
{
	struct ibv_send_wr *bad, *first = &setting->sends[CHAIN - count];
	int error;

	steps_begin(what);
	error = ibv_post_send(queue->qp, first, &bad);
	steps_end();
	assert_int_equal(error, 0);
	drain(queue, count);
}

static void measure_receive(struct cost_setting *setting, enum measured what,
			    unsigned int count)
{
	struct ibv_recv_wr *bad, *first = &setting->receives[CHAIN - count];
	int error;

	steps_begin(what);
	error = ibv_post_recv(setting->pair.far.qp, first, &bad);
	steps_end();
	assert_int_equal(error, 0);
}

static void measure_srq(struct cost_setting *setting, enum measured what,
			unsigned int count)
{
	struct ibv_recv_wr *bad, *first = &setting->receives[CHAIN - count];
	int error;

	steps_begin(what);
	error = ibv_post_srq_recv(setting->srq, first, &bad);
	steps_end();
	assert_int_equal(error, 0);
}

static void build_write(struct cost_setting *setting, struct ibv_qp_ex *qp)
{
	ibv_wr_rdma_write(qp, setting->to.mr->rkey,
			  (uintptr_t)setting->to.bytes);
	ibv_wr_set_sge(qp, setting->sge.lkey, setting->sge.addr, 32);
}

/* The stock provider wants to be told twice. */
static void build_inline(struct cost_setting *setting, struct ibv_qp_ex *qp)
{
	qp->wr_flags = IBV_SEND_INLINE;
	ibv_wr_rdma_write(qp, setting->to.mr->rkey,
			  (uintptr_t)setting->to.bytes);
	ibv_wr_set_inline_data(qp, setting->from.bytes, 32);
}

static void build_atomic(struct cost_setting *setting, struct ibv_qp_ex *qp)
{
	ibv_wr_atomic_fetch_add(qp, setting->to.mr->rkey,
				(uintptr_t)setting->to.bytes, 1);
	ibv_wr_set_sge(qp, setting->sge.lkey, setting->sge.addr, 8);
}

static void build_ud(struct cost_setting *setting, struct ibv_qp_ex *qp)
{
	ibv_wr_send(qp);
	ibv_wr_set_ud_addr(qp, setting->ud.ah, setting->ud.qp->qp_num, UD_QKEY);
	ibv_wr_set_sge(qp, setting->sge.lkey, setting->sge.addr, 32);
}

static void measure_wr(struct cost_setting *setting, struct queue *queue,
		       enum measured what, unsigned int count,
		       void (*build)(struct cost_setting *, struct ibv_qp_ex *))
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(queue->qp);
	int error;

	steps_begin(what);
	ibv_wr_start(qp);
	for (unsigned int i = 0; i < count; i++) {
		qp->wr_id = i;
		qp->wr_flags = 0;
		build(setting, qp);
	}
	error = ibv_wr_complete(qp);
	steps_end();
	assert_int_equal(error, 0);
	drain(queue, count);
}

/* Enough time for all that was posted to have completed. */
static void post_and_wait(struct cost_setting *setting, unsigned int count)
{
	struct ibv_send_wr *bad;

	if (!count)
		return;
	cost_setting_prepare(setting, IBV_WR_RDMA_WRITE, 0);
	assert_int_equal(ibv_post_send(setting->pair.near.qp,
				       &setting->sends[CHAIN - count], &bad),
			 0);
	usleep(500000);
}

static void measure_poll(struct cost_setting *setting, enum measured what,
			 int count)
{
	int found;

	post_and_wait(setting, count);
	steps_begin(what);
	found = ibv_poll_cq(setting->pair.near.cq, CHAIN, setting->wc);
	steps_end();
	assert_int_equal(found, count);
}

static void measure_start_poll(struct cost_setting *setting, enum measured what,
			       unsigned int count)
{
	struct ibv_poll_cq_attr attr = { 0 };
	unsigned int found = 0;

	post_and_wait(setting, count);
	steps_begin(what);
	if (!ibv_start_poll(setting->cq, &attr)) {
		for (found = 1; found < count; found++)
			if (ibv_next_poll(setting->cq))
				break;
		ibv_end_poll(setting->cq);
	}
	steps_end();
	assert_int_equal(found, count);
}

/* One of them, and then a chain. */
static void measure_posts(struct cost_setting *setting, struct queue *queue,
			  enum measured what, enum ibv_wr_opcode opcode,
			  unsigned int flags)
{
	cost_setting_prepare(setting, opcode, flags);
	measure_post(setting, queue, what, 1);
	measure_post(setting, queue, what + 1, CHAIN);
}

static void measure_wrs(struct cost_setting *setting, struct queue *queue,
			enum measured what,
			void (*build)(struct cost_setting *,
				      struct ibv_qp_ex *))
{
	measure_wr(setting, queue, what, 1, build);
	measure_wr(setting, queue, what + 1, CHAIN, build);
}

static void measure_all(struct cost_setting *setting)
{
	struct queue *near = &setting->pair.near, *ud = &setting->ud;

	measure_poll(setting, POLL_NONE, 0);
	measure_poll(setting, POLL_ONE, 1);
	measure_poll(setting, POLL_BATCH, CHAIN);
	measure_start_poll(setting, START_POLL_NONE, 0);
	measure_start_poll(setting, START_POLL_ONE, 1);
	measure_start_poll(setting, START_POLL_BATCH, CHAIN);
	measure_posts(setting, near, POST_WRITE, IBV_WR_RDMA_WRITE, 0);
	measure_posts(setting, near, POST_INLINE, IBV_WR_RDMA_WRITE,
		      IBV_SEND_INLINE);
	measure_posts(setting, near, POST_ATOMIC, IBV_WR_ATOMIC_FETCH_AND_ADD,
		      0);
	measure_posts(setting, ud, POST_UD, IBV_WR_SEND, 0);
	measure_wrs(setting, near, WR_WRITE, build_write);
	measure_wrs(setting, near, WR_INLINE, build_inline);
	measure_wrs(setting, near, WR_ATOMIC, build_atomic);
	measure_wrs(setting, ud, WR_UD, build_ud);
	measure_srq(setting, SRQ_ONE, 1);
	measure_srq(setting, SRQ_CHAIN, CHAIN);
	/* Which the sends then take. */
	measure_receive(setting, RECEIVE_ONE, 1);
	measure_receive(setting, RECEIVE_CHAIN, CHAIN);
	measure_posts(setting, near, POST_SEND, IBV_WR_SEND, 0);
}

static void measure_twice(bool in_domain)
{
	for (int i = 0; i < 2; i++) {
		struct cost_setting setting = { 0 };

		if (i)
			steps_enable();
		cost_setting_open(&setting, in_domain);
		measure_all(&setting);
		cost_setting_close(&setting);
	}
}

static void measure_plain(void)
{
	measure_twice(false);
}

static void measure_in_domain(void)
{
	measure_twice(true);
}

static void costs_less_than_stock(void **state)
{
	unsigned int stock[STEPS_MAX] = { 0 }, own[STEPS_MAX] = { 0 },
		     domain[STEPS_MAX] = { 0 };
	bool within = true;

	(void)state;
	unsetenv("IBV_DRIVERS");
	count_steps(measure_plain, stock);
	setenv("IBV_DRIVERS", "p2pmr", 1);
	count_steps(measure_plain, own);
	count_steps(measure_in_domain, domain);
	printf("%-32s %8s %8s %8s\n", "instructions", "stock", "p2pmr",
	       "domain");
	for (int i = OVERHEAD + 1; i < MEASURED; i++) {
		bool good = own[i] &&
			    own[i] * 100 <= stock[i] * limits[i].percent &&
			    domain[i] && domain[i] <= own[i];

		printf("%-32s %8u %8u %8u%s\n", limits[i].what, stock[i],
		       own[i], domain[i], good ? "" : "  too many");
		within = within && good;
	}
	assert_true(within);
}

static const struct test tests[] = {
	TEST("provider/costs-less-than-stock", costs_less_than_stock),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
