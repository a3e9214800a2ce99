// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Several threads at one queue pair and one CQ: nothing is lost or doubled. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "endpoint.h"
#include "bar.h"
#include "plugin.h"

#define THREADS	  4
#define EACH	  100
#define ALL	  (THREADS * EACH)
#define UNDER_WAY 40

static struct pair pair;
static struct memory from, to;
static atomic_int seen[ALL], posted, count, failed;

static void *post_many(void *argument)
{
	uint64_t first = (uintptr_t)argument * EACH;

	for (uint64_t i = 0; i < EACH && !failed; i++) {
		struct ibv_sge sge = { (uintptr_t)from.bytes, 8,
				       from.mr->lkey };
		struct ibv_send_wr *bad, wr = {
			.wr_id = first + i,
			.sg_list = &sge,
			.num_sge = 1,
			.opcode = IBV_WR_RDMA_WRITE,
			.wr.rdma.remote_addr = (uintptr_t)to.bytes,
			.wr.rdma.rkey = to.mr->rkey,
		};
		int error;

		/* The CQ has room for that many, not for all. */
		while (posted - count >= UNDER_WAY && !failed)
			usleep(100);
		posted++;
		error = ibv_post_send(pair.near.qp, &wr, &bad);
		if (error)
			failed = 1;
	}
	return NULL;
}

static void *poll_many(void *argument)
{
	struct ibv_wc wc[8];

	(void)argument;
	while (count < ALL && !failed) {
		int found = ibv_poll_cq(pair.near.cq, 8, wc);

		for (int i = 0; i < found; i++) {
			if (wc[i].status || wc[i].wr_id >= ALL)
				failed = 1;
			else
				seen[wc[i].wr_id]++;
		}
		count += found;
		if (!found)
			usleep(100);
	}
	return NULL;
}

static void share_a_queue_pair(void **state)
{
	pthread_t posting[THREADS], polling[2];

	(void)state;
	pair_open(&pair);
	memory_map(&from, HOST, PAGE);
	memory_map(&to, HOST, PAGE);
	memory_register(&from, pair.device.pd);
	memory_register(&to, pair.device.pd);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&posting[i], NULL, post_many,
						(void *)i),
				 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&polling[i], NULL, poll_many, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(posting[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(polling[i], NULL);
	assert_false(failed);
	for (int i = 0; i < ALL; i++)
		assert_int_equal(seen[i], 1);
	memory_release(&from);
	memory_release(&to);
	pair_close(&pair);
}

static const struct test tests[] = {
	TEST("provider/threads-share-a-queue-pair", share_a_queue_pair),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
